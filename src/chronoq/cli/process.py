"""What `scheduler`, `worker` and `dev` share: the wait for the backend, the signals, the way out."""

from __future__ import annotations

import gc
import logging
import os
import queue
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from types import FrameType
from typing import TypeVar

from attrs import define, field

from chronoq.api.scheduler import VERSION, Scheduler
from chronoq.app.loop import FIRST_PAUSE, LONGEST_PAUSE
from chronoq.domain.errors import NotReady, Unreachable
from chronoq.domain.lease import Kind
from chronoq.domain.masking import masked
from chronoq.domain.ports import Backend
from chronoq.domain.schedule import Put
from chronoq.domain.time import brief

log = logging.getLogger("chronoq.cli")

R = TypeVar("R")

UNSEEN = timedelta(seconds=60)

GARBAGE = 10_000
"""How many values more than before make Python look for cycles among them: a busy process has some thousands
in hand for a moment, and what nobody refers to any more goes without that."""


def collect_seldom() -> None:
    """Look for cyclic garbage less often: this process is ours. What the application says when it is imported holds."""
    first, *older = gc.get_threshold()
    if first:  # 0: never
        gc.set_threshold(max(first, GARBAGE), *older)


class Signals:
    """The first SIGTERM or SIGINT asks for a graceful stop, the second does `last` and ends the process at once."""

    def __init__(self, *, interrupt: bool = True, last: Callable[[], object] = lambda: None) -> None:
        self._last = last
        self._heard: queue.SimpleQueue[int] = queue.SimpleQueue()  # its put may interrupt its get
        self.stopping = False
        signal.signal(signal.SIGTERM, self._hear)
        signal.signal(signal.SIGINT, self._hear if interrupt else signal.SIG_IGN)

    def _hear(self, number: int, _: FrameType | None) -> None:
        if self.stopping:
            self._last()
            os.write(2, b"stopped at once: what was running comes back when its leases have run out\n")
            os._exit(128 + number)
        self.stopping = True
        self._heard.put(number)

    def wait(self, seconds: float) -> bool:
        """Whether a stop has been asked for, after so many seconds at the latest."""
        if not self.stopping:
            try:
                self._heard.get(timeout=seconds)
            except queue.Empty:
                return False
        return True

    def until(self, over: Callable[[], bool] = lambda: False, *, every: float = 0.05) -> None:
        """Wait for a signal, or until `over` says so."""
        while not (self.wait(every) or over()):
            pass


def persist(attempt: Callable[[], R], signals: Signals) -> R | None:
    """`attempt`, again and again with growing pauses while the backend is away. None: a signal came first.

    Says two lines in all: that it is away, and that it is there.
    """
    pause, since = FIRST_PAUSE, None
    while not signals.stopping:
        try:
            made = attempt()
        except (Unreachable, NotReady) as error:
            now = datetime.now().astimezone()
            if since is None:
                since = now
                log.warning("⚠ %s %s Trying again, with growing pauses.", error.code or "", error)
            signals.wait(pause.total_seconds())
            pause = min(pause * 2, LONGEST_PAUSE)
            continue
        if since is not None:
            log.warning("⚠ connected after %s", brief(datetime.now().astimezone() - since))
        return made
    return None


def banner(kind: str, app: Scheduler, *more: str) -> None:
    """Who starts here, and on what."""
    parts = [f"chronoq {VERSION} {kind}", masked(app.configured.settings.url), *more]
    log.info("%s", " · ".join(part for part in parts if part))


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def applied(app: Scheduler) -> Scheduler:
    """`app`, after its declared schedules were stored; says what became of them."""
    changes = app.apply()
    puts = [change.put for change in changes]
    said = [f"{puts.count(put)} {put}" for put in Put if put in puts]
    if said:
        log.info("schedules: %s", ", ".join(said))
    orphans = [str(change.id) for change in changes if change.orphan]
    if orphans and app.declared.schedules:
        log.warning("⚠ stored, but not declared here: %s. They go on firing.", ", ".join(orphans))
    return app


@define
class Watch:
    """An actor of the worker: warns when schedules are stored and no scheduler is alive to fire them."""

    backend: Backend
    seen: datetime | None = None
    warned: bool = False
    period: timedelta = field(default=timedelta(seconds=10))

    def step(self, now: datetime) -> datetime:
        self.seen = self.seen or now
        if any(one.process.kind is Kind.SCHEDULER for one in self.backend.life.roll(now=now)):
            self.seen, self.warned = now, False
        elif now - self.seen >= UNSEEN and not self.warned and self._schedules():
            log.warning(
                "⚠ no scheduler seen for %s: schedules will not fire", f"{UNSEEN.total_seconds():.0f}s"
            )
            self.warned = True
        return now + self.period

    def _schedules(self) -> bool:
        return any(self.backend.store.find(queue) for queue in self.backend.queue.queues())
