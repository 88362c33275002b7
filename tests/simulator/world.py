"""A world made of a seed: processes, people, faults; and how it has to end once the faults have healed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from attrs import frozen

from chronoq.adapters.memory import open_backend
from chronoq.adapters.memory.queue import MemoryQueue
from chronoq.app import runner
from chronoq.app.fetcher import Fetcher
from chronoq.app.loop import Ear, Loop
from chronoq.app.worker import Worker
from chronoq.config import Settings
from chronoq.domain.identity import ScheduleId
from chronoq.domain.job import State
from chronoq.domain.ports import Backend
from chronoq.domain.retry import Failure
from chronoq.domain.time import ZERO
from tests.simulator.actors import MS, S, SchedulerProcess, WorkerProcess
from tests.simulator.checker import Checker, Violation
from tests.simulator.hub import Alarm, Chance, Circles, Hub, Process
from tests.simulator.jobs import Record
from tests.simulator.people import RHYTHMS, WRITTEN, Person
from tests.simulator.wire import Weather

START = datetime(2026, 1, 1, tzinfo=UTC)
LEASES = (3 * S, 6 * S)
CHAOS = 15 * S
"""How long faults go on at least."""
PATIENCE = 300 * S
"""Within which everything has to end once the faults have healed."""
CONVICTION = 10 * S
"""How much longer for each poison: they are tried one after the other, and each takes some workers with it."""

LAGS = (ZERO, ZERO, ZERO, 50 * MS, 500 * MS)
FAR_LAGS = (ZERO, ZERO, 50 * MS, 2 * S, 5 * S)
"""Of clients: a lease that a lagging worker takes is the shorter for it."""
WALLS = tuple(timedelta(minutes=m) for m in (-60, -1, 0, 1, 60))
WEATHERS = (
    *(Weather(faults=0.0, detours=0.3), Weather(faults=0.03, detours=0.3)),
    *(Weather(faults=0.10, detours=0.2), Weather(faults=0.25, detours=0.1)),
)
SETTINGS = tuple(
    Settings(lease=lease, concurrency=slots, max_crashes=crashes, park_for=10 * S, lock_ttl=3 * S)
    for lease in LEASES
    for slots in (1, 3)
    for crashes in (1, 3)
)

Opener = Callable[[], Backend]
Setup = Callable[["World"], None]
"""What a deliberate fault does to a world before anything runs in it."""


@frozen
class Outcome:
    """What a seed came to."""

    seed: int
    law: str
    text: str
    trace: tuple[str, ...]


class World:
    """Everything of one seed. `true` is the backend that all share; `note` keeps a trace when one is wanted."""

    def __init__(
        self, seed: int, *, opener: Opener = open_backend, setup: Setup | None = None, traced: bool = False
    ) -> None:
        chance = Chance(seed)
        self.hub = Hub(START, chance)
        self.traced = traced
        self.trace: list[str] = []
        self.true = opener()
        self.queues = chance.choice((("x",), ("x", "y")))
        self.room = chance.choice(({}, {}, {"x": 5}))
        self.settings: Settings = chance.choice(SETTINGS)
        self.weather: Weather = chance.choice(WEATHERS)
        self.planning = chance.choice((0, 1, 1, 2))
        self.rhythms = RHYTHMS if isinstance(self.true.queue, MemoryQueue) else WRITTEN
        self.calm = False
        self.polls = False
        """Whether workers wait with a claim in their hand; else they only hear of work."""
        self.busy = 0
        self.named = 0
        self.checker = Checker(self.true, lambda: self.hub.now, self.hub.halt)
        self.checker.jobs.taken_over = self.taken_over
        self.processes: dict[str, Process] = {}
        self.undo: list[Callable[[], None]] = []
        if setup is not None:
            setup(self)
        for _ in range(chance.choice((1, 2, 2))):
            self.add(WorkerProcess)
        for _ in range(chance.choice((0, 1, 2)) if self.planning == 0 else chance.choice((1, 2, 2))):
            self.add(SchedulerProcess)
        for number in range(chance.choice((1, 2))):
            self.busy += 1
            person = Person(
                self,
                f"client-{number}",
                chance.choice((6, 10, 14)),
                lag=chance.choice(FAR_LAGS),
                wall=chance.choice(WALLS),
            )
            self.processes[person.name] = person
        self.hub.later(chance.choice((ZERO, S)), self.nemesis)

    def note(self, text: str, *args: object) -> None:
        if self.traced:
            self.trace.append(f"{(self.hub.now - START).total_seconds():8.3f}  {text % args}")

    def add(self, kind: type[WorkerProcess | SchedulerProcess]) -> None:
        chance = self.hub.chance
        name = f"{'worker' if kind is WorkerProcess else 'scheduler'}-{self.named}"
        self.named += 1
        lag, wall = (ZERO, ZERO) if self.calm else (chance.choice(LAGS), chance.choice(WALLS))
        self.note("%s is born", name)
        self.processes[name] = kind(self, name, lag=lag, wall=wall)

    # what befalls the processes

    def nemesis(self) -> None:
        """Now and then something befalls a process; the fallen are replaced."""
        chance, hub = self.hub.chance, self.hub
        self.bury()
        if self.calm:
            hub.later(2 * S, self.nemesis, name="nemesis")
            return
        victims = [one for one in self.processes.values() if one.alive]
        if chance.random() < 0.6:  # who has work in hand is worth more
            holders = [one for one in victims if isinstance(one, WorkerProcess) and one.worker.hands.held]
            victims = holders or victims
        fates = (self.hint, self.hint, self.freeze, self.freeze, self.cut, self.kill, self.retire)
        if victims and self.weather.faults:
            chance.choice(fates)(chance.choice(victims))
        elif victims:
            self.hint(chance.choice(victims))
        hub.later(chance.choice((100 * MS, S, 3 * S)), self.nemesis, name="nemesis")

    def hint(self, process: Process) -> None:
        if isinstance(process, WorkerProcess | SchedulerProcess):
            process.hint()

    def freeze(self, process: Process) -> None:
        lease = self.settings.lease
        until = self.hub.now + self.hub.chance.choice((500 * MS, 3 * S, *(lease + S,) * 3, 2 * lease, 80 * S))
        self.note("%s is frozen until %s", process.name, until)
        process.freeze(until)

    def cut(self, process: Process) -> None:
        process.cut = self.hub.now + self.hub.chance.choice((S, 4 * S, 2 * self.settings.lease))
        self.note("%s is cut off until %s", process.name, process.cut)

    def kill(self, process: Process) -> None:
        if not isinstance(process, Person):
            self.note("%s is killed", process.name)
            process.kill()

    def retire(self, process: Process) -> None:
        if isinstance(process, WorkerProcess):
            self.note("%s retires", process.name)
            process.retire()

    def bury(self) -> None:
        """Replace the fallen and the retired."""
        for process in list(self.processes.values()):
            if isinstance(process, WorkerProcess) and process.alive and process.retired:
                process.kill()
            if not process.alive:
                del self.processes[process.name]
                if isinstance(process, WorkerProcess):
                    self.add(WorkerProcess)
                elif isinstance(process, SchedulerProcess):
                    self.add(SchedulerProcess)

    def taken_over(self, record: Record, claim: object) -> None:
        """L2, L7: what the holder of a lapsed lease was doing."""
        process = self.processes.get(record.worker)
        if not isinstance(process, WorkerProcess) or not process.alive or record.until is None:
            return
        now, lease, id = self.hub.now, self.settings.lease, record.job.id
        mine = lambda run: run.claim.job.id == id and run.claim.token == record.token  # noqa: E731
        if process.troubled < record.until - lease - 2 * S and any(map(mine, process.worker.hands.held)):
            self.checker.fail("L2", f"{process.name} is well, and lost its lease on {id}")
        awake = process.frozen < min(record.until, now) - lease / 2
        for run in filter(mine, process.slots.busy):
            if awake and not run.given_up and run.until <= process.now() and not run.context.cancelled:
                self.checker.fail("L7", f"{process.name} could not extend its lease on {id}, and goes on")

    # the run

    def run(self) -> None:
        """Errors: `Violation`."""
        try:
            self._until(START + PATIENCE, lambda: not self.busy and self.hub.now >= START + CHAOS)
            self._heal()
            if self.checker.plans.stored:
                healed = self.hub.now
                self._until(healed + 8 * S, lambda: not any(self._undecided(healed)))
                self._no_time_forgotten()
            self._until(self.hub.now + 20 * S, self._all_arrived)
            self._calm_down()
            poisons = sum(b'"poison"' in one.job.payload for one in self.checker.jobs.live.values())
            self._until(self.hub.now + PATIENCE + poisons * CONVICTION, self._at_rest)
            self._balance()
        finally:
            self._close()

    def _until(self, end: datetime, over: Callable[[], bool]) -> None:
        checker = self.checker
        self.hub.go(end, over)
        if checker.found is not None:
            raise checker.found

    def _heal(self) -> None:
        self.note("all faults heal")
        self.calm = True
        now = self.hub.now
        for process in self.processes.values():
            process.cut = min(process.cut, now)
            process.frozen = min(process.frozen, now)
        self.bury()
        if not any(isinstance(one, SchedulerProcess) for one in self.processes.values()):
            self.add(SchedulerProcess)

    def _no_time_forgotten(self) -> None:
        """S3, S9: every nominal time that has come has its fate, unless its schedule waits for a run to end."""
        for id, moment in self._undecided(self.hub.now - 6 * S):
            self.checker.fail("S3", f"{id} has left {moment} undecided")

    def _undecided(self, late: datetime) -> Iterator[tuple[ScheduleId, datetime]]:
        """Nominal times before `late` that nobody has decided on."""
        for id, plan in self.checker.plans.stored.items():
            cursor = plan.cursor
            if cursor.pause is None and not cursor.held and cursor.next is not None and cursor.next < late:
                yield id, cursor.next

    def _calm_down(self) -> None:
        """No new work: the schedules go, the queues go on."""
        for queue in self.queues:
            if queue in self.checker.jobs.pauses:
                self._carry_out("resume", queue)
        for id in list(self.checker.plans.stored):
            self._carry_out("drop", [id])

    def _carry_out(self, verb: str, *args: object) -> None:
        port = self.true.store if verb == "drop" else self.true.queue
        answer = getattr(port, verb)(*args)
        self.checker.saw(verb, args, {}, answer, next(iter(self.processes.values())))

    def _all_arrived(self) -> bool:
        """Whether no call is under way that comes late."""
        return all(one.line is not None or one.what == self.nemesis for one in self.hub.strands)

    def _at_rest(self) -> bool:
        return all(one.state is State.DEAD for one in self.checker.jobs.live.values())

    def _balance(self) -> None:
        stuck = {State.RUNNING: "L1", State.READY: "Q3", State.DELAYED: "Q3"}
        for id, one in self.checker.jobs.live.items():
            if one.state is not State.DEAD:
                self.checker.fail(stuck[one.state], f"{id} never ended: it is {one.state}")
        self.checker.look()
        if self.checker.found is not None:
            raise self.checker.found

    def _close(self) -> None:
        for process in list(self.processes.values()):
            process.kill()
        for undo in reversed(self.undo):
            undo()
        self.true.close()

    def patch(self, owner: object, name: str, value: object) -> None:
        """Put another thing in its place until this world ends."""
        before = vars(owner)[name]
        self.undo.append(lambda: setattr(owner, name, before))
        setattr(owner, name, value)


class _Errors(logging.Handler):
    """A step of an actor that failed for no reason of the store's is a bug."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.world: World | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.world is not None and record.exc_info and record.name != "chronoq.scheduler":
            ticker = record.args and record.args[0] == "ticker"  # type: ignore[index]
            self.world.checker.fail("S9" if ticker else "engine", self.format(record))


_errors = _Errors()


def _failure(error: BaseException) -> Failure:
    """An error as text, without the traceback: that takes longer than all else that a job does."""
    return Failure(type(error).__name__, str(error))


@contextmanager
def alarms() -> Iterator[None]:
    """What the actors make is on strands from the start: a true event takes longer to make than to use."""
    fields = ((Loop, "wake"), (Loop, "stopped"), (Ear, "wanted"), (Fetcher, "drained"), (Worker, "failed"))
    makers = [(vars(kind)["__init__"].__globals__, f"__attr_factory_{name}") for kind, name in fields]
    before = [names[name] for names, name in makers]
    for names, name in makers:
        names[name] = Alarm
    try:
        yield
    finally:
        for (names, name), maker in zip(makers, before, strict=True):
            names[name] = maker


@contextmanager
def silence() -> Iterator[None]:
    """What the actors log is of no interest here, except for their errors; nor are tracebacks of handlers."""
    logger = logging.getLogger("chronoq")
    told, runner.failure_of = runner.failure_of, _failure
    before = logger.level, logger.propagate
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.addHandler(_errors)
    try:
        with alarms():
            yield
    finally:
        runner.failure_of = told
        logger.removeHandler(_errors)
        logger.level, logger.propagate = before
        logger.setLevel(before[0])


def simulate(
    seed: int, *, opener: Opener = open_backend, setup: Setup | None = None, traced: bool = False
) -> Outcome | None:
    """Run one seed, within `silence()`. None: every law held."""
    world = World(seed, opener=opener, setup=setup, traced=traced)
    _errors.world = world
    try:
        world.run()
    except Violation as broken:
        return Outcome(seed, broken.law, str(broken), tuple(world.trace))
    except Circles as stuck:
        return Outcome(seed, "engine", str(stuck), tuple(world.trace))
    finally:
        _errors.world = None
    return None
