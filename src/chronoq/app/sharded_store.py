"""Schedules that feed a divided queue: each lies in one part, with the jobs that it makes."""

from collections.abc import Sequence
from datetime import datetime

from attrs import define, evolve

from chronoq.app.sharded_queue import Division, placed_job, sweep_parts
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.ports import Fired, StorePort
from chronoq.domain.schedule import Cursor, Due, Firing, Outcome, Schedule, Stored
from chronoq.domain.shards import whole
from chronoq.domain.stream import Stream
from chronoq.domain.sweep import Swept


@define
class ShardedStore:
    """`StorePort` over the parts of divided queues."""

    inner: StorePort
    division: Division

    def put(self, schedule: Schedule, *, cursor: Cursor, expected: Cursor | None, now: datetime) -> bool:
        placed = evolve(schedule, id=self._id(schedule.id))
        return self.inner.put(placed, cursor=cursor, expected=expected, now=now)

    def drop(self, ids: Sequence[ScheduleId]) -> list[bool]:
        return self.inner.drop([self._id(id) for id in ids])

    def due(
        self, queues: Sequence[str], *, now: datetime, limit: int
    ) -> tuple[list[Due], list[datetime | None]]:
        parts = [self.division.parts(queue) for queue in queues]
        found, nexts = self.inner.due([part for some in parts for part in some], now=now, limit=limit)
        following = iter(nexts)
        earliest = [
            min((moment for moment in [next(following) for _ in some] if moment), default=None)
            for some in parts
        ]
        return [evolve(due, stored=_seen(due.stored)) for due in found], earliest

    def fire(self, firings: Sequence[Firing], *, fence: int | None, now: datetime) -> list[Fired]:
        placed = Stream(
            evolve(
                firing,
                id=self._id(firing.id),
                jobs=tuple(placed_job(job, self.division) for job in firing.jobs),
            )
            for firing in firings
        )
        return self.inner.fire(placed, fence=fence, now=now)

    def get(self, ids: Sequence[ScheduleId]) -> list[Stored | None]:
        return [one and _seen(one) for one in self.inner.get([self._id(id) for id in ids])]

    def find(self, queue: str) -> list[Stored]:
        found = [_seen(one) for part in self.division.parts(queue) for one in self.inner.find(part)]
        return sorted(found, key=lambda stored: stored.id)

    def sweep(self, queue: str, *, now: datetime, mark: str = "", limit: int = 500) -> Swept:
        return sweep_parts(self.inner, self.division.parts(queue), now=now, mark=mark, limit=limit)

    def live(self, id: ScheduleId) -> list[JobId]:
        return [JobId(id.queue, one.key) for one in self.inner.live(self._id(id))]

    def ledger(self, id: ScheduleId, *, limit: int = 100) -> list[Outcome]:
        return self.inner.ledger(self._id(id), limit=limit)

    def _id(self, id: ScheduleId) -> ScheduleId:
        return ScheduleId(self.division.part_of(id), id.key)


def _seen(stored: Stored) -> Stored:
    if "~" not in stored.id.queue:
        return stored
    id = ScheduleId(whole(stored.id.queue), stored.id.key)
    return evolve(stored, id=id, schedule=stored.schedule and evolve(stored.schedule, id=id))
