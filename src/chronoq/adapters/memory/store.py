"""StorePort in this process's memory."""

from collections.abc import Sequence
from datetime import datetime
from heapq import heappop, heappush
from itertools import islice

from attrs import frozen

from chronoq.adapters.memory.room import Room
from chronoq.adapters.memory.shelf import Plan, Shelf
from chronoq.adapters.memory.sweep import swept_plans
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.ports import Fired
from chronoq.domain.schedule import Cursor, Due, Firing, Outcome, Schedule, Stored
from chronoq.domain.sweep import Swept


@frozen
class MemoryStore:
    """Schedules of all queues, behind the same lock as the jobs."""

    room: Room

    def put(self, schedule: Schedule, *, cursor: Cursor, expected: Cursor | None, now: datetime) -> bool:
        with self.room as shelves:
            shelf, id = shelves[schedule.id.queue], schedule.id.key
            plan = shelf.plans.get(id)
            if (plan and plan.cursor) != expected:
                return False
            if plan:
                plan.schedule, plan.cursor = schedule, cursor
            else:
                shelf.plans[id] = Plan(schedule, cursor)
            shelf.watch(id, freed=_freed(shelf, id, now))
            return True

    def drop(self, ids: Sequence[ScheduleId]) -> list[bool]:
        with self.room as shelves:
            for id in ids:
                shelves[id.queue].failures.pop(id.key, None)
            return [shelves[id.queue].plans.pop(id.key, None) is not None for id in ids]

    def due(
        self, queues: Sequence[str], *, now: datetime, limit: int
    ) -> tuple[list[Due], list[datetime | None]]:
        found: list[Due] = []
        nexts: list[datetime | None] = []
        with self.room as shelves:
            for queue in queues:
                shelf = shelves[queue]
                taken: dict[tuple[datetime, str], None] = {}
                while len(taken) < limit and (wake := shelf.next_due()) is not None and wake <= now:
                    taken[heappop(shelf.dues)] = None
                nexts.append(shelf.next_due())
                for entry in taken:
                    heappush(shelf.dues, entry)
                found += [_due(shelf, id) for _, id in taken]
        return found, nexts

    def fire(self, firings: Sequence[Firing], *, fence: int | None, now: datetime) -> list[Fired]:
        steps = list(firings)  # what is still to be decided holds nobody up
        with self.room as shelves:
            return [_fire(shelves[step.id.queue], step, fence, now) for step in steps]

    def get(self, ids: Sequence[ScheduleId]) -> list[Stored | None]:
        with self.room as shelves:
            return [_stored(shelves[id.queue], id.key) for id in ids]

    def find(self, queue: str) -> list[Stored]:
        with self.room as shelves:
            found = [_stored(shelves[queue], id) for id in sorted(shelves[queue].plans)]
            return [one for one in found if one]

    def sweep(self, queue: str, *, now: datetime, mark: str = "", limit: int = 500) -> Swept:
        with self.room as shelves:
            return swept_plans(shelves[queue], now)

    def live(self, id: ScheduleId) -> list[JobId]:
        with self.room as shelves:
            return [JobId(id.queue, key) for key in sorted(shelves[id.queue].runs.get(id.key, ()))]

    def ledger(self, id: ScheduleId, *, limit: int = 100) -> list[Outcome]:
        with self.room as shelves:
            plan = shelves[id.queue].plans.get(id.key)
            return list(islice(plan.ledger, limit)) if plan else []


def _stored(shelf: Shelf, id: str) -> Stored | None:
    plan = shelf.plans.get(id)
    return Stored(plan.schedule.id, plan.cursor, plan.schedule) if plan else None


def _due(shelf: Shelf, id: str) -> Due:
    plan = shelf.plans[id]
    stored = Stored(plan.schedule.id, plan.cursor, plan.schedule)
    return Due(stored, live=len(shelf.runs.get(id, ())), failures=shelf.failures[id])


def _freed(shelf: Shelf, id: str, now: datetime) -> datetime | None:
    """A schedule that is held while no run is live is due at once: the run ended while we decided."""
    return now if shelf.plans[id].cursor.held and not shelf.runs.get(id) else None


def _fire(shelf: Shelf, firing: Firing, fence: int | None, now: datetime) -> Fired:
    if fence is not None:
        if fence < shelf.fence:
            return Fired.STALE
        shelf.fence = fence
    plan = shelf.plans.get(firing.id.key)
    if plan is None or plan.cursor != firing.expected:
        return Fired.MOVED
    if firing.forgive:
        shelf.failures.pop(firing.id.key, None)
    if firing.stop:
        shelf.stops.update(key for key in shelf.runs.get(firing.id.key, ()) if key in shelf.leases)
    for job in firing.jobs:
        key = job.id.key
        if key not in shelf.jobs and not shelf.remembered(key, now=now):
            shelf.add(job, now=now)
    plan.cursor = firing.cursor
    plan.ledger.extendleft(firing.outcomes)
    shelf.watch(firing.id.key, freed=_freed(shelf, firing.id.key, now))
    return Fired.YES
