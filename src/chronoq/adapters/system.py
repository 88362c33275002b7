"""The clock of this machine, for backends without a server of their own."""

import time
from datetime import UTC, datetime, timedelta

from attrs import field, frozen

from chronoq.domain.time import EPOCH, from_us

_MICROSECOND = timedelta(microseconds=1)
_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def ticks() -> int:
    """Microseconds since boot, suspends included where the system counts them.

    No step of the wall clock moves it.
    """
    return time.clock_gettime_ns(_BOOT) // 1000


def elapsed() -> timedelta:
    """The same as a length of time."""
    return timedelta(microseconds=ticks())


@frozen
class SystemClock:
    """UTC as it was when the clock was made, plus what has elapsed since: it never jumps and never goes back."""

    epoch: datetime = field(factory=lambda: datetime.now(UTC) - elapsed())
    _start: int = field(init=False)

    @_start.default
    def _microseconds(self) -> int:
        return (self.epoch - EPOCH) // _MICROSECOND

    def now(self) -> datetime:
        return from_us(self._start + ticks())
