"""The load ahead: how often schedules fire in each slot of time, and when most of them fire at once."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice

from attrs import frozen

from chronoq.domain.errors import Invalid
from chronoq.domain.rhythm_kinds import Every
from chronoq.domain.schedule import Stored

MOST = 5_000
MOST_INTERVALS = 500_000
"""Fires of one rhythm that are counted; the rest is estimated. A cron has to be walked, an interval not."""

SAMPLE = 20
"""Fires from which the number in an hour is estimated."""

MOST_SLOTS = 10_000
_HOUR = timedelta(hours=1)
_TICK = timedelta(microseconds=1)


@frozen
class Line:
    """The fires of one schedule in each slot. `estimated`: it fires too often to count them all."""

    stored: Stored
    fires: tuple[int, ...]
    estimated: bool = False


@frozen
class Crowd:
    """The second in which most schedules fire at once, the first of `times` such seconds."""

    at: datetime
    members: tuple[Stored, ...]
    times: int = 1


@frozen
class Preview:
    """Fires from `now` on, in slots of equal length of which the first begins at `start`."""

    start: datetime
    end: datetime
    slot: timedelta
    lines: tuple[Line, ...]
    busiest: Crowd | None

    @property
    def total(self) -> tuple[int, ...]:
        """All fires in each slot."""
        slots = range(_slots(self.start, self.end, self.slot))
        return tuple(sum(line.fires[place] for line in self.lines) for place in slots)


@frozen
class _Walked:
    fires: tuple[int, ...]
    seconds: frozenset[datetime] = frozenset()
    estimated: bool = False


def preview(
    schedules: Sequence[Stored], *, start: datetime, now: datetime, end: datetime, slot: timedelta
) -> Preview:
    """The fires in [now, end). What a pause, `ends_at` or `max_fires` leaves out is not counted.

    The busiest second is that of the nominal times; schedules with jitter or spread are not part of
    it, for theirs are apart already, nor those that fire too often to be counted. Those that share a
    rhythm are walked once.
    """
    if slot <= timedelta(0) or (end - start) / slot > MOST_SLOTS:
        raise Invalid(f"A preview has at most {MOST_SLOTS} slots. Give a longer slot, or fewer hours.")
    walked: dict[Hashable, _Walked] = {}
    crowds: Counter[datetime] = Counter()
    lines: list[Line] = []
    kinds: list[_Walked] = []
    weights: Counter[Hashable] = Counter()
    for stored in schedules:
        key = _kind(stored, now)
        if key not in walked:
            walked[key] = _walk(stored, start, now, end, slot)
        found = walked[key]
        kinds.append(found)
        lines.append(Line(stored, found.fires, found.estimated))
        weights[key] += not _apart(stored)
    for key, weight in weights.items():
        if weight:
            crowds.update(dict.fromkeys(walked[key].seconds, weight))
    return Preview(start, end, slot, tuple(lines), _busiest(crowds, lines, kinds))


def coming(stored: Stored, *, after: datetime) -> Iterator[datetime]:
    """The nominal times after `after` that will fire if all goes well: within window, count and pause."""
    schedule, cursor = stored.schedule, stored.cursor
    if schedule is None or cursor.next is None:
        return
    moment: datetime | None = max(after, cursor.next - _TICK)
    if cursor.pause is not None:
        if cursor.pause.until is None:
            return
        moment = max(after, cursor.next - _TICK, cursor.pause.until)
    most = schedule.policy.max_fires
    left = None if most is None else max(0, most - cursor.fires)
    while moment is not None and left != 0:
        moment = schedule.next_after(moment, since=cursor.since)
        if moment is not None:
            yield moment
        left = None if left is None else left - 1


def _kind(stored: Stored, now: datetime) -> Hashable:
    """Equal for schedules with the same fires from `now` on."""
    schedule, cursor = stored.schedule, stored.cursor
    if schedule is None or cursor.next is None:
        return None
    policy = schedule.policy
    bound = schedule.rhythm.bind(seed=schedule.id.key, anchor=cursor.since)
    left = None if policy.max_fires is None else policy.max_fires - cursor.fires
    until = cursor.pause and (cursor.pause.until or "for good")
    return bound, policy.starts_at, policy.ends_at, left, until, max(now, cursor.next)


def _walk(stored: Stored, start: datetime, now: datetime, end: datetime, slot: timedelta) -> _Walked:
    fires = [0] * _slots(start, end, slot)
    seconds: set[datetime] = set()
    most = MOST_INTERVALS if stored.schedule and isinstance(stored.schedule.rhythm, Every) else MOST
    for count, moment in enumerate(coming(stored, after=now - _TICK)):
        if moment >= end:
            break
        if count == most:
            return _Walked(tuple(_estimated(stored, fires, start, moment, end, slot)), estimated=True)
        fires[(moment - start) // slot] += 1
        seconds.add(moment.replace(microsecond=0))
    return _Walked(tuple(fires), frozenset(seconds))


def _estimated(
    stored: Stored, fires: list[int], start: datetime, since: datetime, end: datetime, slot: timedelta
) -> list[int]:
    """`fires` with the times from `since` on, hour by hour, by the pace at which each hour begins."""
    while since < end:
        place = (since - start) // slot
        until = min(since + _HOUR, start + (place + 1) * slot, end)
        sample = list(islice(coming(stored, after=since - _TICK), SAMPLE))
        inside = [moment for moment in sample if moment < until]
        fires[place] += len(inside)
        if len(inside) == SAMPLE:
            pace = (inside[-1] - inside[0]) / (SAMPLE - 1)
            fires[place] += (until - inside[-1] - _TICK) // pace
        since = until
    return fires


def _slots(start: datetime, end: datetime, slot: timedelta) -> int:
    return -((start - end) // slot)


def _apart(stored: Stored) -> bool:
    return stored.schedule is not None and bool(
        stored.schedule.policy.jitter or stored.schedule.policy.spread
    )


def _busiest(crowds: Counter[datetime], lines: Sequence[Line], kinds: Sequence[_Walked]) -> Crowd | None:
    if not crowds:
        return None
    most = max(crowds.values())
    times = [moment for moment, count in crowds.items() if count == most]
    first = min(times)
    members = (
        line.stored
        for line, kind in zip(lines, kinds, strict=True)
        if first in kind.seconds and not _apart(line.stored)
    )
    return Crowd(first, tuple(members), len(times))
