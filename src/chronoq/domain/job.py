"""A job: what to run and when; a claim: who runs it now, and until when it is theirs."""

from datetime import datetime, timedelta
from enum import IntEnum, StrEnum

from attrs import field, frozen

from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.retry import Failure, RetryPolicy
from chronoq.domain.time import ZERO, later
from chronoq.domain.values import value

LEAST_MEMORY = timedelta(minutes=1)
"""Every ended id is recognised for at least this long, so that a submission sent twice is one job."""


class Priority(IntEnum):
    """Strict within a queue: nothing of a lower priority starts while a higher one is ready."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3


class State(StrEnum):
    """Where a job is. The first four are places of live jobs, the rest are endings."""

    DELAYED = "delayed"
    READY = "ready"
    RUNNING = "running"
    DEAD = "dead"
    DONE = "done"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


LIVE = (State.DELAYED, State.READY, State.RUNNING, State.DEAD)
ENDED = (State.DONE, State.CANCELLED, State.EXPIRED)


@frozen
class Options:
    """How a job is treated. Tasks, schedules and jobs share this one value.

    `expires`: how long after its due time a job that has not started is still wanted.
    `result_ttl`: how long its result can be read. `remember`: how long its id stays taken after
    the end. `meta`: a JSON object of the user's own, encoded.
    """

    priority: Priority = Priority.NORMAL
    retry: RetryPolicy = field(factory=RetryPolicy)
    timeout: timedelta | None = None
    expires: timedelta | None = None
    result_ttl: timedelta = timedelta(hours=1)
    remember: timedelta = ZERO
    meta: bytes = b""

    @property
    def keep(self) -> timedelta:
        """How long the ending of such a job is kept."""
        return max(self.result_ttl, self.remember, LEAST_MEMORY)


DEFAULTS = Options()


@value
class Origin:
    """The schedule that made a job, the nominal time it stands for, and the data interval [start, end)."""

    schedule: ScheduleId
    nominal: datetime
    start: datetime | None = None
    end: datetime | None = None


@value
class Job:
    """What to run and when. `payload` is the JSON of `[args, kwargs]`, opaque to everything but the task.

    A stored record that cannot be read becomes a job with a `defect`: it is shown, never run.
    """

    id: JobId
    task: str
    payload: bytes
    due: datetime
    enqueued_at: datetime
    options: Options = DEFAULTS
    origin: Origin | None = None
    defect: str = ""

    @property
    def expires_at(self) -> datetime | None:
        """From then on it is not started any more; None: never."""
        return None if self.options.expires is None else later(self.due, self.options.expires)

    @property
    def run_of(self) -> ScheduleId | None:
        """The schedule of which this job is a run, for its overlap policy and its failures in a row.

        A backfill's jobs, known by the `+` in their minted keys, are none: they run beside it.
        """
        return None if self.origin is None or "+" in self.id.key else self.origin.schedule

    def same_work(self, other: "Job") -> bool:
        """Whether both ask for the same thing. Due time and options are not part of that."""
        return self.task == other.task and self.payload == other.payload


@value
class Claim:
    """A lease on a job. `token` is the fencing token: it only grows, and older ones change nothing."""

    job: Job
    token: int
    attempt: int
    worker: str
    expires_at: datetime
    crashes: int = 0

    @property
    def id(self) -> JobId:
        return self.job.id


@frozen
class Progress:
    done: float
    total: float | None = None


@frozen
class Ending:
    """How a job ended. `result` is JSON, for a done job; `failure` is set for a dead one."""

    id: JobId
    state: State
    at: datetime
    result: bytes = b""
    failure: Failure | None = None


@frozen
class Snapshot:
    """A job as people look at it: where it is, and what is known of it."""

    job: Job
    state: State
    attempt: int = 0
    token: int = 0
    crashes: int = 0
    worker: str = ""
    until: datetime | None = None
    """delayed: due again; running: the lease's end; dead: time of death; ended: time of the end."""
    failure: Failure | None = None
    reason: str = ""
    progress: Progress | None = None
    stopping: bool = False


@frozen
class Page:
    """Some snapshots, and the mark to ask for the next ones with; "" when there are no more."""

    items: tuple[Snapshot, ...]
    mark: str = ""


@frozen
class Pause:
    """Why and until when something stands still; `until` None: until it is resumed."""

    note: str = ""
    until: datetime | None = None

    def holds(self, now: datetime) -> bool:
        return self.until is None or now < self.until


@frozen
class Counts:
    """A queue in figures.

    Exact at rest: accepted = delayed + ready + running + dead + done + purged + cancelled + expired + lost.
    `lost`: damage to the store has left nothing of them. `mended`: what a sweep has put right.
    """

    queue: str
    delayed: int = 0
    ready: int = 0
    running: int = 0
    dead: int = 0
    accepted: int = 0
    done: int = 0
    cancelled: int = 0
    expired: int = 0
    purged: int = 0
    retried: int = 0
    crashed: int = 0
    lost: int = 0
    mended: int = 0
    pause: Pause | None = None

    @property
    def balanced(self) -> bool:
        """Invariant Q10."""
        places = self.delayed + self.ready + self.running + self.dead
        ended = self.done + self.purged + self.cancelled + self.expired
        return self.accepted == places + ended + self.lost
