"""What one queue holds. A live job's key stands in exactly one of ready, delayed, leases, dead (Q1)."""

from collections import Counter, OrderedDict, deque
from datetime import datetime, timedelta
from hashlib import blake2b
from heapq import heappop, heappush
from itertools import islice

from attrs import define, field

from chronoq.domain.identity import JobId
from chronoq.domain.job import Claim, Ending, Job, Pause, Priority, Progress, State
from chronoq.domain.ports import LEDGER, RECENT
from chronoq.domain.retry import Failure
from chronoq.domain.schedule import Cursor, Outcome, Schedule

TOKENS = 64
_KEPT = timedelta(hours=1)


@define
class Entry:
    """A live job with all that happened to it."""

    job: Job
    token: int = 0
    excused: int = 0
    crashes: int = 0
    worker: str = ""
    failure: Failure | None = None
    reason: str = ""
    progress: Progress | None = None


@define
class Memory:
    """What is remembered of an ended job, until `until`."""

    ending: Ending
    task: str
    work: bytes
    until: datetime


@define
class Plan:
    """A schedule with its cursor and its ledger. `freed`: when the last run that held it back ended."""

    schedule: Schedule
    cursor: Cursor
    freed: datetime | None = None
    ledger: deque[Outcome] = field(factory=lambda: deque(maxlen=LEDGER))


def fingerprint(job: Job) -> bytes:
    """Equal for jobs that ask for the same work."""
    return blake2b(job.task.encode() + b"\0" + job.payload, digest_size=16).digest()


@define
class Shelf:
    """One queue. Its methods keep the places consistent; the ports decide what moves."""

    name: str
    news: deque[JobId] = field(factory=deque)
    jobs: dict[str, Entry] = field(factory=dict)
    delayed: dict[str, datetime] = field(factory=dict)
    order: list[tuple[datetime, str]] = field(factory=list)
    ready: tuple[OrderedDict[str, None], ...] = field(factory=lambda: tuple(OrderedDict() for _ in Priority))
    skips: set[str] = field(factory=set)
    leases: dict[str, datetime] = field(factory=dict)
    stops: set[str] = field(factory=set)
    dead: dict[str, datetime] = field(factory=dict)
    ended: dict[str, Memory] = field(factory=dict)
    recent: deque[str] = field(factory=lambda: deque(maxlen=RECENT))
    stats: Counter[str] = field(factory=Counter)
    pause: Pause | None = None
    plans: dict[str, Plan] = field(factory=dict)
    runs: dict[str, dict[str, None]] = field(factory=dict)
    failures: Counter[str] = field(factory=Counter)
    dues: list[tuple[datetime, str]] = field(factory=list)
    fence: int = 0
    work: int = 0
    time: bool = False

    def add(self, job: Job, *, now: datetime) -> None:
        """Store a new job: ready when due, else delayed."""
        self.unmark(job.id.key)
        self.jobs[job.id.key] = Entry(job)
        self.stats["accepted"] += 1
        if job.run_of:
            self.runs.setdefault(job.run_of.key, {})[job.id.key] = None
        self.place(job.id.key, job.due, now=now)

    def adopt(self, entry: Entry, at: datetime | None, state: State, *, now: datetime) -> None:
        """Store a job with its history, where it stood elsewhere."""
        key = entry.job.id.key
        self.unmark(key)
        self.jobs[key] = entry
        self.stats["accepted"] += 1
        if state is State.DEAD:
            self.dead[key] = at or now
            return
        if entry.job.run_of:
            self.runs.setdefault(entry.job.run_of.key, {})[key] = None
        self.place(key, at or now, now=now)

    def place(self, key: str, due: datetime, *, now: datetime, front: bool = False) -> None:
        """Put a job that stands nowhere to ready, at the back, or to delayed when it is not due yet."""
        priority = self.jobs[key].job.options.priority
        if due <= now:
            lane = self.ready[priority]
            lane[key] = None
            lane.move_to_end(key, last=not front)
            self.work = min(self.work + 1, TOKENS)
            return
        earliest = self.next_moment()
        self.time |= earliest is None or due < earliest
        self.delayed[key] = due
        heappush(self.order, (due, f"{priority:d}{key}"))

    def next_delayed(self) -> datetime | None:
        """When the next delayed job is due; forgets entries of the order that stand for nothing any more."""
        while self.order and self.delayed.get(self.order[0][1][1:]) != self.order[0][0]:
            heappop(self.order)
        return self.order[0][0] if self.order else None

    def next_moment(self) -> datetime | None:
        """When something of this queue is due next: a job or a schedule."""
        wakes = (self.next_delayed(), self.next_due())
        return min((wake for wake in wakes if wake is not None), default=None)

    def wake(self, id: str) -> datetime | None:
        """When to look at a schedule: its cursor's time, or the moment that freed it from being held."""
        plan = self.plans.get(id)
        if plan is None:
            return None
        return plan.freed if plan.cursor.held and plan.cursor.pause is None else plan.cursor.wake

    def next_due(self) -> datetime | None:
        """When to look at the next schedule; forgets what stands for nothing any more."""
        while self.dues and self.wake(self.dues[0][1]) != self.dues[0][0]:
            heappop(self.dues)
        return self.dues[0][0] if self.dues else None

    def watch(self, id: str, *, freed: datetime | None = None) -> None:
        """Take note of a plan's new cursor, or of the moment that freed it."""
        earliest = self.next_moment()
        self.plans[id].freed = freed
        wake = self.wake(id)
        if wake is not None:
            self.time |= earliest is None or wake < earliest
            heappush(self.dues, (wake, id))

    def promote(self, *, now: datetime, limit: int) -> int:
        moved = 0
        while moved < limit and (due := self.next_delayed()) is not None and due <= now:
            key = heappop(self.order)[1][1:]
            del self.delayed[key]
            self.place(key, due, now=now)
            moved += 1
        return moved

    def pop_ready(self) -> str | None:
        for lane in self.ready:
            while lane:
                key, _ = lane.popitem(last=False)
                if key not in self.skips:
                    return key
                self.skips.remove(key)
        return None

    def put_back(self, key: str) -> None:
        """Undo the `pop_ready` that has answered this key."""
        lane = self.ready[self.jobs[key].job.options.priority]
        lane[key] = None
        lane.move_to_end(key, last=False)

    def waiting(self) -> list[str]:
        """The keys that are ready, next to run first."""
        return [key for lane in self.ready for key in lane if key not in self.skips]

    def is_ready(self, key: str) -> bool:
        return key not in self.skips and any(key in lane for lane in self.ready)

    def claim(self, key: str, *, worker: str, until: datetime) -> Claim:
        entry = self.jobs[key]
        entry.token += 1
        entry.worker = worker
        self.leases[key] = until
        return self.claim_of(key)

    def claim_of(self, key: str) -> Claim:
        entry = self.jobs[key]
        attempt = entry.token - entry.excused
        return Claim(entry.job, entry.token, attempt, entry.worker, self.leases[key], entry.crashes)

    def holds(self, claim: Claim) -> bool:
        """Whether the claim is the current one: leased to the same worker, under the same token (L4)."""
        key = claim.id.key
        if key not in self.leases:
            return False
        entry = self.jobs[key]
        return entry.token == claim.token and entry.worker == claim.worker

    def unplace(self, key: str) -> None:
        """Take a job from wherever it stands. A ready one keeps its place as a mark that a claim skips."""
        if self.is_ready(key):
            self.skips.add(key)
        self.delayed.pop(key, None)
        self.leases.pop(key, None)
        self.dead.pop(key, None)
        self.stops.discard(key)

    def end(self, key: str, state: State, *, now: datetime, result: bytes = b"") -> None:
        """Remove a live job and remember how it ended (Q13)."""
        self.unplace(key)
        entry = self.jobs.pop(key)
        job = entry.job
        ending = Ending(job.id, state, now, result)
        self.ended[key] = Memory(ending, job.task, fingerprint(job), now + job.options.keep)
        self.recent.appendleft(key)
        self.stats[state.value] += 1
        if state is State.DONE and job.run_of:
            self.failures.pop(job.run_of.key, None)
        self.leave(job, now=now)
        self.forget(now)

    def bury(self, key: str, failure: Failure, *, now: datetime) -> None:
        """Move a job to the dead letters."""
        self.unplace(key)
        entry = self.jobs[key]
        entry.failure, entry.reason, entry.progress = failure, "", None
        self.dead[key] = now
        if entry.job.run_of:
            self.failures[entry.job.run_of.key] += 1
        self.leave(entry.job, now=now)

    def leave(self, job: Job, *, now: datetime) -> None:
        """A job runs no more: say so, and let its schedule know; the last of its runs frees a held one."""
        self.news.append(job.id)
        if not job.run_of:
            return
        id = job.run_of.key
        self.runs.get(id, {}).pop(job.id.key, None)
        plan = self.plans.get(id)
        if plan and plan.cursor.held and plan.freed is None and not self.runs.get(id):
            self.watch(id, freed=now)

    def remembered(self, key: str, *, now: datetime) -> Memory | None:
        memory = self.ended.get(key)
        return memory if memory and memory.until > now else None

    def dismiss(self, key: str, *, now: datetime) -> bool:
        """Forget one ending now. False: it is not remembered."""
        known = self.remembered(key, now=now) is not None
        self.ended.pop(key, None)
        self.unmark(key)
        return known

    def unmark(self, key: str) -> None:
        """Clear the place in line that a job has left which was cancelled while ready."""
        if key in self.skips:
            self.skips.remove(key)
            for lane in self.ready:
                lane.pop(key, None)

    def forget(self, now: datetime) -> None:
        """Let go of a few endings that nobody can ask for any more, so that memory stays bounded."""
        edge = now - _KEPT
        for key in tuple(islice(self.ended, 4)):
            if self.ended[key].until < edge:
                del self.ended[key]
