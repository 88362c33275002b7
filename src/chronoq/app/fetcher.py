"""The worker's actor between the queue and the hands: settles what ended, claims what fits."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Event

from attrs import define, field

from chronoq.app.executors import Executor
from chronoq.app.hands import Hands, Run
from chronoq.app.tasks import Registry
from chronoq.domain.errors import BackendError
from chronoq.domain.job import Claim
from chronoq.domain.ports import QueuePort

log = logging.getLogger("chronoq.worker")

POLL = timedelta(seconds=2)
"""How long an idle worker goes without looking: a lost wake-up costs at most this."""

MOST = 500


@define
class Fetcher:
    """Settles, claims and hands over. A job that lost a worker before runs alone, so that poison convicts itself."""

    queue: QueuePort
    queues: Sequence[str]
    hands: Hands
    registry: Registry
    threads: Executor
    coroutines: Executor
    worker: str
    lease: timedelta
    listen: Callable[[], None] = lambda: None
    """Ask to be woken when there is work."""
    heard: bool = True
    stopping: bool = False
    alone: deque[Run] = field(factory=deque)
    suspect: Run | None = None
    turn: int = 0
    drained: Event = field(factory=Event)
    """Set when it is stopping and nothing is in hand any more."""
    idle: bool = False
    """Whether the last look found nothing to claim, with every queue asked and nothing in hand."""

    def step(self, now: datetime) -> datetime:
        """Settle, then claim what fits; the next look is due with the next delayed job, at `POLL` at the latest."""
        self.settle(now)
        if self.stopping:
            self.give_back(now)
            if not self.hands.held:
                self.drained.set()
            return now + POLL
        if self.suspect in self.hands.held:
            return now + POLL
        self.alone = deque(run for run in self.alone if run in self.hands.held)  # some leases may be lost
        if self.alone:
            return self._isolate(now)
        free = min(self.hands.free_slots(adrift=self.threads.adrift), MOST)
        if not (free or self.heard):
            return now + POLL
        self.heard = False
        found, following = self._claim(free, now)
        self.idle = not found and not self.hands.held and not self.hands.outbox
        if len(found) < free:
            self.listen()
        self._give(found)
        soon = min(following or now + POLL, now + POLL)
        return now if self.alone else soon

    def settle(self, now: datetime) -> None:
        """Hand in the verdicts. They stay in the outbox until the queue has answered: settling twice is settling once."""
        outbox = self.hands.outbox
        while batch := [outbox[place] for place in range(min(len(outbox), MOST))]:
            answers = self.queue.settle(batch, now=now)
            for (claim, _), kept in zip(batch, answers, strict=True):
                outbox.popleft()
                if not kept:
                    log.warning(
                        "⚠ %s  %s  the verdict came too late: the lease was lost", claim.job.task, claim.id.key
                    )

    def give_back(self, now: datetime) -> None:
        """Return what has not started, to the front of its queue."""
        self._return([run for run in (*self._unstarted(), *self.alone) if self.hands.drop(run)], now)
        self.alone.clear()

    def _claim(self, free: int, now: datetime) -> tuple[list[Claim], datetime | None]:
        """Split `free` slots over the queues in rotation; go on with those that gave all they were asked for."""
        found: list[Claim] = []
        nexts: list[datetime] = []
        names = deque(self.queues)
        names.rotate(-self.turn)
        self.turn = (self.turn + 1) % len(names)
        asked = list(names)
        while asked:
            left = free - len(found)
            share, extra = divmod(left, len(asked))
            wants = [(name, share + (place < extra)) for place, name in enumerate(asked)]
            try:
                claimed = self.queue.claim(wants, worker=self.worker, lease=self.lease, now=now)
            except BackendError:
                if not found:
                    raise
                break  # what was granted before is ours, and has to run
            found += claimed.claims
            if claimed.next:
                nexts.append(claimed.next)
            got = {name: sum(claim.id.queue == name for claim in claimed.claims) for name, _ in wants}
            if len(found) >= free:
                break
            asked = [name for name, want in wants if got[name] == want]
        return found, min(nexts, default=None)

    def _give(self, claims: Sequence[Claim]) -> None:
        batches: dict[int, tuple[Executor, list[Run]]] = {}
        for claim in claims:
            run = self.hands.take(claim)
            if claim.crashes:
                self.alone.append(run)
            else:
                executor = self._executor(run)
                batches.setdefault(id(executor), (executor, []))[1].append(run)
        for executor, runs in batches.values():
            executor.give(runs)

    def _isolate(self, now: datetime) -> datetime:
        """Before a suspect starts, everything else in hand ends or goes back."""
        waiting = list(self.alone)
        self._return([run for run in self._unstarted() if self.hands.drop(run)], now)
        if len(self.hands.held) == len(waiting):
            self.suspect = self.alone.popleft()
            self._executor(self.suspect).give([self.suspect])
        return now + POLL

    def _executor(self, run: Run) -> Executor:
        task = self.registry.find(run.claim.job.task)
        return self.coroutines if task and task.is_async else self.threads

    def _unstarted(self) -> list[Run]:
        return [*self.threads.take_back(), *self.coroutines.take_back()]

    def _return(self, runs: Sequence[Run], now: datetime) -> None:
        if runs:
            self.queue.release([run.claim for run in runs], now=now)
