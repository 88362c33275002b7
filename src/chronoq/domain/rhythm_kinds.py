"""The single rhythms: one moment, an interval, a cron expression, an iCalendar recurrence."""

from datetime import datetime, timedelta

from attrs import evolve, frozen

from chronoq.domain.cronplan import DayMatch, DstGap, DstOverlap, next_fire, plan, uses_hash
from chronoq.domain.crontext import check_text
from chronoq.domain.cronwords import describe_cron
from chronoq.domain.errors import Invalid
from chronoq.domain.rhythm_base import Rhythm, Spec
from chronoq.domain.rules import Rules, next_occurrence, read_rules
from chronoq.domain.time import EPOCH, MS, aware, brief, to_ms, up_to_ms, zone

_TICK = timedelta(seconds=1)


@frozen
class Once(Rhythm):
    """One moment, in whole milliseconds."""

    at: datetime

    def spec(self) -> Spec:
        return {"kind": "once", "at": to_ms(self.at)}

    def describe(self) -> str:
        return f"once at {self.at:%Y-%m-%d %H:%M:%S} UTC"

    def _next(self, moment: datetime) -> datetime | None:
        return self.at if self.at > moment else None


@frozen
class Every(Rhythm):
    """At anchor + k * interval for k = 1, 2, ...: arithmetic on instants, so it cannot drift."""

    interval: timedelta
    anchor: datetime | None = None

    def bind(self, *, seed: str, anchor: datetime) -> Rhythm:
        return self if self.anchor else evolve(self, anchor=up_to_ms(aware(anchor, name="anchor")))

    def spec(self) -> Spec:
        anchor = None if self.anchor is None else to_ms(self.anchor)
        return {"kind": "every", "interval": self.interval // MS, "anchor": anchor}

    def describe(self) -> str:
        return f"every {brief(self.interval)}"

    def _next(self, moment: datetime) -> datetime | None:
        if self.anchor is None:
            raise Invalid(f"{self.describe()} has no anchor yet, so no next time. Give anchor=, or bind it.")
        steps = max(1, (moment - self.anchor) // self.interval + 1)
        return self.anchor + steps * self.interval


@frozen(cache_hash=True)  # what was found for equal ones is looked up by it, several times for each fire
class Cron(Rhythm):
    """A cron expression on the wall clock of a time zone."""

    expression: str
    tz: str = "UTC"
    seed: str | None = None
    dst_gap: DstGap = "fire"
    dst_overlap: DstOverlap = "first"
    day_match: DayMatch = "or"

    def __attrs_post_init__(self) -> None:
        _one_of("dst_gap", self.dst_gap, ("fire", "skip"))
        _one_of("dst_overlap", self.dst_overlap, ("first", "both"))
        _one_of("day_match", self.day_match, ("or", "and"))
        check_text(self.expression)
        plan(self.expression, seed=self.seed, day_match=self.day_match)
        zone(self.tz)

    def bind(self, *, seed: str, anchor: datetime) -> Rhythm:
        # Only an H takes the seed: else ten thousand schedules would share no walk.
        return evolve(self, seed=seed) if self._open else self

    def spec(self) -> Spec:
        return {
            "kind": "cron",
            "expression": self.expression,
            "tz": self.tz,
            "seed": self.seed,
            "dst_gap": self.dst_gap,
            "dst_overlap": self.dst_overlap,
            "day_match": self.day_match,
        }

    def describe(self) -> str:
        return describe_cron(self.expression, tz=self.tz, both=self.day_match == "and")

    @property
    def _open(self) -> bool:
        return self.seed is None and uses_hash(self.expression)

    def _next(self, moment: datetime) -> datetime | None:
        if self._open:
            raise Invalid(f"Cron {self.expression!r} uses H without a seed: no next time. Give seed=.")
        return next_fire(
            self.expression,
            max(moment, EPOCH - _TICK).replace(microsecond=0),
            tz=self.tz,
            seed=self.seed,
            dst_gap=self.dst_gap,
            dst_overlap=self.dst_overlap,
            day_match=self.day_match,
        )


@frozen
class Rule(Rhythm):
    """An iCalendar recurrence (RFC 5545) on the wall clock of a time zone."""

    text: str
    tz: str = "UTC"
    anchor: datetime | None = None

    def __attrs_post_init__(self) -> None:
        self._rules()

    def bind(self, *, seed: str, anchor: datetime) -> Rhythm:
        if self.anchor or self._rules().start:
            return self
        return evolve(self, anchor=up_to_ms(aware(anchor, name="anchor")))

    def spec(self) -> Spec:
        anchor = None if self.anchor is None else to_ms(self.anchor)
        return {"kind": "rrule", "text": self.text, "tz": self.tz, "anchor": anchor}

    def describe(self) -> str:
        return f"rrule {' '.join(self.text.split())}, {self.tz}"

    def _rules(self) -> Rules:
        return read_rules(self.text, tz=self.tz, anchor=self.anchor)

    def _next(self, moment: datetime) -> datetime | None:
        if self._rules().start is None:
            raise Invalid(f"{self.describe()} has no DTSTART, so it has no next time. Add one, or bind it.")
        return next_occurrence(self.text, tz=self.tz, anchor=self.anchor, after=max(moment, EPOCH - _TICK))


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise Invalid(f"{name}={value!r}: choose {' or '.join(map(repr, allowed))}.")
