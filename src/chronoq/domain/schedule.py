"""A schedule: a rhythm that makes jobs; a cursor: how far it has come."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from attrs import evolve, frozen

from chronoq.domain.errors import BadSetting
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import DEFAULTS, Job, Options, Origin, Pause
from chronoq.domain.rhythm_base import Rhythm
from chronoq.domain.time import ZERO, up_to_ms
from chronoq.domain.values import value

GRACE = timedelta(seconds=5)
"""A nominal time that is later than this was missed, and falls under the catch-up policy."""

CatchUp = Literal["skip", "latest"] | int


class Overlap(StrEnum):
    """What happens at a nominal time while a run of the same schedule is delayed, ready or running."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE_ONE = "queue_one"
    QUEUE_ALL = "queue_all"
    CANCEL_RUNNING = "cancel_running"


@frozen
class Policy:
    """How a schedule meets outages, slow runs, crowds and failures."""

    catch_up: CatchUp = "latest"
    window: timedelta = timedelta(days=1)
    overlap: Overlap = Overlap.SKIP
    jitter: timedelta = ZERO
    spread: timedelta = ZERO
    pause_after: int | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    max_fires: int | None = None

    def __attrs_post_init__(self) -> None:
        if isinstance(self.catch_up, bool) or (
            self.catch_up not in ("skip", "latest")
            and not (isinstance(self.catch_up, int) and self.catch_up > 0)
        ):
            raise BadSetting(f"catch_up={self.catch_up!r}: give 'skip', 'latest' or a number of 1 or more")
        for label in ("pause_after", "max_fires"):
            value = getattr(self, label)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise BadSetting(f"{label}={value!r}: give a number of 1 or more, or None")


@value
class Walk:
    """From one nominal time to the next: a rhythm that is bound, within a window.

    Schedules that fire alike have equal walks, and share what was found on them.
    """

    rhythm: Rhythm
    starts: datetime | None
    ends: datetime | None

    def __call__(self, moment: datetime) -> datetime | None:
        """The first nominal time after `moment`."""
        if self.starts is not None and moment < self.starts:
            moment = self.starts - timedelta(microseconds=1)
        found = self.rhythm.next_after(moment)
        return None if found is None or (self.ends is not None and found > self.ends) else found


@value
class Schedule:
    """What to run, and at which rhythm. A value: what the user declared, nothing that moves."""

    id: ScheduleId
    rhythm: Rhythm
    task: str
    payload: bytes
    policy: Policy = Policy()
    options: Options = DEFAULTS

    def next_after(self, moment: datetime, *, since: datetime) -> datetime | None:
        """The first nominal time after `moment` within the schedule's window, or None.

        `since` is when this version was saved: the anchor of an interval that has none of its own.
        """
        return self.walk(since=since)(moment)

    def walk(self, *, since: datetime) -> Walk:
        """`next_after` for one `since`, to be asked many times."""
        bound = self.rhythm.bind(seed=self.id.key, anchor=since)
        return Walk(bound, self.policy.starts_at, self.policy.ends_at)

    def job(self, key: str, *, origin: Origin, due: datetime, now: datetime) -> Job:
        """The job under `key` that stands for the origin's nominal time."""
        id = JobId(self.id.queue, key)
        return Job(id, self.task, self.payload, due, now, options=self.options, origin=origin)


@value
class Cursor:
    """How far a schedule has come. Every change is a compare-and-set on the whole of it.

    `next`: the pending nominal time; None when there is none left. `last`: the nominal time before
    it. `since`: when this version was saved. `held`: due, but waiting for a run to end.
    """

    version: int
    next: datetime | None
    since: datetime
    last: datetime | None = None
    fires: int = 0
    held: bool = False
    pause: Pause | None = None

    @property
    def wake(self) -> datetime | None:
        """When to look at it again; None: not before something else happens."""
        if self.pause is not None:
            return self.pause.until
        return None if self.held else self.next

    def moved(
        self, *, next: datetime | None, last: datetime | None, fires: int, held: bool = False
    ) -> "Cursor":
        """This cursor, further on. One that a newer version wrote keeps the parts that only it knows."""
        if type(self) is Cursor:  # `evolve` takes five times as long
            return Cursor(self.version, next, self.since, last, fires, held, self.pause)
        return evolve(self, next=next, last=last, fires=fires, held=held)


@value
class Stored:
    """A schedule as it stands in the store. One that cannot be read has a `defect` and no `schedule`.

    `outdated`: its record is good, but to be signed anew when it is saved next.
    """

    id: ScheduleId
    cursor: Cursor
    schedule: Schedule | None = None
    defect: str = ""
    outdated: bool = False


@value
class Due:
    """A schedule to look at now: its live runs (delayed, ready, running) and its failures in a row."""

    stored: Stored
    live: int = 0
    failures: int = 0


class Happened(StrEnum):
    FIRED = "fired"
    OVERLAP = "skipped: overlap"
    MISSED = "skipped: catch-up"
    PAUSED = "paused"
    MANUAL = "manual"
    BACKFILL = "backfill"
    SET_ASIDE = "set aside"


@value
class Outcome:
    """What became of the nominal time `nominal` (to `last`, `count` of them when known), decided at `at`."""

    nominal: datetime
    what: Happened
    at: datetime
    last: datetime | None = None
    count: int | None = 1
    note: str = ""


@value
class Firing:
    """One step of a schedule: if its cursor is still `expected`, store `cursor`, these jobs and outcomes.

    With `stop` the schedule's running jobs are asked to stop, with `forgive` its failures in a row
    are forgotten, both in the same step.
    """

    id: ScheduleId
    expected: Cursor
    cursor: Cursor
    jobs: tuple[Job, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    stop: bool = False
    forgive: bool = False


class Put(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


def planned(stored: Stored | None, schedule: Schedule, *, now: datetime) -> tuple[Put, Cursor]:
    """What saving `schedule` over `stored` means, and the cursor to store with it.

    Unchanged: the due time is kept. Changed: it is computed anew from `now`, or from the last time that
    fired where a clock that lags says less (S5); a pause stays, and what has fired still counts.
    """
    now = up_to_ms(now)
    if stored is None:
        return Put.CREATED, Cursor(1, schedule.next_after(now, since=now), now)
    if stored.schedule == schedule:
        return Put.UNCHANGED, stored.cursor
    now = max(now, stored.cursor.since, stored.cursor.last or now)
    most = schedule.policy.max_fires
    spent = most is not None and stored.cursor.fires >= most
    following = None if spent else schedule.next_after(now, since=now)
    version = stored.cursor.version + 1
    return Put.UPDATED, evolve(
        stored.cursor, version=version, next=following, last=None, since=now, held=False
    )
