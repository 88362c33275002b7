"""The whole system in memory and in virtual time: schedulers, workers and handlers, stepped by hand."""

import asyncio
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import count
from types import TracebackType
from typing import Any, Self

from attrs import define, evolve, field, frozen
from dependency_injector import providers

from chronoq.adapters.memory import open_backend
from chronoq.adapters.memory.queue import MemoryQueue
from chronoq.adapters.memory.room import Room
from chronoq.api.handle import JobHandle
from chronoq.api.scheduler import Scheduler
from chronoq.api.task import Task
from chronoq.app.client import Client
from chronoq.app.listener import Listener, Tell
from chronoq.app.loop import FIRST_PAUSE, Ear, Loop
from chronoq.app.payload import decoded
from chronoq.app.presence import TTL
from chronoq.app.scheduler import SchedulerService
from chronoq.app.schedules import Schedules
from chronoq.app.worker import Worker
from chronoq.domain.errors import Invalid, ResultTimeout
from chronoq.domain.identity import JobId
from chronoq.domain.job import Job, Snapshot, State
from chronoq.domain.lease import Kind
from chronoq.domain.ports import Backend, LifePort, LockPort, QueuePort, StorePort
from chronoq.domain.schedule import Outcome
from chronoq.domain.time import ZERO, Duration, brief, duration
from chronoq.testing.clock import START, ManualClock
from chronoq.testing.outage import Outage
from chronoq.testing.virtual import Inline, VirtualLoop

AT_ONCE = 1_000_000
"""Steps within one moment after which a drill says that it goes round in circles."""

PATIENCE = timedelta(days=1)
"""How long, in virtual time, `handle.result()` waits in a drill."""


@frozen
class Enqueued:
    """A job that waits: what it was enqueued with, and when it is due."""

    id: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    due: datetime


class Drill:
    """An application on a backend of its own, in memory, at a time that only moves when it is told to.

    The true actors run, wired as in production, each stepped when its moment has come; handlers run
    inside that step. A run is repeated exactly: retries draw their jitter from `seed`, and jobs without
    an id of their own are named job-1, job-2, ... Handlers that are coroutines may await sleeps, timeouts
    and the async face of chronoq, all in virtual time; a plain function spends time by `drill.advance`.
    Not for use inside a running event loop.

    Schedules declared by `app` are stored at the start. `close`, or the end of the `with` block, gives the
    application its own backend back.
    """

    def __init__(
        self,
        app: Scheduler | None = None,
        *,
        start: datetime = START,
        workers: int = 1,
        schedulers: int = 1,
        seed: int = 0,
    ) -> None:
        self.app = app or Scheduler()
        self.clock = ManualClock(start=start)
        true = evolve(open_backend(), clock=self.clock)
        assert isinstance(true.queue, MemoryQueue)
        self._room: Room = true.queue.room
        self.queue: Outage[QueuePort] = Outage(true.queue)
        self.store: Outage[StorePort] = Outage(true.store)
        self.lock: Outage[LockPort] = Outage(true.lock)
        self.life: Outage[LifePort] = Outage(true.life)
        self._true = true
        self.backend = Backend(
            queue=self.queue.port,
            store=self.store.port,
            lock=self.lock.port,
            life=self.life.port,
            clock=self.clock,
            close=true.close,
        )
        self._chance = random.Random(seed)
        self._workers: list[_Worker] = []
        self._schedulers: list[_Scheduler] = []
        self._waiting: list[tuple[JobId, Tell]] = []
        self._keys = (f"job-{number}" for number in count(1))
        self._key = self.app.declared.key
        self._take_over()
        self.app.apply()
        for _ in range(schedulers):
            self.add_scheduler()
        for _ in range(workers):
            self.add_worker()

    def _take_over(self) -> None:
        container = self.app.container
        client = Client(self.backend, container.room())
        client.listener = _Told(self.backend.queue, self.clock, drill=self)
        container.backend.override(providers.Object(self.backend))
        container.client.override(providers.Object(client))
        container.schedules.override(providers.Object(Schedules(self.backend)))
        self.app.declared.key = lambda: next(self._keys)

    def close(self) -> None:
        """Give the application its own backend back."""
        for worker in self._workers:
            worker.bury()
        container = self.app.container
        for provider in (container.backend, container.client, container.schedules):
            provider.reset_last_overriding()
        self.app.declared.key = self._key

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # time

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def advance(self, by: Duration) -> datetime:
        """Let so much time pass, and do all that falls due in it, in order of time; the new time."""
        return self.move_to(self.now + duration(by))

    def move_to(self, moment: datetime) -> datetime:
        """Let time pass until `moment`. Errors: `Invalid` for one that has passed."""
        if moment < self.now:
            raise Invalid(f"It is {self.now} already: a drill does not go back to {moment}.")
        self._go(moment, lambda: False)
        return self.now

    def run_pending(self) -> None:
        """Do all that can be done at this moment. What is due later, as a retry is, waits for `advance`."""
        for _ in range(AT_ONCE):
            if not self._one():
                self._tell()
                return
        raise RuntimeError(f"A drill goes round in circles at {self.now}.")

    def run_until(self, predicate: Callable[[], object], *, within: Duration = "1d") -> datetime:
        """Let time pass until `predicate()` is true; when that was.

        It is asked after every moment at which something happened. Errors: `AssertionError` when it
        is not true within `within` of virtual time.
        """
        limit = duration(within)
        if not self._go(self.now + limit, predicate):
            raise AssertionError(
                f"Not within {brief(limit)} of virtual time (it is {self.now}): {self._figures()}"
            )
        return self.now

    def _go(self, end: datetime, predicate: Callable[[], object]) -> bool:
        self.run_pending()
        while not (found := predicate()) and (moment := self._next(end)) <= end and moment > self.now:
            self.clock.move_to(moment)
            self.run_pending()
        return bool(found)

    # what is there

    def jobs(self, state: State | str | None = None, *, queue: str | None = None) -> list[Snapshot]:
        """The jobs in that state, or all that are known; next to run or latest ended first."""
        states = tuple(State) if state is None else (State(state),)
        names = self._true.queue.queues() if queue is None else [queue]
        return [snapshot for name in names for one in states for snapshot in self._find(name, one)]

    def _find(self, queue: str, state: State) -> Iterator[Snapshot]:
        mark = ""
        while True:
            page = self._true.queue.find(queue, state, now=self.now, mark=mark)
            yield from page.items
            if not (mark := page.mark):
                return

    def enqueued(self, task: "Task[..., Any, Any] | str") -> list[Enqueued]:
        """The jobs of a task that wait, delayed or ready, by due time."""
        name = task if isinstance(task, str) else task.name
        found = [
            one for state in (State.READY, State.DELAYED) for one in self.jobs(state) if one.job.task == name
        ]
        return [_enqueued(one.job, one.until or one.job.due) for one in found]

    def ledger(self, schedule: str, *, queue: str = "default") -> list[Outcome]:
        """What became of the nominal times of a schedule, oldest first."""
        return list(self.app.stored_schedule(f"{queue}:{schedule}").ledger(limit=1000))[::-1]

    # who is there

    @property
    def workers(self) -> list[Worker]:
        """All workers that were ever started, the dead ones too."""
        return [one.worker for one in self._workers]

    @property
    def schedulers(self) -> list[SchedulerService]:
        return [one.service for one in self._schedulers]

    @property
    def leader(self) -> int | None:
        """The number of the scheduler that leads, as far as it knows."""
        leaders = [
            place for place, one in enumerate(self._schedulers) if one.alive and one.service.ticker.leader
        ]
        return leaders[0] if leaders else None

    def add_worker(self, *, queues: tuple[str, ...] = ()) -> int:
        """Start one more worker; its number."""
        place = len(self._workers)
        process = evolve(self.app.process(Kind.WORKER, queues), id=f"worker-{place}", host="drill", pid=place)
        loop = VirtualLoop(self.clock)
        worker: Worker = self.app.container.worker(process=process, queues=process.queues, loop=loop)
        self._workers.append(_Worker(worker, loop, self._chance.random, self._room))
        return place

    def add_scheduler(self) -> int:
        """Start one more scheduler; its number."""
        place = len(self._schedulers)
        process = evolve(self.app.process(Kind.SCHEDULER), id=f"scheduler-{place}", host="drill", pid=place)
        self._schedulers.append(_Scheduler(self.app.container.scheduler(process=process), self._room))
        return place

    def kill_worker(self, place: int = 0) -> None:
        """It is gone in the middle of what it does, and says nothing: its leases will lapse.

        From within a handler of that worker it does not return, as `os._exit` would not.
        """
        worker = self._workers[place]
        worker.kill()
        if worker.inside:
            raise _Killed

    def stop_worker(self, place: int = 0) -> bool:
        """Stop it gracefully: it claims no more, finishes within the grace period, gives back the rest."""
        worker = self._workers[place]
        worker.worker.fetcher.stopping = True
        worker.worker.loops["fetcher"].wake.set()
        self._go(self.now + worker.worker.settings.grace, worker.worker.fetcher.drained.is_set)
        finished = worker.worker.stop(grace=ZERO)
        worker.kill()
        self.run_pending()
        return finished

    def kill_scheduler(self, place: int = 0) -> None:
        """It is gone, and says nothing: its leadership will lapse."""
        self._schedulers[place].alive = False

    def stop_scheduler(self, place: int = 0) -> None:
        """Stop it: another one may lead at once."""
        self._schedulers[place].service.stop()
        self._schedulers[place].alive = False

    # the machine

    def _one(self) -> bool:
        """Do one thing that is due at this moment. False: there is none."""
        now = self.now
        for scheduler in self._schedulers:
            if scheduler.alive and scheduler.one(now):
                return True
        return any(worker.alive and worker.one(now) for worker in self._workers)

    def _next(self, end: datetime) -> datetime:
        """The next moment at which something is to do; a quiet stretch up to it is leapt over."""
        if self._quiet:
            wakes = (shelf.next_moment() for shelf in self._room.shelves.values())
            moment = min([end, *(wake for wake in wakes if wake is not None and wake > self.now)])
            self._bridge(moment)
            return moment
        dues = (one.next() for one in (*self._schedulers, *self._workers) if one.alive)
        return min([end, *(due for due in dues if due is not None and due > self.now)])

    @property
    def _quiet(self) -> bool:
        """Whether nothing but the keeping of leases and locks happens before the next due time."""
        if any(outage.active for outage in (self.queue, self.store, self.lock, self.life)):
            return False
        schedulers = [one for one in self._schedulers if one.alive]
        workers = [one for one in self._workers if one.alive]
        if schedulers and (self.leader is None or any(shelf.time for shelf in self._room.shelves.values())):
            return False
        if workers and any(shelf.leases or any(shelf.ready) for shelf in self._room.shelves.values()):
            return False
        return not any(one.restless for one in [*schedulers, *workers])

    def _bridge(self, moment: datetime) -> None:
        """What the living would have renewed, second by second, until `moment`."""
        span, now = moment - self.now, self.now
        for scheduler in self._schedulers:
            if scheduler.alive:
                ticker, presence = scheduler.service.ticker, scheduler.service.presence
                if ticker.lease is not None:
                    self._true.lock.renew(ticker.lease, ttl=span + ticker.ttl, now=now)
                self._true.life.beat(presence.process.id, presence.vitals(), ttl=span + TTL, now=now)
        for worker in self._workers:
            if worker.alive:
                presence = worker.worker.presence
                self._true.life.beat(presence.process.id, presence.vitals(), ttl=span + TTL, now=now)

    def _tell(self) -> None:
        """Tell those who wait for a result and could not wait themselves."""
        if self._waiting:
            endings = self._true.queue.endings([id for id, _ in self._waiting], now=self.now)
            told = [(one, ending) for one, ending in zip(self._waiting, endings, strict=True) if ending]
            for one, ending in told:
                self._waiting.remove(one)
                one[1](ending)
            if told:
                self.run_pending()

    def wait_for(self, id: JobId, tell: Tell) -> Callable[[], None]:
        """What `handle.result()` does in a drill: let time pass until the job has ended."""
        queue = self._true.queue
        if _running_loop():
            if queue.endings([id], now=self.now)[0] or not queue.get([id], now=self.now)[0]:
                tell(queue.endings([id], now=self.now)[0])
                return lambda: None
            self._waiting.append((id, tell))
            return lambda: self._waiting.remove((id, tell)) if (id, tell) in self._waiting else None

        def over() -> bool:
            return bool(queue.endings([id], now=self.now)[0]) or not queue.get([id], now=self.now)[0]

        if not self._go(self.now + PATIENCE, over):
            raise ResultTimeout(
                f"Job {id} has not ended within {brief(PATIENCE)} of virtual time. It goes on."
            )
        tell(queue.endings([id], now=self.now)[0])
        return lambda: None

    def handle(self, id: str) -> JobHandle[Any]:
        """A handle on a job."""
        return self.app.job(id)

    def _figures(self) -> str:
        names = self._true.queue.queues()
        return "; ".join(
            f"{c.queue}: {c.delayed} delayed, {c.ready} ready, {c.running} running, "
            f"{c.dead} dead, {c.done} done"
            for c in self._true.queue.counts(names, now=self.now)
        )


class _Killed(BaseException):
    """Leaves a handler whose worker is gone."""


@define(eq=False)
class _Told(Listener):
    """Waits by letting virtual time pass."""

    drill: Drill | None = field(default=None, kw_only=True)

    def wait(self, id: JobId, tell: Tell) -> Callable[[], None]:
        assert self.drill is not None
        return self.drill.wait_for(id, tell)


@define(eq=False)
class _Member:
    """The loops of one process, each with the moment of its next turn."""

    loops: dict[str, Loop]
    dues: dict[str, datetime] = field(init=False)
    alive: bool = True

    def __attrs_post_init__(self) -> None:
        for loop in self.loops.values():
            if isinstance(loop.actor, Ear):
                loop.actor.patience = ZERO
        now = next(iter(self.loops.values())).clock.now()
        self.dues = dict.fromkeys(self.loops, now)

    def one(self, now: datetime) -> bool:
        """Let one loop take its turn. False: none wants to."""
        for name, loop in self.loops.items():
            if (self.dues[name] <= now or loop.wake.is_set()) and self.has_reason(name, loop):
                loop.wake.clear()
                self.dues[name] = loop.turn()
                if self.dues[name] <= now and isinstance(loop.actor, Ear):
                    self.dues[name] = now
                return True
        return False

    def next(self) -> datetime | None:
        return min(
            (self.dues[name] for name, loop in self.loops.items() if self.has_reason(name, loop)),
            default=None,
        )

    def has_reason(self, name: str, loop: Loop) -> bool:
        """Whether its turn could make a difference: most turns of an idle process would not."""
        return True

    @property
    def restless(self) -> bool:
        return any(loop.pause > FIRST_PAUSE for loop in self.loops.values())


class _Scheduler(_Member):
    def __init__(self, service: SchedulerService, room: Room) -> None:
        super().__init__(service.loops)
        self.service = service
        self.room = room

    def has_reason(self, name: str, loop: Loop) -> bool:
        if not isinstance(loop.actor, Ear):
            return True
        known = (*self.service.ticker.declared, *self.service.ticker.nexts)
        return loop.actor.wanted.is_set() and any(self.room.shelves[queue].time for queue in known)


class _Worker(_Member):
    def __init__(self, worker: Worker, loop: VirtualLoop, chance: Callable[[], float], room: Room) -> None:
        super().__init__(worker.loops)
        self.worker = worker
        self.room = room
        self.event_loop = loop
        self.timer: datetime | None = None
        self.inside = 0
        runner = worker.threads.runner
        runner.chance = chance
        self.inline = Inline(runner, worker.settings.concurrency)
        worker.fetcher.threads = self.inline

    def one(self, now: datetime) -> bool:
        if super().one(now):
            return True
        self.inside += 1
        try:
            if self.inline.turn():
                return True
        finally:
            self.inside -= 1
        return self.alive and self.pump(now)

    def pump(self, now: datetime) -> bool:
        """Run the coroutines as far as they come. False: none could move."""
        coroutines = self.worker.coroutines
        if not (coroutines.tasks or coroutines.waiting) or _running_loop():
            return False
        before = (
            len(coroutines.tasks),
            len(coroutines.waiting),
            self.worker.hands.done,
            self.worker.hands.failed,
        )
        moved = self.timer is not None and self.timer <= now
        self.inside += 1
        try:
            self.timer = self.event_loop.pump()
        except _Killed:
            return True
        finally:
            self.inside -= 1
        after = (
            len(coroutines.tasks),
            len(coroutines.waiting),
            self.worker.hands.done,
            self.worker.hands.failed,
        )
        return moved or before != after

    def next(self) -> datetime | None:
        moments = [moment for moment in (super().next(), self.timer) if moment is not None]
        return min(moments, default=None)

    def has_reason(self, name: str, loop: Loop) -> bool:
        if name == "heart":
            return bool(self.worker.hands.held)
        if name == "reaper":
            return any(shelf.leases for shelf in self.room.shelves.values())
        if isinstance(loop.actor, Ear):
            wanted = loop.actor.wanted.is_set()
            return wanted and any(self.room.shelves[queue].work for queue in self.worker.queues)
        return True

    @property
    def restless(self) -> bool:
        hands = self.worker.hands
        return super().restless or bool(hands.held or hands.outbox) or self.worker.fetcher.stopping

    def kill(self) -> None:
        self.alive = False
        self.worker.hands.held.clear()
        self.worker.hands.outbox.clear()
        self.inline.waiting.clear()
        self.worker.coroutines.waiting.clear()

    def bury(self) -> None:
        """Let its coroutines end, unheard."""
        self.kill()
        if self.event_loop.is_closed():
            return
        for task in list(self.worker.coroutines.tasks):
            task.cancel()
        if self.worker.coroutines.tasks and not _running_loop():
            self.event_loop.pump()
        self.event_loop.close()


def _running_loop() -> bool:
    return asyncio._get_running_loop() is not None


def _enqueued(job: Job, due: datetime) -> Enqueued:
    args, kwargs = decoded(job.payload)
    return Enqueued(str(job.id), tuple(args), kwargs, due)
