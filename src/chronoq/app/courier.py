"""The actor that delivers the jobs of an outbox to the backend."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from attrs import define, evolve, field

from chronoq.app.client import Client
from chronoq.domain.errors import Conflict, QueueFull, Unknown, Unreachable
from chronoq.domain.job import Job
from chronoq.domain.outbox import DELIVERED, LATER, Fate, OutboxPort

log = logging.getLogger("chronoq.outbox")

EVERY = timedelta(seconds=1)
AT_ONCE = 200


@define
class Courier:
    """Submits what waits in an outbox, oldest first, under the ids that it has: a second delivery changes nothing.

    `client` opens the backend, which may be away. What no backend will ever take is set aside; a full
    queue is left alone for a while, and holds up no other.
    """

    outbox: OutboxPort
    client: Callable[[], Client]
    every: timedelta = EVERY
    full: dict[str, datetime] = field(factory=dict)
    """The queues that took no more, and until when they are not asked again."""
    idle: bool = False
    """Whether the last look found less than it could have taken."""

    def step(self, now: datetime) -> datetime:
        """Deliver once; a full batch goes on at once."""
        self.full = {queue: until for queue, until in self.full.items() if until > now}
        deliver = partial(self._deliver, until=now + self.every)
        seen = self.outbox.move(deliver, limit=AT_ONCE, without=sorted(self.full), now=now)
        self.idle = seen < AT_ONCE
        return now + self.every if self.idle else now

    def _deliver(self, jobs: Sequence[Job], *, until: datetime) -> list[Fate]:
        client = self.client()
        now = client.backend.clock.now()
        sound = [not_ahead(job, now) for job in jobs if not job.defect]
        answers = iter(client.submit_many(sound))
        fates = [Fate(refused=job.defect) if job.defect else _fate(next(answers)) for job in jobs]
        for job, fate in zip(jobs, fates, strict=True):
            if fate.refused:
                log.error("⚠ job %s is set aside in the outbox: %s", job.id, fate.refused)
            elif fate.stays and job.id.queue not in self.full:
                self.full[job.id.queue] = until
                log.warning("⚠ queue '%s' is full: its jobs wait in the outbox", job.id.queue)
        return fates


def not_ahead(job: Job, now: datetime) -> Job:
    """`job`, due by `now` if it was wanted at once: the clock of who wrote it may be ahead of the backend's."""
    return evolve(job, due=now) if now < job.due <= job.enqueued_at else job


def _fate(refusal: Exception | None) -> Fate:
    """Errors: the refusal itself, when it is no word about this job alone."""
    match refusal:
        case None:
            return DELIVERED
        case QueueFull():
            return LATER
        case Conflict():
            return Fate(refused=str(refusal))
        case Unknown():
            raise Unreachable(
                f"{refusal} The jobs stay in the outbox, and are delivered again under the same ids."
            )
        case _:
            raise refusal
