"""A clock that moves by hand."""

from datetime import UTC, datetime

from attrs import define, field

from chronoq.domain.errors import Invalid
from chronoq.domain.time import Duration, aware, duration

START = datetime(2026, 1, 1, tzinfo=UTC)
"""When a manual clock starts unless it is told otherwise: a Thursday, at midnight."""


def _start(moment: datetime) -> datetime:
    return aware(moment, name="start")


@define
class ManualClock:
    """A `Clock` that stands still until it is moved. It never goes back."""

    _now: datetime = field(default=START, alias="start", converter=_start)

    def now(self) -> datetime:
        return self._now

    def advance(self, by: Duration) -> datetime:
        """Move it on by "250ms", "1h30m", a timedelta or seconds; the new time. Errors: `BadDuration`."""
        return self.move_to(self._now + duration(by))

    def move_to(self, moment: datetime) -> datetime:
        """Move it to `moment`. Errors: `Invalid` for one that has passed, `NaiveDatetime` (E16)."""
        moment = aware(moment, name="moment")
        if moment < self._now:
            raise Invalid(f"It is {self._now} already: a clock does not go back to {moment}.")
        self._now = moment
        return moment
