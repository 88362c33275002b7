"""What must have become of every job, by what the store was asked and what it answered.

Kept outside of the store, and simple: a job is one record, its place one field. Each verb says what the
answer had to be; where it was another one, the law that is broken is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import define, field

from chronoq.domain.identity import JobId
from chronoq.domain.job import Claim, Job, Pause, State
from chronoq.domain.ports import Cancel, Claimed, Hold, Promoted, Submitted
from chronoq.domain.verdict import Dead, Done, Retry, Snooze, Verdict, crashed, excused, leads_to

RUNNING, READY, DELAYED, DEAD = State.RUNNING, State.READY, State.DELAYED, State.DEAD
Fail = Callable[[str, str], None]
KNOWN = ("act", "other")
COUNTED = ("delayed", "ready", "running", "dead", "accepted", "done", "cancelled", "expired", "purged")
"""What the books count of each queue, besides crashes and retries."""
BAD = b'[["work"],{}]'
"""Arguments that fit no signature."""


@define(eq=False)
class Record:
    """A live job. `rank`: its turn in its lane, None once it has been there before."""

    job: Job
    state: State
    due: datetime
    rank: int | None = None
    token: int = 0
    excused: int = 0
    crashes: int = 0
    worker: str = ""
    until: datetime | None = None
    stop: bool = False
    fresh: bool = True
    beside: bool = False
    """Started by a person: it runs beside the rhythm of its schedule."""
    starts: dict[int, int] = field(factory=dict)
    """Executions by token."""
    charged: Counter[JobId] = field(factory=Counter)
    """Crashes that another job, a poison, has cost it."""
    blamed: dict[int, JobId] = field(factory=dict)
    """By token: which poison killed the worker that held it."""
    kills: int = 0
    """Workers that it has killed."""


@define(eq=False)
class End:
    """An ended job. Its id is remembered until `forget`."""

    job: Job
    state: State
    at: datetime
    forget: datetime
    result: bytes = b""


@define(eq=False)
class Books:
    """All jobs that the store has ever held. `fail(law, text)` is told of a broken law."""

    fail: Fail
    now: Callable[[], datetime]
    taken_over: Callable[[Record, Claim], None] = lambda record, claim: None
    """Told before a lapsed lease is taken from its holder."""
    live: dict[JobId, Record] = field(factory=dict)
    ended: dict[JobId, End] = field(factory=dict)
    purged: set[JobId] = field(factory=set)
    counts: dict[str, Counter[str]] = field(factory=dict)
    pauses: dict[str, Pause] = field(factory=dict)
    runs: dict[tuple[str, str], set[JobId]] = field(factory=dict)
    """Live runs by queue and schedule, dead ones left out."""
    ranks: int = 0

    def count(self, queue: str) -> Counter[str]:
        found = self.counts.get(queue)
        if found is None:
            found = self.counts[queue] = Counter(dict.fromkeys(COUNTED, 0))
        return found

    def known(self, id: JobId) -> bool:
        return id in self.live or id in self.ended or id in self.purged

    # places

    def add(self, job: Job, now: datetime, *, beside: bool = False) -> None:
        record = self.live[job.id] = Record(job, DELAYED, job.due, beside=beside)
        count = self.count(job.id.queue)
        count["accepted"] += 1
        self.ended.pop(job.id, None)
        self.purged.discard(job.id)
        if job.run_of:
            self.runs.setdefault((job.id.queue, job.run_of.key), set()).add(job.id)
        if job.due <= now:
            record.state = READY
            self.ranks += 1
            record.rank = self.ranks
        count[record.state] += 1

    def move(self, record: Record, state: State) -> None:
        count = self.counts[record.job.id.queue]
        count[record.state] -= 1
        count[state] += 1
        record.state = state
        if state is not RUNNING:
            record.until, record.stop = None, False

    def wait(self, record: Record, due: datetime, now: datetime) -> None:
        """Back to its queue; from now on it has no turn that could be jumped."""
        record.due, record.fresh, record.rank = due, False, None
        self.move(record, READY if due <= now else DELAYED)

    def end(self, record: Record, state: State, now: datetime, result: bytes = b"") -> None:
        id = record.job.id
        count = self.counts[id.queue]
        count[record.state] -= 1
        count[state] += 1
        del self.live[id]
        self.ended[id] = End(record.job, state, now, now + record.job.options.keep, result)
        self.leave(record)

    def leave(self, record: Record) -> None:
        if record.job.run_of:
            self.runs[record.job.id.queue, record.job.run_of.key].discard(record.job.id)

    def holds(self, claim: Claim) -> Record | None:
        """The record, if the claim is the current one, by owner and token."""
        record = self.live.get(claim.job.id)
        if record is None or record.state is not RUNNING:
            return None
        return record if record.token == claim.token and record.worker == claim.worker else None

    # verbs

    def submit(
        self,
        answers: list[Submitted],
        jobs: Sequence[Job],
        *,
        now: datetime,
        room: Mapping[str, int] | None = None,
    ) -> list[JobId]:
        for job, answer in zip(jobs, answers, strict=True):
            before = self.live.get(job.id) or self.ended.get(job.id)
            if isinstance(before, End) and before.forget <= now:
                before = None
            limit = (room or {}).get(job.id.queue)
            if before is not None:
                right = Submitted.DUPLICATE if before.job.same_work(job) else Submitted.CONFLICT
            elif limit is not None and self._size(job.id.queue) >= limit:
                right = Submitted.FULL
            else:
                right = Submitted.ACCEPTED
            if answer is not right:
                self.fail("Q4", f"submitting {job.id} was answered {answer}, not {right}")
            if answer is Submitted.ACCEPTED:
                self.add(job, now)
        return [job.id for job in jobs]

    def _size(self, queue: str) -> int:
        return sum(id.queue == queue for id in self.live)

    def ripen(self, queue: str, now: datetime) -> list[Record]:
        """The delayed jobs that are due, in the order of their moments."""
        ripe = [
            one
            for id, one in self.live.items()
            if one.state is DELAYED and one.due <= now and id.queue == queue
        ]
        ripe.sort(key=lambda one: one.due)
        return ripe

    def rise(self, ripe: Sequence[Record]) -> None:
        last = None
        for one in ripe:
            if one.due != last:
                self.ranks += 1
                last = one.due
            one.rank = self.ranks if one.fresh else None
            self.move(one, READY)

    def promote(
        self, answers: list[Promoted], queues: Sequence[str], *, now: datetime, limit: int
    ) -> list[JobId]:
        touched: list[JobId] = []
        for queue, answer in zip(queues, answers, strict=True):
            ripe = self.ripen(queue, now)[:limit]
            if len(ripe) != answer.moved:
                self.fail("Q3", f"{answer.moved} of {len(ripe)} due jobs of {queue} were promoted")
            self.rise(ripe)
            touched += [one.job.id for one in ripe]
        return touched

    def claim(
        self,
        answer: Claimed,
        wants: Sequence[tuple[str, int]],
        *,
        worker: str,
        lease: timedelta,
        now: datetime,
        verdicts: Sequence[tuple[Claim, Verdict]] = (),
    ) -> list[JobId]:
        touched = self.settle(list(answer.settled), verdicts, now=now) if verdicts else []
        for queue, _ in wants:
            if self.count(queue)[DELAYED]:
                self.rise(self.ripen(queue, now))
        room = dict(wants)
        for claim in answer.claims:
            id = claim.job.id
            record = self.live.get(id)
            room[id.queue] = room.get(id.queue, 0) - 1
            if record is None or record.state is not READY:
                self._misgranted(id, record)
                continue
            if record.due > self.now():
                self.fail("Q9", f"{id} was granted {record.due - self.now()} before it is due")
            pause = self.pauses.get(id.queue)
            if pause is not None and pause.holds(now):
                self.fail("Q9", f"{id} was granted while {id.queue} is paused")
            if room[id.queue] < 0:
                self.fail("Q2", f"{worker} was granted more than it asked for")
            self._in_turn(record)
            record.token += 1
            record.worker, record.until = worker, now + lease
            self.move(record, RUNNING)
            self._claim_is(claim, record)
        return [*touched, *(claim.job.id for claim in answer.claims)]

    def _misgranted(self, id: JobId, record: Record | None) -> None:
        end = self.ended.get(id)
        if record is not None:
            law = {DELAYED: "Q7", RUNNING: "Q2"}.get(record.state, "Q1")
            self.fail(law, f"{id} was granted while it is {record.state}")
        elif end is not None and end.state is State.CANCELLED:
            self.fail("Q8", f"{id} was granted after it was cancelled")
        else:
            self.fail("Q1", f"{id} was granted although it has ended")

    def _in_turn(self, record: Record) -> None:
        id, priority = record.job.id, record.job.options.priority
        for other in self.live.values():
            if other.state is READY and other.job.id.queue == id.queue and other is not record:
                if other.job.options.priority < priority:
                    self.fail("Q11", f"{id} was granted before {other.job.id} of a higher priority")
                elif (
                    other.rank is not None
                    and record.rank is not None
                    and other.rank < record.rank
                    and other.job.options.priority == priority
                ):
                    self.fail("Q11", f"{id} was granted before {other.job.id}, which came first")

    def _claim_is(self, claim: Claim, record: Record) -> None:
        if claim.token != record.token:
            self.fail("L4", f"{claim.job.id} was granted under token {claim.token}, not {record.token}")
        if claim.crashes != record.crashes:
            self.fail("L3", f"{claim.job.id} has {claim.crashes} crashes, not {record.crashes}")
        if claim.attempt != record.token - record.excused:
            self.fail("L3", f"{claim.job.id} is at attempt {claim.attempt}")
        if claim.expires_at != record.until or claim.worker != record.worker:
            self.fail("Q2", f"{claim.job.id} is leased to {claim.worker} until {claim.expires_at}")

    def extend(
        self, answers: list[Hold], claims: Sequence[Claim], *, lease: timedelta, now: datetime
    ) -> list[JobId]:
        for claim, answer in zip(claims, answers, strict=True):
            record = self.holds(claim)
            if record is None:
                if answer is not Hold.LOST:
                    self.fail("L4", f"{claim.worker} extended {claim.job.id} under an old token")
                continue
            right = Hold.STOP if record.stop else Hold.KEPT
            if answer is Hold.LOST:
                self.fail("L4", f"the holder of {claim.job.id} was told that it is lost")
            elif answer is not right:
                self.fail("Q8", f"the holder of {claim.job.id} heard {answer}, not {right}")
            record.until = now + lease
        return [claim.job.id for claim in claims]

    def settle(
        self, answers: list[bool], verdicts: Sequence[tuple[Claim, Verdict]], *, now: datetime
    ) -> list[JobId]:
        for (claim, verdict), answer in zip(verdicts, answers, strict=True):
            record = self.holds(claim)
            crash = crashed(verdict)
            if crash and record is not None and record.until != claim.expires_at:
                record = None  # extended since the sweep had looked
            if answer != (record is not None):
                law = "L2" if crash else "Q5"
                self.fail(law, f"a verdict on {claim.job.id} under token {claim.token}: {answer}")
            if record is None:
                continue
            if crash:
                self._crashed(record, claim)
            elif isinstance(verdict, Retry | Done) and record.job.payload == BAD and record.job.task in KNOWN:
                self.fail("Q12", f"{claim.job.id} has arguments that fit nothing: {verdict}")
            record.excused += excused(verdict)
            self._settled(record, verdict, now)
        return [claim.job.id for claim, _ in verdicts]

    def _crashed(self, record: Record, claim: Claim) -> None:
        id = record.job.id
        if record.until is not None and record.until > self.now():
            self.fail("L2", f"{record.worker} was robbed of {id}, {record.until - self.now()} before its end")
        self.taken_over(record, claim)
        record.crashes += 1
        self.counts[id.queue]["crashed"] += 1
        poison = record.blamed.get(claim.token)
        if poison is not None:
            record.charged[poison] += 1
            if record.charged[poison] > 1:
                self.fail("L3", f"{id} was charged {record.charged[poison]} times for what {poison} did")

    def _settled(self, record: Record, verdict: Verdict, now: datetime) -> None:
        match verdict:
            case Dead():
                self.move(record, DEAD)
                self.leave(record)
            case Retry() | Snooze() if record.stop:
                self.end(record, State.CANCELLED, now)
            case Retry() | Snooze():
                if isinstance(verdict, Retry) and not verdict.crash:
                    self.counts[record.job.id.queue]["retried"] += 1
                self.wait(record, verdict.at, now)
            case _:
                self.end(record, leads_to(verdict), now, verdict.result if isinstance(verdict, Done) else b"")

    def release(self, answers: list[bool], claims: Sequence[Claim], *, now: datetime) -> list[JobId]:
        for claim, answer in zip(claims, answers, strict=True):
            record = self.holds(claim)
            if answer != (record is not None):
                self.fail("L4", f"{claim.worker} gave {claim.job.id} back under {claim.token}: {answer}")
            if record is not None and record.stop:
                self.end(record, State.CANCELLED, now)
            elif record is not None:
                record.excused += 1
                self.wait(record, now, now)
        return [claim.job.id for claim in claims]

    def report(self, answer: bool, claim: Claim, progress: object) -> list[JobId]:
        if answer != (self.holds(claim) is not None):
            self.fail("L4", f"progress of {claim.job.id} under token {claim.token}: {answer}")
        return []

    def expired(
        self, answer: list[Claim], queues: Sequence[str], *, now: datetime, limit: int
    ) -> list[JobId]:
        for claim in answer:
            record = self.live.get(claim.job.id)
            if record is None or record.until is None or record.until > now:
                self.fail("L2", f"the lease of {claim.job.id} is taken for lapsed")
            elif claim.token != record.token:
                self.fail("L4", f"the lapsed lease of {claim.job.id} has token {claim.token}")
        found = {claim.job.id for claim in answer}
        if len(found) < limit:
            for id, record in self.live.items():
                lapsed = record.until is not None and record.until <= now
                if lapsed and id.queue in queues and id not in found:
                    self.fail("L1", f"the lapsed lease of {id} is not found")
        return []

    def cancel(self, answers: list[Cancel], ids: Sequence[JobId], *, now: datetime) -> list[JobId]:
        for id, answer in zip(ids, answers, strict=True):
            record = self.live.get(id)
            if record is None or record.state is DEAD:
                right = Cancel.GONE
            else:
                waits = Cancel.STOPPED if record.token else Cancel.CANCELLED
                right = Cancel.ASKED if record.state is RUNNING else waits
            if answer is not right:
                self.fail("Q8", f"cancelling {id} was answered {answer}, not {right}")
            if record is not None and right in (Cancel.CANCELLED, Cancel.STOPPED):
                self.end(record, State.CANCELLED, now)
            elif record is not None and right is Cancel.ASKED:
                record.stop = True
        return list(ids)

    def revive(self, answers: list[bool], ids: Sequence[JobId], *, now: datetime) -> list[JobId]:
        for id, answer in zip(ids, answers, strict=True):
            record = self.live.get(id)
            dead = record is not None and record.state is DEAD
            if answer != dead:
                self.fail("Q1", f"reviving {id}: {answer}")
            if record is not None and dead:
                record.excused, record.crashes, record.kills = record.token, 0, 0
                record.charged.clear()
                record.beside = True
                if record.job.run_of:
                    self.runs[id.queue, record.job.run_of.key].add(id)
                self.wait(record, now, now)
        return list(ids)

    def purge(self, answers: list[bool], ids: Sequence[JobId], *, now: datetime) -> list[JobId]:
        for id, answer in zip(ids, answers, strict=True):
            record = self.live.get(id)
            dead = record is not None and record.state is DEAD
            if answer != dead:
                self.fail("Q1", f"purging {id}: {answer}")
            if dead:
                del self.live[id]
                self.purged.add(id)
                self.counts[id.queue][DEAD] -= 1
                self.counts[id.queue]["purged"] += 1
        return list(ids)

    def pause(self, answer: None, queue: str, pause: Pause) -> list[JobId]:
        self.pauses[queue] = pause
        return []

    def resume(self, answer: bool, queue: str) -> list[JobId]:
        self.pauses.pop(queue, None)
        return []
