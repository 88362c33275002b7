"""Rhythms: when a schedule fires. Values that answer one question: what comes after this moment?

A rhythm is made by `once`, `every`, `cron`, `rrule` and `union`, and thinned out by `.excluding(calendar)`.
It reads no clock. What it leaves open (the seed of an `H`, an anchor) is closed by `bind`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from attrs import evolve, frozen

from chronoq.domain.calendar import Calendar, calendar_from
from chronoq.domain.cronplan import DayMatch, DstGap, DstOverlap, check_text, next_fire, plan, uses_hash
from chronoq.domain.cronwords import describe_cron
from chronoq.domain.errors import BadDuration, BadExpression, Invalid
from chronoq.domain.rules import Rules, next_occurrence, read_rules
from chronoq.domain.time import EPOCH, MS, Duration, aware, brief, duration, from_ms, to_ms, up_to_ms, zone

Spec = dict[str, Any]
"""A rhythm as plain JSON: moments and durations are whole milliseconds."""

_TICK = timedelta(seconds=1)
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

    def excluding(self, calendar: Calendar) -> "Rhythm":
        """This rhythm without the fires that fall into `calendar`."""
        return Excluding(self, calendar)

    def bind(self, *, seed: str, anchor: datetime) -> "Rhythm":
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


@frozen
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
            raise Invalid(f"Cron {self.expression!r} uses H without a seed, so it has no next time. Give seed=.")
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
        rules = self._rules()
        if rules.start is None:
            raise Invalid(f"{self.describe()} has no DTSTART, so it has no next time. Add one, or bind it.")
        return next_occurrence(rules, zone(self.tz), max(moment, EPOCH - _TICK))


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


def once(at: datetime) -> Rhythm:
    """One fire, at `at`, rounded up to a millisecond."""
    return Once(up_to_ms(aware(at)))


def every(interval: Duration, *, anchor: datetime | None = None) -> Rhythm:
    """A fire at anchor + k * interval, k = 1, 2, ... Without an anchor: from the first saving on."""
    length = duration(interval)
    if length < MS or length % MS:
        raise BadDuration(f"every({interval!r}): an interval is a whole number of milliseconds, at least one.")
    return Every(length, None if anchor is None else up_to_ms(aware(anchor, name="anchor")))


def cron(
    expr: str,
    *,
    tz: str = "UTC",
    seed: str | None = None,
    dst_gap: DstGap = "fire",
    dst_overlap: DstOverlap = "first",
    day_match: DayMatch = "or",
) -> Rhythm:
    """A cron expression of five fields, six (seconds first) or seven (and year), or an @-word.

    Errors: `BadExpression` (E13), `NeverFires` (E14), `UnknownTimeZone` (E15).
    """
    word, _, rest = check_text(expr).text.strip().partition(" ")
    if word == "@EVERY":
        zone(tz)
        try:
            return every(rest.strip().lower())
        except BadDuration as refusal:
            position = len(expr) - len(rest)
            raise BadExpression(f"Bad cron {expr!r}: {refusal}", expression=expr, position=position) from None
    return Cron(expr, tz, seed, dst_gap, dst_overlap, day_match)


def rrule(text: str, *, tz: str = "UTC") -> Rhythm:
    """An iCalendar recurrence: RRULE, with DTSTART, RDATE, EXDATE, EXRULE on lines of their own.

    Without a DTSTART it begins when it is first saved. Errors: `BadExpression`, `UnknownTimeZone`.
    """
    return Rule(text, tz)


def union(*rhythms: Rhythm) -> Rhythm:
    """All fires of these rhythms; where several coincide, one."""
    if not rhythms:
        raise Invalid("union() needs at least one rhythm.")
    return Union(rhythms)


def rhythm_from(spec: Spec) -> Rhythm:
    """The rhythm of which `spec` was made. Errors: `Invalid` for what is none."""
    try:
        return _KINDS[spec["kind"]](spec)
    except (KeyError, TypeError, AttributeError) as error:
        known = ", ".join(_KINDS)
        raise Invalid(f"This is no rhythm: {spec!r} ({error!r}). Kinds: {known}.") from None


def _anchor(spec: Spec) -> datetime | None:
    return None if spec["anchor"] is None else from_ms(spec["anchor"])


def _without_kind(spec: Spec) -> Spec:
    return {key: value for key, value in spec.items() if key != "kind"}


_KINDS: dict[str, Callable[[Spec], Rhythm]] = {
    "once": lambda spec: Once(from_ms(spec["at"])),
    "every": lambda spec: Every(duration(spec["interval"] * MS), _anchor(spec)),
    "cron": lambda spec: Cron(**_without_kind(spec)),
    "rrule": lambda spec: Rule(spec["text"], spec["tz"], _anchor(spec)),
    "union": lambda spec: union(*map(rhythm_from, spec["rhythms"])),
    "excluding": lambda spec: Excluding(rhythm_from(spec["rhythm"]), calendar_from(spec["calendar"], rhythm_from)),
}


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise Invalid(f"{name}={value!r}: choose {' or '.join(map(repr, allowed))}.")
