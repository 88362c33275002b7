"""What a person may do to a schedule. Each is a step like a firing: a compare-and-set on the cursor."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen

from chronoq.domain.errors import ChronoqError, Invalid
from chronoq.domain.firing import minted, previous
from chronoq.domain.identity import name
from chronoq.domain.job import Origin, Pause, Priority
from chronoq.domain.schedule import Firing, Happened, Outcome, Schedule, Stored

MOST_BACKFILL = 1_000
"""Nominal times that one backfill covers unless more are asked for."""

_TICK = timedelta(microseconds=1)


def pause(stored: Stored, pause: Pause) -> Firing:
    """Stand still while `pause` holds. The nominal times that pass meanwhile are left out, as paused."""
    return Firing(stored.id, stored.cursor, evolve(stored.cursor, pause=pause, held=False))


def resume(stored: Stored, *, catch_up: bool, now: datetime) -> Firing:
    """Go on: with what was missed under the catch-up policy, or from the next nominal time after `now`."""
    before = stored.cursor
    if before.pause is None:  # what is pending was not missed in a pause: it stays
        return Firing(stored.id, before, before)
    after = evolve(before, pause=None)
    if catch_up or before.next is None or before.next > now:
        return Firing(stored.id, before, after)
    following = readable(stored).next_after(now, since=before.since)
    outcome = Outcome(before.next, Happened.PAUSED, now, last=now, count=None)
    return Firing(stored.id, before, evolve(after, next=following, last=None), outcomes=(outcome,))


def trigger(stored: Stored, key: str, *, now: datetime) -> Firing:
    """One run now, marked manual, whatever else runs. The rhythm goes on untouched."""
    origin = Origin(stored.id, now)
    job = readable(stored).job(key, origin=origin, due=now, now=now)
    outcome = Outcome(now, Happened.MANUAL, now, note=key)
    return Firing(stored.id, stored.cursor, stored.cursor, (job,), (outcome,))


@frozen
class Backfill:
    """The nominal times in [start, end) for which runs are made up, and the name under which they are.

    The same name over the same times makes the same jobs, so one that was cut short is taken up again.
    """

    start: datetime
    end: datetime
    id: str
    again: bool = False
    limit: int = MOST_BACKFILL

    def __attrs_post_init__(self) -> None:
        name(self.id, what="backfill id")
        if self.end <= self.start:
            raise Invalid(f"backfill: the end {self.end} is not after the start {self.start}")


def missing(stored: Stored, backfill: Backfill, ledger: Sequence[Outcome]) -> list[tuple[datetime, datetime]]:
    """The data intervals to make up, oldest first, each ending at its nominal time.

    Left out are the times that the ledger shows as fired, unless `again`, and those that this
    backfill has made up before. Errors: `Invalid` for more than `limit`.
    """
    mine = [o for o in ledger if o.what is Happened.BACKFILL and o.note == backfill.id]
    made = [(o.nominal, o.last or o.nominal) for o in mine]
    fired = set() if backfill.again else {o.nominal for o in ledger if o.what is Happened.FIRED}
    found = []
    for start, nominal in _intervals(stored, backfill):
        if nominal in fired or any(first <= nominal <= last for first, last in made):
            continue
        found.append((start, nominal))
        if len(found) > backfill.limit:
            raise Invalid(
                f"The backfill would make more than {backfill.limit} jobs. Narrow the range, or raise the limit."
            )
    return found


def fill(
    stored: Stored, backfill: Backfill, times: Sequence[tuple[datetime, datetime]], *, now: datetime
) -> Firing:
    """Low-priority jobs for these data intervals, beside the schedule: its rhythm and overlap do not notice."""
    schedule = readable(stored)
    polite = evolve(schedule, options=evolve(schedule.options, priority=Priority.LOW))
    jobs = tuple(
        polite.job(
            f"{minted(schedule.id.key, nominal)}+{backfill.id}",
            origin=Origin(schedule.id, nominal, start, nominal),
            due=now,
            now=now,
        )
        for start, nominal in times
    )
    outcomes: list[Outcome] = []
    for start, nominal in times:
        # neighbours share an entry: one for each would push what has fired out of the ledger, to be made again
        if outcomes and (outcomes[-1].last or outcomes[-1].nominal) == start:
            outcomes[-1] = evolve(outcomes[-1], last=nominal, count=(outcomes[-1].count or 0) + 1)
        else:
            outcomes.append(Outcome(nominal, Happened.BACKFILL, now, note=backfill.id))
    return Firing(stored.id, stored.cursor, stored.cursor, jobs, tuple(outcomes))


def readable(stored: Stored) -> Schedule:
    """The schedule. Errors: `ChronoqError` when its record cannot be read."""
    if stored.schedule is None:
        raise ChronoqError(f"Schedule {stored.id} cannot be read: {stored.defect}. Save it again.")
    return stored.schedule


def _intervals(stored: Stored, backfill: Backfill) -> Iterator[tuple[datetime, datetime]]:
    """(previous nominal time, nominal time) for each nominal time in the range.

    A cron reaches back before the schedule was saved; an interval has no times before its anchor.
    """
    schedule = readable(stored)
    walk = schedule.walk(since=stored.cursor.since)
    nominal = walk(backfill.start - _TICK)
    start = nominal and previous(walk, nominal, or_else=backfill.start)
    while nominal is not None and start is not None and nominal < backfill.end:
        yield start, nominal
        start, nominal = nominal, walk(nominal)
