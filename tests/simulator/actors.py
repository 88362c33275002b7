"""The processes of a simulation: the true engine, on strands instead of threads."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from attrs import define, field

from chronoq.app.context import Context
from chronoq.app.hands import Run
from chronoq.app.loop import FIRST_PAUSE, Ear, Loop
from chronoq.app.scheduler import SchedulerService
from chronoq.app.tasks import Registry, TaskDef
from chronoq.app.worker import Worker
from chronoq.domain.errors import BackendError, Snooze
from chronoq.domain.lease import Kind
from chronoq.domain.lease import Process as Card
from chronoq.domain.ports import Backend
from chronoq.domain.time import ZERO
from tests.simulator.hub import Alarm, Gate, Hub, Killed, Process, running
from tests.simulator.wire import Wire

if TYPE_CHECKING:
    from tests.simulator.world import World

S = timedelta(seconds=1)
MS = timedelta(milliseconds=1)
BEATS = ("heart", "fetcher", "reaper")


class Held(dict[Run, None]):
    """A set in the order of its making, so that a run repeats in every process of Python."""

    def add(self, run: Run) -> None:
        self[run] = None

    def remove(self, run: Run) -> None:
        del self[run]

    def discard(self, run: Run) -> None:
        self.pop(run, None)

    def update(self, runs: Any) -> None:  # type: ignore[override]
        for run in runs:
            self[run] = None


@define(eq=False)
class Slots:
    """An `Executor` on strands: at most `slots` handlers under way."""

    world: World
    process: Process
    worker: Worker
    slots: int
    waiting: deque[Run] = field(factory=deque)
    busy: list[Run] = field(factory=list)

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def give(self, runs: list[Run]) -> None:
        for run in runs:
            run.on_thread = True
        self.waiting.extend(runs)
        self._fill()

    def run_here(self, run: Run) -> bool:
        """On the strand of the ear, which nobody relieves: what it would hear meanwhile the fetcher finds."""
        if self.waiting or len(self.busy) >= self.slots:
            return False
        run.on_thread = True
        self.busy.append(run)
        self._work(run)()
        if not self.process.alive:  # the runner takes whatever a handler raises for its failure
            raise Killed
        return True

    def take_back(self) -> list[Run]:
        taken = list(self.waiting)
        self.waiting.clear()
        return taken

    @property
    def adrift(self) -> int:
        held = self.worker.hands.held
        return sum(run.given_up or (run.stopping and run not in held) for run in self.busy)

    def _fill(self) -> None:
        while self.waiting and len(self.busy) < self.slots:
            run = self.waiting.popleft()
            self.busy.append(run)
            self.world.hub.spawn(
                f"{self.process.name} runs {run.claim.id.key}", self.process, self._work(run)
            )

    def _work(self, run: Run) -> Any:
        def work() -> None:
            self.worker.threads.runner.run(run)
            self.busy.remove(run)
            if run.given_up or run.stopping:
                self.worker.hands.changed()
            self._fill()

        return work


def lines(world: World, process: Process, true: Backend) -> Backend:
    """The backend as `process` sees it: every call on the wire, and a clock of its own."""
    return Backend(
        queue=Wire(world, process, true.queue),
        store=Wire(world, process, true.store),
        lock=Wire(world, process, true.lock),
        life=true.life,
        clock=process,
        close=lambda: None,
    )


def turning(hub: Hub, process: Process, loop: Loop, idle: Any) -> Any:
    """What `Loop.run` does, on a strand. `idle()`: how long a turn would make no difference now."""
    alarm = loop.wake
    assert isinstance(alarm, Alarm), "a world is made within silence()"

    def run() -> None:
        while True:
            alarm.rings = False
            if (rest := idle()) is not None:
                hub.sleep(rest, alarm)
                continue
            until = loop.turn()
            calm = loop.pause <= FIRST_PAUSE
            hub.sleep(max(ZERO, until - process.now()), alarm if calm else None)

    return run


class WorkerProcess(Process):
    """A worker: its fetcher, heart and reaper, and handlers on strands."""

    def __init__(self, world: World, name: str, *, lag: timedelta, wall: timedelta) -> None:
        super().__init__(world.hub, name, lag=lag, wall=wall)
        self.world = world
        settings = world.settings
        card = Card(name, Kind.WORKER, "sim", 1, world.hub.now, "0", world.queues)
        self.worker = worker = Worker(lines(world, self, world.true), REGISTRY, settings, card, world.queues)
        worker.hands.held = Held()  # type: ignore[assignment]
        worker.hands.ending = Held()  # type: ignore[assignment]
        worker.threads.runner.chance = lambda: 0.5
        self.slots = Slots(world, self, worker, settings.concurrency)
        worker.fetcher.threads = self.slots
        worker.fetcher.guard = Gate(world.hub)  # type: ignore[assignment]
        self.last_words = self._drop
        for beat in BEATS:
            loop = worker.loops[beat]
            world.hub.spawn(f"{name} {beat}", self, turning(world.hub, self, loop, self._idle(beat)))
        if world.polls:
            world.hub.spawn(f"{name} ear", self, self._listen)

    def _listen(self) -> None:
        """What the ear's loop does. Whether it is called back in time makes no difference to what is right."""
        ear, hub = self.worker.ear, self.world.hub
        while True:
            hub.sleep(20 * MS)
            if not ear.wanted.is_set():
                continue
            found = None
            with suppress(BackendError):
                found = ear.listen(ear.patience)
            with suppress(BackendError):
                ear.heard(found)

    def _idle(self, beat: str) -> Any:
        hands, running = self.worker.hands, self.world.checker.jobs
        if beat == "heart":
            return lambda: None if hands.held else S
        if beat == "reaper":
            sweep = min(5 * S, self.world.settings.lease)
            return lambda: None if any(one.until is not None for one in running.live.values()) else sweep
        live, hands = running.live, self.worker.hands
        return lambda: None if live or hands.outbox or not self.world.calm else 2 * S

    def hint(self) -> None:
        """Something may be ready."""
        ear = self.worker.loops["ear"].actor
        assert isinstance(ear, Ear)
        ear.heard(None)

    def retire(self) -> None:
        """Stop gracefully: the strands end when nothing is in hand any more."""
        self.worker.fetcher.stopping = True
        self.worker.loops["fetcher"].wake.set()

    @property
    def retired(self) -> bool:
        return self.worker.fetcher.drained.is_set()

    def _drop(self) -> None:
        for run in (*self.worker.hands.held, *self.slots.busy):
            run.stopping = True  # so that nobody looks at what it raises
        self.worker.hands.held.clear()
        self.worker.hands.outbox.clear()
        self.slots.waiting.clear()


class SchedulerProcess(Process):
    """A scheduler: its ticker."""

    def __init__(self, world: World, name: str, *, lag: timedelta, wall: timedelta) -> None:
        super().__init__(world.hub, name, lag=lag, wall=wall)
        self.world = world
        card = Card(name, Kind.SCHEDULER, "sim", 1, world.hub.now, "0", world.queues)
        self.service = SchedulerService(lines(world, self, world.true), world.settings, card)
        loop = self.service.loops["ticker"]
        world.hub.spawn(f"{name} ticker", self, turning(world.hub, self, loop, lambda: None))

    def hint(self) -> None:
        """Something may have become due earlier."""
        self.service.ticker.wake(self.world.queues)
        self.service.loops["ticker"].wake.set()


# what jobs do


def act(context: Context, kind: str, number: int, tag: str = "") -> str:
    """A handler that does what its job says. `tag` tells the versions of a schedule apart."""
    process, world = here()
    checker = world.checker
    checker.started(context, process)
    world.note("%s starts %s token %d: %s", process.name, context.key, context.token, kind)
    if kind == "fail" and context.attempt <= number:
        raise ValueError(kind)
    if kind == "snooze" and context.token <= number:
        raise Snooze("1s")
    if kind == "poison" and context.token <= number:
        runs = list(process.worker.hands.held)
        # what was let go before, for its lease could not be renewed, is charged for that
        verdicts = [run for run in process.slots.busy if run not in runs and not run.stopping]
        checker.poisoned(context, process, [*runs, *verdicts], world.settings.max_crashes)
        world.note("%s kills %s", context.key, process.name)
        process.kill()
    if kind in ("work", "deaf"):
        for done in range(number):
            context.progress(done, number)
            world.hub.sleep(S)
            if world.calm or (context.cancelled and kind == "work"):
                break  # once the faults have healed, a backlog of long jobs is only long
    return f"{context.key}/{context.token}"


def other(context: Context, kind: str, number: int) -> str:
    """The same under another name."""
    return act(context, kind, number)


def here() -> tuple[WorkerProcess, World]:
    process = running().process
    assert isinstance(process, WorkerProcess)
    return process, process.world


REGISTRY = Registry()
for _fn in (act, other):
    REGISTRY.add(TaskDef(_fn.__name__, _fn, "x"))
