"""What becomes of rq-scheduler's lines: schedules and jobs of an application, or why not."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

import redis
from attrs import define, evolve, field, frozen

from chronoq.api.scheduler import Scheduler
from chronoq.app.tasks import default_name
from chronoq.domain.errors import ChronoqError
from chronoq.domain.identity import Identity
from chronoq.domain.job import Job
from chronoq.domain.schedule import Cursor, Schedule
from chronoq.domain.time import up_to_ms
from chronoq.migrate.source import Line
from chronoq.relay.rq import RqRelay, same_database
from chronoq.relay.rq_entry import Entry, cron_for, queue_for
from chronoq.relay.rq_records import Old, Stays, read

TICK = timedelta(microseconds=1)
REMEMBER = timedelta(days=30)
"""How long a moved job is known after its end: moving it once more must not run it again."""


@frozen
class Planned:
    """What a line becomes: a schedule with its cursor, or a job; or `why` it stays, and what to do.

    `declare`: what the application lacks for it. `notes`: what will be another way than before.
    """

    line: Line
    entry: Entry | None = None
    schedule: Schedule | None = None
    cursor: Cursor | None = None
    job: Job | None = None
    why: str = ""
    todo: str = ""
    declare: str = ""
    notes: tuple[str, ...] = ()

    @property
    def id(self) -> Identity | None:
        made = self.schedule or self.job
        return made.id if made else None

    @property
    def function(self) -> str:
        """As far as it can be told."""
        return self.entry.function if self.entry else self._plain(b"description").partition("(")[0]

    @property
    def queue(self) -> str:
        return self.id.queue if self.id else self.entry.queue if self.entry else self._plain(b"origin")

    def _plain(self, name: bytes) -> str:
        return self.line.fields.get(name, b"").decode("utf-8", "replace")

    @property
    def next(self) -> datetime | None:
        """When chronoq will run it next."""
        return self.cursor.next if self.cursor else self.job.due if self.job else None

    @property
    def rhythm(self) -> str:
        return self.schedule.rhythm.describe() if self.schedule else "once" if self.job else ""


class Lacks(Stays):
    """The application does not cover a line; `declare` is what it lacks."""

    def __init__(self, why: str, declare: str) -> None:
        super().__init__(why, f"Declare {declare}.")
        self.declare = declare


@define
class Planner:
    """Plans for an application. `free`: it declares nothing, so that every queue and function will do.

    `tz`: the zone in which rqscheduler ran, None when nobody knows. `told`: somebody said so.
    """

    app: Scheduler
    client: redis.Redis
    free: bool = False
    trust_pickle: bool = False
    tz: str | None = None
    told: bool = False
    queues: Mapping[str, tuple[str, RqRelay]] = field(init=False)
    """By the name in RQ: the name here, and the way there."""

    def __attrs_post_init__(self) -> None:
        engines = self.app.declared.engines.items()
        self.queues = {
            engine.queue or name: (name, engine) for name, engine in engines if isinstance(engine, RqRelay)
        }

    def plan(self, lines: Iterable[Line], *, now: datetime) -> Iterator[Planned]:
        """Each in order; nothing raises but the source and the backend."""
        limit = self.app.configured.settings.max_payload
        for line in lines:
            old: Old | None = None
            try:
                old = read(line.id, line.fields, self.client, trust_pickle=self.trust_pickle, limit=limit)
                made = self._planned(line, old, now)
                yield evolve(made, notes=(*old.notes, *made.notes))
            except Stays as stays:
                lacking = stays.declare if isinstance(stays, Lacks) else ""
                yield Planned(
                    line, old.entry if old else None, why=stays.why, todo=stays.todo, declare=lacking
                )
            except Exception as error:  # whatever others have put there: one line must not stop the rest
                known = isinstance(error, ChronoqError | OverflowError)
                why = str(error).partition("\n")[0]
                yield Planned(
                    line,
                    old.entry if old else None,
                    why=why if known else f"its record is damaged ({type(error).__name__}: {why})",
                    todo="" if known else "Create it anew.",
                )

    def strays(self, plan: Iterable[Planned]) -> list[str]:
        """The queues whose jobs would go to RQ in another database than rq-scheduler's do."""
        engines = dict(self.queues.values())
        used = {one.id.queue for one in plan if one.id}
        urls = {name: engines[name].url if name in engines else None for name in used}
        here = self.app.configured.settings.url
        same = {url: same_database(self.client, url or here) for url in set(urls.values())}
        return sorted(name for name, url in urls.items() if not same[url])

    def _planned(self, line: Line, old: Old, now: datetime) -> Planned:
        queue, task = self._place(old.entry)
        entry = evolve(old.entry, queue=queue, function=task, tz=self._zone(old.entry))
        if line.due is None:
            raise Stays(f"its time is {line.score:g} seconds after 1970", "Create it anew.")
        due = up_to_ms(line.due)
        if entry.cron_string is not None:
            return self._cron(line, entry, due, now, asked=old.local)
        if entry.periodic:
            schedule, cursor = entry.begun(due, now=now)
            return Planned(line, entry, schedule, cursor)
        job = entry.job(due, now=now)
        return Planned(line, entry, job=evolve(job, options=evolve(job.options, remember=REMEMBER)))

    def _zone(self, entry: Entry) -> str:
        if entry.cron_string is None:
            return entry.tz
        if self.tz is None:
            raise Stays(
                "nobody knows in which time zone rqscheduler ran, for this machine's has no name",
                "Give --tz ZONE.",
            )
        return self.tz

    def _cron(self, line: Line, entry: Entry, due: datetime, now: datetime, *, asked: bool) -> Planned:
        """A time that rq-scheduler is late with stays pending. `asked`: for local time."""
        schedule = entry.schedule()
        fits = schedule.rhythm.next_after(due - TICK) == due
        if not fits and not self.told:
            guess = cron_for(entry.cron_string or "").next_after(due - TICK) == due
            raise Stays(
                f"cron '{entry.cron_string}' in {self.tz} does not fire at {due:%Y-%m-%d %H:%M:%S} UTC, which is "
                "what rq-scheduler has next: it ran in another time zone, or the time was changed by hand",
                f"Give --tz with the zone in which its times are meant{'; UTC fits' * guess}.",
            )
        first = due if fits and due <= now else schedule.next_after(now, since=now)
        notes = [] if fits else [f"rq-scheduler has {due:%Y-%m-%d %H:%M:%S} UTC next"]
        if fits and not asked and self.tz != "UTC":
            notes.append("on local time, as it ran, although use_local_timezone was not set")
        return Planned(line, entry, schedule, Cursor(1, first, up_to_ms(now)), notes=tuple(notes))

    def _place(self, entry: Entry) -> tuple[str, str]:
        """The queue and the task here. Errors: `Lacks`."""
        if self.free:
            return queue_for(entry.queue), entry.function
        if entry.queue not in self.queues:
            raise Lacks(
                f"no queue of the application goes to RQ queue {entry.queue!r}", _declaration(entry.queue)
            )
        queue, engine = self.queues[entry.queue]
        for task in self.app.tasks:
            if task.queue == queue and default_name(task.fn) == entry.function:
                return queue, task.name
        if not engine.unregistered:
            raise Lacks(
                f"no task of the application in queue {queue!r} is {entry.function}",
                f'app.add_task(by_name("{entry.function}"), queue="{queue}") or RqRelay(unregistered=True)',
            )
        return queue, entry.function


def _declaration(rq_queue: str) -> str:
    name = queue_for(rq_queue)
    return f'Queue("{name}", relay=RqRelay({"" if name == rq_queue else f"queue={rq_queue!r}"}))'
