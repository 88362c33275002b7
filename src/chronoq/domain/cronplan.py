"""A cron expression, read once, and its next fire.

Our own reading stands in front: it refuses what is wrong, says where, and knows what croniter does
not (`L`, `LW`, `15W`, `5L`, `5#3`, `H`, years, day of month AND day of week). croniter then walks the
naive wall clock: over all fields where the dates are plain, over the time of day where they are ours.
`wallclock` makes instants of what it finds.
"""

import re
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Literal

from attrs import frozen
from croniter import croniter

from chronoq.domain.cronfields import (
    DAY,
    FIELDS,
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
from chronoq.domain.crondays import Dates
from chronoq.domain.errors import BadExpression, NeverFires, near
from chronoq.domain.time import zone
from chronoq.domain.wallclock import Policy, next_instant

DstGap = Literal["fire", "skip"]
DstOverlap = Literal["first", "both"]
DayMatch = Literal["or", "and"]

LONGEST = 256
PRESETS = {
    "@YEARLY": "0 0 1 1 *",
    "@ANNUALLY": "0 0 1 1 *",
    "@MONTHLY": "0 0 1 * *",
    "@WEEKLY": "0 0 * * 0",
    "@DAILY": "0 0 * * *",
    "@MIDNIGHT": "0 0 * * *",
    "@HOURLY": "0 * * * *",
}
_WORD = re.compile(r"[^ \t]+")
_H = re.compile(r"(?<![A-Z@])H(?![A-Z])")
_FIRST = datetime(1970, 1, 1) - timedelta(seconds=1)  # noqa: DTZ001 - wall-clock time has no zone here
_LAST = datetime(9990, 1, 1)  # noqa: DTZ001


@frozen
class Plan:
    """What an expression means. `fixed`: its time of day starts with something other than `*`."""

    dates: Dates
    pattern: str
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
        found: datetime = croniter(self.pattern, wall, ret_type=datetime).get_next(datetime)
        return found


def uses_hash(expression: str) -> bool:
    """Whether the expression spreads by `H`, and so needs a seed."""
    return _H.search(expression.upper()) is not None


@lru_cache(maxsize=4096)
def plan(expression: str, *, seed: str | None, day_match: DayMatch) -> Plan:
    """Read an expression. Without a seed an `H` is checked, but stands for nothing yet.

    Errors: `BadExpression` (E13) with the position of the mistake, `NeverFires` (E14).
    """
    pieces = _fields(expression)
    parts = dict(zip(FIELDS[len(pieces)], pieces, strict=True))
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
    return Plan(dates, _pattern(clock, dates), fixed)


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


def _fields(expression: str) -> list[Piece]:
    """The fields, with presets replaced. Errors: `BadExpression` when it is no list of five to seven fields."""
    whole = check_text(expression)
    pieces = [whole.cut(*word.span()) for word in _WORD.finditer(whole.text)]
    if len(pieces) == 1 and pieces[0].text.startswith("@"):
        if pieces[0].text not in PRESETS:
            raise pieces[0].bad(_unknown_preset(pieces[0].text))
        return [Piece(expression, text, pieces[0].at) for text in PRESETS[pieces[0].text].split()]
    if len(pieces) not in FIELDS:
        position = pieces[7].at if len(pieces) > 7 else len(expression.rstrip())
        count = f"{len(pieces)} field{'s' * (len(pieces) != 1)}"
        raise Piece(expression, "", position).bad(
            f"it has {count}, needs 5 (minute hour day month weekday), "
            f"6 with seconds first, or 7 with a year at the end."
        )
    return pieces


def check_text(expression: object) -> Piece:
    """The whole expression. Errors: `BadExpression` for what is no short line of ASCII."""
    if not isinstance(expression, str):
        raise BadExpression(f"Bad cron {expression!r}: it is not text. Example: '0 9 * * 1-5'.")
    if len(expression) > LONGEST:
        raise BadExpression(
            f"Bad cron '{expression[:40]!a}...': it has {len(expression)} characters, allowed {LONGEST}.",
            position=LONGEST,
        )
    for position, character in enumerate(expression):
        if not (" " <= character <= "~" or character == "\t"):
            message = f"Bad cron {expression!a}: the character {character!a} cannot stand in a cron expression."
            raise BadExpression(message + " Type it again by hand.", position=position)
    return Piece(expression, expression.upper(), 0)


def _unknown_preset(word: str) -> str:
    if word == "@REBOOT":
        return "@reboot names no time. Enqueue the job when your program starts."
    hint = near(word.lower(), [*(preset.lower() for preset in PRESETS), "@every"])
    return f"{word.lower()} is not known.{hint or ' Known: @yearly @monthly @weekly @daily @hourly, @every 90s.'}"


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
