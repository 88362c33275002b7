"""The actor that mends what damage has left behind: one process at a time goes its rounds over all queues (L6)."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from attrs import define, field

from chronoq.domain.errors import NotAllowed
from chronoq.domain.lease import Kind, Presence
from chronoq.domain.sweep import Mend, Swept

log = logging.getLogger("chronoq.sweeper")

ROUND = timedelta(seconds=20)
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
    """`turn`: whether it is ours to do. Several at once do no harm, only the same work."""

    sweeps: Sequence[Callable[..., Swept]]
    names: Callable[[], Iterable[str]]
    turn: Callable[[datetime], bool]
    todo: deque[tuple[str, Callable[..., Swept]]] = field(factory=deque)
    mark: str = ""

    def step(self, now: datetime) -> datetime:
        """Go on with the round, or begin one when it is our turn."""
        if not self.todo:
            if not self.turn(now):
                return now + ROUND
            self.todo.extend((name, sweep) for name in sorted({*self.names()}) for sweep in self.sweeps)
        while self.todo:
            name, sweep = self.todo[0]
            try:
                swept = sweep(name, now=now, mark=self.mark)
            except NotAllowed as error:
                log.info("no sweep from here: %s", error)
                self.todo.clear()
                self.turn = lambda _: False
                return now + ROUND
            _tell(name, swept)
            self.mark = swept.mark
            if self.mark:
                return now + (HURRY if swept.hurry else PACE)
            self.todo.popleft()
        return now + ROUND


def eldest(roll: Sequence[Presence], id: str) -> bool:
    """Whether a worker goes the rounds: the eldest one does, where no scheduler is alive."""
    workers = [one.process.id for one in roll if one.process.kind is Kind.WORKER]
    return len(workers) == len(roll) and workers[:1] == [id]


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
