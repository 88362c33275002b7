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
    """A run belongs to the last nominal time before it. Both are in order of time.

    `waiting`: rq-scheduler still has it in hand, so what it has not run `until` then is late, not missing.
    """
    found: list[Difference] = []
    met: set[datetime] = set()
    ahead = 0
    for at in fires:
        place = bisect_right(nominals, at + tolerance)
        nominal = nominals[place - 1] if place else None
        if nominal is not None and nominal not in met:
            met.add(nominal)
            if at - nominal > tolerance:
                found.append(Difference(Kind.LATE, nominal, at))
        elif nominal is None and place + ahead < len(nominals):
            early = nominals[place + ahead]
            ahead += 1
            met.add(early)
            found.append(Difference(Kind.EARLY, early, at))
        else:
            found.append(Difference(Kind.DOUBLED, nominal, at))
    open_ = [nominal for nominal in nominals if nominal not in met and until - nominal > tolerance]
    pending = (
        open_[-1:] if waiting and open_ and open_[-1] > max(fires, default=open_[-1] - tolerance) else []
    )
    found += [Difference(Kind.MISSING, nominal, None) for nominal in open_ if nominal not in pending]
    found += [Difference(Kind.LATE, nominal, until) for nominal in pending]
    return sorted(found, key=lambda one: one.nominal or one.at or until)


def next_times(ours: datetime | None, theirs: datetime, *, tolerance: timedelta) -> list[Difference]:
    """Whether a cron line means another time to rq-scheduler."""
    if ours is None or abs(theirs - ours) <= tolerance:
        return []
    apart = abs(theirs - ours)
    zones = apart <= FURTHEST and not apart % QUARTER
    return [Difference(Kind.ZONE if zones else Kind.TIME, ours, theirs)]
