"""A cron expression, read once, and its next fire.

Our own reading stands in front: it refuses what is wrong, says where, and knows what croniter does
not (`L`, `LW`, `15W`, `5L`, `5#3`, `H`, years, day of month AND day of week). croniter walks the naive
calendar where the dates are plain, once for each day that is asked for; where every day is meant there is
nothing to walk. The times of a day are looked up. `wallclock` makes instants of what is found.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from copy import copy
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from attrs import frozen

from chronoq.domain.crondays import Dates
from chronoq.domain.cronfields import (
    DAY,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    WEEKDAY,
    YEAR,
    Piece,
    month_days,
    numbers,
    week_days,
)
from chronoq.domain.crontext import fields
from chronoq.domain.errors import NeverFires
from chronoq.domain.time import zone
from chronoq.domain.wallclock import Policy, next_instant

if TYPE_CHECKING:
    from croniter import croniter

DstGap = Literal["fire", "skip"]
DstOverlap = Literal["first", "both"]
DayMatch = Literal["or", "and"]

_H = re.compile(r"(?<![A-Z@])H(?![A-Z])")
_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)
_FIRST = datetime(1970, 1, 1) - _SECOND  # noqa: DTZ001 - wall-clock time has no zone here
_LAST = datetime(9990, 1, 1)  # noqa: DTZ001


@frozen
class TimesOfDay:
    """The seconds, minutes and hours that an expression names, each sorted."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]

    @property
    def first(self) -> time:
        return time(self.hours[0], self.minutes[0], self.seconds[0])

    def after(self, moment: time) -> time | None:
        """The first of these strictly after `moment`, on the same day."""
        hour, minute, second = moment.hour, moment.minute, moment.second
        if hour in self.hours:
            if minute in self.minutes and (at := bisect_right(self.seconds, second)) < len(self.seconds):
                return time(hour, minute, self.seconds[at])
            if (at := bisect_right(self.minutes, minute)) < len(self.minutes):
                return time(hour, self.minutes[at], self.seconds[0])
        if (at := bisect_right(self.hours, hour)) < len(self.hours):
            return time(self.hours[at], self.minutes[0], self.seconds[0])
        return None


@frozen
class Plan:
    """What an expression means. `fixed`: its time of day starts with something other than `*`.

    `calendar` walks the dates where they are plain; the others are ours.
    """

    dates: Dates
    times: TimesOfDay
    fixed: bool
    calendar: "croniter | None"

    def walk(self, wall: datetime) -> datetime | None:
        """The first wall time strictly after `wall` that matches, in the years from 1970 on."""
        wall = max(wall, _FIRST)
        if wall > _LAST:
            return None
        today = wall.date()
        day = _first_date(self.dates, self.calendar, today)
        if day == today:
            match = self.times.after(wall.time())
            if match is not None:
                return datetime.combine(today, match)
            day = _first_date(self.dates, self.calendar, today + _DAY)
        return None if day is None else datetime.combine(day, self.times.first)


@lru_cache(maxsize=4096)
def _first_date(dates: Dates, calendar: "croniter | None", day: date) -> date | None:
    """The first date from `day` on. Cached: all fires of a day, and the schedules that share it, cost one walk."""
    if calendar is None:
        return dates.on_or_after(day)
    start = datetime.combine(day, time.min) - _SECOND
    # A copy, because croniter remembers where it stands; the fields it has read are shared.
    found: datetime = copy(calendar).get_next(datetime, start_time=start)
    return found.date()


@lru_cache(maxsize=4096)
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
    clock = ((SECOND, second), (MINUTE, minute), (HOUR, hour))
    times = TimesOfDay(*(tuple(sorted(numbers(kind, piece, salt))) for kind, piece in clock))
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
    return Plan(dates, times, fixed, _calendar(dates) if dates.plain and not dates.daily else None)


def _calendar(dates: Dates) -> "croniter":
    from croniter import croniter  # here: it brings much, and many expressions mean every day

    return croniter(_pattern(dates), _FIRST)


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


def _pattern(dates: Dates) -> str:
    """The expression for croniter: midnight, and lists of numbers for the dates."""
    days, weekdays = dates.month_days.numbers, dates.week_days.numbers
    return f"0 0 {_numbers(days, 31)} {_numbers(dates.months, 12)} {_numbers(weekdays, 7)}"


def _numbers(values: Iterable[int], size: int) -> str:
    listed = sorted(values)
    return "*" if len(listed) == size else ",".join(map(str, listed))
