"""iCalendar recurrences (RFC 5545) on the wall clock: read strictly, walked by dateutil, bounded.

dateutil looks for the next time from the start of a rule on, and for a rule that names no date up to
the year 9999. So the start of a rule moves up to the moment that is asked about, and the walk takes
place 7,600 years later: the calendar repeats itself every 400 years, and the end is near there.
"""

import re
from calendar import isleap, monthrange
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from attrs import evolve, frozen

from chronoq.domain.errors import BadExpression
from chronoq.domain.time import zone
from chronoq.domain.wallclock import SECOND, Policy, next_instant

if TYPE_CHECKING:
    from dateutil.rrule import rrule

MOST = 10_000  # of COUNT
MOST_EXCLUDED = 1_000  # in a row
SHIFT = 19 * timedelta(days=146_097)
LONGEST = 4_096
_UNITS = {
    "SECONDLY": SECOND,
    "MINUTELY": timedelta(minutes=1),
    "HOURLY": timedelta(hours=1),
    "DAILY": timedelta(days=1),
    "WEEKLY": timedelta(weeks=1),
}
_LAST = datetime.combine(date(2099, 12, 31), time(23, 59, 59))
_FREQUENCIES = {*_UNITS, "MONTHLY", "YEARLY"}
_FINE = {"SECONDLY", "MINUTELY", "HOURLY"}
_MOMENT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?")
_EXAMPLE = " Example: 'DTSTART:20260105T090000 RRULE:FREQ=WEEKLY;BYDAY=MO,FR'."


@frozen
class OneRule:
    """One RRULE as dateutil reads it, from `start`, shifted. `stride`: by what the start may move."""

    rule: "rrule"
    start: datetime
    stride: timedelta | None

    def after(self, wall: datetime) -> datetime | None:
        """The first occurrence strictly after `wall`."""
        rule, wall = self.rule, wall + SHIFT
        if self.stride is not None and wall - self.start >= self.stride:
            steps = (wall - self.start) // self.stride
            rule = rule.replace(dtstart=self.start + steps * self.stride)
        found = rule.after(wall)
        return None if found is None else found - SHIFT


@frozen
class Rules:
    """A recurrence set. `start` None: it has no DTSTART and was not bound; then it names no times."""

    start: datetime | None
    rules: tuple[OneRule, ...] = ()
    dates: tuple[datetime, ...] = ()
    except_rules: tuple[OneRule, ...] = ()
    except_dates: frozenset[datetime] = frozenset()
    fine: bool = False  # finer than a day: follows real time through a clock change

    def walk(self, wall: datetime) -> datetime | None:
        """The first occurrence strictly after `wall`; None too after 1,000 excluded ones."""
        for _ in range(MOST_EXCLUDED):
            found = [rule.after(wall) for rule in self.rules]
            found += [min((each for each in self.dates if each > wall), default=None)]
            match = min((each for each in found if each is not None), default=None)
            if match is None or match > _LAST:
                return None
            if not self._excluded(match):
                return match
            wall = match
        return None

    def _excluded(self, wall: datetime) -> bool:
        return wall in self.except_dates or any(
            rule.after(wall - SECOND) == wall for rule in self.except_rules
        )


def next_occurrence(text: str, *, tz: str, anchor: datetime | None, after: datetime) -> datetime | None:
    """The first occurrence strictly after `after`, in UTC. Cached by whole seconds."""
    return _next_occurrence(text, tz, anchor, after.replace(microsecond=0))


@lru_cache(maxsize=16384)
def _next_occurrence(text: str, tz: str, anchor: datetime | None, after: datetime) -> datetime | None:
    rules = read_rules(text, tz=tz, anchor=anchor)
    policy = Policy(fire_in_gap=not rules.fine, both_passes=rules.fine)
    return next_instant(rules.walk, zone(tz), after, policy)


@lru_cache(maxsize=1024)
def read_rules(text: str, *, tz: str, anchor: datetime | None) -> Rules:
    """Read a recurrence set. `anchor` stands in for a missing DTSTART. Errors: `BadExpression`."""
    try:
        return _read(text, tz, anchor)
    except BadExpression:
        raise
    except (ValueError, TypeError, OverflowError) as error:  # what dateutil says of a value it cannot take
        raise _bad(text, f"{error}.") from None


def _read(text: str, tz: str, anchor: datetime | None) -> Rules:
    if not isinstance(text, str) or not text.isascii() or len(text) > LONGEST:
        raise _bad(str(text)[:60], f"it is no ASCII text of at most {LONGEST} characters.")
    lines = [_line(text, line) for line in text.upper().split()]
    starts = [value for name, value in lines if name == "DTSTART"]
    if len(starts) > 1:
        raise _bad(text, "it has more than one DTSTART.")
    if "BYEASTER" in text.upper():
        raise _bad(text, "BYEASTER is not supported. Give the dates as RDATE.")
    found = None
    if starts:
        found = _wall(text, starts[0], tz)
        if not 1900 <= found.year <= 2099:
            raise _bad(text, f"DTSTART is in {found.year}, allowed 1900-2099.")
    elif anchor is not None:
        found = anchor.astimezone(zone(tz)).replace(tzinfo=None, microsecond=0, fold=0)
    # Without a start the rules are still checked, from a day that stands for none.
    start = found or datetime.combine(date(2024, 1, 1), time.min)
    rules = tuple(_rule(text, value, start, tz) for name, value in lines if name == "RRULE")
    dates = _walls(text, lines, "RDATE", tz)
    if not rules and not dates:
        raise _bad(text, "it has no RRULE and no RDATE." + _EXAMPLE)
    whole = Rules(
        found,
        rules,
        tuple(sorted(dates)),
        tuple(_rule(text, value, start, tz) for name, value in lines if name == "EXRULE"),
        frozenset(
            _wall(text, each, tz) for name, value in lines if name == "EXDATE" for each in value.split(",")
        ),
        fine=any(_parts(text, value)["FREQ"] in _FINE for name, value in lines if name == "RRULE"),
    )
    return whole if found else evolve(whole, rules=(), dates=())


def _line(text: str, line: str) -> tuple[str, str]:
    name, colon, value = line.rpartition(":")
    if not colon:
        return "RRULE", value
    name, *parameters = name.split(";")
    if name not in ("DTSTART", "RRULE", "RDATE", "EXDATE", "EXRULE"):
        raise _bad(text, f"{name!r} is not known. Known: DTSTART, RRULE, RDATE, EXDATE, EXRULE.")
    for parameter in parameters:
        if parameter not in ("VALUE=DATE", "VALUE=DATE-TIME"):
            hint = " Give the zone as tz=." if parameter.startswith("TZID=") else ""
            raise _bad(text, f"{parameter!r} is not supported.{hint}")
    return name, value


def _rule(text: str, value: str, start: datetime, tz: str) -> OneRule:
    from dateutil.rrule import rrulestr  # here: few use rules, and everybody would wait for its import

    parts = _parts(text, value)
    if "UNTIL" in parts:
        end = _wall(text, parts["UNTIL"], tz)
        if "T" not in parts["UNTIL"]:
            end = datetime.combine(end, time(23, 59, 59))
        parts["UNTIL"] = f"{min(end, _LAST) + SHIFT:%Y%m%dT%H%M%S}"
    _check_bounds(text, parts)
    line = ";".join(f"{name}={given}" for name, given in parts.items())
    rule = cast("rrule", rrulestr(line, dtstart=start + SHIFT, cache="COUNT" in parts))
    unit = _UNITS.get(parts["FREQ"])
    stride = unit * int(parts.get("INTERVAL", "1")) if unit and "COUNT" not in parts else None
    return OneRule(rule, start + SHIFT, stride)


def _parts(text: str, value: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in value.split(";")]
    parts = {name: given for name, _, given in pairs}
    if len(parts) != len(pairs) or not all(parts.values()):
        raise _bad(text, f"{value!r} is not a list of NAME=VALUE, each once." + _EXAMPLE)
    if parts.get("FREQ") not in _FREQUENCIES:
        raise _bad(
            text, f"FREQ is {parts.get('FREQ', 'missing')}, allowed DAILY, WEEKLY and so on." + _EXAMPLE
        )
    return parts


def _check_bounds(text: str, parts: dict[str, str]) -> None:
    """Refuse what would be walked without end."""
    if "COUNT" in parts and "UNTIL" in parts:
        raise _bad(text, "COUNT and UNTIL exclude each other.")
    for name, most in (("INTERVAL", 100_000), ("COUNT", MOST)):
        if name in parts and not (parts[name].isdigit() and 1 <= int(parts[name]) <= most):
            raise _bad(text, f"{name} is {parts[name]}, allowed 1-{most}.")
    if "BYSETPOS" in parts and parts["FREQ"] in _FINE | {"DAILY"}:
        raise _bad(text, "BYSETPOS needs FREQ=WEEKLY, MONTHLY or YEARLY.")
    months, days = _numbers(parts, "BYMONTH"), _numbers(parts, "BYMONTHDAY")
    year_days = _numbers(parts, "BYYEARDAY")
    if not any(
        (not months or month in months)
        and (not days or day in days or day - monthrange(year, month)[1] - 1 in days)
        and (not year_days or number in year_days or number - (365 + isleap(year)) - 1 in year_days)
        for year in (2023, 2024)
        for number, month, day in _days_of(year)
    ):
        raise _bad(text, "it can never fire: no year has such a day.")


def _numbers(parts: dict[str, str], name: str) -> set[int]:
    return {int(each) for each in parts[name].split(",")} if name in parts else set()


def _days_of(year: int) -> list[tuple[int, int, int]]:
    first = date(year, 1, 1).toordinal()
    days = [date.fromordinal(first + offset) for offset in range(365 + isleap(year))]
    return [(number, day.month, day.day) for number, day in enumerate(days, 1)]


def _walls(text: str, lines: list[tuple[str, str]], wanted: str, tz: str) -> set[datetime]:
    return {_wall(text, each, tz) for name, value in lines if name == wanted for each in value.split(",")}


def _wall(text: str, given: str, tz: str) -> datetime:
    """A DATE or DATE-TIME as wall time in `tz`."""
    found = _MOMENT.fullmatch(given)
    if found is None:
        raise _bad(text, f"{given!r} is not a time like 20260105T090000.")
    wall = datetime(*(int(number or 0) for number in found.groups()[:6]))  # type: ignore[arg-type] # noqa: DTZ001
    if not found[7]:
        return wall
    return wall.replace(tzinfo=UTC).astimezone(zone(tz)).replace(tzinfo=None, fold=0)


def _bad(text: str, why: str) -> BadExpression:
    return BadExpression(f"Bad rrule {text!r}: {why}")
