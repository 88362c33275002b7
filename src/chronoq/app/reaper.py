"""The worker's actor that takes leases from workers that are gone."""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import define

from chronoq.domain.job import Claim
from chronoq.domain.ports import QueuePort
from chronoq.domain.verdict import Dead, Retry, after_lapse

log = logging.getLogger("chronoq.worker")

SWEEP = timedelta(seconds=2)
AT_ONCE = 200
CROWD = 3


@define
class Reaper:
    """Gives each lease that ran out the verdict of the domain, through the same door as a worker's."""

    queue: QueuePort
    queues: Sequence[str]
    max_crashes: int | None
    sweep: timedelta = SWEEP

    def step(self, now: datetime) -> datetime:
        """Sweep once; a full sweep goes on at once."""
        lapsed = self.queue.expired(self.queues, now=now, limit=AT_ONCE)
        verdicts = [(claim, after_lapse(claim, now=now, max_crashes=self.max_crashes)) for claim in lapsed]
        if not verdicts:
            return now + self.sweep
        answers = self.queue.settle(verdicts, now=now)
        self._say([one for one, taken in zip(verdicts, answers, strict=True) if taken])
        return now if len(lapsed) >= AT_ONCE else now + self.sweep

    def _say(self, taken: Sequence[tuple[Claim, Retry | Dead]]) -> None:
        """A line a job; where many run again, one for each worker that was lost."""
        crowds = Counter(claim.worker for claim, verdict in taken if isinstance(verdict, Retry))
        for claim, verdict in taken:
            if isinstance(verdict, Dead) or crowds[claim.worker] <= CROWD:
                fate = "it runs again" if isinstance(verdict, Retry) else "in the dead letters"
                log.warning("⚠ %s  %s  %s: %s", claim.job.task, claim.id.key, verdict.failure.message, fate)
        for worker, many in crowds.items():
            if many > CROWD:
                log.warning("⚠ worker %s was lost with %d jobs in hand: they run again", worker, many)
