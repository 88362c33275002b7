"""The ports: what the application asks of a backend.

Verbs are transitions. Each is atomic inside its adapter, takes many at once, and answers in input
order. A batch is atomic per item, not as a whole. `now` is always an argument: adapters read no
clock, so a run replays exactly. Numbers such as Q5 refer to the invariants in `docs/guarantees.md`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from attrs import frozen

from chronoq.domain.durability import IN_MEMORY, Durability
from chronoq.domain.finding import Finding
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Claim, Counts, Ending, Job, Page, Pause, Progress, Snapshot, State
from chronoq.domain.lease import Lease, Presence, Process, Vitals
from chronoq.domain.schedule import Cursor, Due, Firing, Outcome, Schedule, Stored
from chronoq.domain.signing import NO_SIGNING, Signing
from chronoq.domain.sweep import Swept
from chronoq.domain.values import value
from chronoq.domain.verdict import Verdict


class Submitted(StrEnum):
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    FULL = "full"


class Hold(StrEnum):
    """What a holder hears when it extends its lease."""

    KEPT = "kept"
    STOP = "stop"
    """Kept, but someone asked the job to stop."""
    LOST = "lost"


class Cancel(StrEnum):
    CANCELLED = "cancelled"
    """No worker ever had it, and none will."""
    STOPPED = "stopped"
    """A worker had it before, and may have begun it; it waited for another, and will not start again."""
    ASKED = "asked"
    """It runs; it was asked to stop."""
    GONE = "gone"
    """It is not waiting or running here (any more)."""


class Fired(StrEnum):
    YES = "yes"
    MOVED = "moved"
    """Another one was first: the cursor is not the expected one any more."""
    STALE = "stale"
    """The fence has seen a younger leader."""


@frozen
class Promoted:
    """How many jobs moved to ready, and when the next one is due (None: nothing is delayed)."""

    moved: int
    next: datetime | None


@value
class Claimed:
    """The claims that were granted, when to look again, and what was settled."""

    claims: Sequence[Claim]
    """Some adapters read them only when they are looked at; how many there are is known before."""
    next: datetime | None
    """When the next delayed job of those queues is due, or the pause of one ends, whichever comes first."""
    settled: tuple[bool, ...] = ()
    """For each verdict that came along, what `settle` would have answered."""
    more: bool = False
    """Whether some stayed behind for their weight, though fewer than wanted were granted."""


BROUGHT = 4_000_000
"""About how many bytes one claim brings: a slow line brings them within a lease, and a small worker holds them."""


def nothing() -> None:
    """What is done meanwhile, where nothing is."""


class Clock(Protocol):
    def now(self) -> datetime:
        """The time by which things are due, aware, in UTC; it never goes back."""
        ...


class QueuePort(Protocol):
    """Jobs, from submission to ending."""

    def submit(
        self,
        jobs: Sequence[Job],
        *,
        now: datetime,
        room: Mapping[str, int] | None = None,
        meanwhile: Callable[[], None] = nothing,
    ) -> list[Submitted]:
        """Store new jobs: those due by `now` are ready, the others delayed until then.

        Idempotent by id while the id is live or remembered: DUPLICATE, or CONFLICT when the work is
        another (Q4). FULL when the queue already holds `room[queue]` live jobs. `meanwhile` is done as
        `claim` does it.
        """
        ...

    def adopt(self, snapshots: Sequence[Snapshot], *, now: datetime) -> list[Submitted]:
        """Store jobs as they stand in another store: delayed, ready (at the back) or dead, with their history.

        Idempotent by id, as `submit` is. Tokens are kept, so that they go on growing (L4).
        """
        ...

    def promote(self, queues: Sequence[str], *, now: datetime, limit: int) -> list[Promoted]:
        """Move at most `limit` due jobs of each queue from delayed to ready, in order of due time."""
        ...

    def claim(
        self,
        wants: Sequence[tuple[str, int]],
        *,
        worker: str,
        lease: timedelta,
        now: datetime,
        verdicts: Sequence[tuple[Claim, Verdict]] = (),
        meanwhile: Callable[[], None] = nothing,
    ) -> Claimed:
        """Lease up to so many ready jobs from each queue, after promoting what is due: by priority, then FIFO.

        Of heavy ones it grants fewer, and says so: at most about `BROUGHT` bytes, but at least one of each queue
        whatever it weighs. The others are ready as before, in their order.

        Each is the worker's until `now + lease`, under a token one above its last. A paused queue
        grants none (Q9). `verdicts` are settled before, as `settle` does it, and travel in the same
        round trip; when the answer is lost, both may have happened. `meanwhile` is done while the answer
        is on its way, by those who wait for one, else before; not at all where nothing could be asked.
        """
        ...

    def extend(self, claims: Sequence[Claim], *, lease: timedelta, now: datetime) -> list[Hold]:
        """Make each lease end at `now + lease`. LOST when the token is not the job's current one (L4)."""
        ...

    def settle(self, verdicts: Sequence[tuple[Claim, Verdict]], *, now: datetime) -> list[bool]:
        """End leases, each with its verdict, in one step with result, error and counters (Q3, Q13).

        False when the lease is not held under that token, or for a crash when it was extended since it
        was found to have run out (L2): nothing has changed (Q5).
        """
        ...

    def prepare(
        self, verdicts: Sequence[tuple[Claim, Verdict]], *, now: datetime
    ) -> Sequence[tuple[Claim, Verdict]]:
        """The same verdicts, with what can be done ahead for `settle` or `claim` done, as of `now`.

        Nothing is asked and nothing changes. Who has time to spare calls it; most backends give back what they got.
        """
        ...

    def release(self, claims: Sequence[Claim], *, now: datetime) -> list[bool]:
        """Give jobs back to the front of their queue, in the order given; it costs no attempt. False: not held."""
        ...

    def report(self, claim: Claim, progress: Progress) -> bool:
        """Keep the progress of a running job. False: the lease is not held under that token."""
        ...

    def expired(self, queues: Sequence[str], *, now: datetime, limit: int) -> list[Claim]:
        """Leases that have run out, at most `limit` a queue. Read only: `settle` decides."""
        ...

    def cancel(self, ids: Sequence[JobId], *, now: datetime) -> list[Cancel]:
        """End waiting jobs for good; ask running ones to stop (Q8)."""
        ...

    def revive(self, ids: Sequence[JobId], *, now: datetime) -> list[bool]:
        """Put dead letters back to ready, with their attempts and crashes forgotten. False: not dead."""
        ...

    def purge(self, ids: Sequence[JobId], *, now: datetime) -> list[bool]:
        """Remove dead letters for good. False: not dead."""
        ...

    def forget(self, ids: Sequence[JobId], *, now: datetime) -> list[bool]:
        """Forget how jobs ended, and that they were: their ids are free again. False: no ending is remembered.

        Dead letters and live jobs stay.
        """
        ...

    def sweep(self, queue: str, *, now: datetime, mark: str = "", limit: int = 500) -> Swept:
        """One step of a round that mends what damage has left behind (L6), looking at about `limit` entries.

        What is sound stays untouched, whatever else goes on meanwhile. Begin with `mark` "", go on with
        the mark of the answer. When the round is complete the books balance again (Q10).
        """
        ...

    def pause(self, queue: str, pause: Pause) -> None:
        """Grant no claims on the queue while `pause` holds. Promotion and firing go on."""
        ...

    def resume(self, queue: str) -> bool:
        """End a pause. False: there was none."""
        ...

    def endings(self, ids: Sequence[JobId], *, now: datetime) -> list[Ending | None]:
        """How each job ended, dead letters included; None while it is live, or when it is not remembered."""
        ...

    def get(self, ids: Sequence[JobId], *, now: datetime) -> list[Snapshot | None]:
        """What is known of each job: live, or ended and still remembered.

        Of an ended job there are left: id, task, state, the time of its end (also as `due` and
        `enqueued_at`) and the failure; its payload is b"".
        """
        ...

    def find(self, queue: str, state: State, *, now: datetime, mark: str = "", limit: int = 100) -> Page:
        """The jobs of a queue in that state, next to run or latest ended first, from `mark` on.

        Ended jobs are found while they are remembered, the latest thousand at most.
        """
        ...

    def counts(self, queues: Sequence[str], *, now: datetime) -> list[Counts]: ...

    def queues(self) -> list[str]:
        """The names of all queues that ever held a job or schedule, sorted."""
        ...

    def wait_ready(self, queues: Sequence[str], *, timeout: timedelta) -> None:
        """Return when there may be something to claim, or after `timeout`. It may return early."""
        ...

    def wait_claim(
        self,
        wants: Sequence[tuple[str, int]],
        *,
        worker: str,
        lease: timedelta,
        now: datetime,
        timeout: timedelta,
    ) -> Claimed | None:
        """Wait as `wait_ready` does, and claim in the moment in which the wait ends, before anybody can be asked.

        `now` is when it begins, and since nobody knows when it will end, the leases last until
        `now + timeout + lease`. Nothing becomes ready by the time that passes meanwhile. None: this backend
        has only waited; claim what there is. It is always right to do no more than that.
        """
        ...

    def recall(self, worker: str) -> bool:
        """Have that worker's `wait_claim` return soon, and all later ones: it is about to stop.

        What it was granted until then is in the answer, and nothing is granted after. False: no wait of it has
        been granted anything, nor will be, so nobody has to wait for it. That is all where waits only wait.
        """
        ...

    def wait_due(self, queues: Sequence[str], *, timeout: timedelta) -> list[str]:
        """The queues in which something may have become due earlier than was known; [] after `timeout`."""
        ...

    def wait_ended(self, queues: Sequence[str], *, timeout: timedelta) -> list[JobId]:
        """Jobs that have just ended; [] after `timeout`. Hints: some may be missed, so look now and then.

        For one caller at a time; it hears what ends from its first call on.
        """
        ...


class StorePort(Protocol):
    """Recurring schedules. Every change is a compare-and-set on the cursor (S4)."""

    def put(self, schedule: Schedule, *, cursor: Cursor, expected: Cursor | None, now: datetime) -> bool:
        """Store `schedule` with `cursor` if its cursor is `expected` (None: there is none yet)."""
        ...

    def drop(self, ids: Sequence[ScheduleId]) -> list[bool]:
        """Remove schedules with their ledgers. Jobs already made stay. False: there was none."""
        ...

    def due(
        self, queues: Sequence[str], *, now: datetime, limit: int
    ) -> tuple[list[Due], list[datetime | None]]:
        """Schedules to look at by `now`, at most `limit` a queue, and each queue's next such moment after those."""
        ...

    def fire(self, firings: Sequence[Firing], *, fence: int | None, now: datetime) -> list[Fired]:
        """Apply each step if its cursor is the expected one and no leader above `fence` has been seen.

        The jobs are stored in the same step, each at most once by its key (S1). `fence` None: a
        person's own change, which needs no leadership. `firings` may be a `Stream` whose last steps are still
        being decided: who can, applies the first ones meanwhile. What is raised there leaves each step applied
        or not, as a lost answer does.
        """
        ...

    def get(self, ids: Sequence[ScheduleId]) -> list[Stored | None]: ...

    def find(self, queue: str) -> list[Stored]:
        """All schedules of a queue, by id."""
        ...

    def sweep(self, queue: str, *, now: datetime, mark: str = "", limit: int = 500) -> Swept:
        """The same for the schedules of a queue: an active one is always looked at again (S4)."""
        ...

    def live(self, id: ScheduleId) -> list[JobId]:
        """The schedule's jobs that are delayed, ready or running."""
        ...

    def ledger(self, id: ScheduleId, *, limit: int = 100) -> list[Outcome]:
        """What became of its nominal times, the latest first; the last `LEDGER` are kept."""
        ...


class LockPort(Protocol):
    """Named locks with fencing tokens. They save work; no safety rests on them (S2)."""

    def acquire(self, name: str, *, owner: str, ttl: timedelta, now: datetime) -> Lease | None:
        """The lock, if it is free, has run out, or is `owner`'s already; None while another one holds it.

        The tokens of a name that is not known begin above the time in milliseconds: it may have been
        forgotten, and fences may have seen others.
        """
        ...

    def renew(self, lease: Lease, *, ttl: timedelta, now: datetime) -> Lease | None:
        """Hold it until `now + ttl`. None: it is not ours any more, by owner and token."""
        ...

    def release(self, lease: Lease) -> bool: ...


class LifePort(Protocol):
    """Who is alive: birth, heartbeat, death."""

    def birth(self, process: Process, *, ttl: timedelta, now: datetime) -> None: ...

    def beat(self, id: str, vitals: Vitals, *, ttl: timedelta, now: datetime) -> bool:
        """Stay on the roll until `now + ttl`. False: not on it (any more); be born again."""
        ...

    def death(self, id: str) -> None: ...

    def roll(self, *, now: datetime) -> list[Presence]:
        """Those whose last heartbeat still holds, oldest first."""
        ...


LEDGER = 1000
RECENT = 1000
"""How many outcomes of a schedule, and how many latest endings of a queue, are kept to look at."""


@frozen(kw_only=True)
class Opening:
    """What a backend is asked for besides its URL. A backend refuses what it cannot give, with `BadSetting`."""

    namespace: str = "chronoq"
    """First part of every stored key."""
    durability: Durability = IN_MEMORY
    """How much has to be safe before anything is acknowledged."""
    signing: Signing = NO_SIGNING
    """With what the records of jobs and schedules are signed and checked."""


PLAIN = Opening()


@frozen
class Kept:
    """A file that a backend keeps, and how many bytes it has."""

    path: str
    bytes: int


class Upkeep(Protocol):
    """What a backend can do that keeps everything in a file of its own."""

    def backup(self, destination: str) -> Kept:
        """A copy of one instant, in a new file, while everybody goes on. Errors: `BadSetting` when it is there."""
        ...

    def vacuum(self) -> tuple[Kept, Kept]:
        """Give the room of what is gone back to the disk, in small steps; the file before and after."""
        ...


@frozen
class Backend:
    """The four ports and the clock of one store. `close` gives back what it holds; nothing is used after.

    `upkeep`: for a store that is a file; None where the store has tools of its own for that.
    """

    queue: QueuePort
    store: StorePort
    lock: LockPort
    life: LifePort
    clock: Clock
    close: Callable[[], None]
    upkeep: Upkeep | None = None
    examine: Callable[[], Sequence[Finding]] = tuple
    """What can be said of the store itself, beyond the ports: its version, its settings, its memory."""
