"""The application of the fault tests: `--factory --app tests.faults_app:working` or `:ticking`.

Its handlers write what they do to a ledger outside the store, one line a fact, so that what the store
says can be checked against what happened.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from attrs import frozen

from chronoq import Context, Scheduler, every

ROOT = Path(__file__).parent.parent


@frozen
class Fact:
    """`what` happened in the run of a job under a token, in which process, when (Unix time)."""

    what: str
    key: str
    attempt: int
    token: int
    crashes: int
    pid: int
    at: float
    note: str = ""


class Ledger:
    """An append-only file of facts. Each is one short write, so lines of many processes never mix."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._facts: list[Fact] = []
        self._read = 0

    def note(self, what: str, context: Context, note: str = "") -> None:
        run = (context.key, context.attempt, context.token, context.crashes)
        line = " ".join(map(str, (what, *run, os.getpid(), time.time(), note)))
        os.write(self._file, f"{line}\n".encode())

    def __iter__(self) -> Iterator[Fact]:
        """All facts so far. What was read before is not read again: many a test asks each few milliseconds."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        new = new[: new.rfind(b"\n") + 1]
        self._read += len(new)
        for line in new.decode().splitlines():
            what, key, attempt, token, crashes, pid, at, *note = line.split(" ", 7)
            run = (key, int(attempt), int(token), int(crashes))
            self._facts.append(Fact(what, *run, int(pid), float(at), "".join(note)))
        return iter(self._facts)

    def count(self, what: str) -> int:
        return sum(fact.what == what for fact in self)

    def of(self, what: str, key: str = "") -> list[Fact]:
        return [fact for fact in self if fact.what == what and (not key or fact.key == key)]


class Folder:
    """Where a test keeps its ledger, and the gates that hold its handlers up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = Ledger(path / "ledger")

    def open(self, gate: str) -> None:
        (self.path / gate).touch()

    def wait_at(self, gate: str) -> None:
        """Wait until a test has opened the gate; a minute at most, so that nothing outlives its test."""
        deadline = time.monotonic() + 60
        while not (self.path / gate).exists() and time.monotonic() < deadline:
            time.sleep(0.005)

    @contextmanager
    def noted(self, context: Context) -> Iterator[Ledger]:
        self.ledger.note("start", context)
        yield self.ledger
        self.ledger.note("end", context)


def working(url: str | None = None, folder: Path | None = None) -> Scheduler:
    """Tasks that work, wait, fail and kill; `folder` comes from FAULTS_FOLDER where it is not given."""
    app = Scheduler(url, queues=["work", "other"])
    here = Folder(folder or Path(os.environ["FAULTS_FOLDER"]))

    @app.task(name="nothing", queue="work")
    def nothing() -> None:
        """A no-op."""

    @app.task(name="work", queue="work", retries=0)
    def work(context: Context, number: int, pause: float = 0.0) -> int:
        with here.noted(context):
            time.sleep(pause)
        return number

    @app.task(name="wait", queue="work", retries=0)
    def wait(context: Context, gate: str) -> int:
        """Ends when the gate is open; its result is the token under which it ran."""
        with here.noted(context):
            here.wait_at(gate)
        return context.token

    @app.task(name="poison", queue="work")
    def poison(context: Context, gate: str = "") -> NoReturn:
        """Kills its worker, without a word; with a gate, not before that is open."""
        here.ledger.note("start", context)
        if gate:
            here.wait_at(gate)
        os._exit(66)

    @app.task(name="signalled", queue="work", retries=0)
    def signalled(context: Context, gate: str) -> None:
        """Sends SIGTERM to its own thread, twice: the system may give a process's signals to any of them."""
        for place in (gate, "closed for ever"):
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            here.wait_at(place)

    @app.task(name="flaky", queue="work", retries=5, backoff=["300ms"])
    def flaky(context: Context, failures: int) -> int:
        with here.noted(context):
            if context.attempt <= failures:
                raise ConnectionError("not yet")
        return context.attempt

    return app


def ticking() -> Scheduler:
    """The same, with schedules that are due several times a second and never left out."""
    app = working()
    here = Folder(Path(os.environ["FAULTS_FOLDER"]))

    @app.task(name="tick", queue="work", retries=0)
    def tick(context: Context) -> None:
        assert context.nominal
        assert context.schedule
        here.ledger.note(context.schedule, context, context.nominal.isoformat())

    for name, rhythm in RHYTHMS.items():
        app.add_schedule(name, tick, every(rhythm), overlap="allow", catch_up=1000)
    return app


RHYTHMS = {"fast": "200ms", "odd": "350ms", "slow": "1s"}
