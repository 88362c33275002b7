"""Calling back who waits on the server with a claim behind its wait."""

from contextlib import suppress
from socket import SHUT_WR, socket
from threading import Lock
from typing import Any, cast

from attrs import define, field

from chronoq.adapters.redis.address import Line


@define
class Recall:
    """One worker's waits, and how to end them.

    Half of the connection is closed, ours. The server then gives up the wait and what was to come behind
    it, and closes the other half: the one who waits reads either what it was granted before, or that there
    is no more to come. So nothing can be granted that nobody hears of, as a full close would leave it. Of an
    answer too long for one write it reads the beginning at least, and knows that it was granted something.
    """

    called: bool = False
    used: bool = False
    """Whether there ever was a wait."""
    _line: Line | None = None
    _guard: Lock = field(factory=Lock)

    def __call__(self) -> bool:
        """Whether something may be on its way: nothing comes of a wait that begins from now on."""
        with self._guard:
            self.called = True
            if self._line is not None:
                _half_close(self._line)
            return self.used

    def held(self, line: Line) -> None:
        """The wait begins on that connection."""
        with self._guard:
            self._line, self.used = line, True
            if self.called:
                _half_close(line)

    def left(self) -> bool:
        """It has ended. Whether the connection is still of use."""
        with self._guard:
            self._line = None
            return not self.called


def _half_close(line: Line) -> None:
    sock = cast("Any", line)._sock
    with suppress(OSError, TypeError):  # closed already, by the server or by redis-py
        socket.shutdown(sock, SHUT_WR)  # not its own method: that of TLS would forget how to read the rest
