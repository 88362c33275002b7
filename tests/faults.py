"""What the fault tests share: processes of `tests.faults_app`, and what must hold when all is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from chronoq import JobHandle, Scheduler
from chronoq.api.task import Task
from chronoq.domain.job import Counts, State
from tests.faults_app import ROOT, Ledger, working
from tests.proc import Process, chronoq

SETTINGS = {"CHRONOQ_LEASE": "2s", "CHRONOQ_LOCK_TTL": "1s", "CHRONOQ_CONCURRENCY": "4"}


class Place(Protocol):
    """A server, or a group of servers."""

    def url(self) -> str: ...


class Stage:
    """One application on one store: what the test does itself, and the processes that it starts."""

    def __init__(self, server: Place, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.ledger = Ledger(folder / "ledger")
        self.app = working(server.url(), folder)
        self.processes: list[Process] = []

    def process(self, command: str, *args: str, app: str = "working", **settings: str) -> Process:
        """A worker or scheduler, to be entered with `with`; settings as in `lease="1s"`."""
        given = {f"CHRONOQ_{name.upper()}": value for name, value in settings.items()}
        env = {
            **SETTINGS,
            **given,
            "CHRONOQ_URL": self.server.url(),
            "FAULTS_FOLDER": str(self.folder),
        }
        process = chronoq(command, "--factory", "--app", f"tests.faults_app:{app}", *args, env=env, cwd=ROOT)
        self.processes.append(process)
        return process

    def worker(self, *args: str, **settings: str) -> Process:
        return self.process("worker", *args, **settings)

    def scheduler(self, *args: str, **settings: str) -> Process:
        return self.process("scheduler", *args, app="ticking", **settings)

    def task(self, name: str) -> Any:
        return task_of(self.app, name)

    def open(self, gate: str) -> None:
        (self.folder / gate).touch()

    @property
    def counts(self) -> Counts:
        backend = self.app.backend
        return backend.queue.counts(["work"], now=backend.clock.now())[0]

    def states(self, handles: Sequence[JobHandle[Any]]) -> Counter[State | None]:
        backend = self.app.backend
        found = backend.queue.get([handle.job_id for handle in handles], now=backend.clock.now())
        return Counter(one.state if one else None for one in found)

    def all_ended(self, total: int) -> bool:
        """Whether so many were accepted, and all of them are done or dead."""
        counts = self.counts
        return counts.accepted == counts.done + counts.dead == total


@contextmanager
def on_stage(server: Place, folder: Path) -> Iterator[Stage]:
    stage = Stage(server, folder)
    try:
        yield stage
    finally:
        for number, process in enumerate(stage.processes, 1):  # pytest shows it if the test has failed
            print(f"process {number}:", *process.out, *process.err, sep="\n  ")
        stage.app.close()


def task_of(app: Scheduler, name: str) -> Any:
    task = app.tasks.find(name)
    assert task is not None
    return Task(app, task)


def opened(app: Scheduler) -> bool:
    """Whether its backend answers."""
    app.backend.queue.queues()
    return True
