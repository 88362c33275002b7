"""The parts of a worker on a memory backend, each within reach, at a time that is moved by hand."""

import asyncio
import functools
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from attrs import evolve

from chronoq.adapters.memory import open_backend
from chronoq.app.fetcher import Fetcher
from chronoq.app.hands import Hands, Run
from chronoq.app.heart import Heart
from chronoq.app.reaper import Reaper
from chronoq.app.runner import Runner
from chronoq.app.tasks import Registry, TaskDef
from chronoq.domain.identity import JobId
from chronoq.domain.job import Claim, Counts, Job, Snapshot, State
from chronoq.domain.ports import QueuePort
from chronoq.domain.verdict import Verdict
from chronoq.testing import ManualClock, Outage
from chronoq.testing.virtual import Inline
from tests.unit.made import DAY, NOW, S, job

LEASE = 30 * S


class Bench:
    """`slots` handlers at a time; nothing moves unless a test says so."""

    def __init__(
        self, *, slots: int = 4, queues: Sequence[str] = ("default",), park_for: timedelta = DAY
    ) -> None:
        self.clock = ManualClock(start=NOW)
        self.backend = evolve(open_backend(), clock=self.clock)
        self.outage: Outage[QueuePort] = Outage(self.backend.queue)
        self.registry = Registry()
        self.hands = Hands(slots)
        self.runner = Runner(self.registry, self.hands, self.clock, lambda: 0.5, park_for)
        self.threads = Inline(self.runner, slots)
        self.coroutines = Inline(self.runner, slots)
        self.fetcher = self.new_fetcher(queues)
        self.timeouts: list[int] = []
        self.heart = Heart(self.outage.port, self.hands, self.runner, LEASE, lambda: self.timeouts.append(1))
        self.reaper = Reaper(self.outage.port, queues, 3)
        self.ran: list[Any] = []
        self.broken: list[AssertionError] = []
        self.task("send", lambda *args: self.ran.append(args))

    def new_fetcher(self, queues: Sequence[str]) -> Fetcher:
        return Fetcher(
            self.outage.port, queues, self.hands, self.registry, self.threads, self.coroutines, "w1", LEASE
        )

    @property
    def now(self) -> Any:
        return self.clock.now()

    def task(self, name: str, fn: Callable[..., Any]) -> TaskDef:
        task = TaskDef(name, self._checked(fn), "default")
        self.registry.tasks[name] = task
        return task

    def _checked(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """A failed assertion in a handler would only be a retry: it is kept, and raised by the next step."""
        if asyncio.iscoroutinefunction(fn):
            return fn

        @functools.wraps(fn)
        def checked(*args: Any, **kwargs: Any) -> Any:
            try:
                return fn(*args, **kwargs)
            except AssertionError as error:
                self.broken.append(error)
                raise

        return checked

    def put(self, *jobs: Job | str) -> None:
        made = [job(one) if isinstance(one, str) else one for one in jobs]
        self.backend.queue.submit(made, now=self.now)

    def take(self, many: int = 1, *, worker: str = "w1", queue: str = "default") -> list[Claim]:
        return list(
            self.backend.queue.claim([(queue, many)], worker=worker, lease=LEASE, now=self.now).claims
        )

    def held(self, *jobs: Job | str) -> list[Run]:
        """Runs in the hands, claimed and not started."""
        self.put(*jobs)
        return [self.hands.take(claim) for claim in self.take(len(jobs))]

    def fetch(self) -> timedelta:
        """One step of the fetcher; how long it rests."""
        if self.broken:
            raise self.broken[0]
        return self.fetcher.step(self.now) - self.now

    def beat(self) -> timedelta:
        return self.heart.step(self.now) - self.now

    def work(self) -> None:
        """Run all that was handed over."""
        while self.threads.turn() or self.coroutines.turn():
            pass
        if self.broken:
            raise self.broken[0]

    def counts(self, queue: str = "default") -> Counts:
        return self.backend.queue.counts([queue], now=self.now)[0]

    def seen(self, key: str, queue: str = "default") -> Snapshot:
        found = self.backend.queue.get([JobId(queue, key)], now=self.now)[0]
        assert found is not None
        return found

    def state(self, key: str, queue: str = "default") -> State:
        return self.seen(key, queue).state

    def verdicts(self) -> list[Verdict]:
        return [verdict for _, verdict in self.hands.outbox]


def in_thread(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread
