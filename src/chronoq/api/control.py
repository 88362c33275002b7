"""A handle on one stored schedule: look, pause, resume, trigger, make up for, remove."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from chronoq.api.handle import JobHandle
from chronoq.app.keys import new_key
from chronoq.domain.control import MOST_BACKFILL, Backfill, readable
from chronoq.domain.job import Pause
from chronoq.domain.schedule import Outcome, Stored
from chronoq.domain.time import aware
from chronoq.domain.why import Answer, why_schedule

if TYPE_CHECKING:
    from chronoq.api.scheduler import Scheduler


class ScheduleHandle:
    """One stored schedule, by its id. Each verb has an `a` twin for async code.

    Errors of every verb: `NoSuchSchedule` when it is not stored, `BackendError`.
    """

    __slots__ = ("_app", "id")

    def __init__(self, app: "Scheduler", id: str) -> None:
        self._app = app
        self.id = id

    def info(self) -> Stored:
        """The schedule and its cursor: next nominal time, version, fires, pause."""
        return self._app.stored.find(self.id)

    async def ainfo(self) -> Stored:
        return await self._app.off_loop(self.info)

    def next(self, count: int = 1) -> list[datetime]:
        """The coming nominal times, at most `count`; the pending one first."""
        stored = self.info()
        schedule, moment, most = readable(stored), stored.cursor.next, readable(stored).policy.max_fires
        many = count if most is None else min(count, most - stored.cursor.fires)
        found: list[datetime] = []
        while moment is not None and len(found) < many:
            found.append(moment)
            moment = schedule.next_after(moment, since=stored.cursor.since)
        return found

    async def anext(self, count: int = 1) -> list[datetime]:
        return await self._app.off_loop(self.next, count)

    def pause(self, note: str = "", *, until: datetime | None = None) -> None:
        """Stand still, until `until` or until resumed. Times that pass meanwhile are left out."""
        self._app.stored.pause(self.id, Pause(note, aware(until, name="until") if until else None))

    async def apause(self, note: str = "", *, until: datetime | None = None) -> None:
        await self._app.off_loop(partial(self.pause, note, until=until))

    def resume(self, *, catch_up: bool = False) -> None:
        """Go on; with `catch_up`, what was missed meanwhile falls under the catch-up policy."""
        self._app.stored.resume(self.id, catch_up=catch_up)

    async def aresume(self, *, catch_up: bool = False) -> None:
        await self._app.off_loop(partial(self.resume, catch_up=catch_up))

    def trigger(self) -> JobHandle[object]:
        """Run it once now, marked manual. The rhythm goes on untouched."""
        return JobHandle(self._app, self._app.stored.trigger(self.id, f"{self.info().id.key}@{new_key()}"))

    async def atrigger(self) -> JobHandle[object]:
        return await self._app.off_loop(self.trigger)

    def backfill(
        self,
        start: datetime,
        end: datetime,
        *,
        name: str | None = None,
        again: bool = False,
        limit: int = MOST_BACKFILL,
        dry_run: bool = False,
    ) -> list[tuple[datetime, datetime]]:
        """Make up the nominal times in [start, end) with low-priority jobs; their data intervals, oldest first.

        `name` identifies the backfill: cut short and called again under the same name, it goes on
        where it was. By default it is made of the range. Times that fired are left out unless `again`.
        """
        start, end = aware(start, name="start"), aware(end, name="end")
        wish = Backfill(start, end, name or f"{start:%Y%m%dT%H%M%S}-{end:%Y%m%dT%H%M%S}", again, limit)
        times = self._app.stored.missing(self.id, wish)
        if not dry_run:
            self._app.stored.backfill(self.id, wish)
        return times

    async def abackfill(
        self,
        start: datetime,
        end: datetime,
        *,
        name: str | None = None,
        again: bool = False,
        limit: int = MOST_BACKFILL,
        dry_run: bool = False,
    ) -> list[tuple[datetime, datetime]]:
        wish = partial(self.backfill, start, end, name=name, again=again, limit=limit, dry_run=dry_run)
        return await self._app.off_loop(wish)

    def ledger(self, limit: int = 100) -> Sequence[Outcome]:
        """What became of its nominal times, the latest first."""
        return list(islice(self._app.stored.ledger(self.id), limit))

    async def aledger(self, limit: int = 100) -> Sequence[Outcome]:
        return await self._app.off_loop(self.ledger, limit)

    def why(self, at: datetime) -> Answer:
        """What became of the nominal time `at`, or will, in a sentence."""
        backend = self._app.backend
        now = backend.clock.now()
        return why_schedule(
            self.info(), self._app.stored.ledger(self.id), aware(at), roll=backend.life.roll(now=now), now=now
        )

    async def awhy(self, at: datetime) -> Answer:
        return await self._app.off_loop(self.why, at)

    def remove(self) -> bool:
        """Remove it with its ledger. Jobs that it has made stay."""
        return self._app.stored.remove(self.id)

    async def aremove(self) -> bool:
        return await self._app.off_loop(self.remove)

    def __repr__(self) -> str:
        return f"<ScheduleHandle {self.id}>"
