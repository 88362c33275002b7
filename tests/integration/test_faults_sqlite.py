"""Processes on one SQLite file that are killed and stopped: nothing is lost, and every job ends once."""

from __future__ import annotations

import os
import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from attrs import frozen

from chronoq.app.hands import Pace
from chronoq.domain.job import State
from tests.faults import SETTINGS, Stage, on_stage
from tests.faults_app import ROOT
from tests.proc import Process, python
from tests.servers import eventually

FULL = os.environ.get("CHRONOQ_CHECK") == "1" or os.environ.get("CHRONOQ_LONG") == "1"
JOBS, KILLS = (20_000, 20) if FULL else (2_000, 6)
IN_HAND = 4 * Pace.DEEPEST


@frozen
class File:
    """A file in the place of a server."""

    path: Path

    def url(self) -> str:
        return f"sqlite:///{self.path}"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with on_stage(File(tmp_path / "jobs.db"), tmp_path) as stage:  # type: ignore[arg-type]
        yield stage


def stop_between_writes(process: Process, path: Path) -> None:
    """SIGSTOP at a moment at which it does not keep the file from everybody else."""

    def stopped() -> bool:
        process.sigstop()
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                process.sigcont()
                return False
            db.execute("ROLLBACK")
            return True

    eventually(stopped, within=30)


def producer(stage: Stage) -> Process:
    env = {**SETTINGS, "CHRONOQ_URL": stage.server.url(), "FAULTS_FOLDER": str(stage.folder)}
    process = python("-m", "tests.producer", str(JOBS), env=env, cwd=ROOT)
    stage.processes.append(process)
    return process


def test_twenty_thousand_jobs_end_once_each_though_whoever_has_the_file_open_is_killed(stage: Stage) -> None:
    """F2, Q1, Q5: one process submits, two work, and any of them dies at any moment of a transaction"""
    made = {"producer": lambda: producer(stage), "one": stage.worker, "two": stage.worker}
    args = {"producer": (), "one": ("-q",), "two": ("-q",)}
    living: dict[str, Process] = {}
    dice = random.Random()
    seed = dice.randrange(10**9)
    print("seed", seed)
    dice.seed(seed)

    def start(name: str) -> None:
        living[name] = made[name](*args[name])  # type: ignore[operator]
        living[name].__enter__()

    try:
        for name in made:
            start(name)
        for kill in range(1, KILLS + 1):
            goal = JOBS * kill // (KILLS + 2)
            eventually(lambda: stage.ledger.count("end") >= goal, within=120)  # noqa: B023
            victims = [name for name, process in living.items() if process.alive]
            victim = dice.choice(victims)
            living[victim].sigkill()
            living[victim].__exit__(None, None, None)
            start(victim)
        living["producer"].wait_line("all accepted", within=120)
        eventually(lambda: stage.all_ended(JOBS), within=120)
    finally:
        for process in living.values():
            process.__exit__(None, None, None)

    counts = stage.counts
    assert counts.balanced
    assert (counts.accepted, counts.done, counts.dead, counts.retried) == (JOBS, JOBS, 0, 0)
    handles = [stage.app.job(f"work:n{number}") for number in range(JOBS)]
    assert stage.states(handles) == {State.DONE: JOBS}
    starts = stage.ledger.of("start")
    runs = Counter(fact.key for fact in starts)
    assert len(runs) == JOBS
    assert max(Counter((fact.key, fact.token) for fact in starts).values()) == 1, "a token was granted twice"
    assert len(starts) - len(runs) <= counts.crashed <= KILLS * IN_HAND
    stage.app.close()
    with sqlite3.connect(stage.folder / "jobs.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_a_worker_that_was_stopped_past_its_lease_cannot_end_a_job_that_was_taken_again(stage: Stage) -> None:
    """F3, L4"""
    job = stage.task("wait").enqueue("gate")
    with stage.worker() as frozen:
        eventually(lambda: stage.ledger.count("start") == 1, within=30)
        stop_between_writes(frozen, stage.folder / "jobs.db")
        with stage.worker() as heir:
            eventually(lambda: stage.ledger.count("start") == 2, within=30)
            frozen.sigcont()
            frozen.wait_line("lease was lost", within=30)
            stage.open("gate")
            assert job.result(timeout="30s") == 2
            heir.sigterm()
            assert heir.wait(30) == 0
        frozen.sigterm()
        assert frozen.wait(30) == 0
    assert (stage.counts.done, stage.counts.crashed) == (1, 1)
    assert stage.counts.balanced


def test_schedules_fire_once_each_with_two_schedulers_on_one_file(stage: Stage) -> None:
    """S1, S2: and the one that leads is killed"""
    with stage.process("worker", "-q", app="ticking"), stage.scheduler("-q"):
        with stage.scheduler("-q") as first:
            eventually(lambda: stage.ledger.count("fast") >= 5, within=30)
            first.sigkill()
        seen = stage.ledger.count("fast")
        eventually(lambda: stage.ledger.count("fast") >= seen + 10, within=30)
    for name in ("fast", "odd", "slow"):
        fired = Counter(fact.note for fact in stage.ledger.of(name) if fact.crashes == 0)
        assert max(fired.values()) == 1
