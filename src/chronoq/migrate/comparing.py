"""What rq-scheduler did, beside what chronoq would have done. Pure: moments in, differences out."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from attrs import frozen

QUARTER = timedelta(minutes=15)
FURTHEST = timedelta(hours=26)
"""Apart are any two time zones at the most."""


class Kind(StrEnum):
    LATE = "late"
    EARLY = "early"
    MISSING = "missing"
    DOUBLED = "doubled"
    ZONE = "zone"
    """Its next time is another one, by what time zones differ."""
    TIME = "other time"


@frozen
class Difference:
    """`nominal`: when chronoq would have run it; `at`: when rq-scheduler did, or is going to."""

    kind: Kind
    nominal: datetime | None
    at: datetime | None

    @property
    def by(self) -> timedelta | None:
        return None if self.nominal is None or self.at is None else self.at - self.nominal


def differences(
    nominals: Sequence[datetime],
    fires: Sequence[datetime],
    *,
    until: datetime,
    tolerance: timedelta,
    waiting: bool = False,
) -> list[Difference]:
    """Both are in order of time. A run belongs to the last nominal time before it that has none yet; it is one too
    many where none is left, or where it follows the run of its own time at once.

    `waiting`: rq-scheduler still has it in hand, so what it has not run `until` then is late, not missing.
    """
    found: list[Difference] = []
    left = list(nominals)
    last: datetime | None = None
    for at in fires:
        place = _place(left, at, tolerance)
        passed = bisect_right(nominals, at)
        if place is None and not passed and left:
            place = 0
        again = (
            last is not None and at - last <= tolerance and passed > 0 and nominals[passed - 1] not in left
        )
        if place is None or again:
            found.append(Difference(Kind.DOUBLED, None, at))
            continue
        nominal, last = left.pop(place), at
        if abs(at - nominal) > tolerance:
            found.append(Difference(Kind.LATE if at > nominal else Kind.EARLY, nominal, at))
    left = [nominal for nominal in left if until - nominal > tolerance]
    if waiting and left and (last is None or left[-1] > last):
        found.append(Difference(Kind.LATE, left.pop(), until))
    found += [Difference(Kind.MISSING, nominal, None) for nominal in left]
    return sorted(found, key=lambda one: one.nominal or one.at or until)


def _place(left: Sequence[datetime], at: datetime, tolerance: timedelta) -> int | None:
    """Of the last one before `at`; of the next one, where that is near and the other is not."""
    after = bisect_right(left, at)
    if after and at - left[after - 1] <= tolerance:
        return after - 1
    if after < len(left) and left[after] - at <= tolerance:
        return after
    return after - 1 if after else None


def next_times(ours: datetime | None, theirs: datetime, *, tolerance: timedelta) -> list[Difference]:
    """Whether a cron line means another time to rq-scheduler."""
    if ours is None or abs(theirs - ours) <= tolerance:
        return []
    apart = abs(theirs - ours)
    zones = apart <= FURTHEST and not apart % QUARTER
    return [Difference(Kind.ZONE if zones else Kind.TIME, ours, theirs)]
