"""The move itself: schedules and jobs are stored under the old ids, and taken out of rq-scheduler if that is wished."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from enum import StrEnum

from attrs import frozen

from chronoq.api.scheduler import Scheduler
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import ENDED, Job, Snapshot, State
from chronoq.domain.ports import Submitted
from chronoq.migrate.plan import Planned
from chronoq.migrate.source import AT_ONCE, Source


class Fate(StrEnum):
    """What became of an entry, or would."""

    MOVED = "moved"
    THERE = "already there"
    TAKEN = "taken"
    """Its id stands for something else here."""
    DIFFERS = "differs"
    """It is here for another time or in another rhythm: one of the two was changed since."""
    FULL = "full"
    CHANGED = "changed meanwhile"
    """rq-scheduler ran it, or somebody changed it."""
    STAYS = "stays"


ARRIVED = (Fate.MOVED, Fate.THERE)
_ANSWERS = {
    Submitted.ACCEPTED: Fate.MOVED,
    Submitted.CONFLICT: Fate.TAKEN,
    Submitted.FULL: Fate.FULL,
}


@frozen
class Moved:
    planned: Planned
    fate: Fate


def foreseen(plan: Sequence[Planned], app: Scheduler) -> Iterator[Moved]:
    """What `move` would do, as things are; nothing is written."""
    return _each(plan, lambda part: _there(part, app))


def move(plan: Sequence[Planned], app: Scheduler, source: Source, *, retire: bool) -> Iterator[Moved]:
    """Store each; with `retire`, take out of rq-scheduler what has arrived, and only that.

    Broken off anywhere and run again it goes on: an entry that was taken out stands in `MOVING` until it has
    arrived, and what has arrived is recognised by its id. Errors: `InUse`, `BackendError`.
    """
    with source.locked() if retire else nullcontext():
        yield from _each(plan, lambda part: (_retired if retire else _stored)(part, app, source))


def _each(plan: Sequence[Planned], decide: Callable[[Sequence[Planned]], list[Fate]]) -> Iterator[Moved]:
    for start in range(0, len(plan), AT_ONCE):
        part = plan[start : start + AT_ONCE]
        fates = iter(decide([one for one in part if not one.why]))
        for one in part:
            yield Moved(one, Fate.STAYS if one.why else next(fates))


def _retired(part: Sequence[Planned], app: Scheduler, source: Source) -> list[Fate]:
    """Out of rq-scheduler's sight first, so that it cannot run what chronoq runs; then stored; then forgotten."""
    taken = source.take([one.line for one in part])
    fates = iter(_stored([one for one in part if one.line in taken], app, source))
    settled = [(one.line, next(fates) if one.line in taken else Fate.CHANGED) for one in part]
    source.forget([line for line, fate in settled if fate in ARRIVED])
    source.give_back([line for line, fate in settled if fate in (Fate.TAKEN, Fate.DIFFERS, Fate.FULL)])
    return [fate for _, fate in settled]


def _stored(part: Sequence[Planned], app: Scheduler, _: Source) -> list[Fate]:
    backend = app.backend
    now = backend.clock.now()
    jobs = [one.job for one in part if one.job]
    answers = iter(backend.queue.submit(jobs, now=now, room=app.client.room) if jobs else [])
    fates = [_ANSWERS.get(next(answers)) if one.job else _put(one, app) for one in part]
    there = iter(_there([one for one, fate in zip(part, fates, strict=True) if fate is None], app))
    return [fate or next(there) for fate in fates]


def _put(one: Planned, app: Scheduler) -> Fate:
    assert one.schedule is not None
    assert one.cursor is not None
    store, now = app.backend.store, app.backend.clock.now()
    if store.put(one.schedule, cursor=one.cursor, expected=None, now=now):
        return Fate.MOVED
    return _compared(one, app)


def _there(part: Sequence[Planned], app: Scheduler) -> list[Fate]:
    """As `_stored` would answer."""
    now = app.backend.clock.now()
    jobs = [JobId(one.job.id.queue, one.job.id.key) for one in part if one.job]
    found = iter(app.backend.queue.get(jobs, now=now) if jobs else [])
    fates = []
    for one in part:
        if not one.job:
            fates.append(_compared(one, app))
            continue
        fates.append(_recognised(one.job, next(found)))
    return fates


def _recognised(job: Job, known: Snapshot | None) -> Fate:
    """Whether what is known under its id is this job. Of one that has ended only the end is known: it cannot have
    run before its time."""
    if known is None:
        return Fate.MOVED
    if known.state in ENDED:
        early = known.until is not None and known.until < job.due and known.state is not State.CANCELLED
        return Fate.DIFFERS if early else Fate.THERE
    if not known.job.same_work(job):
        return Fate.TAKEN
    return Fate.THERE if known.job.due == job.due else Fate.DIFFERS


def _compared(one: Planned, app: Scheduler) -> Fate:
    """Whether the id of a schedule stands for the same work in the same rhythm; its times may have gone on."""
    schedule = one.schedule
    assert schedule is not None
    (stored,) = app.backend.store.get([ScheduleId(schedule.id.queue, schedule.id.key)])
    if stored is None:
        return Fate.MOVED
    known = stored.schedule
    if known is None or (known.task, known.payload) != (schedule.task, schedule.payload):
        return Fate.TAKEN
    return Fate.THERE if known.rhythm.describe() == schedule.rhythm.describe() else Fate.DIFFERS
