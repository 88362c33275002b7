"""Rhythms: when a schedule fires. Values that answer one question: what comes after this moment?

A rhythm is made by `once`, `every`, `cron`, `rrule` and `union`, and thinned out by `.excluding(calendar)`.
It reads no clock. What it leaves open (the seed of an `H`, an anchor) is closed by `bind`.
"""

from collections.abc import Callable
from datetime import datetime

from chronoq.domain.calendar import Calendar, calendar_from
from chronoq.domain.cronplan import DayMatch, DstGap, DstOverlap
from chronoq.domain.crontext import check_text
from chronoq.domain.errors import BadDuration, BadExpression, Invalid
from chronoq.domain.rhythm_base import Excluding, Rhythm, Spec, Union
from chronoq.domain.rhythm_kinds import Cron, Every, Once, Rule
from chronoq.domain.time import MS, Duration, aware, duration, from_ms, up_to_ms, zone

__all__ = ["Calendar", "Rhythm", "Spec", "cron", "every", "once", "rhythm_from", "rrule", "union"]


def once(at: datetime) -> Rhythm:
    """One fire, at `at`, rounded up to a millisecond."""
    return Once(up_to_ms(aware(at)))


def every(interval: Duration, *, anchor: datetime | None = None) -> Rhythm:
    """A fire at anchor + k * interval, k = 1, 2, ... Without an anchor: from the first saving on."""
    length = duration(interval)
    if length < MS or length % MS:
        raise BadDuration(f"every({interval!r}): an interval is a whole number of milliseconds, at least 1.")
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
    text = check_text(expr).text
    if text.split()[:1] == ["@EVERY"]:
        zone(tz)
        length = text.lower().partition("@every")[2].strip()
        try:
            return every(length)
        except BadDuration as refusal:
            position = expr.lower().rindex(length) if length else len(expr)
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
    "excluding": lambda spec: Excluding(
        rhythm_from(spec["rhythm"]), calendar_from(spec["calendar"], rhythm_from)
    ),
}
