"""A cron expression, read once, and its next fire.

Our own reading stands in front: it refuses what is wrong, says where, and knows what croniter does
not (`L`, `LW`, `15W`, `5L`, `5#3`, `H`, years, day of month AND day of week). croniter then walks the
naive wall clock: over all fields where the dates are plain, over the time of day where they are ours.
`wallclock` makes instants of what it finds.
"""

import re
from collections.abc import Iterable
from copy import copy
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Literal

from attrs import frozen
from croniter import croniter

from chronoq.domain.crondays import Dates
from chronoq.domain.cronfields import (
    DAY,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    WEEKDAY,
    YEAR,
    MonthDays,
    Piece,
    WeekDays,
    month_days,
    numbers,
    week_days,
)
from chronoq.domain.crontext import fields
from chronoq.domain.errors import NeverFires
from chronoq.domain.time import zone
from chronoq.domain.wallclock import Policy, next_instant

DstGap = Literal["fire", "skip"]
DstOverlap = Literal["first", "both"]
DayMatch = Literal["or", "and"]

_H = re.compile(r"(?<![A-Z@])H(?![A-Z])")
_FIRST = datetime(1970, 1, 1) - timedelta(seconds=1)  # noqa: DTZ001 - wall-clock time has no zone here
_LAST = datetime(9990, 1, 1)  # noqa: DTZ001


@frozen
class Plan:
    """What an expression means. `fixed`: its time of day starts with something other than `*`.

    `clock` walks all fields where the dates are plain, else the time of day.
    """

    dates: Dates
    clock: croniter
    fixed: bool

    def walk(self, wall: datetime) -> datetime | None:
        """The first wall time strictly after `wall` that matches, in the years from 1970 on."""
        wall = max(wall, _FIRST)
        if wall > _LAST:
            return None
        match = self._next(wall)
        day = self.dates.on_or_after(match.date())
        if day is None or day == match.date():
            return match if day else None
        return self._next(datetime.combine(day, time.min) - timedelta(seconds=1))

    def _next(self, wall: datetime) -> datetime:
        # A copy, because croniter remembers where it stands; the fields it has read are shared.
        found: datetime = copy(self.clock).get_next(datetime, start_time=wall)
        return found


def uses_hash(expression: str) -> bool:
    """Whether the expression spreads by `H`, and so needs a seed."""
    return _H.search(expression.upper()) is not None


@lru_cache(maxsize=4096)
def plan(expression: str, *, seed: str | None, day_match: DayMatch) -> Plan:
    """Read an expression. Without a seed an `H` is checked, but stands for nothing yet.

    Errors: `BadExpression` (E13) with the position of the mistake, `NeverFires` (E14).
    """
    parts = fields(expression)
    salt = seed or ""
    start = Piece(expression, "0", 0)
    second, minute, hour = (parts.get(kind, start) for kind in (SECOND, MINUTE, HOUR))
    clock = [numbers(kind, piece, salt) for kind, piece in ((SECOND, second), (MINUTE, minute), (HOUR, hour))]
    days = month_days(parts[DAY], salt)
    months = numbers(MONTH, parts[MONTH], salt)
    weekdays = week_days(parts[WEEKDAY], salt)
    years = None
    if YEAR in parts and parts[YEAR].text != "*":
        years = tuple(sorted(numbers(YEAR, parts[YEAR], salt)))
    dates = Dates(days, weekdays, tuple(sorted(months)), years, day_match == "and")
    reason = dates.none_reason() if seed is not None or not uses_hash(expression) else ""
    if reason:
        message = f"Cron {expression!r} can never fire: {reason}."
        raise NeverFires(message, expression=expression, position=parts[DAY].at)
    fixed = not any(piece.text.startswith("*") for piece in (second, minute, hour))
    return Plan(dates, croniter(_pattern(clock, dates), _FIRST), fixed)


@lru_cache(maxsize=16384)
def next_fire(
    expression: str,
    after: datetime,
    *,
    tz: str,
    seed: str | None,
    dst_gap: DstGap,
    dst_overlap: DstOverlap,
    day_match: DayMatch,
) -> datetime | None:
    """The first fire strictly after a whole second `after`, in UTC. Cached: equal questions cost one walk."""
    read = plan(expression, seed=seed, day_match=day_match)
    policy = Policy(
        fire_in_gap=read.fixed and dst_gap == "fire",
        both_passes=not read.fixed or dst_overlap == "both",
    )
    return next_instant(read.walk, zone(tz), after, policy)


def _pattern(clock: list[frozenset[int]], dates: Dates) -> str:
    """The expression for croniter: lists of numbers, seconds at its end, dates only where they are plain."""
    second, minute, hour = clock
    days: MonthDays = dates.month_days
    weekdays: WeekDays = dates.week_days
    date_part = "* * *"
    if dates.plain:
        day = _numbers(days.numbers, 31)
        date_part = f"{day} {_numbers(dates.months, 12)} {_numbers(weekdays.numbers, 7)}"
    return f"{_numbers(minute, 60)} {_numbers(hour, 24)} {date_part} {_numbers(second, 60)}"


def _numbers(values: Iterable[int], size: int) -> str:
    listed = sorted(values)
    return "*" if len(listed) == size else ",".join(map(str, listed))
