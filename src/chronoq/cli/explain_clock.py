"""The coming clock changes of a zone, and what an expression does on those nights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import click
from attrs import evolve

from chronoq.domain.rhythm import Rhythm
from chronoq.domain.rhythm_kinds import Cron
from chronoq.domain.time import brief
from chronoq.domain.wallclock import Change, change_at

CHANGES = 2
DAYS = 366
NAMED = 3
MOST = 1_000
_DAY = timedelta(days=1)
_STEP = timedelta(minutes=5)
_SECOND = timedelta(seconds=1)


def clock_changes(rhythm: Rhythm, start: datetime, place: ZoneInfo) -> Iterator[str]:
    """Lines about the next two clock changes within a year."""
    found = list(islice(_coming(start, place), CHANGES))
    if not found:
        yield f"{click.style('clock changes', bold=True)}: none in {place.key} within a year"
        return
    if not isinstance(rhythm, Cron):
        yield f"{click.style('clock changes', bold=True)}: an interval follows real time and does not notice"
        return
    yield click.style("coming clock changes", bold=True)
    for change in found:
        yield f"  {change.start:%a %Y-%m-%d}: {_span(change)} {_effect(rhythm, change, place)}"


def _coming(start: datetime, place: ZoneInfo) -> Iterator[Change]:
    """The clock changes of the year from `start` on."""
    for days in range(DAYS):
        low, high = start + days * _DAY, start + (days + 1) * _DAY
        if low.astimezone(place).utcoffset() == high.astimezone(place).utcoffset():
            continue
        wall = low.astimezone(place).replace(tzinfo=None, second=0, microsecond=0, fold=0) - _DAY
        for _ in range(4 * _DAY // _STEP):  # whatever the offset is, it lies within
            change = change_at(wall, place)
            if change is not None and change.at > start:
                yield change
                break
            wall += _STEP


def _span(change: Change) -> str:
    what = "does not exist" if change.gap else "comes twice"
    form = "%H:%M" if change.end - change.start < _DAY else "%Y-%m-%d %H:%M"
    return f"{change.start:{form}}-{change.end:{form}} {what};"


def _effect(cron: Cron, change: Change, place: ZoneInfo) -> str:
    """What it does, taken from its fires: none of the rules is written down here again."""
    clock = evolve(cron, tz="UTC")  # its wall times, as if no clock ever changed
    low = change.start.replace(tzinfo=UTC)
    walls = list(islice(clock.fires(low - _SECOND, until=change.end.replace(tzinfo=UTC) - _SECOND), MOST))
    if not walls:
        return "nothing of this falls into it"
    return _in_gap(cron, clock, change, walls, place) if change.gap else _in_overlap(cron, change, walls)


def _in_gap(cron: Cron, clock: Rhythm, change: Change, walls: Sequence[datetime], place: ZoneInfo) -> str:
    end = change.end.replace(tzinfo=UTC)
    following = cron.next_after(change.at - _SECOND)
    if following == change.at and clock.next_after(end - _SECOND) != end:
        return f"{_times(walls)} {_fires(walls)} at {change.end:%H:%M}{'' if len(walls) == 1 else ', once'}"
    then = ""
    if following is not None:
        there = following.astimezone(place)
        form = "%H:%M" if there.date() == change.start.date() else "%Y-%m-%d %H:%M"
        then = f", next at {there:{form}}"
    return f"{_times(walls)} {'does' if len(walls) == 1 else 'do'} not fire{then}"


def _in_overlap(cron: Cron, change: Change, walls: Sequence[datetime]) -> str:
    length = change.end - change.start
    second = list(cron.fires(change.at - _SECOND, until=change.at + length - _SECOND, count=1))
    if not second:
        return f"{_times(walls)} {_fires(walls)} at the first pass only"
    return f"{_times(walls)} {_fires(walls)} in both passes, {brief(length)} apart"


def _fires(walls: Sequence[datetime]) -> str:
    return "fires" if len(walls) == 1 else "fire"


def _times(walls: Sequence[datetime]) -> str:
    form = "%H:%M" if all(one.second == 0 for one in walls) else "%H:%M:%S"
    if len(walls) <= NAMED:
        return " and ".join(f"{one:{form}}" for one in walls)
    count = f"{len(walls)}{'+' if len(walls) == MOST else ''}"
    return f"{walls[0]:{form}}, {walls[1]:{form}} ... {walls[-1]:{form}} ({count} times)"
