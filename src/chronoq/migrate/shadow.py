"""Watching an rq-scheduler at work, beside what chronoq would do. Nothing is written, nothing delivered."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice

from attrs import define, field, frozen

from chronoq.domain.time import up_to_ms
from chronoq.migrate.comparing import Difference, Kind, differences, next_times
from chronoq.migrate.plan import Planned, Planner
from chronoq.migrate.source import Line, Source

MOST = 10_000
"""Nominal times of one line that are compared."""


@define
class Watched:
    """A line under observation. `stamp`: RQ's note of when it was last enqueued, by which a run is known."""

    planned: Planned
    since: datetime
    score: float | None
    stamp: bytes
    fires: list[datetime] = field(factory=list)
    doubled: list[Difference] = field(factory=list)
    closed: datetime | None = None
    """From then on chronoq would not run it either: somebody has cancelled it."""
    said: str = ""


@frozen
class Report:
    """Of one line: how often each of the two would have run it, and where they differ."""

    planned: Planned
    expected: int
    ran: int
    differences: tuple[Difference, ...]
    said: str = ""

    def count(self, kind: Kind) -> int:
        return sum(one.kind is kind for one in self.differences)

    @property
    def worst(self) -> timedelta | None:
        """The longest that it was late."""
        return max((one.by for one in self.differences if one.kind is Kind.LATE and one.by), default=None)


@define
class Shadow:
    """Looks again and again, from `begin` on, until `end`."""

    source: Source
    planner: Planner
    end: datetime
    tolerance: timedelta
    watched: dict[str, Watched] = field(factory=dict, init=False)
    done: list[Watched] = field(factory=list, init=False)
    """What somebody has cancelled or put to another time."""

    def begin(self, now: datetime) -> None:
        self._watch([line for line in self.source.lines() if not line.moving], now)

    def look(self, now: datetime) -> None:
        """What has changed since the last look."""
        scores = self.source.scores(self.end)
        for id in [id for id, one in self.watched.items() if one.score is None and id in scores]:
            if self.watched[
                id
            ].planned.schedule:  # between taking it out and putting it back, it is not there
                self.watched[id].score = scores[id]
            else:
                self.done.append(self.watched.pop(id))
        new = [id for id in scores if id not in self.watched]
        if new:
            records = self.source.records(new)
            self._watch([Line(id, scores[id], r) for id, r in zip(new, records, strict=True)], now)
        changed = [
            id
            for id, one in self.watched.items()
            if one.score is not None and one.score <= self.end.timestamp() and scores.get(id) != one.score
        ]
        if changed:
            records, found = self.source.records(changed), self.source.scores_of(changed)
            for id, record, score in zip(changed, records, found, strict=True):
                self._changed(self.watched[id], Line(id, score or 0, record), score, now)

    def reports(self, now: datetime) -> list[Report]:
        """What there is to say about each line."""
        listed = [*self.done, *self.watched.values()]
        return [self._report(one, min(now, self.end)) for one in listed]

    def _watch(self, lines: Sequence[Line], now: datetime) -> None:
        for line, planned in zip(lines, self.planner.plan(lines, now=now), strict=True):
            one = Watched(planned, now, line.score, line.fields.get(b"enqueued_at", b""))
            if planned.entry and planned.entry.cron_string and line.due and line.due > now:
                one.doubled += next_times(planned.next, up_to_ms(line.due), tolerance=self.tolerance)
            self.watched[line.id] = one

    def _changed(self, one: Watched, line: Line, score: float | None, now: datetime) -> None:
        stamp = line.fields.get(b"enqueued_at", b"")
        if stamp != one.stamp:
            one.fires.append(now)
            one.score, one.stamp = score, stamp
            queue = line.fields.get(b"origin", b"").decode("utf-8", "replace")
            if self.source.in_line(queue, line.id) > 1:
                one.doubled.append(Difference(Kind.DOUBLED, None, now))
                one.said = "it stands in line more than once"
            return
        if score is None and not line.fields:
            one.score, one.said = None, "RQ's record has expired, and rq-scheduler has dropped it"
            return
        one.closed, one.said = now, "cancelled" if score is None else "put to another time"
        self.done.append(self.watched.pop(line.id))
        if score is not None:
            self._watch([line], now)

    def _report(self, one: Watched, now: datetime) -> Report:
        planned, until = one.planned, one.closed or now
        nominals = list(islice(_nominals(planned, one.since, until), MOST))
        waiting = one.score is not None and one.score <= now.timestamp()
        found = differences(nominals, one.fires, until=until, tolerance=self.tolerance, waiting=waiting)
        return Report(planned, len(nominals), len(one.fires), (*one.doubled, *found), planned.why or one.said)


def _nominals(planned: Planned, since: datetime, until: datetime) -> Iterator[datetime]:
    """When chronoq would have run it: of the times that had passed when it was first seen, the last one."""
    missed: datetime | None = None
    for moment in _times(planned, until):
        if moment <= since:
            missed = moment
            continue
        if missed is not None:
            yield missed
            missed = None
        yield moment
    if missed is not None:
        yield missed


def _times(planned: Planned, until: datetime) -> Iterator[datetime]:
    moment, schedule, cursor = planned.next, planned.schedule, planned.cursor
    left = schedule.policy.max_fires if schedule else 1
    while moment is not None and moment <= until and (left is None or left > 0):
        yield moment
        left = left and left - 1
        moment = schedule.next_after(moment, since=cursor.since) if schedule and cursor else None


def summed(reports: Sequence[Report]) -> Counter[str]:
    """How many differences of each kind."""
    return Counter(str(one.kind) for report in reports for one in report.differences)
