"""What the processes of the suite do: work, tick, produce. Each is the target of a forked child."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen
from dependency_injector import providers

from chronoq import Context, Scheduler, errors, every
from chronoq.adapters import system
from chronoq.cli import logs
from chronoq.cli.process import Signals, applied, persist
from chronoq.domain.time import to_ms
from chronoq.domain.verdict import Done
from tests.chaos.ledger import Notes, What

QUEUE = "work"
CHUNK = 50


@frozen
class Plan:
    """What a child needs to know; picklable."""

    url: str
    folder: Path
    settings: Mapping[str, Any] = field(factory=dict)
    pause: float = 0.01
    """How long a job of a producer takes, seconds."""
    backlog: int = 2_000
    """A producer waits while so many are ready."""
    schedules: int = 0
    rhythm: str = "1s"
    skew: float = 0
    """How far the process's own clocks are off, seconds."""
    memory: int = 0
    """How many bytes the process may take; 0: as many as there are."""

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger"

    @property
    def over(self) -> Path:
        """Producers stop when this file is there."""
        return self.folder / "over"


class Noted:
    """A queue port that writes down which claims were granted, and which verdicts counted."""

    def __init__(self, port: Any, notes: Notes) -> None:
        self._port = port
        self._notes = notes

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._port, name)

        @wraps(verb)
        def noting(*args: Any, **options: Any) -> Any:
            answer = verb(*args, **options)
            self._granted(answer)
            if name == "settle":
                self._settled(args[0], answer)
            elif "verdicts" in options:
                self._settled(options["verdicts"], answer.settled)
            return answer

        seen = noting if callable(verb) else verb
        self.__dict__[name] = seen
        return seen

    def _granted(self, answer: Any) -> None:
        claims = getattr(answer, "claims", ())
        self._notes.note_all(What.CLAIMED, [(claim.id.key, claim.token) for claim in claims])

    def _settled(self, verdicts: Any, answers: Any) -> None:
        kept = [one for one, kept in zip(verdicts, answers, strict=True) if kept]
        done = [claim for claim, verdict in kept if isinstance(verdict, Done)]
        reaped = [claim for claim, verdict in kept if getattr(verdict, "crash", False)]
        for what, claims in ((What.SETTLED, done), (What.REAPED, reaped)):
            self._notes.note_all(what, [(claim.id.key, claim.token) for claim in claims])


def application(plan: Plan, notes: Notes | None = None) -> Scheduler:
    """The tasks of the suite."""
    app = Scheduler(plan.url, queues=[QUEUE], **plan.settings)

    @app.task(name="work", queue=QUEUE, retries=0, result_ttl="1h")
    def work(context: Context, pause: float) -> None:
        assert notes
        notes.note(What.STARTED, context.key, context.token, crashes=context.crashes)
        if pause:
            time.sleep(pause)
        notes.note(What.ENDED, context.key, context.token)

    @app.task(name="tick", queue=QUEUE, retries=0, result_ttl="1m")
    def tick(context: Context) -> None:
        assert notes
        assert context.nominal
        notes.note(What.TICKED, str(context.schedule), context.token, to_ms(context.nominal))

    @app.task(name="poison", queue=QUEUE, retries=0, timeout="2s")
    def poison(context: Context, kind: str) -> None:
        assert notes
        notes.note(What.STARTED, context.key, context.token, crashes=context.crashes)
        POISONS[kind]()

    @app.task(name="apoison", queue=QUEUE, retries=0, timeout="2s")
    async def apoison(context: Context) -> None:
        """Blocks the event loop for ever."""
        assert notes
        notes.note(What.STARTED, context.key, context.token, crashes=context.crashes)
        _loop_for_ever()

    for number in range(plan.schedules):
        app.add_schedule(f"s{number}", tick, every(plan.rhythm), overlap="allow", catch_up=1000)
    return app


def _crash() -> None:
    ctypes.string_at(0)


def _bomb() -> None:
    """Takes memory until there is none, in one piece after another; then the kernel's answer: a kill."""
    held = []
    try:
        while True:
            held.append(bytearray(50_000_000))
    except MemoryError:
        os.kill(os.getpid(), signal.SIGKILL)


def _loop_for_ever() -> None:
    while True:
        time.sleep(0.01)


def _fork() -> None:
    """A handler that forks, and whose child leaves in the middle of it."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


POISONS: dict[str, Callable[[], None]] = {
    "exit": lambda: os._exit(66),
    "segfault": _crash,
    "memory": _bomb,
    "loop": _loop_for_ever,
    "fork": _fork,
}


def work(plan: Plan) -> None:
    notes = _begin(plan)
    app = application(plan, notes)
    signals = Signals()
    backend = persist(lambda: app.backend, signals)
    if backend is None:
        return
    noted = evolve(backend, queue=Noted(backend.queue, notes))
    app.container.backend.override(providers.Object(noted))
    made = app.worker([QUEUE])
    made.start()
    signals.until(made.failed.is_set)
    os._exit(0 if made.stop() else 1)


def tick(plan: Plan) -> None:
    notes = _begin(plan)
    app = application(plan, notes)
    signals = Signals()
    service = persist(lambda: (applied(app) if plan.schedules else app).scheduler(), signals)
    if service is None:
        return
    service.start()
    signals.until()
    service.stop()
    os._exit(0)


def produce(plan: Plan) -> None:
    """Submit jobs, the same ids again until they are acknowledged, until the plan is over."""
    notes = _begin(plan)
    app = application(plan)
    numbers = count()
    name = f"p{os.getpid()}"
    while not plan.over.exists():
        keys = [f"{name}-{next(numbers)}" for _ in range(CHUNK)]
        notes.note_all(What.TRIED, [(key, 0) for key in keys])
        while keys:
            keys = _submitted(app, plan, notes, keys)
        while _crowded(app, plan) and not plan.over.exists():
            time.sleep(0.02)
    os._exit(0)


def _submitted(app: Scheduler, plan: Plan, notes: Notes, keys: list[str]) -> list[str]:
    """Submit these; those that are to be tried again."""
    from tests.faults import task_of

    task = task_of(app, "work")
    try:
        answers: list[Any] = list(app.enqueue_many([task.using(id=key).job(plan.pause) for key in keys]))
    except errors.BatchError as error:
        answers = list(error.answers)
    except errors.ChronoqError as error:
        answers = [error] * len(keys)
    again = []
    for key, answer in zip(keys, answers, strict=True):
        if isinstance(answer, errors.Conflict):
            notes.note(What.CONFLICT, key)
        elif isinstance(answer, Exception):
            again.append(key)
    notes.note_all(What.ACKED, [(key, 0) for key in keys if key not in set(again)])
    if again:
        notes.note_all(What.UNKNOWN, [(key, 0) for key in again])
        time.sleep(0.05)
    return again


def _crowded(app: Scheduler, plan: Plan) -> bool:
    try:
        counts = app.backend.queue.counts([QUEUE], now=app.backend.clock.now())[0]
    except errors.ChronoqError:
        return False
    return counts.ready + counts.delayed >= plan.backlog


def _begin(plan: Plan) -> Notes:
    """Say what goes wrong to a file, go when the suite goes, and set this process's clocks wrong."""
    said = os.open(plan.folder / f"said-{os.getpid()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for stream in (1, 2):
        os.dup2(said, stream)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    logs.configure("text", quiet=True, verbose=False, color=False)
    logging.captureWarnings(True)
    if plan.memory:
        resource.setrlimit(resource.RLIMIT_AS, (plan.memory, plan.memory))
    if plan.skew:
        _set_clocks_wrong(plan.skew)
    return Notes(plan.ledger)


def _set_clocks_wrong(by: float) -> None:
    right, shift = time.time, timedelta(seconds=by)

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + shift

    time.time = lambda: right() + by
    setattr(system, "datetime", Wrong)  # noqa: B010  # it is nobody's to set but ours
    assert abs((system.SystemClock().now() - datetime.now(UTC)).total_seconds() - by) < 60
