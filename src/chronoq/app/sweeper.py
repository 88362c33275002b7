"""The actor that mends what damage has left behind: one process at a time goes its rounds over all queues (L6)."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from attrs import define, field

from chronoq.domain.ports import LockPort, QueuePort, StorePort
from chronoq.domain.sweep import Mend, Swept

log = logging.getLogger("chronoq.sweeper")

LOCK = "sweeper"
ROUND = timedelta(seconds=20)
TTL = timedelta(seconds=30)
PACE = timedelta(seconds=1)
"""Between two steps over what seems sound."""
HURRY = timedelta(milliseconds=20)
"""And where something is amiss."""

_TOLD = {
    Mend.REPLACED: "stood nowhere: back where they belong",
    Mend.BURIED: "had lost their records: in the dead letters",
    Mend.MARKED: "have lost their records: they can end, but not run again",
    Mend.CLEARED: "belonged to nothing: removed",
    Mend.JOINED: "count again as runs of their schedules",
    Mend.WATCHED: "would not have been fired: looked at again",
}


@define
class Sweeper:
    """Any number may run: the lock only keeps them from doing the same work."""

    queue: QueuePort
    store: StorePort
    lock: LockPort
    owner: str
    declared: Sequence[str] = ()
    todo: deque[tuple[str, Callable[..., Swept]]] = field(factory=deque)
    mark: str = ""
    held_until: datetime | None = None

    def step(self, now: datetime) -> datetime:
        """Go on with the round, or begin one when it is our turn."""
        if not self._ours(now):
            self.todo.clear()
            self.mark = ""
            return now + ROUND
        if not self.todo:
            names = sorted({*self.declared, *self.queue.queues()})
            self.todo.extend(
                (name, sweep) for name in names for sweep in (self.queue.sweep, self.store.sweep)
            )
        while self.todo:
            name, sweep = self.todo[0]
            swept = sweep(name, now=now, mark=self.mark)
            _tell(name, swept)
            self.mark = swept.mark
            if self.mark:
                return now + (HURRY if swept.hurry else PACE)
            self.todo.popleft()
        return now + ROUND

    def _ours(self, now: datetime) -> bool:
        if self.todo and self.held_until is not None and now < self.held_until - TTL / 2:
            return True
        lease = self.lock.acquire(LOCK, owner=self.owner, ttl=TTL, now=now)
        self.held_until = None if lease is None else lease.expires_at
        return lease is not None


def _tell(queue: str, swept: Swept) -> None:
    for what, told in _TOLD.items():
        keys = [one.key for one in swept.mended if one.what is what]
        if keys:
            some = ", ".join(keys[:3]) + (" ..." if len(keys) > 3 else "")
            log.warning("⚠ queue %s was damaged: %d %s (%s)", queue, len(keys), told, some)
    if swept.lost > 0:
        log.warning("⚠ queue %s was damaged: of %d jobs nothing is left", queue, swept.lost)
    elif swept.lost < 0:
        log.warning("⚠ queue %s was damaged: its books know %d jobs too few, corrected", queue, -swept.lost)
