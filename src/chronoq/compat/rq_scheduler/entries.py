"""The entries of an rq-scheduler, as they are kept: single ones as jobs, all others as schedules.

A job cannot be changed. So an entry that is moved, or stored once more under its id, becomes a schedule of one
time: it is stored standing still, then the job is cancelled, then it is let go. Who dies in between has neither
lost nor doubled it: `tidy` completes what was begun.
"""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from heapq import merge
from itertools import chain

from attrs import evolve, frozen

from chronoq.api.scheduler import Scheduler
from chronoq.domain.errors import ChronoqError, NotReady, ResultGone, ResultTimeout
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Job, Pause, Snapshot, State
from chronoq.domain.ports import Backend, Cancel, Submitted
from chronoq.domain.schedule import Cursor, Schedule, Stored
from chronoq.domain.time import from_ms, to_ms
from chronoq.relay.rq_entry import Entry, queue_for

log = logging.getLogger("chronoq.compat")

WAITING = (State.READY, State.RUNNING, State.DELAYED)
TRIES = 50
PAGE = 500
SPENT = timedelta(hours=1)
"""So long after its last time a schedule can still be asked what became of it."""

LEASE_ENDS = timedelta(seconds=3)
"""So long after the end of a lease it has been noticed."""

PATIENCE = timedelta(minutes=1)
"""For how long somebody may be busy with a change."""

MOVED = "moved: was a job"
REPLACES = "replaces a job"


@frozen
class Found:
    """An entry, when it is due, and where it is kept. `left`: how many runs are to come, None: no end."""

    entry: Entry
    at: datetime
    place: JobId | ScheduleId
    left: int | None = None


@frozen
class Entries:
    """All entries of one namespace. Ids are unique among them, as they are in rq-scheduler.

    `known`: queues, named as they are here, that are looked into even where the store has none of that name.
    """

    app: Scheduler
    known: set[str]

    @property
    def backend(self) -> Backend:
        return self.app.backend

    def now(self) -> datetime:
        """Down to the millisecond: what is due now is not due a moment later."""
        return from_ms(to_ms(self.backend.clock.now()))

    def queues(self) -> list[str]:
        return sorted(self.known.union(self.backend.queue.queues()))

    # storing

    def add(self, entry: Entry, at: datetime, *, chosen: bool) -> None:
        """Store a single entry. `chosen`: its id is the user's own, so that it may be there already."""
        self.known.add(queue_for(entry.queue))
        if not (chosen and self.find(entry.id)):
            job = entry.job(at, now=self.now())
            answer = self.backend.queue.submit([job], now=job.enqueued_at)[0]
            if answer is Submitted.ACCEPTED:
                return
        self.put(entry, at)  # a job with that id was here

    def put(self, entry: Entry, first: datetime | None) -> None:
        """Store an entry as a schedule, in the place of whatever has its id. An unchanged one keeps its time."""
        id = ScheduleId(queue_for(entry.queue), entry.id)
        self.known.add(id.queue)
        others = [one.place for one in self.find(entry.id) if one.place != id]
        jobs = [place for place in others if isinstance(place, JobId)]
        for _ in range(TRIES):
            stored = self.backend.store.get([id])[0]
            schedule, cursor = entry.begun(first, now=self.now(), version=_version(stored))
            if stored and not jobs and stored.schedule == schedule and stored.cursor.next is not None:
                break
            cursor = evolve(cursor, pause=_kept_pause(stored))
            standing = _standing(cursor, REPLACES) if jobs else cursor
            if self._store(schedule, standing, stored):
                self.backend.queue.cancel(jobs, now=self.now())
                if jobs:
                    self._let_go(schedule, standing, cursor)
                break
        else:
            raise _busy(entry.id)
        self.backend.store.drop([place for place in others if isinstance(place, ScheduleId)])

    def move(self, found: Found, to: datetime) -> bool:
        """Have it run next at `to`, and then as before. False: it does not wait any more."""
        if isinstance(found.place, JobId):
            return self._lift(found.entry, found.place, to)
        for _ in range(TRIES):
            stored = self.backend.store.get([found.place])[0]
            if stored is None or stored.schedule is None or stored.cursor.next is None:
                return False
            entry, before = Entry.read(stored.schedule), stored.cursor
            schedule, cursor = entry.begun(to, now=self.now(), version=_version(stored))
            if self._store(schedule, evolve(cursor, fires=before.fires, pause=before.pause), stored):
                return True
        raise _busy(found.entry.id)

    def _lift(self, entry: Entry, job: JobId, to: datetime) -> bool:
        """Move a job: a schedule takes its place, unless it was delivered meanwhile."""
        id = ScheduleId(job.queue, job.key)
        for _ in range(TRIES):
            stored = self.backend.store.get([id])[0]
            schedule, cursor = entry.begun(to, now=self.now(), version=_version(stored))
            standing = _standing(cursor, MOVED)
            if not self._store(schedule, standing, stored):
                continue
            moved = self._withdrawn(job)
            if moved is not None:  # else `tidy` will see how it ended
                self._let_go(schedule, standing, cursor if moved else _spent(cursor))
            return moved is not False
        raise _busy(job.key)

    def _withdrawn(self, job: JobId) -> bool | None:
        """Whether the job will not run, also because another one who moves it has cancelled it; None: a relay
        that may be dead has it in hand, so that is not known yet.
        """
        answer = self.backend.queue.cancel([job], now=self.now())[0]
        if answer is Cancel.CANCELLED:
            return True
        try:
            ending = self.app.client.wait(job, timeout=self.app.configured.settings.lease + LEASE_ENDS)
        except ResultTimeout:
            return None
        except ResultGone:
            return False
        return ending.state is State.CANCELLED

    def remove(self, id: str) -> None:
        """It does not run (any more), wherever it waits."""
        queues = self.queues()
        self.backend.queue.cancel([JobId(queue, id) for queue in queues], now=self.now())
        self.backend.store.drop([ScheduleId(queue, id) for queue in queues])

    def _store(self, schedule: Schedule, cursor: Cursor, stored: Stored | None) -> bool:
        expected = stored.cursor if stored else None
        return self.backend.store.put(schedule, cursor=cursor, expected=expected, now=self.now())

    def _let_go(self, schedule: Schedule, standing: Cursor, cursor: Cursor) -> None:
        """Where it does not stand there any more, somebody has completed or changed it since; only what was
        spent for good, because this took too long, is stored once more.
        """
        for _ in range(TRIES):
            if self.backend.store.put(schedule, cursor=cursor, expected=standing, now=self.now()):
                return
            stored = self.backend.store.get([schedule.id])[0]
            if cursor.next is None or stored is None or stored.cursor != _spent(standing):
                return
            standing = stored.cursor
        raise _busy(schedule.id.key)

    # looking

    def find(self, id: str) -> list[Found]:
        """The entry with that id; more than one only while another takes its place."""
        queues = self.queues()
        schedules = self.backend.store.get([ScheduleId(queue, id) for queue in queues])
        jobs = self.backend.queue.get([JobId(queue, id) for queue in queues], now=self.now())
        found = [*map(_of_schedule, schedules), *map(_of_job, jobs)]
        return [one for one in found if one is not None]

    def all(self, until: datetime | None = None) -> Iterator[Found]:
        """Every entry that is due by `until`, the earliest first."""
        lists = [one for queue in self.queues() for one in (self._schedules(queue), *self._jobs(queue))]
        for found in merge(*lists, key=lambda one: (one.at, one.entry.id)):
            if until is not None and found.at > until:
                break
            yield found

    def _schedules(self, queue: str) -> list[Found]:
        found = map(_of_schedule, self.backend.store.find(queue))
        return sorted((one for one in found if one is not None), key=lambda one: (one.at, one.entry.id))

    def _jobs(self, queue: str) -> Iterator[Iterable[Found]]:
        """Delayed ones are many, and come in their order; the few that are due are put into it."""
        yield self._pages(queue, State.DELAYED)
        ready = chain(self._pages(queue, State.READY), self._pages(queue, State.RUNNING))
        yield sorted(ready, key=lambda one: (one.at, one.entry.id))

    def _pages(self, queue: str, state: State) -> Iterator[Found]:
        mark, more = "", True
        while more:
            page = self.backend.queue.find(queue, state, now=self.now(), mark=mark, limit=PAGE)
            yield from (found for found in map(_of_job, page.items) if found is not None)
            mark = page.mark
            more = bool(mark)

    # keeping

    def tidy(self) -> None:
        """Complete what somebody has begun and not ended, and forget what has nothing to come."""
        now = self.now()
        for queue in self.queues():
            for stored in self.backend.store.find(queue):
                if _stands(stored.cursor):
                    self._complete(stored, now)
                elif stored.cursor.next is None and (stored.cursor.last or stored.cursor.since) < now - SPENT:
                    self._forget(stored)

    def _forget(self, stored: Stored) -> None:
        """A removal compares nothing, so it is looked at once more: somebody may have stored it anew."""
        if self.backend.store.get([stored.id]) == [stored]:
            self.backend.store.drop([stored.id])

    def _complete(self, stored: Stored, now: datetime) -> None:
        """Its job is gone: it goes on, unless it is that job, and was delivered. Its job still waits after a
        minute: the change did not happen. While somebody has it in hand, nobody knows.
        """
        job = self.backend.queue.get([JobId(stored.id.queue, stored.id.key)], now=now)[0]
        if stored.schedule is None or (job and (job.state is State.RUNNING or job.stopping)):
            return
        if job is not None and job.state in WAITING:
            over = stored.cursor.since < now - PATIENCE
        else:
            delivered = job is not None and job.state is not State.CANCELLED
            over = delivered and stored.cursor.pause == Pause(MOVED)
            if not over:
                self._let_go(stored.schedule, stored.cursor, evolve(stored.cursor, pause=None))
        if over:
            self._let_go(stored.schedule, stored.cursor, _spent(stored.cursor))


def _of_schedule(stored: Stored | None) -> Found | None:
    """None for what has no time to come, or cannot be read: that one is set aside and delays nobody."""
    if stored is None or stored.schedule is None or stored.cursor.next is None or _stands(stored.cursor):
        return None
    most, entry = stored.schedule.policy.max_fires, _read(stored.schedule)
    left = None if most is None else max(most - stored.cursor.fires, 0)
    return None if entry is None else Found(entry, stored.cursor.next, stored.id, left)


def _of_job(snapshot: Snapshot | None) -> Found | None:
    """None for what does not wait, for the runs of schedules, and for what cannot be read."""
    if snapshot is None or snapshot.state not in WAITING or snapshot.job.defect:
        return None
    job, entry = snapshot.job, _read(snapshot.job)
    if job.origin is not None or entry is None:
        return None
    at = snapshot.until if snapshot.state is State.DELAYED else job.due
    return Found(entry, at or job.due, job.id)


def _read(one: Job | Schedule) -> Entry | None:
    try:
        return Entry.read(one)
    except (ChronoqError, ValueError, TypeError, AttributeError) as error:
        log.warning("⚠ %s is left out: it is no entry of an rq-scheduler (%s)", one.id, error)
        return None


def _version(stored: Stored | None) -> int:
    return stored.cursor.version + 1 if stored else 1


def _standing(cursor: Cursor, why: str) -> Cursor:
    return evolve(cursor, pause=Pause(why))


def _spent(cursor: Cursor) -> Cursor:
    """Nothing is to come. Unlike a removal it is compared with what is there: another one may have it by now."""
    return evolve(cursor, next=None, pause=None)


def _stands(cursor: Cursor) -> bool:
    """Whether it waits for a job to be gone."""
    return cursor.pause is not None and cursor.pause.note in (MOVED, REPLACES)


def _kept_pause(stored: Stored | None) -> Pause | None:
    """A pause is a person's: it outlives that the entry is stored once more."""
    return None if stored is None or _stands(stored.cursor) else stored.cursor.pause


def _busy(id: str) -> NotReady:
    return NotReady(f"Entry {id!r} changed {TRIES} times while it was being changed. Try again.")
