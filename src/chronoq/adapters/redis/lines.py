"""The connections to one server."""

import select
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from os import getpid
from time import monotonic
from typing import Any, TypeAlias, cast

from redis.connection import Connection
from redis.exceptions import RedisError

from chronoq.adapters.redis.address import Address, Line
from chronoq.domain.errors import BackendError

FRESH = 0.0002
"""Seconds after an answer for which a connection counts as alive: what is asked at once needs no look at it first.

As short as that, because a server that ends meanwhile leaves us not knowing whether it was asked.
"""

Look: TypeAlias = Callable[[], object]
"""Whether something can be read of a connection, true or false."""


class Lines:
    """Each is for one caller at a time; those that nobody uses wait in a stack, for the bookkeeping of redis-py's
    pool costs as much as a small script. Safe for many threads, and in a forked child.
    """

    def __init__(self, address: Address, *, longer: float = 0) -> None:
        self.address = address
        self.closed = False
        self.met: set[Line] = set()
        """Those of a server that was found to give the durability that was asked for."""
        self._longer = longer
        self._pool = address.pool(longer=longer)
        self._pid = getpid()
        self._idle: deque[tuple[Line, float]] = deque()
        self._looks: dict[Line, Look] = {}
        """How to look whether a connection has said what nobody asked it for, such as that it has ended."""

    def take(self) -> Line:
        """One that is alive, as far as can be told. Errors: redis-py's; `BackendError` when they were closed."""
        line = self._waiting()
        if line is None:
            line = cast("Line", self._pool.get_connection())
            self._looks[line] = look_at(line)
        if self.closed:  # the pool would go on opening new ones, which nobody closes
            line.disconnect()
            raise BackendError(f"{self.address} was closed by this application. Nothing was sent.")
        return line

    def give_back(self, line: Line, *, broken: bool = False) -> None:
        if not broken:
            self._idle.append((line, monotonic()))
            return
        self._begin_anew()
        line.disconnect()
        self.met.discard(line)
        self._looks.pop(line, None)
        self._pool.release(cast("Connection", line))

    def leave(self) -> None:
        """Give up every one that waits."""
        for _ in range(len(self._idle)):
            with suppress(IndexError):
                self.give_back(self._idle.pop()[0], broken=True)

    def close(self) -> None:
        self.closed = True
        self._begin_anew()
        self._pool.disconnect()

    def _begin_anew(self) -> None:
        """A forked child must not speak on its parent's connections, nor wait for a lock that stayed behind there."""
        if self._pid != getpid():
            self._idle, self._looks, self._pool = deque(), {}, self.address.pool(longer=self._longer)
            self._pid = getpid()

    def _waiting(self) -> Line | None:
        """One from the stack that is still alive."""
        self._begin_anew()
        while self._idle:
            try:
                line, since = self._idle.pop()
            except IndexError:
                return None  # another thread was faster
            try:
                if monotonic() - since < FRESH or not self._looks[line]():
                    return line
            except (RedisError, OSError):
                pass
            except Exception:
                if not self.closed:  # else it was taken apart under our hands
                    raise
            self.give_back(line, broken=True)  # the server has closed it meanwhile
        return None


def look_at(line: Line) -> Look:
    """A look at a connection that is open, prepared: `can_read` does all of this anew each time, after a rest
    at five times the cost."""
    parts = cast("Any", line)
    try:
        unread, poll = parts._parser._reader.has_data, select.poll()
        poll.register(parts._sock, select.POLLIN)
    except (AttributeError, TypeError, ValueError):  # as on Windows, or it was closed by now
        return line.can_read
    if hasattr(parts._sock, "pending"):  # TLS holds back what it has read
        return line.can_read
    return lambda: unread() or poll.poll(0)
