"""Which days of a month a cron expression names, and the first such date on or after another.

A month is known by the weekday of its first day and its length: there are 28 kinds of month, so
every answer is computed once.
"""

from calendar import isleap, monthrange
from collections.abc import Iterable
from datetime import date
from functools import lru_cache

from attrs import frozen

from chronoq.domain.cronfields import MonthDays, WeekDays

_HORIZON = 48  # years: every kind of year comes back within 40
MONTH_NAMES = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@frozen(cache_hash=True)  # what was found is looked up by it
class Dates:
    """The dates that an expression names. `years` None means any."""

    month_days: MonthDays
    week_days: WeekDays
    months: tuple[int, ...]
    years: tuple[int, ...] | None
    both: bool  # day of month AND day of week, where both are restricted

    @property
    def plain(self) -> bool:
        """Whether month, day and weekday are lists of numbers that all have to match."""
        days, weekdays = self.month_days, self.week_days
        special = days.last or days.last_workday or days.nearest or weekdays.last or weekdays.nth
        return not special and not (days.restricted and weekdays.restricted) and self.years is None

    @property
    def daily(self) -> bool:
        """Whether every day is one of them."""
        free = not (self.month_days.restricted or self.week_days.restricted)
        return free and len(self.months) == 12 and self.years is None

    def on_or_after(self, day: date) -> date | None:
        """The first of these dates that is not before `day`, or None."""
        for year in self._years_from(day.year):
            for month in self.months:
                if (year, month) < (day.year, day.month):
                    continue
                first = day.day if (year, month) == (day.year, day.month) else 1
                for number in self._in_month(year, month):
                    if number >= first:
                        return date(year, month, number)
        return None

    def none_reason(self) -> str:
        """Why no year has one of these dates, or "" when one has."""
        kinds = {(isleap(year), date(year, 1, 1).weekday()): year for year in self.years or range(2000, 2028)}
        if any(self._in_month(year, month) for year in kinds.values() for month in self.months):
            return ""
        return self._no_such_number() or "no date fits its day, month and weekday fields"

    def _in_month(self, year: int, month: int) -> tuple[int, ...]:
        first, length = monthrange(year, month)
        return _in_month(self.month_days, self.week_days, self.both, (first + 1) % 7, length)

    def _years_from(self, year: int) -> Iterable[int]:
        if self.years is None:
            return range(year, min(year + _HORIZON, 9999))
        return (each for each in self.years if each >= year)

    def _no_such_number(self) -> str:
        """The reason when the day of the month alone rules out every month: the usual mistake."""
        days = self.month_days
        wanted = sorted(days.numbers | days.nearest)
        leap = self.years is None or any(isleap(year) for year in self.years)
        longest = max(monthrange(2024 if leap else 2023, month)[1] for month in self.months)
        if not wanted or days.last or days.last_workday or wanted[0] <= longest:
            return ""
        months = _join([MONTH_NAMES[month - 1] for month in self.months], "and")
        if wanted[0] == 29 and self.years is not None:
            months += " " + _join([str(year) for year in self.years[:3]], "or") + ", not a leap year,"
        verb = "have" if len(self.months) > 1 else "has"
        return f"{months} {verb} no day {_join([str(number) for number in wanted], 'or')}"


@lru_cache(maxsize=4096)
def _in_month(days: MonthDays, weekdays: WeekDays, both: bool, first: int, length: int) -> tuple[int, ...]:
    """The days of a month of `length` days whose first day is the weekday `first` (Sunday is 0)."""
    by_month = _of_month(days, first, length)
    by_week = _of_week(weekdays, first, length)
    either = days.restricted and weekdays.restricted and not both
    return tuple(sorted(by_month | by_week if either else by_month & by_week))


def _of_month(days: MonthDays, first: int, length: int) -> set[int]:
    found = {number for number in days.numbers if number <= length}
    if days.last:
        found.add(length)
    if days.last_workday:
        found.add(_workday(length, first, length))
    found |= {_workday(number, first, length) for number in days.nearest if number <= length}
    return found


def _workday(number: int, first: int, length: int) -> int:
    """The day from Monday to Friday that is nearest to `number` without leaving the month."""
    weekday = (first + number - 1) % 7
    if weekday == 6:
        return number - 1 if number > 1 else 3
    if weekday == 0:
        return number + 1 if number < length else length - 2
    return number


def _of_week(weekdays: WeekDays, first: int, length: int) -> set[int]:
    found = set()
    for number in range(1, length + 1):
        weekday = (first + number - 1) % 7
        if (
            weekday in weekdays.numbers
            or (weekday, (number + 6) // 7) in weekdays.nth
            or (weekday in weekdays.last and number + 7 > length)
        ):
            found.add(number)
    return found


def _join(words: list[str], last: str) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
