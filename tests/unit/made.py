"""Claims, schedules and moments for the unit tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import evolve

from chronoq.domain.firing import fire
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Claim, Job, Options
from chronoq.domain.rhythm import Rhythm, every
from chronoq.domain.schedule import Cursor, Due, Firing, Policy, Schedule, Stored, planned

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
S = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def job(key: str = "a", **given: Any) -> Job:
    values = {"task": "send", "payload": b"[[],{}]", "due": NOW, "enqueued_at": NOW, **given}
    return Job(JobId(values.pop("queue", "default"), key), **values)


def claim(key: str = "a", *, token: int = 1, attempt: int = 1, crashes: int = 0, **given: Any) -> Claim:
    return Claim(job(key, **given), token, attempt, "w1", NOW + 30 * S, crashes)


def options(**given: Any) -> Options:
    return Options(**given)


def plan(rhythm: Rhythm | None = None, **policy: Any) -> Schedule:
    """A schedule that fires each minute unless told otherwise."""
    return Schedule(
        ScheduleId("default", "tick"), rhythm or every("1m"), "tick", b"[[],{}]", Policy(**policy)
    )


def saved(schedule: Schedule, at: datetime = NOW) -> Stored:
    """The schedule as it stands after it was first saved at `at`."""
    _, cursor = planned(None, schedule, now=at)
    return Stored(schedule.id, cursor, schedule)


def step(stored: Stored, now: datetime, *, live: int = 0, failures: int = 0) -> tuple[Firing, Stored]:
    """One step, and what is stored after it."""
    firing = fire(Due(stored, live, failures), now=now)
    assert firing.expected == stored.cursor
    return firing, evolve(stored, cursor=firing.cursor)


def nominals(firing: Firing) -> list[datetime]:
    """The nominal times that became jobs."""
    return [job.origin.nominal for job in firing.jobs if job.origin]


def minutes(*many: float) -> list[datetime]:
    return [NOW + one * MINUTE for one in many]


def cursor(next: datetime | None = NOW, **given: Any) -> Cursor:
    return Cursor(**{"version": 1, "next": next, "since": NOW - HOUR, **given})
