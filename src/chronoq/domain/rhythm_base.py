"""What every rhythm can do, and the rhythms that are made of others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from attrs import frozen

from chronoq.domain.time import aware

if TYPE_CHECKING:
    from chronoq.domain.calendar import Calendar

Spec = dict[str, Any]
"""A rhythm as plain JSON: moments and durations are whole milliseconds."""

_MOST_SKIPS = 4_000


class Rhythm(ABC):
    """When something happens, as moments in UTC. A value: equal specs are equal rhythms."""

    __slots__ = ()

    def next_after(self, moment: datetime) -> datetime | None:
        """The first fire strictly after `moment`, aware, in UTC; None when there is none left.

        Errors: `NaiveDatetime` (E16); `Invalid` when the rhythm has to be bound first.
        """
        try:
            return self._next(aware(moment, name="moment"))
        except OverflowError:  # past the last moment that a datetime can name
            return None

    def fires(
        self, after: datetime, *, count: int | None = None, until: datetime | None = None
    ) -> Iterator[datetime]:
        """The fires strictly after `after`, in order: at most `count` of them, none later than `until`."""
        found = self._fires(aware(after, name="after"), aware(until, name="until") if until else None)
        return found if count is None else islice(found, max(count, 0))

    def excluding(self, calendar: Calendar) -> Rhythm:
        """This rhythm without the fires that fall into `calendar`."""
        return Excluding(self, calendar)

    def bind(self, *, seed: str, anchor: datetime) -> Rhythm:
        """Close what is still open: `seed` for an `H` without one, `anchor` for an interval without one."""
        return self

    @abstractmethod
    def spec(self) -> Spec:
        """The rhythm as plain JSON, from which `rhythm_from` makes an equal one."""

    @abstractmethod
    def describe(self) -> str:
        """The rhythm in short English."""

    @abstractmethod
    def _next(self, moment: datetime) -> datetime | None:
        """The first fire strictly after `moment`, which is in UTC."""

    def _fires(self, after: datetime, until: datetime | None) -> Iterator[datetime]:
        moment = self.next_after(after)
        while moment is not None and (until is None or moment <= until):
            yield moment
            moment = self.next_after(moment)


@frozen
class Union(Rhythm):
    """Every moment at which one of its rhythms fires, once."""

    rhythms: tuple[Rhythm, ...]

    def bind(self, *, seed: str, anchor: datetime) -> Rhythm:
        return Union(tuple(each.bind(seed=seed, anchor=anchor) for each in self.rhythms))

    def spec(self) -> Spec:
        return {"kind": "union", "rhythms": [each.spec() for each in self.rhythms]}

    def describe(self) -> str:
        return "; and ".join(each.describe() for each in self.rhythms)

    def _next(self, moment: datetime) -> datetime | None:
        found = [each.next_after(moment) for each in self.rhythms]
        return min((each for each in found if each is not None), default=None)


@frozen
class Excluding(Rhythm):
    """A rhythm without the fires that fall into a calendar. After 4,000 excluded stretches it gives up."""

    rhythm: Rhythm
    calendar: Calendar

    def bind(self, *, seed: str, anchor: datetime) -> Rhythm:
        bound = self.rhythm.bind(seed=seed, anchor=anchor)
        return Excluding(bound, self.calendar.bind(seed=seed, anchor=anchor))

    def spec(self) -> Spec:
        return {"kind": "excluding", "rhythm": self.rhythm.spec(), "calendar": self.calendar.spec()}

    def describe(self) -> str:
        return f"{self.rhythm.describe()}, except {self.calendar.describe()}"

    def _next(self, moment: datetime) -> datetime | None:
        for _ in range(_MOST_SKIPS):
            found = self.rhythm.next_after(moment)
            if found is None:
                return None
            end = self.calendar.covered_until(found)
            if end is None:
                return found
            moment = end - timedelta(microseconds=1)
        return None
