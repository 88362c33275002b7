"""Moving house: what one backend holds, stored in another one while nothing runs on either."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from attrs import field, frozen

from chronoq.domain.errors import InUse
from chronoq.domain.job import Snapshot, State
from chronoq.domain.ports import Backend, Submitted
from chronoq.domain.schedule import Stored
from chronoq.domain.verdict import after_lapse

AT_ONCE = 200
_ALREADY = "already there"
_TAKEN = "taken"
_LEFT = "unreadable"
_ANSWERS = {
    Submitted.DUPLICATE: _ALREADY,
    Submitted.CONFLICT: _TAKEN,
    Submitted.FULL: _TAKEN,
}


@frozen
class Copied:
    """What became of a queue: how many of each place and how many schedules were stored, and what was not.

    `already`: there since an earlier run. `taken`: the id stands for something else there, which was left as it
    is. `unreadable`: stays behind.
    """

    queue: str
    counts: Counter[str] = field(factory=Counter)

    @property
    def already(self) -> int:
        return self.counts[_ALREADY]

    @property
    def missing(self) -> int:
        """How much of it is not there now."""
        return self.counts[_TAKEN] + self.counts[_LEFT]


def copy(source: Backend, target: Backend, *, max_crashes: int, dry_run: bool = False) -> Iterator[Copied]:
    """Store live jobs, dead letters, schedules and pauses of `source` in `target`, queue by queue.

    What is there already is left as it is: broken off and run again, it goes on. The source keeps everything;
    leases that have run out there are taken back first. Errors: `InUse` when somebody lives on either, or a
    lease still holds, before anything is stored, and afterwards when somebody came meanwhile.
    """
    _nobody(source, target)
    queues = source.queue.queues()
    _take_back(source, queues, max_crashes)
    for name in queues:
        copied = Copied(name)
        for state in (State.READY, State.DELAYED, State.DEAD):
            for part in _pages(source, name, state):
                copied.counts.update(_adopt(target, part, state, dry_run=dry_run))
        for stored in source.store.find(name):
            copied.counts[_keep(target, stored, dry_run=dry_run)] += 1
        pause = source.queue.counts([name], now=source.clock.now())[0].pause
        if pause is not None and not dry_run:
            target.queue.pause(name, pause)
        yield copied
    _nobody(source, target)


def _nobody(source: Backend, target: Backend) -> None:
    for what, backend in (("source", source), ("target", target)):
        alive = backend.life.roll(now=backend.clock.now())
        if alive:
            names = ", ".join(one.process.id for one in alive[:3])
            raise InUse(
                f"Somebody lives on the {what}: {names}{', ...' if len(alive) > 3 else ''}. What runs while it is "
                "copied would run on both sides. Stop all workers and schedulers, wait 20 s, and run it again."
            )


def _take_back(source: Backend, queues: list[str], max_crashes: int) -> None:
    """Give the verdict of the domain to leases that ran out, as a worker does."""
    now = source.clock.now()
    while lapsed := source.queue.expired(queues, now=now, limit=AT_ONCE):
        source.queue.settle(
            [(claim, after_lapse(claim, now=now, max_crashes=max_crashes)) for claim in lapsed], now=now
        )
    running = sum(counts.running for counts in source.queue.counts(queues, now=now))
    if running:
        raise InUse(
            f"{running} jobs of the source are leased to workers that have not said that they are gone. "
            "Wait until the leases have run out, which takes the `lease` setting at the most, and run it again."
        )


def _pages(source: Backend, queue: str, state: State) -> Iterator[tuple[Snapshot, ...]]:
    mark, now = "", source.clock.now()
    while True:
        page = source.queue.find(queue, state, now=now, mark=mark, limit=AT_ONCE)
        yield page.items
        mark = page.mark
        if not mark:
            return


def _adopt(target: Backend, part: tuple[Snapshot, ...], state: State, *, dry_run: bool) -> Counter[str]:
    good = [one for one in part if not one.job.defect]
    counts = Counter({_LEFT: len(part) - len(good)})
    if dry_run:
        counts[state.value] += len(good)
        return counts
    answers = target.queue.adopt(good, now=target.clock.now()) if good else []
    counts.update(_ANSWERS.get(answer, state.value) for answer in answers)
    return counts


def _keep(target: Backend, stored: Stored, *, dry_run: bool) -> str:
    """What became of a schedule; its cursor comes along, so that nothing fires twice or is left out."""
    if stored.schedule is None:
        return _LEFT
    if dry_run:
        return "schedules"
    now: datetime = target.clock.now()
    if target.store.put(stored.schedule, cursor=stored.cursor, expected=None, now=now):
        return "schedules"
    (there,) = target.store.get([stored.id])
    same = there is not None and (there.schedule, there.cursor) == (stored.schedule, stored.cursor)
    return _ALREADY if same else _TAKEN
