"""What is worth saying about a rhythm before it is saved: legal, but perhaps not what was meant."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from chronoq.domain.cronfields import DAY, HOUR, WEEKDAY
from chronoq.domain.cronplan import Plan, plan
from chronoq.domain.crontext import fields
from chronoq.domain.rhythm_base import Excluding, Rhythm, Union
from chronoq.domain.rhythm_kinds import Cron
from chronoq.domain.time import aware, zone
from chronoq.domain.wallclock import LONGEST_GAP, SECOND, Change

_DAY = timedelta(days=1)


def cautions(rhythm: Rhythm, *, after: datetime | None = None) -> list[str]:
    """Sentences about the cron expressions in `rhythm`.

    With `after` also about the clock changes in the year that begins there.
    """
    said: list[str] = []
    for cron in _crons(rhythm):
        said += _of_days(cron)
        if after is not None:
            said += _of_clock_changes(cron, aware(after, name="after"))
    return list(dict.fromkeys(said))


def _crons(rhythm: Rhythm) -> Iterator[Cron]:
    match rhythm:
        case Cron():
            yield rhythm
        case Union(rhythms=rhythms):
            for each in rhythms:
                yield from _crons(each)
        case Excluding(rhythm=inner):
            yield from _crons(inner)


def _of_days(cron: Cron) -> list[str]:
    said = []
    dates = _plan(cron).dates
    if dates.month_days.restricted and dates.week_days.restricted and not dates.both:
        said.append(
            f"W6: {cron.expression!r} names days of the month and weekdays, and fires when either fits. "
            f"For both write day_match='and'."
        )
    texts = fields(cron.expression)
    for field, unit, cycle in ((DAY, "day of month", "month"), (WEEKDAY, "weekday", "week")):
        if texts[field].text.startswith("*/"):
            said.append(
                f"{cron.expression!r} has a starred step in the {unit}: here it restricts the day "
                f"and counts from the start of each {cycle}; other systems disagree."
            )
    return said


def _of_clock_changes(cron: Cron, after: datetime) -> list[str]:
    read = _plan(cron)
    said = []
    for change in _changes(zone(cron.tz), after):
        wall = read.walk(change.start - SECOND)
        if wall is None or wall >= change.end or not (read.fixed or _hourly_choice(cron)):
            continue
        said.append(f"W3: {wall:%H:%M} {_effect(cron, read, change, zone(cron.tz))}")
    return said


def _effect(cron: Cron, read: Plan, change: Change, at: tzinfo) -> str:
    day = f"{change.start:%Y-%m-%d} ({cron.tz})"
    if not change.gap:
        both = not read.fixed or cron.dst_overlap == "both"
        return f"comes twice on {day}: it fires {'both times' if both else 'at the first'}."
    if read.fixed and cron.dst_gap == "fire" and change.end - change.start <= LONGEST_GAP:
        return f"does not exist on {day}: it fires at {change.at.astimezone(at):%H:%M} instead."
    return f"does not exist on {day}: it does not fire."


def _hourly_choice(cron: Cron) -> bool:
    """Whether a time that follows real time chooses among the hours, so that one can be missed or doubled."""
    return fields(cron.expression)[HOUR].text not in ("*", "*/1")


def _changes(at: tzinfo, after: datetime) -> Iterator[Change]:
    """The clock changes of the year from `after` on."""
    for days in range(366):
        low, high = after + days * _DAY, after + (days + 1) * _DAY
        before, later = low.astimezone(at).utcoffset(), high.astimezone(at).utcoffset()
        if before is None or later is None or before == later:
            continue
        while high - low > SECOND:
            middle = low + (high - low) / 2
            low, high = (middle, high) if middle.astimezone(at).utcoffset() == before else (low, middle)
        moment = high.astimezone(UTC).replace(microsecond=0)
        start, end = sorted(((moment + before).replace(tzinfo=None), (moment + later).replace(tzinfo=None)))
        yield Change(moment, start, end, gap=later > before)


def _plan(cron: Cron) -> Plan:
    return plan(cron.expression, seed=cron.seed, day_match=cron.day_match)
