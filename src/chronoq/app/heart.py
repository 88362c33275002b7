"""The worker's actor that keeps leases alive, outside the jobs' threads and outside the event loop."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import define

from chronoq.app.hands import Hands, Run
from chronoq.app.runner import Runner
from chronoq.domain.errors import BackendError
from chronoq.domain.ports import Hold, QueuePort

log = logging.getLogger("chronoq.worker")

MARGIN = timedelta(seconds=7)
"""How long before its end a lease that cannot be renewed is given up (L7), at most half of it: more than a
server that hangs can hold up one try and the pause after it."""


@define
class Heart:
    """Extends every lease held, hears who is asked to stop, watches deadlines, passes progress on."""

    queue: QueuePort
    hands: Hands
    runner: Runner
    lease: timedelta
    on_timeout: Callable[[], None] = lambda: None
    extended: datetime | None = None
    cut_off: bool = False
    """Whether the last try had no answer. Then what is too near its end is let go before the next one: that
    one may hang for longer than the lease lasts."""

    @property
    def period(self) -> timedelta:
        """A third of the lease, and at most a second, so that a cancelled job hears of it soon."""
        return min(self.lease / 3, timedelta(seconds=1))

    def step(self, now: datetime) -> datetime:
        """Beat; the next beat is due after `period`, or at the first deadline."""
        runs = list(self.hands.held)
        for run in runs:
            deadline = run.deadline  # another thread may take it away, with what a child has not begun
            if deadline is not None and deadline <= now and self.runner.give_up(run):
                self.on_timeout()
        if self.cut_off:
            self._stop_before_the_end(runs, now)
        runs = [run for run in runs if run in self.hands.held]
        if runs and (self.extended is None or now >= self.extended + self.period):
            try:
                self._extend(runs, now)
            except BackendError:
                self.cut_off = True
                self._stop_before_the_end(runs, now)
                raise
            self.extended, self.cut_off = now, False
        deadlines = [deadline for run in runs if (deadline := run.deadline) is not None]
        return min([now + self.period, *deadlines])

    def _extend(self, runs: list[Run], now: datetime) -> None:
        holds = self.queue.extend([run.claim for run in runs], lease=self.lease, now=now)
        for run, hold in zip(runs, holds, strict=True):
            if hold is not Hold.LOST:
                run.until = now + self.lease
                if (progress := run.context.take_progress()) is not None:
                    self.queue.report(run.claim, progress)
            if hold is Hold.STOP and not run.stopping:
                run.ask_to_stop()
            if hold is Hold.LOST and self.hands.drop(run):
                run.ask_to_stop()
                log.warning("⚠ %s  %s  the lease was lost", run.claim.job.task, run.claim.id.key)

    def _stop_before_the_end(self, runs: list[Run], now: datetime) -> None:
        """L7: a lease that cannot be renewed is given up before somebody else may have it."""
        for run in runs:
            if run.until - min(MARGIN, self.lease / 2) <= now and self.hands.drop(run):
                run.ask_to_stop()
                log.warning(
                    "⚠ %s  %s  stopped: its lease could not be renewed", run.claim.job.task, run.claim.id.key
                )
