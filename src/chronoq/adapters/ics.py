"""Calendars from iCalendar files (RFC 5545): the events of a holiday calendar, as stretches to leave out."""

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path

from attrs import define, field

from chronoq.domain.calendar import Calendar
from chronoq.domain.errors import Invalid
from chronoq.domain.rhythm import rrule
from chronoq.domain.time import zone

MOST = 5_000
"""Occurrences that one file may have; a rule without an end is followed to 2099."""

_DAY = timedelta(days=1)
_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


@define
class _Event:
    """The properties of one VEVENT, each as (parameters, value); `line` is where it begins."""

    line: int
    properties: dict[str, tuple[str, str]] = field(factory=dict)
    excluded: list[str] = field(factory=list)


def read_calendar(path: str | Path, *, tz: str = "UTC") -> Calendar:
    """The events of an .ics file as a calendar for `.excluding(...)`.

    Whole days and times without a zone of their own are read in `tz`. Recurring events are followed,
    EXDATE left out, cancelled and transparent events skipped.
    Errors: `Invalid`, naming the line, for what cannot be read; `OSError` when the file cannot be.
    """
    text = Path(path).read_text(encoding="utf-8")
    try:
        pairs = list(islice(_all(text, tz), MOST + 1))
    except ValueError as error:
        raise Invalid(f"{path} cannot be read as a calendar: {error}") from None
    if len(pairs) > MOST:
        raise Invalid(f"{path} has more than {MOST} occurrences. Give its rules an end (UNTIL or COUNT).")
    if not pairs:
        raise Invalid(f"{path} holds no events. Is it an iCalendar file (BEGIN:VEVENT)?")
    return Calendar.ranges(*pairs)


def _all(text: str, tz: str) -> Iterator[tuple[datetime, datetime]]:
    for event in _events(text):
        try:
            yield from _stretches(event, tz)
        except (ValueError, KeyError) as error:
            raise ValueError(f"the event at line {event.line}: {error}") from None


def _events(text: str) -> Iterator[_Event]:
    event: _Event | None = None
    for number, line in _lines(text):
        name, _, value = line.partition(":")
        name, _, parameters = name.partition(";")
        match name.upper(), value.upper():
            case "BEGIN", "VEVENT":
                event = _Event(number)
            case "END", "VEVENT":
                if event and not _is_skipped(event):
                    yield event
                event = None
            case "EXDATE", _ if event:
                event.excluded += value.split(",")
            case known, _ if event:
                event.properties.setdefault(known, (parameters, value.strip()))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; a line that begins with a blank goes on with the one before."""
    held: tuple[int, str] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if line[:1] in (" ", "\t") and held:
            held = held[0], held[1] + line[1:]
            continue
        if held:
            yield held
        held = number, line
    if held:
        yield held


def _is_skipped(event: _Event) -> bool:
    status, transparent = event.properties.get("STATUS"), event.properties.get("TRANSP")
    return (status or ("", ""))[1] == "CANCELLED" or (transparent or ("", ""))[1] == "TRANSPARENT"


def _stretches(event: _Event, tz: str) -> Iterator[tuple[datetime, datetime]]:
    parameters, value = event.properties["DTSTART"]
    start, whole_day = _moment(parameters, value, tz), _is_date(value)
    length = _length(event, start, tz, _DAY if whole_day else timedelta(0))
    if "RRULE" not in event.properties:
        yield start, _later(start, length, whole_day)
        return
    home = start.tzinfo
    local = start.replace(tzinfo=None)
    rule = rrule(f"DTSTART:{local:%Y%m%dT%H%M%S}\nRRULE:{event.properties['RRULE'][1]}", tz=str(home))
    left_out = {_moment(parameters, one, tz) for one in event.excluded}
    for found in rule.fires(start - timedelta(seconds=1)):
        begin = found.astimezone(home)
        if begin not in left_out:
            yield begin, _later(begin, length, whole_day)


def _later(start: datetime, length: timedelta, whole_day: bool) -> datetime:
    """Whole days end at a midnight of the wall clock; times end after so much time."""
    if whole_day:
        return start + length  # the same zone on both sides: wall-clock arithmetic
    return (start.astimezone(zone("UTC")) + length).astimezone(start.tzinfo)


def _length(event: _Event, start: datetime, tz: str, otherwise: timedelta) -> timedelta:
    if "DTEND" in event.properties:
        end = _moment(*event.properties["DTEND"], tz)
        same = end.astimezone(start.tzinfo)
        length = same.replace(tzinfo=None) - start.replace(tzinfo=None) if otherwise else end - start
    elif "DURATION" in event.properties:
        found = _DURATION.fullmatch(event.properties["DURATION"][1])
        if not found:
            raise ValueError(f"DURATION {event.properties['DURATION'][1]!r} is none")
        weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        length = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    else:
        length = otherwise
    if length <= timedelta(0):
        raise ValueError("it has no length: DTEND is not after DTSTART")
    return length


def _is_date(value: str) -> bool:
    return len(value) == 8


def _moment(parameters: str, value: str, tz: str) -> datetime:
    """DTSTART and its like: a date, a time in UTC, in a zone of its own (TZID), or in `tz`."""
    if _is_date(value):
        return datetime.combine(date.fromisoformat(value), time.min, zone(tz))
    own = next((part[5:].strip('"') for part in parameters.split(";") if part.startswith("TZID=")), tz)
    home = "UTC" if value.endswith("Z") else own
    return datetime.strptime(value.removesuffix("Z"), "%Y%m%dT%H%M%S").replace(tzinfo=zone(home))
