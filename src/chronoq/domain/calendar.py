"""Calendars: when a rhythm does not fire. Made of dates, ranges, weekdays or another rhythm."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any, Protocol

from attrs import frozen

from chronoq.domain.errors import Invalid, near
from chronoq.domain.time import aware, from_ms, to_ms, zone
from chronoq.domain.wallclock import instant

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)


class Fires(Protocol):
    """What a calendar asks of a rhythm."""

    def next_after(self, moment: datetime) -> datetime | None: ...
    def bind(self, *, seed: str, anchor: datetime) -> Any: ...
    def spec(self) -> dict[str, Any]: ...
    def describe(self) -> str: ...


class Calendar(ABC):
    """Stretches of time that a rhythm leaves out."""

    __slots__ = ()

    @abstractmethod
    def covered_until(self, moment: datetime) -> datetime | None:
        """The end of the stretch that covers `moment`, later than it; None when nothing covers it."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """The calendar as plain JSON, from which `calendar_from` makes an equal one."""

    @abstractmethod
    def describe(self) -> str:
        """The calendar in short English."""

    def bind(self, *, seed: str, anchor: datetime) -> "Calendar":
        """Close what a rhythm in it leaves open."""
        return self

    @staticmethod
    def dates(*days: date, tz: str = "UTC") -> "Calendar":
        """These dates, each from midnight to midnight in `tz`."""
        if not days:
            raise Invalid("dates() needs at least one date.")
        for day in days:
            if not _is_date(day):
                raise Invalid(f"dates() takes dates, not {day!r}. Use .date(), or ranges() for moments.")
        zone(tz)
        return _Dates(tuple(sorted(set(days))), tz)

    @staticmethod
    def weekdays(*days: str, tz: str = "UTC") -> "Calendar":
        """These weekdays in `tz`, by their English names: "sat", "Sunday"."""
        if not days:
            raise Invalid("weekdays() needs at least one weekday.")
        zone(tz)
        return _Weekdays(tuple(sorted({_weekday(day) for day in days})), tz)

    @staticmethod
    def ranges(*ranges: tuple[date, date], tz: str = "UTC") -> "Calendar":
        """From the first up to the second: of two moments without the end, of two dates with both days."""
        if not ranges:
            raise Invalid("ranges() needs at least one pair of moments or dates.")
        return _Ranges(tuple(sorted({_range(start, end, tz) for start, end in ranges})))

    @staticmethod
    def rhythm(rhythm: Fires, *, tz: str = "UTC") -> "Calendar":
        """Every day in `tz` on which `rhythm` fires."""
        zone(tz)
        return _Days(rhythm, tz)


@frozen
class _Dates(Calendar):
    days: tuple[date, ...]
    tz: str

    def covered_until(self, moment: datetime) -> datetime | None:
        day = moment.astimezone(zone(self.tz)).date()
        return _end_of(day, self.tz, moment) if day in self.days else None

    def spec(self) -> dict[str, Any]:
        return {"kind": "dates", "days": [day.isoformat() for day in self.days], "tz": self.tz}

    def describe(self) -> str:
        shown = ", ".join(day.isoformat() for day in self.days[:3])
        return shown + (f" and {len(self.days) - 3} more dates" if len(self.days) > 3 else "")


@frozen
class _Weekdays(Calendar):
    days: tuple[int, ...]
    tz: str

    def covered_until(self, moment: datetime) -> datetime | None:
        day = moment.astimezone(zone(self.tz)).date()
        return _end_of(day, self.tz, moment) if day.weekday() in self.days else None

    def spec(self) -> dict[str, Any]:
        return {"kind": "weekdays", "days": [DAYS[day] for day in self.days], "tz": self.tz}

    def describe(self) -> str:
        return " and ".join(DAYS[day].capitalize() for day in self.days)


@frozen
class _Ranges(Calendar):
    pairs: tuple[tuple[datetime, datetime], ...]

    def covered_until(self, moment: datetime) -> datetime | None:
        return max((end for start, end in self.pairs if start <= moment < end), default=None)

    def spec(self) -> dict[str, Any]:
        return {"kind": "ranges", "ranges": [[to_ms(start), to_ms(end)] for start, end in self.pairs]}

    def describe(self) -> str:
        start, end = self.pairs[0]
        shown = f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
        return shown + (f" and {len(self.pairs) - 1} more ranges" if len(self.pairs) > 1 else "")


@frozen
class _Days(Calendar):
    of: Fires
    tz: str

    def covered_until(self, moment: datetime) -> datetime | None:
        day = moment.astimezone(zone(self.tz)).date()
        end = _end_of(day, self.tz, moment)
        start = instant(datetime.combine(day, time.min), zone(self.tz))
        fire = self.of.next_after(min(start, moment) - _INSTANT)
        return end if fire is not None and fire < end else None

    def bind(self, *, seed: str, anchor: datetime) -> Calendar:
        return _Days(self.of.bind(seed=seed, anchor=anchor), self.tz)

    def spec(self) -> dict[str, Any]:
        return {"kind": "rhythm", "rhythm": self.of.spec(), "tz": self.tz}

    def describe(self) -> str:
        return f"the days of: {self.of.describe()}"


def calendar_from(spec: dict[str, Any], rhythm_from: Callable[[dict[str, Any]], Fires]) -> Calendar:
    """The calendar of which `spec` was made. Errors: `Invalid` for what is none."""
    match spec:
        case {"kind": "dates", "days": days, "tz": tz}:
            return Calendar.dates(*map(date.fromisoformat, days), tz=tz)
        case {"kind": "weekdays", "days": days, "tz": tz}:
            return Calendar.weekdays(*days, tz=tz)
        case {"kind": "ranges", "ranges": ranges}:
            return _Ranges(tuple((from_ms(start), from_ms(end)) for start, end in ranges))
        case {"kind": "rhythm", "rhythm": rhythm, "tz": tz}:
            return Calendar.rhythm(rhythm_from(rhythm), tz=tz)
    raise Invalid(f"This is no calendar: {spec!r}. Kinds: dates, weekdays, ranges, rhythm.")


def _end_of(day: date, tz: str, moment: datetime) -> datetime:
    """The first instant after `day`; its second pass where the first does not lie after `moment`."""
    midnight = datetime.combine(day + _DAY, time.min)
    first = instant(midnight, zone(tz))
    return first if first > moment else instant(midnight, zone(tz), fold=1)


def _weekday(name: str) -> int:
    lowered = name.lower() if isinstance(name, str) else ""
    for number, day in enumerate(DAYS):
        if lowered in (day, day[:3]):
            return number
    raise Invalid(f"{name!r} is not a weekday.{near(lowered, DAYS) or ' Examples: sat, Sunday.'}")


def _range(start: date, end: date, tz: str) -> tuple[datetime, datetime]:
    if isinstance(start, datetime) and isinstance(end, datetime):
        pair = aware(start, name="start"), aware(end, name="end")
    elif _is_date(start) and _is_date(end):
        at = zone(tz)
        midnights = datetime.combine(start, time.min), datetime.combine(end + _DAY, time.min)
        pair = instant(midnights[0], at), instant(midnights[1], at)
    else:
        raise Invalid(f"ranges() takes pairs of two moments or two dates, not {start!r} and {end!r}.")
    if pair[0] >= pair[1]:
        raise Invalid(f"The range from {start} to {end} is empty: its end has to be later than its start.")
    return from_ms(to_ms(pair[0])), from_ms(to_ms(pair[1]))


def _is_date(value: object) -> bool:
    return isinstance(value, date) and not isinstance(value, datetime)
