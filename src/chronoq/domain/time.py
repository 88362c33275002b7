"""Moments and durations: what people may write, and what the domain makes of it."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from chronoq.domain.errors import BadDuration, NaiveDatetime, UnknownTimeZone, near

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

Duration = timedelta | str | int | float
"""A length of time as people write it: `timedelta`, "250ms" "30s" "5m" "1h30m" "2d", or seconds."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZERO = timedelta(0)
MS = timedelta(milliseconds=1)
LONGEST = timedelta(days=36_525)
_EXACT_US, _EXACT_MS = 2**32 * 1_000_000, 2**32 * 1_000
"""In the year 2106: until then a float of seconds names each microsecond."""
_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_EXAMPLES = "Examples: 30s, 5m, 1h30m, timedelta(minutes=5)."


def duration(value: Duration) -> timedelta:
    """`value` as a timedelta of zero or more, at most a hundred years. Errors: `BadDuration` (E18)."""
    try:
        length = _read(value)
    except (ValueError, OverflowError):
        length = None
    if length is None:
        raise BadDuration(f"{value!r} is not a duration. {_EXAMPLES}")
    if not ZERO <= length <= LONGEST:
        raise BadDuration(f"{value!r} is not between nothing and a hundred years. {_EXAMPLES}")
    return length


def _read(value: Duration) -> timedelta | None:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return timedelta(seconds=value)
    if not isinstance(value, str) or not value.isascii():
        return None
    total, position = 0.0, 0
    text = value.strip()
    for part in _PART.finditer(text):
        if part.start() != position:
            return None
        total += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    return timedelta(milliseconds=total) if text and position == len(text) else None


def aware(value: datetime, *, name: str = "at") -> datetime:
    """`value` in UTC. Errors: `NaiveDatetime` (E16) when it has no time zone."""
    if not isinstance(value, datetime):
        raise NaiveDatetime(
            f"{name}={value!r} is no datetime. Give one with a time zone, such as datetime.now(UTC)."
        )
    if value.tzinfo is None or value.utcoffset() is None:
        raise NaiveDatetime(
            f"{name}={value} has no time zone, so it names no moment. "
            f'Add tzinfo=ZoneInfo("Europe/Berlin"), or tzinfo=UTC.'
        )
    return value.astimezone(UTC)


@lru_cache(maxsize=512)
def zone(name: str) -> "ZoneInfo":
    """The IANA time zone of that name. Errors: `UnknownTimeZone` (E15)."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones  # only who names one loads it

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        hint = near(str(name), available_timezones()) or " Names look like 'Europe/Berlin' or 'UTC'."
        raise UnknownTimeZone(f"Unknown time zone {name!r}.{hint}") from None


def to_ms(moment: datetime) -> int:
    """Whole milliseconds since 1970, rounded down: the form in which moments are stored."""
    return (moment - EPOCH) // MS


def from_ms(ms: int) -> datetime:
    """The moment that `to_ms` stored, aware, in UTC. Errors: `OverflowError`."""
    if 0 <= ms < _EXACT_MS:  # asked for every job: by itself, not by way of the other
        return datetime.fromtimestamp(ms / 1000, UTC)
    return EPOCH + timedelta(0, 0, 0, ms)


def from_us(us: int) -> datetime:
    """The moment so many microseconds after 1970, aware, in UTC. Errors: `OverflowError`."""
    if 0 <= us < _EXACT_US:  # thrice as fast as a sum
        return datetime.fromtimestamp(us / 1_000_000, UTC)
    return EPOCH + timedelta(0, 0, us)


def up_to_ms(moment: datetime) -> datetime:
    """`moment`, rounded up to a whole millisecond: what is stored is never earlier than what was asked."""
    return EPOCH - (EPOCH - moment) // MS * MS


def brief(length: timedelta) -> str:
    """A duration as people read it: 12ms, 1.41s, 5m, 1h30m, 2d."""
    seconds = length.total_seconds()
    if seconds < 0:
        return "-" + brief(-length)
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.3g}s"
    minutes, seconds = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{seconds}s" if seconds else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours}h" if hours else f"{days}d"


def later(moment: datetime, length: timedelta) -> datetime:
    """`moment + length`; the last moment that there is when it would lie beyond."""
    try:
        return moment + length
    except OverflowError:
        return datetime.max.replace(microsecond=0, tzinfo=UTC)
