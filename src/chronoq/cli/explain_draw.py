"""What `explain` draws in a terminal: the fields, the fires, the coming clock changes, two months."""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import zip_longest
from zoneinfo import ZoneInfo

import click

from chronoq.cli.explain_clock import clock_changes
from chronoq.cli.schedule_time import local
from chronoq.domain.cronfields import HOUR, MINUTE, MONTH, SECOND, YEAR, Field, Piece, numbers
from chronoq.domain.crontext import fields
from chronoq.domain.rhythm import Rhythm
from chronoq.domain.rhythm_kinds import Cron
from chronoq.domain.time import brief
from chronoq.domain.wallclock import instant

WEEK = "Mo  Tu  We  Th  Fr  Sa  Su"
WIDTH = 28
LISTED = 12
_INSTANT = timedelta(microseconds=1)


def draw(
    rhythm: Rhythm,
    description: str,
    fires: Sequence[datetime],
    warnings: Sequence[str],
    start: datetime,
    place: ZoneInfo,
    *,
    pictures: bool,
) -> Iterator[str]:
    """The lines. Without `pictures` neither clock changes nor months: `start` is too far away for them."""
    yield _title(description, either=any(one.startswith("W6") for one in warnings))
    if isinstance(rhythm, Cron):
        yield ""
        yield from _fields(rhythm)
    yield ""
    yield _head("next fires" if fires else "no next fire")
    for fire in fires:
        there = f"{fire.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        yield f"  {local(fire, place)}   {there}   in {brief(fire - start)}"
    if pictures:
        yield ""
        yield from clock_changes(rhythm, start, place)
        yield ""
        yield from (line.rstrip() for line in _two_months(rhythm, start, place))
    for warning in warnings:
        if not warning.startswith("W3"):  # said above, with the clock changes
            yield ""
            yield f"{click.style('⚠', fg='yellow')} {warning}"


def _head(text: str) -> str:
    return click.style(text, bold=True)


def _title(description: str, *, either: bool) -> str:
    """The description; the "or" between day and weekday stands out, for it is often not what was meant."""
    before, word, after = description.partition(" or any ") if either else (description, "", "")
    if not word:
        return _head(description)
    marked = click.style("or", bold=True, underline=True)
    return f"{_head(before)} {marked} {_head('any ' + after)}"


def _fields(cron: Cron) -> Iterator[str]:
    read = fields(cron.expression)
    width = max(len(piece.text) for piece in read.values())
    for kind, piece in read.items():
        meant = _meant(kind, piece, cron.seed or "")
        yield f"  {kind.name:<8}  {piece.text:<{width}}  {meant}".rstrip()


def _meant(kind: Field, piece: Piece, seed: str) -> str:
    """The numbers that a field names, where its text does not show them."""
    if kind not in (SECOND, MINUTE, HOUR, MONTH, YEAR) or piece.text == "*" or piece.text.isdigit():
        return ""
    found = sorted(numbers(kind, piece, seed))
    listed = ", ".join(map(str, found[:LISTED]))
    return f"= {listed}{', ...' if len(found) > LISTED else ''}" if listed != piece.text else ""


def _two_months(rhythm: Rhythm, start: datetime, place: ZoneInfo) -> list[str]:
    """This month and the next beside each other; a day on which it fires has a mark."""
    first = start.astimezone(place).date().replace(day=1)
    second = (first + timedelta(days=31)).replace(day=1)
    pair = [_month(rhythm, month, start, place) for month in (first, second)]
    return [f"  {left:<{WIDTH}}    {right}" for left, right in zip_longest(*pair, fillvalue="")]


def _month(rhythm: Rhythm, month: date, start: datetime, place: ZoneInfo) -> list[str]:
    lines = [f"{month:%B %Y}".center(WIDTH), WEEK]
    for week in calendar.Calendar().monthdatescalendar(month.year, month.month):
        cells = [_cell(rhythm, day, start, place) if day.month == month.month else "   " for day in week]
        lines.append(" ".join(cells))
    return lines


def _cell(rhythm: Rhythm, day: date, start: datetime, place: ZoneInfo) -> str:
    midnights = [instant(datetime.combine(one, time()), place) for one in (day, day + timedelta(days=1))]
    begins, ends = max(midnights[0] - _INSTANT, start), midnights[1]
    found = rhythm.next_after(begins) if begins < ends else None
    return f"{day.day:>2}{'•' if found is not None and found < ends else ' '}"
