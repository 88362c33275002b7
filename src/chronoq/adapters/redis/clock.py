"""The server's time, without asking for it each time."""

from datetime import datetime
from threading import Lock, Thread
from typing import Any

from attrs import define, field

from chronoq.adapters.redis.calls import Command
from chronoq.adapters.redis.link import Link
from chronoq.adapters.system import ticks
from chronoq.domain.errors import BackendError
from chronoq.domain.forks import begin_anew
from chronoq.domain.time import EPOCH, from_us

REFRESH = 10_000_000
_AFTER_FAILURE = 2_000_000
"""Microseconds, as all numbers here: this is read for every job."""
_GRAIN = 100
"""What is told changes ten times a millisecond: those who ask in between share a value, which is made once."""


@define(eq=False)
class RedisClock:
    """The server's last reply plus what has elapsed since it arrived, so it is never ahead of the server.

    It is asked again each 10 s and after a connection broke, in a thread of its own: a server that hangs
    holds up nobody who only wants to know the time. Until it has answered, everybody goes on with what has
    elapsed. It never goes back: after the server's own clock was set back, it stands still until that has caught up.
    """

    wire: Link
    _offset: int = field(default=0, init=False)
    _fresh_until: int = field(default=0, init=False)
    _told: tuple[int, datetime] = field(default=(0, EPOCH), init=False)
    """What was told last, and until when it holds."""
    _asking: Lock = field(factory=Lock, init=False)
    _telling: Lock = field(factory=Lock, init=False)

    def __attrs_post_init__(self) -> None:
        begin_anew(self)

    def now(self) -> datetime:
        elapsed = ticks()
        until, told = self._told
        return told if elapsed < until else self._tell(elapsed)

    def _tell(self, elapsed: int) -> datetime:
        if elapsed >= self._fresh_until and self._asking.acquire(blocking=False):
            if self._offset:
                self._start()
            else:  # there is nothing to go on with yet
                self._refresh()
        with self._telling:
            offset, told = self._offset, self._told[1]
            grain = (offset + elapsed) // _GRAIN
            now = from_us(grain * _GRAIN)
            if now <= told:
                return told
            self._told = (grain + 1) * _GRAIN - offset, now
            return now

    def _start(self) -> None:
        try:
            Thread(target=self._refresh, name="chronoq-clock", daemon=True).start()
        except RuntimeError:  # the interpreter is about to end
            self._asking.release()

    def _refresh(self) -> None:
        try:
            self.ask()
        except BackendError:
            self._fresh_until = ticks() + _AFTER_FAILURE
        finally:
            self._asking.release()

    def ask(self) -> None:
        """Take the server's time. Errors: `BackendError`."""
        told = self.wire.run(Command(("TIME",), _microseconds))
        arrived = ticks()
        self._offset = told - arrived
        self._fresh_until = arrived + REFRESH

    def doubt(self) -> None:
        """Ask again at the next chance: the address may lead to another server now."""
        self._fresh_until = 0

    def in_child(self) -> None:
        """After a fork: whoever held a lock has stayed behind, and would hold it for ever."""
        self._asking, self._telling = Lock(), Lock()


def _microseconds(reply: Any) -> int:
    seconds, microseconds = reply
    return int(seconds) * 1_000_000 + int(microseconds)
