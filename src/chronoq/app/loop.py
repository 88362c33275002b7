"""The one loop of all actors: step, then wait until the moment that the step named, or until woken."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from attrs import define, field

from chronoq.domain.errors import BackendError, ChronoqError
from chronoq.domain.ports import Clock
from chronoq.domain.time import ZERO, brief

log = logging.getLogger("chronoq")

FIRST_PAUSE = timedelta(milliseconds=100)
LONGEST_PAUSE = timedelta(seconds=5)


class Actor(Protocol):
    """Does one thing. `step` does what is due at `now`, and says when it wants to be called again."""

    def step(self, now: datetime) -> datetime: ...


@define
class Trouble:
    """What a process says while its backend does not answer: one line when it starts, one when it ends."""

    since: datetime | None = None
    guard: threading.Lock = field(factory=threading.Lock)

    def met(self, error: Exception, *, now: datetime) -> None:
        with self.guard:
            if self.since is None:
                self.since = now
                log.warning("⚠ %s Trying again, with growing pauses.", error)

    def over(self, *, now: datetime) -> None:
        if self.since is None:
            return
        with self.guard:
            if self.since is not None:
                log.warning("⚠ the backend answers again after %s", brief(now - self.since))
                self.since = None


@define
class Loop:
    """Runs one actor in a thread of its own until `stop`."""

    name: str
    actor: Actor
    clock: Clock
    trouble: Trouble = field(factory=Trouble)
    wake: threading.Event = field(factory=threading.Event)
    stopped: threading.Event = field(factory=threading.Event)
    thread: threading.Thread | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self.run, name=f"chronoq-{self.name}", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Ask it to end after the step that it is in."""
        self.stopped.set()
        self.wake.set()

    def join(self, timeout: timedelta | None = None) -> None:
        if self.thread is not None and self.thread is not threading.current_thread():
            self.thread.join(None if timeout is None else timeout.total_seconds())

    def run(self) -> None:
        pause = FIRST_PAUSE
        while not self.stopped.is_set():
            self.wake.clear()
            now = self.clock.now()
            try:
                until = self.actor.step(now)
                pause = FIRST_PAUSE
                self.trouble.over(now=now)
            except BackendError as error:
                self.trouble.met(error, now=now)
                until, pause = now + pause, min(pause * 2, LONGEST_PAUSE)
            except Exception:
                log.exception("⚠ %s: a step failed; going on", self.name)
                until, pause = now + pause, min(pause * 2, LONGEST_PAUSE)
            rest = until - self.clock.now()
            if rest > ZERO:
                self.wake.wait(rest.total_seconds())


@define
class Ear:
    """An actor that blocks on the backend until something may have happened, and then wakes another.

    It listens only while it is asked to: a token taken by one who has no use for it is a token that
    nobody else hears.
    """

    listen: Callable[[timedelta], object]
    heard: Callable[[object], None]
    patience: timedelta = timedelta(seconds=5)
    wanted: threading.Event = field(factory=threading.Event)

    def step(self, now: datetime) -> datetime:
        if not self.wanted.wait(self.patience.total_seconds()):
            return now
        try:
            found = self.listen(self.patience)
        except ChronoqError:
            self.heard(None)
            raise
        self.heard(found)
        return now
