"""The server's time, without asking for it each time."""

from datetime import datetime
from threading import Lock
from typing import Any

from attrs import define, field

from chronoq.adapters.redis.calls import Command
from chronoq.adapters.redis.link import Link
from chronoq.adapters.system import ticks
from chronoq.domain.errors import BackendError
from chronoq.domain.time import from_us

REFRESH = 10_000_000
_AFTER_FAILURE = 2_000_000
"""Microseconds, as all numbers here: this is read for every job."""


@define
class RedisClock:
    """The server's last reply plus what has elapsed since it arrived, so it is never ahead of the server.

    It is asked again each 10 s and after a connection broke, by whoever reads the clock first then;
    the others go on with what has elapsed, and so does everybody while it cannot be asked. It never
    goes back: after the server's own clock was set back, it stands still until that has caught up.
    """

    wire: Link
    _offset: int = field(default=0, init=False)
    _fresh_until: int = field(default=0, init=False)
    _last: int = field(default=0, init=False)
    _asking: Lock = field(factory=Lock, init=False)
    _telling: Lock = field(factory=Lock, init=False)

    def now(self) -> datetime:
        if ticks() >= self._fresh_until and self._asking.acquire(blocking=False):
            try:
                self.ask()
            except BackendError:
                self._fresh_until = ticks() + _AFTER_FAILURE
            finally:
                self._asking.release()
        with self._telling:
            now = self._offset + ticks()
            if now < self._last:
                now = self._last
            self._last = now
        return from_us(now)

    def ask(self) -> None:
        """Take the server's time. Errors: `BackendError`."""
        told = self.wire.run(Command(("TIME",), _microseconds))
        arrived = ticks()
        self._offset = told - arrived
        self._fresh_until = arrived + REFRESH

    def doubt(self) -> None:
        """Ask again at the next chance: the address may lead to another server now."""
        self._fresh_until = 0


def _microseconds(reply: Any) -> int:
    seconds, microseconds = reply
    return int(seconds) * 1_000_000 + int(microseconds)
