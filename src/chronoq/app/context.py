"""What a handler sees of the job that it runs."""

from contextvars import ContextVar
from datetime import datetime
from typing import Any

import orjson

from chronoq.domain.errors import ChronoqError
from chronoq.domain.job import Claim, Progress


class Context:
    """The running job, as its handler sees it.

    `token` is the fencing token: it grows with every claim of the job, so a store that refuses
    writes under an older token than the last it saw is safe from a handler that was given up.
    """

    __slots__ = ("_claim", "_progress", "_stop")

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._progress: Progress | None = None
        self._stop = False

    @property
    def id(self) -> str:
        """`queue:key`."""
        return str(self._claim.id)

    @property
    def key(self) -> str:
        return self._claim.id.key

    @property
    def queue(self) -> str:
        return self._claim.id.queue

    @property
    def task(self) -> str:
        return self._claim.job.task

    @property
    def attempt(self) -> int:
        """From 1. Crashes, snoozes and releases do not count."""
        return self._claim.attempt

    @property
    def crashes(self) -> int:
        """How many workers were lost while they held this job."""
        return self._claim.crashes

    @property
    def token(self) -> int:
        return self._claim.token

    @property
    def enqueued_at(self) -> datetime:
        return self._claim.job.enqueued_at

    @property
    def due(self) -> datetime:
        return self._claim.job.due

    @property
    def schedule(self) -> str | None:
        """The id of the schedule that made the job, if one did."""
        origin = self._claim.job.origin
        return origin.schedule.key if origin else None

    @property
    def nominal(self) -> datetime | None:
        """The time of its rhythm that a schedule's job stands for."""
        origin = self._claim.job.origin
        return origin.nominal if origin else None

    @property
    def interval(self) -> tuple[datetime, datetime] | None:
        """The data interval [start, end) of a schedule's job: from the nominal time before to its own."""
        origin = self._claim.job.origin
        return (origin.start, origin.end) if origin and origin.start and origin.end else None

    @property
    def meta(self) -> dict[str, Any]:
        """What the enqueuer attached with `meta=`."""
        meta: dict[str, Any] = orjson.loads(self._claim.job.options.meta or b"{}")
        return meta

    @property
    def cancelled(self) -> bool:
        """Whether to stop: somebody cancelled the job, or the lease is lost or the worker stops."""
        return self._stop

    def progress(self, done: float, total: float | None = None) -> None:
        """Say how far the job is. Shown within about a second while it runs; what was said last counts."""
        self._progress = Progress(done, total)

    def ask_to_stop(self) -> None:
        self._stop = True

    def take_progress(self) -> Progress | None:
        """The progress that was not stored yet."""
        progress, self._progress = self._progress, None
        return progress


_current: ContextVar[Context] = ContextVar("chronoq_job")


def current_job() -> Context:
    """The context of the job that runs here. Errors: `ChronoqError` outside a job."""
    try:
        return _current.get()
    except LookupError:
        raise ChronoqError(
            "current_job() was called outside a job. It answers only inside a task's run."
        ) from None


enter = _current.set
