"""The worker's actor that takes leases from workers that are gone."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import define

from chronoq.domain.ports import QueuePort
from chronoq.domain.verdict import Retry, after_lapse

log = logging.getLogger("chronoq.worker")

SWEEP = timedelta(seconds=5)
AT_ONCE = 200


@define
class Reaper:
    """Gives each lease that ran out the verdict of the domain, through the same door as a worker's."""

    queue: QueuePort
    queues: Sequence[str]
    max_crashes: int
    sweep: timedelta = SWEEP

    def step(self, now: datetime) -> datetime:
        """Sweep once; a full sweep goes on at once."""
        lapsed = self.queue.expired(self.queues, now=now, limit=AT_ONCE)
        verdicts = [(claim, after_lapse(claim, now=now, max_crashes=self.max_crashes)) for claim in lapsed]
        if not verdicts:
            return now + self.sweep
        for (claim, verdict), taken in zip(verdicts, self.queue.settle(verdicts, now=now), strict=True):
            if taken:
                fate = "it runs again" if isinstance(verdict, Retry) else "in the dead letters"
                log.warning("⚠ %s  %s  %s: %s", claim.job.task, claim.id.key, verdict.failure.message, fate)
        return now if len(lapsed) >= AT_ONCE else now + self.sweep
