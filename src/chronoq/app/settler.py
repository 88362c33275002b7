"""Hands in what became of runs. Each verdict stays until the queue has answered: settling twice is settling once."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from attrs import define

from chronoq.app.hands import Hands
from chronoq.domain.job import Claim
from chronoq.domain.ports import QueuePort
from chronoq.domain.verdict import Verdict

log = logging.getLogger("chronoq.worker")

MOST = 800
"""Verdicts that are handed in at once, and jobs that are claimed."""

Batch = Sequence[tuple[Claim, Verdict]]


@define
class Settler:
    """Between the outbox of the hands and the queue."""

    queue: QueuePort
    hands: Hands
    tried: int = 0
    """How many verdicts at the head of the outbox were handed in before, without an answer."""
    prepared: Batch = ()
    """The verdicts at the head of the outbox, when those before have been settled, as the queue has prepared them."""

    def settle(self, now: datetime) -> None:
        """Hand in all that is there."""
        while batch := self.batch():
            with self.settling(batch) as answers:
                answers += self.queue.settle(batch, now=now)

    def batch(self) -> Batch:
        """What is handed in next."""
        prepared, self.prepared = self.prepared, ()
        return prepared or list(self.hands.outbox)[:MOST]

    @contextmanager
    def settling(self, batch: Batch) -> Iterator[list[bool]]:
        """Inside, the verdicts at the head of the outbox are handed in, and the answers noted."""
        before, self.tried = self.tried, max(self.tried, len(batch))
        answers: list[bool] = []
        try:
            yield answers
            assert len(answers) == len(batch), "one for each"
        except BaseException:
            self.prepared = ()  # what is tried again comes first
            raise
        self.tried = 0
        for place, ((claim, _), kept) in enumerate(zip(batch, answers, strict=True)):
            self.hands.outbox.popleft()
            if not kept and place >= before:  # one that was tried before may have ended by that
                said = (claim.job.task, claim.id.key)
                log.warning("⚠ %s  %s  the verdict came too late: the lease was lost", *said)

    def prepare(self, behind: int, now: datetime) -> None:
        """Have the queue prepare what is handed in next, `behind` those that are being handed in."""
        if ended := list(self.hands.outbox)[behind : behind + MOST]:
            self.prepared = self.queue.prepare(ended, now=max(now, self.hands.moved))
