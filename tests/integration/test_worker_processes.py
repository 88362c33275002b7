"""`worker --processes N`: several worker processes under one that begins the fallen anew."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chronoq import Scheduler
from chronoq.cli.process import GARBAGE
from chronoq.domain.lease import Kind
from tests.faults import Stage, on_stage
from tests.proc import chronoq
from tests.servers import Server, eventually

NewServer = Callable[..., Server]


@pytest.fixture
def stage(new_server: NewServer, tmp_path: Path) -> Iterator[Stage]:
    with on_stage(new_server(), tmp_path) as stage:
        yield stage


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def workers(stage: Stage) -> set[int]:
    """The processes on the roll that are alive."""
    backend = stage.app.backend
    roll = backend.life.roll(now=backend.clock.now())
    return {one.process.pid for one in roll if one.process.kind is Kind.WORKER and alive(one.process.pid)}


def test_each_process_takes_its_share_and_all_stop_together(stage: Stage) -> None:
    with stage.worker("--processes", "2", concurrency="1") as supervisor:
        pids = eventually(lambda: len(found := workers(stage)) == 2 and found, within=30)
        handles = [stage.task("wait").enqueue("gate") for _ in range(2)]
        eventually(lambda: stage.ledger.count("start") == 2, within=30)
        assert {fact.pid for fact in stage.ledger.of("start")} == pids
        stage.open("gate")
        assert [handle.result(timeout=30) for handle in handles]
        supervisor.sigterm()
        assert supervisor.wait(within=30) == 0
    assert not any(map(alive, pids))


def test_one_that_falls_is_begun_anew_and_loses_nothing(stage: Stage) -> None:
    with stage.worker("--processes", "2") as supervisor:
        before = eventually(lambda: len(found := workers(stage)) == 2 and found, within=30)
        os.kill(fallen := min(before), signal.SIGKILL)
        supervisor.wait_line("was killed by SIGKILL; begun anew", within=30)
        after = eventually(lambda: len(found := workers(stage)) == 2 and found, within=30)
        assert fallen not in after
        assert len(before & after) == 1
        handles = [stage.task("work").enqueue(number) for number in range(20)]
        for handle in handles:
            handle.result(timeout=30)
        supervisor.sigterm()
        assert supervisor.wait(within=30) == 0


def test_without_their_supervisor_they_stop(stage: Stage) -> None:
    with stage.worker("--processes", "2") as supervisor:
        pids = eventually(lambda: len(found := workers(stage)) == 2 and found, within=30)
        supervisor.sigkill()
        eventually(lambda: not any(map(alive, pids)), within=30)


def test_in_a_burst_all_leave_when_nothing_is_ready(stage: Stage) -> None:
    for number in range(10):
        stage.task("work").enqueue(number)
    with stage.worker("--processes", "2", "--burst") as supervisor:
        assert supervisor.wait(within=40) == 0
    assert stage.all_ended(10)


def test_a_mistake_is_told_once(stage: Stage, tmp_path: Path) -> None:
    env = {"CHRONOQ_URL": stage.server.url()}
    with chronoq("worker", "--processes", "3", "--app", "nowhere:app", env=env, cwd=tmp_path) as supervisor:
        assert supervisor.wait(within=30) == 2
    assert len([line for line in supervisor.err if "error" in line]) == 1


APP = """
import gc
from chronoq import Scheduler

{said}
app = Scheduler("sqlite:///jobs.db")

@app.task
def threshold() -> int:
    return gc.get_threshold()[0]
"""


@pytest.mark.parametrize(
    ("said", "held"), [("", GARBAGE), ("gc.set_threshold(777)", 777)], ids=["by default", "said otherwise"]
)
def test_garbage_is_looked_for_less_often_unless_the_application_says_how_often(
    said: str, held: int, tmp_path: Path
) -> None:
    (tmp_path / "jobs.py").write_text(APP.format(said=said))
    with closing(Scheduler(f"sqlite:///{tmp_path / 'jobs.db'}")) as app:  # a client: it runs nothing itself
        job = app.add_task(lambda: 0, name="jobs.threshold").enqueue()
        with chronoq("worker", "--app", "jobs:app", "--burst", cwd=tmp_path) as worker:
            assert worker.wait(within=30) == 0
        assert job.result(timeout=1) == held


def test_a_scheduler_looks_for_garbage_less_often_too(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(
        "import gc, pathlib\nimport chronoq\n"
        "pathlib.Path('seen').write_text(str(gc.get_threshold()[0]))\n"
        "app = chronoq.Scheduler('sqlite:///jobs.db')\n"
    )
    with chronoq("scheduler", "--app", "jobs:app", cwd=tmp_path) as scheduler:
        scheduler.wait_line("declared", within=30)
    assert (tmp_path / "seen").read_text() == str(GARBAGE)
