"""The laws, checked after each step: the books are kept outside of the store, and compared with what it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from attrs import define, field

from chronoq.app.context import Context
from chronoq.domain.identity import JobId
from chronoq.domain.job import LIVE, State
from chronoq.domain.lease import Lease
from chronoq.domain.ports import Backend, Fired
from chronoq.domain.schedule import Firing
from chronoq.domain.time import EPOCH
from chronoq.domain.verdict import Dead, Done, Verdict
from tests.simulator.jobs import COUNTED, Books
from tests.simulator.plans import Plans

if TYPE_CHECKING:
    from chronoq.app.hands import Run
    from tests.simulator.hub import Process

OFTEN = 16
"""Changes after which everything is looked at, not only what was touched."""

shown_counts, right_counts = attrgetter(*COUNTED), itemgetter(*COUNTED)
READS = frozenset({"get", "find", "endings", "counts", "queues", "live", "ledger", "due", "roll"})
ABOUT = {"submit": "Q1", "claim": "Q2", "cancel": "Q8", "extend": "L4"}
"""Which law is broken when a verb has left a job where it does not belong; of others it is Q3."""


class Violation(AssertionError):
    """A broken law."""

    def __init__(self, law: str, text: str) -> None:
        super().__init__(f"{law}: {text}")
        self.law = law


@define(eq=False)
class Checker:
    """Is told of every call that was carried out, with its answer, and of every execution.

    `found` is the first broken law. Whoever steps the world asks for it after each step.
    """

    true: Backend
    now: Callable[[], datetime]
    halt: Callable[[], None] = lambda: None
    """Called with the first broken law."""
    found: Violation | None = None
    jobs: Books = field(init=False)
    plans: Plans = field(init=False)
    locks: dict[str, Lease] = field(factory=dict)
    changes: int = 0
    verbs: dict[str, Callable[..., list[JobId]]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.jobs = Books(self.fail, self.now)
        self.plans = Plans(self.fail, self.now, self.jobs)
        names = "submit promote claim extend settle release report expired cancel revive purge pause resume"
        self.verbs = {name: getattr(self.jobs, name) for name in names.split()}
        self.verbs |= {name: getattr(self.plans, name) for name in ("put", "drop", "fire")}
        self.verbs |= {"acquire": self._acquire, "renew": self._renew, "release lock": self._unlock}

    def fail(self, law: str, text: str) -> None:
        if self.found is None:
            self.found = Violation(law, text)
            self.halt()

    def saw(
        self, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any], answer: Any, process: Process
    ) -> None:
        """The store has carried this out."""
        if self.found is not None:
            return
        now = kwargs.get("now")
        if now is not None and now > self.now():
            self.fail("S6", f"{process.name} takes it for {now}, and it is {self.now()}")
        if verb in READS:
            return
        if verb == "release" and isinstance(args[0], Lease):
            verb = "release lock"
        touched = self.verbs[verb](answer, *args, **kwargs)
        if verb == "settle":
            self._ended(args[0], answer)
        elif verb == "fire":
            self._kept(args[0], answer)
        elif verb == "claim" and kwargs.get("verdicts"):
            self._ended(kwargs["verdicts"], answer.settled)
        if verb in ("report", "expired", "acquire", "renew", "release lock"):
            return
        self.changes += 1
        if touched:
            if verb == "claim":
                granted = {claim.job.id for claim in answer.claims}
                self._look_at(list(granted), "Q2")
                self._look_at([id for id in touched if id not in granted], "Q3")
            else:
                self._look_at(touched, ABOUT.get(verb, "Q3"))
            self._count({id.queue: None for id in touched})
        if self.changes % OFTEN == 0:
            self.look()

    # what the store shows

    def _look_at(self, ids: Sequence[JobId], law: str) -> None:
        if not ids:
            return
        ids = list(dict.fromkeys(ids))
        for id, shown in zip(ids, self.true.queue.get(ids, now=self.now()), strict=True):
            record = self.jobs.live.get(id)
            if record is None:
                end = self.jobs.ended.get(id)
                if end is not None and end.forget > self.now():
                    if shown is None or (shown.state, shown.until) != (end.state, end.at):
                        self.fail(
                            law if law == "Q8" else "Q1",
                            f"{id} ended as {end.state} at {end.at}, and is shown as {shown}",
                        )
                elif shown is not None and shown.state in LIVE:
                    self.fail(law if law == "Q8" else "Q1", f"{id} has ended, and is shown as {shown.state}")
                continue
            if shown is None or shown.state is not record.state:
                self.fail(law, f"{id} is {record.state}, and is shown as {shown and shown.state}")
            elif (shown.token, shown.attempt) != (record.token, record.token - record.excused):
                self.fail("L4", f"{id} has token {record.token}, and shows {shown.token}, {shown.attempt}")
            elif shown.crashes != record.crashes:
                self.fail("L3", f"{id} has {record.crashes} crashes, and shows {shown.crashes}")
            elif record.state is State.RUNNING and shown.until != record.until:
                self.fail("L4", f"the lease of {id} ends at {record.until}, and shows {shown.until}")
            elif record.state is State.RUNNING and shown.stopping != record.stop:
                self.fail("Q8", f"{id} was asked to stop: {record.stop}, and shows {shown.stopping}")

    def _count(self, queues: dict[str, None]) -> None:
        """Q10: the books of these queues balance."""
        for counts in self.true.queue.counts(list(queues), now=self.now()):
            mine = self.jobs.count(counts.queue)
            if not counts.balanced or shown_counts(counts) != right_counts(mine):
                self.fail("Q10", f"the books: {counts}, and not {dict(mine)}")
            elif (counts.crashed, counts.retried) != (mine["crashed"], mine["retried"]):
                self.fail("L3", f"crashes and retries: {counts}, and not {dict(mine)}")

    def look(self) -> None:
        """Q1: each live job is in the one place where it has to be, and nowhere else."""
        places: dict[tuple[str, State], list[str]] = {
            (queue, state): [] for queue in self.jobs.counts for state in LIVE
        }
        for id, record in self.jobs.live.items():
            places[id.queue, record.state].append(id.key)
        for (queue, state), right in places.items():
            items = self.true.queue.find(queue, state, now=self.now(), limit=1_000).items
            shown = [one.job.id.key for one in items if one.job.id.queue == queue]
            if len(shown) != len(items) or sorted(shown) != sorted(right):
                ids = [str(one.job.id) for one in items]
                self.fail("Q1", f"{state} in {queue} are {sorted(right)}, shown are {sorted(ids)}")

    def _ended(self, verdicts: Sequence[tuple[Any, Verdict]], answers: Sequence[bool]) -> None:
        for (claim, verdict), kept in zip(verdicts, answers, strict=True):
            if not kept or not isinstance(verdict, Done | Dead):
                continue
            (ending,) = self.true.queue.endings([claim.job.id], now=self.now())
            if isinstance(verdict, Done):
                if ending is None or ending.state is not State.DONE or ending.result != verdict.result:
                    self.fail("Q13", f"{claim.job.id} is done with {verdict.result!r}, shown is {ending}")
            elif ending is None or ending.failure != verdict.failure or not verdict.failure.type:
                self.fail("Q13", f"{claim.job.id} is dead of {verdict.failure}, shown is {ending}")

    def _kept(self, firings: Sequence[Firing], answers: Sequence[Fired]) -> None:
        """S3: what became of a nominal time can be read afterwards."""
        for firing, answer in zip(firings, answers, strict=True):
            if answer is Fired.YES and firing.outcomes:
                many = len(firing.outcomes)
                if self.true.store.ledger(firing.id, limit=many)[::-1] != list(firing.outcomes):
                    self.fail("S3", f"{firing.id}: the ledger lacks {firing.outcomes}")

    # locks

    def _acquire(
        self, answer: Lease | None, name: str, *, owner: str, ttl: timedelta, now: datetime
    ) -> list[JobId]:
        last = self.locks.get(name)
        theirs = last is not None and last.expires_at > now and last.owner != owner
        if theirs != (answer is None):
            self.fail("L5", f"{owner} asked for {name}, which is {last}: {answer}")
        if answer is not None:
            kept = last is not None and last.owner == owner and last.expires_at > now
            if last is not None and not (answer.token == last.token if kept else answer.token > last.token):
                self.fail("L5", f"{owner} got {name} under token {answer.token}, after {last.token}")
            self.locks[name] = answer
        return []

    def _renew(self, answer: Lease | None, lease: Lease, *, ttl: timedelta, now: datetime) -> list[JobId]:
        last = self.locks.get(lease.name)
        ours = last is not None and (last.owner, last.token) == (lease.owner, lease.token)
        if (answer is not None) != (ours and last is not None and last.expires_at > now):
            self.fail("L5", f"{lease.owner} renewed {lease.name}, which is {last}: {answer}")
        if answer is not None:
            if answer.expires_at != now + ttl:
                self.fail("L5", f"{lease.name} was renewed until {answer.expires_at}")
            self.locks[lease.name] = answer
        return []

    def _unlock(self, answer: bool, lease: Lease) -> list[JobId]:
        last = self.locks.get(lease.name)
        if last is not None and answer:
            self.locks[lease.name] = Lease(last.name, "", last.token, EPOCH)
        return []

    # executions

    def started(self, context: Context, process: Process) -> None:
        """A handler begins."""
        id = JobId(context.queue, context.key)
        if context.due > self.now():
            self.fail("Q9", f"{id} started {context.due - self.now()} before it is due")
        record = self.jobs.live.get(id)
        if record is None or record.token < context.token:
            return  # a zombie's: what it held has ended since
        record.starts[context.token] = many = record.starts.get(context.token, 0) + 1
        if many > 1:
            self.fail("Q2", f"{id} started {many} times under token {context.token}")
        if record.token == context.token and record.worker != process.name:
            self.fail("Q2", f"{id} started in {process.name}, and is leased to {record.worker}")

    def poisoned(self, context: Context, process: Process, held: Sequence[Run], most: int) -> None:
        """A handler is about to kill its process, and all that it holds."""
        poison = JobId(context.queue, context.key)
        record = self.jobs.live.get(poison)
        if record is not None and record.token == context.token:
            record.kills += 1
            if record.kills > most:
                self.fail("L3", f"{poison} kills its {record.kills}th worker, {most} are allowed")
        for run in held:
            other = self.jobs.holds(run.claim)
            if other is None or other.job.id == poison or other.until is None:
                continue
            if other.until > self.now():  # a lease that has run out before is charged for that
                other.blamed[run.claim.token] = poison

    def acknowledged(self, id: JobId) -> None:
        if not self.jobs.known(id):
            self.fail("Q1", f"{id} was acknowledged, and nobody has it")
