"""`why`: why a job is where it is, and what became of a time of a schedule."""

from __future__ import annotations

from contextlib import suppress

import click

from chronoq.api.scheduler import Scheduler
from chronoq.cli import find
from chronoq.cli.base import Cli, Command, Misuse, NotFound
from chronoq.cli.schedule_time import moment, zone_option
from chronoq.domain.errors import near
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Snapshot
from chronoq.domain.ports import Backend
from chronoq.domain.schedule import Stored
from chronoq.domain.time import zone
from chronoq.domain.why import Answer


@click.command(cls=Command)
@click.argument("word", metavar="JOB|SCHEDULE")
@click.option(
    "--at", metavar="ISO", help="Of a schedule: what became of this time, or will. The next by default."
)
@click.option("--job", "kind", flag_value="job", help="It is the id of a job.")
@click.option("--schedule", "kind", flag_value="schedule", help="It is the id of a schedule.")
@zone_option("Zone of --at when it carries no offset.")
@click.pass_obj
def why(cli: Cli, word: str, at: str | None, kind: str | None, tz: str) -> None:
    """Why a job is where it is, or what became of a time of a schedule, in a sentence with the facts."""
    if at and kind == "job":
        raise Misuse("--at is about a schedule; a job has one time only.")
    app = cli.app()
    named = _named(cli.shared(app), word, "schedule" if at else kind)
    if isinstance(named, Snapshot):
        answer = app.why(str(named.job.id))
        if answer is None:
            raise NotFound(f"No job {word!r} any more: its end was forgotten just now.")
    else:
        answer = _of_schedule(app, named, at, tz)
    cli.out.done({"because": answer.because, "says": answer.says}, answer.says)


def _of_schedule(app: Scheduler, stored: Stored, at: str | None, tz: str) -> Answer:
    asked = moment(at, zone(tz), option="--at") if at else stored.cursor.next
    if asked is None:
        last = stored.cursor.last or stored.cursor.since
        return Answer(
            "finished", f"'{stored.id.key}' is finished: it has no time left after {last.isoformat()}."
        )
    return app.stored_schedule(str(stored.id)).why(asked)


def _named(backend: Backend, word: str, kind: str | None) -> Snapshot | Stored:
    """What `word` names; a whole id comes before the beginning of another. Errors: `NotFound`, `Misuse`."""
    if kind == "job":
        return find.job(backend, word)
    if kind == "schedule":
        return find.schedule(backend, word)
    jobs, schedules = _exact(backend, word)
    if bool(jobs) != bool(schedules):
        return find.job(backend, word) if jobs else find.schedule(backend, word)
    if jobs and schedules:
        raise Misuse(f"{word!r} names a job and a schedule. Say which: --job or --schedule.")
    found: list[Snapshot | Stored] = []
    with suppress(NotFound):
        found.append(find.schedule(backend, word))
    with suppress(NotFound):
        found.append(find.job(backend, word))
    if not found:
        keys = [one.id.key for queue in backend.queue.queues() for one in backend.store.find(queue)]
        hint = near(word.rpartition(":")[2], keys) or " The end of a job is forgotten after a while."
        raise NotFound(f"No job and no schedule {word!r}.{hint}")
    if len(found) == 2:
        raise Misuse(
            f"{word!r} begins the id of a job and of a schedule. Give more of it, or --job, or --schedule."
        )
    return found[0]


def _exact(backend: Backend, word: str) -> tuple[bool, bool]:
    """Whether a job has exactly this id, and whether a schedule has."""
    queue, colon, key = word.rpartition(":")
    queues = [queue] if colon else backend.queue.queues()
    now = backend.clock.now()
    jobs = backend.queue.get([JobId(name, key) for name in queues], now=now)
    schedules = backend.store.get([ScheduleId(name, key) for name in queues])
    return any(jobs), any(schedules)
