"""The one loop of all actors: step, then wait until the moment that the step named, or until woken."""

import logging
import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from time import monotonic
from typing import Protocol

from attrs import define, field

from chronoq.domain.errors import BackendError, ChronoqError, NotReady, Unreachable
from chronoq.domain.ports import Clock
from chronoq.domain.time import ZERO, brief

log = logging.getLogger("chronoq")

FIRST_PAUSE = timedelta(milliseconds=100)
LONGEST_PAUSE = timedelta(seconds=5)
LONGEST_END = 10.0
"""Seconds for which the steps of a process that is stopped are waited for."""


class Actor(Protocol):
    """Does one thing. `step` does what is due at `now`, and says when it wants to be called again."""

    def step(self, now: datetime) -> datetime: ...


@define
class Trouble:
    """What a process says while its backend does not answer: one line when it starts, one when it ends, and
    one, louder, when it turns out to be nothing that passes by itself.

    It ends when every actor that met it has had an answer again, so that a part of the backend that still
    answers does not make it look over.
    """

    since: datetime | None = None
    lasting: bool = False
    recovered: str = "the backend answers again"
    who: set[str] = field(factory=set)
    guard: threading.Lock = field(factory=threading.Lock)

    def met(self, who: str, error: Exception, *, now: datetime) -> None:
        with self.guard:
            self.who.add(who)
            lasting = not isinstance(error, Unreachable | NotReady)
            if lasting and not self.lasting:
                log.error(
                    "⚠ %s Somebody has to mend this. Trying again meanwhile, with growing pauses.", error
                )
            elif self.since is None:
                log.warning("⚠ %s Trying again, with growing pauses.", error)
            self.since, self.lasting = self.since or now, self.lasting or lasting

    def over(self, who: str, *, now: datetime) -> None:
        if who not in self.who:
            return
        with self.guard:
            self.who.discard(who)
            if not self.who and self.since is not None:
                log.warning("⚠ %s after %s", self.recovered, brief(now - self.since))
                self.since, self.lasting = None, False


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
    longest_pause: timedelta = LONGEST_PAUSE
    pause: timedelta = FIRST_PAUSE
    stepped_at: datetime | None = None
    """When the last step began that did not fail."""

    def start(self) -> None:
        self.thread = threading.Thread(target=self.run, name=f"chronoq-{self.name}", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Ask it to end after the step that it is in."""
        self.stopped.set()
        self.wake.set()

    def ring(self) -> None:
        """Have it take its next turn at once. Cheap where that was said already."""
        if not self.wake.is_set():
            self.wake.set()

    def join(self, timeout: timedelta | None = None) -> None:
        if self.thread is not None and self.thread is not threading.current_thread():
            self.thread.join(None if timeout is None else timeout.total_seconds())

    def relieve(self) -> None:
        """Go on in a new thread. The one that is in a step ends after it. Errors: `RuntimeError`, there is none."""
        before = self.thread
        try:
            self.start()
        except RuntimeError:
            self.thread = before
            raise

    @property
    def _relieved(self) -> bool:
        """Whether another thread goes on with what this one does."""
        return self.thread not in (None, threading.current_thread())

    def run(self) -> None:
        while not self.stopped.is_set():
            self.wake.clear()
            rest = self.turn() - self.clock.now()
            if self._relieved:
                return
            if rest > ZERO:
                # a pause after a failed step is slept out: jobs that end in an outage would wake the
                # fetcher again and again, and each try makes the next pause longer
                alarm = self.stopped if self.pause > FIRST_PAUSE else self.wake
                alarm.wait(rest.total_seconds())

    def turn(self) -> datetime:
        """One step, now; returns when the next is due. After a failed one the pauses grow."""
        now = self.clock.now()
        try:
            until = self.actor.step(now)
        except BackendError as error:
            if self.stopped.is_set():  # nobody waits for it any more, and its backend may be closed by now
                log.debug("%s: the last step failed: %s", self.name, error)
                return now
            self.trouble.met(self.name, error, now=now)
        except Exception:
            log.exception("⚠ %s: a step failed; going on", self.name)
        else:
            if not self._relieved:  # else the last answer is old: the one who took over knows better
                self.pause, self.stepped_at = FIRST_PAUSE, now
                self.trouble.over(self.name, now=now)
            return until
        until, self.pause = now + self.pause, min(self.pause * 2, self.longest_pause)
        return until


def end(loops: Iterable[Loop]) -> None:
    """Have all of them end after the steps that they are in. An ear is not waited for: it hears that its
    backend is closed."""
    loops = list(loops)
    for loop in loops:
        loop.stop()
    deadline = monotonic() + LONGEST_END
    for loop in loops:
        if not isinstance(loop.actor, Ear):
            loop.join(timedelta(seconds=max(0.0, deadline - monotonic())))


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
    cut_off: bool = False
    """Whether the backend did not answer the last time: then one short try shows whether it does again."""

    def step(self, now: datetime) -> datetime:
        if not self.wanted.wait(self.patience.total_seconds()):
            return now
        try:
            found = self.listen(FIRST_PAUSE if self.cut_off else self.patience)
        except ChronoqError:
            self.cut_off = True
            self.heard(None)
            raise
        self.cut_off = False
        self.heard(found)
        return now
