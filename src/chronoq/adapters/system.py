"""The clock of this machine, for backends without a server of their own."""

import time
from datetime import UTC, datetime, timedelta

from attrs import field, frozen

_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed() -> timedelta:
    """Time since boot, suspends included where the system counts them; no step of the wall clock moves it."""
    return timedelta(microseconds=time.clock_gettime_ns(_BOOT) // 1000)


@frozen
class SystemClock:
    """UTC as it was when the clock was made, plus what has elapsed since: it never jumps and never goes back."""

    epoch: datetime = field(factory=lambda: datetime.now(UTC) - elapsed())

    def now(self) -> datetime:
        return self.epoch + elapsed()
