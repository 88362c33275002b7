"""From the times on a wall clock to instants, across the nights on which clocks change.

A wall time can be missing (a gap, in spring) or come twice (an overlap, in autumn). What a schedule
does then is a stated rule, applied here and nowhere else:

* In a gap of at most three hours a *fixed* time happens at the first instant after the gap, once.
  In a longer gap, and for other times, nothing happens.
* In an overlap a fixed time happens at the first pass; other times follow real time, both passes.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

from attrs import frozen

SECOND = timedelta(seconds=1)
LONGEST_GAP = timedelta(hours=3)

Walk = Callable[[datetime], datetime | None]
"""The first wall time strictly after another, both naive; None when there is none."""


@frozen
class Change:
    """A clock change. The wall times from `start` up to `end` are missing (a gap) or come twice."""

    at: datetime
    start: datetime
    end: datetime
    gap: bool


@frozen
class Policy:
    """What happens to a missing time and to one that comes twice."""

    fire_in_gap: bool
    both_passes: bool


def change_at(wall: datetime, zone: tzinfo) -> Change | None:
    """The clock change because of which this wall time is missing or comes twice."""
    before, after = _offset(wall, zone, 0), _offset(wall, zone, 1)
    if before == after:
        return None
    # The change lies after `low` and not after `high`.
    low = wall.replace(tzinfo=UTC, fold=0) - max(before, after)
    high = wall.replace(tzinfo=UTC, fold=0) - min(before, after)
    while high - low > SECOND:
        middle = low + (high - low) // (2 * SECOND) * SECOND
        if middle.astimezone(zone).utcoffset() == after:
            high = middle
        else:
            low = middle
    start, end = sorted((high + before, high + after))
    return Change(high, start.replace(tzinfo=None), end.replace(tzinfo=None), gap=after > before)


def instant(wall: datetime, zone: tzinfo, *, fold: int = 0) -> datetime:
    """The instant of a wall time, in UTC: of a missing one the end of the gap, else the pass `fold`."""
    change = change_at(wall, zone)
    if change is not None and change.gap:
        return change.at
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def next_instant(walk: Walk, zone: tzinfo, after: datetime, policy: Policy) -> datetime | None:
    """The first instant strictly after `after` at which a wall time of `walk` happens, in UTC."""
    local = after.astimezone(zone)
    if zone.utcoffset(None) is not None:  # its clocks never change
        match = walk(local.replace(tzinfo=None, microsecond=0))
        return None if match is None else match.replace(tzinfo=zone).astimezone(UTC)
    second_pass = local.fold == 1
    wall = local.replace(tzinfo=None, microsecond=0, fold=0)
    here = change_at(wall, zone)
    repeated = here is not None and not here.gap
    if here is not None and repeated and second_pass and not policy.both_passes:
        wall = here.end - SECOND
    match = walk(wall)
    if here is not None and repeated and not second_pass and policy.both_passes:
        again = walk(here.start - SECOND)
        if (match is None or match >= here.end) and again is not None and again < here.end:
            return instant(again, zone, fold=1)
    while match is not None:
        change = change_at(match, zone)
        if change is None or not change.gap:
            fold = 1 if second_pass and change == here else 0
            return match.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if policy.fire_in_gap and change.end - change.start <= LONGEST_GAP:
            return change.at
        match = walk(change.end - SECOND)
    return None


def _offset(wall: datetime, zone: tzinfo, fold: int) -> timedelta:
    return wall.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta(0)
