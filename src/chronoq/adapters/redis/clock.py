"""The server's time, without asking for it each time."""

from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from attrs import define, field

from chronoq.adapters.redis.calls import Command
from chronoq.adapters.redis.link import Link
from chronoq.adapters.system import elapsed
from chronoq.domain.errors import BackendError
from chronoq.domain.time import EPOCH, ZERO

REFRESH = timedelta(seconds=10)
_AFTER_FAILURE = timedelta(seconds=2)


@define
class RedisClock:
    """The server's last reply plus what has elapsed since it arrived, so it is never ahead of the server.

    It is asked again each 10 s and after a connection broke, by whoever reads the clock first then;
    the others go on with what has elapsed, and so does everybody while it cannot be asked. It never
    goes back: after the server's own clock was set back, it stands still until that has caught up.
    """

    wire: Link
    _offset: datetime = field(default=EPOCH, init=False)
    _fresh_until: timedelta = field(default=ZERO, init=False)
    _last: datetime = field(default=EPOCH, init=False)
    _asking: Lock = field(factory=Lock, init=False)
    _telling: Lock = field(factory=Lock, init=False)

    def now(self) -> datetime:
        if elapsed() >= self._fresh_until and self._asking.acquire(blocking=False):
            try:
                self.ask()
            except BackendError:
                self._fresh_until = elapsed() + _AFTER_FAILURE
            finally:
                self._asking.release()
        with self._telling:
            self._last = max(self._last, self._offset + elapsed())
            return self._last

    def ask(self) -> None:
        """Take the server's time. Errors: `BackendError`."""
        told = self.wire.run(Command(("TIME",), _moment))
        arrived = elapsed()
        self._offset = told - arrived
        self._fresh_until = arrived + REFRESH

    def doubt(self) -> None:
        """Ask again at the next chance: the address may lead to another server now."""
        self._fresh_until = ZERO


def _moment(reply: Any) -> datetime:
    seconds, microseconds = reply
    return EPOCH + timedelta(seconds=int(seconds), microseconds=int(microseconds))
