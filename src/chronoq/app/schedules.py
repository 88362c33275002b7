"""What people do with stored schedules: save, look, pause, resume, trigger, make up for, remove."""

from collections.abc import Callable, Sequence
from datetime import datetime

from attrs import define, evolve, frozen

from chronoq.domain import control
from chronoq.domain.control import Backfill
from chronoq.domain.errors import ChronoqError, NoSuchSchedule, NotReady, near
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Pause
from chronoq.domain.ports import Backend, Fired
from chronoq.domain.schedule import Cursor, Firing, Outcome, Put, Schedule, Stored, planned

TRIES = 50
CHUNK = 100
"""Jobs that a backfill makes in one step."""


@frozen
class Change:
    """One line of a plan. `put` None: an orphan, stored but not declared. `fields`: what differs."""

    id: ScheduleId
    put: Put | None
    fields: tuple[str, ...] = ()

    @property
    def orphan(self) -> bool:
        return self.put is None


@define
class Schedules:
    """The schedules of one backend. Every change is compared and set, and tried again when another came first."""

    backend: Backend

    def all(self, queues: Sequence[str] | None = None) -> list[Stored]:
        """Every stored schedule, by queue and id."""
        names = self.backend.queue.queues() if queues is None else sorted(queues)
        return [stored for queue in names for stored in self.backend.store.find(queue)]

    def find(self, id: str) -> Stored:
        """The schedule with that id: `queue:id`, or the id alone when one queue has it. Errors: `NoSuchSchedule`."""
        named = [id] if ":" in id else [f"{queue}:{id}" for queue in self.backend.queue.queues()]
        ids = [ScheduleId.parse(name) for name in named]
        found = [stored for stored in self.backend.store.get(ids) if stored is not None]
        if len(found) == 1:
            return found[0]
        if found:
            raise ChronoqError(
                f"Several queues have a schedule {id!r}: {', '.join(str(s.id) for s in found)}. Name one."
            )
        raise NoSuchSchedule(f"No schedule {id!r} is stored.{near(id, [s.id.key for s in self.all()])}")

    def save(self, schedule: Schedule) -> Put:
        """Create or update. An unchanged one keeps its due time."""
        for _ in range(TRIES):
            now = self.backend.clock.now()
            stored = self.backend.store.get([schedule.id])[0]
            put, cursor = planned(stored, schedule, now=now)
            if put is Put.UNCHANGED and not (stored and stored.outdated):
                return put
            if self.backend.store.put(
                schedule, cursor=cursor, expected=stored.cursor if stored else None, now=now
            ):
                return put
        raise _busy(schedule.id)

    def plan(self, declared: Sequence[Schedule], queues: Sequence[str]) -> list[Change]:
        """What `apply` would do: create, update with what differs, leave, and which stored ones nobody declares."""
        now = self.backend.clock.now()
        stored = {one.id: one for one in self.all(sorted({*queues, *(s.id.queue for s in declared)}))}
        changes = [_change(stored.get(schedule.id), schedule, now) for schedule in declared]
        orphans = [Change(id, None) for id in stored if id not in {schedule.id for schedule in declared}]
        return sorted(changes, key=lambda change: change.id) + orphans

    def apply(
        self, declared: Sequence[Schedule], queues: Sequence[str], *, prune: bool = False
    ) -> list[Change]:
        """Store what is declared; with `prune`, remove the orphans."""
        changes = self.plan(declared, queues)
        saved = {schedule.id: self.save(schedule) for schedule in declared}
        if prune:
            self.backend.store.drop([change.id for change in changes if change.orphan])
        return [evolve(change, put=saved.get(change.id)) for change in changes]

    def pause(self, id: str, pause: Pause) -> Cursor:
        return self._change(id, lambda stored, _: control.pause(stored, pause)).cursor

    def resume(self, id: str, *, catch_up: bool = False) -> Cursor:
        return self._change(id, lambda stored, now: control.resume(stored, catch_up=catch_up, now=now)).cursor

    def trigger(self, id: str, key: str) -> JobId:
        return self._change(id, lambda stored, now: control.trigger(stored, key, now=now)).jobs[0].id

    def remove(self, id: str) -> bool:
        """Remove it with its ledger. Jobs that it has made stay."""
        return self.backend.store.drop([self.find(id).id])[0]

    def missing(self, id: str, backfill: Backfill) -> list[tuple[datetime, datetime]]:
        """The data intervals that `backfill` would make up."""
        stored = self.find(id)
        return control.missing(stored, backfill, self.ledger(id))

    def backfill(self, id: str, backfill: Backfill) -> list[JobId]:
        """Make the missing jobs up, a bounded chunk a step. Cut short, the same call takes it up again."""
        times = self.missing(id, backfill)
        made: list[JobId] = []
        for start in range(0, len(times), CHUNK):
            chunk = times[start : start + CHUNK]
            firing = self._change(id, _filling(backfill, chunk))
            made += [job.id for job in firing.jobs]
        return made

    def ledger(self, id: str, *, limit: int = 1000) -> list[Outcome]:
        return self.backend.store.ledger(self.find(id).id, limit=limit)

    def _change(self, id: str, decide: Callable[[Stored, datetime], Firing]) -> Firing:
        for _ in range(TRIES):
            stored, now = self.find(id), self.backend.clock.now()
            firing = decide(stored, now)
            if self.backend.store.fire([firing], fence=None, now=now)[0] is Fired.YES:
                return firing
        raise _busy(id)


def _filling(
    backfill: Backfill, times: Sequence[tuple[datetime, datetime]]
) -> Callable[[Stored, datetime], Firing]:
    return lambda stored, now: control.fill(stored, backfill, times, now=now)


def _busy(id: object) -> NotReady:
    return NotReady(f"Schedule {id} changed {TRIES} times while it was being changed. Try again.")


def _change(stored: Stored | None, schedule: Schedule, now: datetime) -> Change:
    put, _ = planned(stored, schedule, now=now)
    before = stored and stored.schedule
    names = [a.name for a in Schedule.__attrs_attrs__]
    differing = [n for n in names if before and getattr(before, n) != getattr(schedule, n)]
    return Change(schedule.id, put, tuple(differing) if put is Put.UPDATED else ())
