"""SIGTERM: no new claims, then finish, or give back when the grace is over; the exit code says which."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chronoq.domain.job import State
from tests.faults import Stage, on_stage
from tests.servers import Server, eventually

NewServer = Callable[..., Server]


@pytest.fixture
def stage(new_server: NewServer, tmp_path: Path) -> Iterator[Stage]:
    with on_stage(new_server(), tmp_path) as stage:
        yield stage


def started(stage: Stage, count: int = 1) -> None:
    eventually(lambda: stage.ledger.count("start") >= count, within=30)


def test_sigterm_finishes_what_runs_claims_nothing_more_and_exits_with_zero(stage: Stage) -> None:
    wait = stage.task("wait")
    running, waiting = [wait.enqueue("gate") for _ in range(2)], [wait.enqueue("gate") for _ in range(20)]

    with stage.worker(concurrency="2") as worker:
        started(stage, 2)
        worker.sigterm()
        worker.wait_line(r"stopping: \d+ jobs? to finish within 30s")
        late = wait.enqueue("gate")  # it must not be taken any more
        stage.open("gate")
        assert worker.wait(20) == 0
        worker.wait_line("stopped · 2 done · 0 failed")

    assert [job.status() for job in running] == [State.DONE] * 2
    assert [job.status() for job in (*waiting, late)] == [State.READY] * 21
    assert stage.ledger.count("start") == 2
    assert (stage.counts.done, stage.counts.crashed, stage.counts.running) == (2, 0, 0)
    assert stage.app.backend.life.roll(now=stage.app.backend.clock.now()) == []


def test_a_job_that_outlasts_the_grace_period_is_given_back_and_runs_elsewhere_at_once(stage: Stage) -> None:
    job = stage.task("wait").enqueue("gate")

    with stage.worker(grace="100ms", lease="10m") as first:
        started(stage)
        first.sigint()  # as good a reason as SIGTERM
        assert first.wait(20) == 1
        first.wait_line("work was given back unfinished")
    assert job.status() is State.READY

    with stage.worker(lease="10m") as second:
        started(stage, 2)
        stage.open("gate")
        assert job.result(timeout="20s") == 2
        second.sigterm()
        assert second.wait(20) == 0

    again = stage.ledger.of("start")[1]
    assert (again.token, again.attempt, again.crashes) == (2, 1, 0), "giving back costs nothing"
    assert stage.counts.crashed == 0
    assert stage.counts.balanced


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(stage: Stage, second: signal.Signals) -> None:
    job = stage.task("wait").enqueue("gate")

    with stage.worker() as worker:
        started(stage)
        worker.sigterm()
        worker.wait_line("stopping")
        worker.sigterm() if second is signal.SIGTERM else worker.sigint()
        assert worker.wait(20) == 128 + second
        worker.wait_line("stopped at once")

    assert job.status() is State.RUNNING  # until its lease has run out
    stage.open("gate")
    with stage.worker():
        assert job.result(timeout="30s") == 2
    assert stage.counts.crashed == 1


def test_signals_are_heard_whichever_thread_the_system_gives_them_to(stage: Stage) -> None:
    stage.task("signalled").enqueue("gate")

    with stage.worker(grace="10m") as worker:
        worker.wait_line("stopping: 1 job", within=30)
        stage.open("gate")
        assert worker.wait(20) == 128 + signal.SIGTERM


def test_an_idle_worker_stops_without_waiting(stage: Stage) -> None:
    with stage.worker(grace="10m") as worker:
        eventually(lambda: stage.app.backend.life.roll(now=stage.app.backend.clock.now()), within=30)
        worker.sigint()
        assert worker.wait(20) == 0
        assert [line for line in worker.err if "⚠" in line or "Traceback" in line] == []


def test_no_verdict_is_lost_when_workers_come_and_go_in_the_middle_of_short_jobs(stage: Stage) -> None:
    work = stage.task("work")
    total = 1_800

    def runs_of(pid: int) -> int:
        return sum(fact.pid == pid for fact in stage.ledger)

    stage.app.enqueue_many([work.job(number, 0.001) for number in range(total)])

    for _ in range(3):
        with stage.worker("-q", lease="10m") as worker:  # what is left leased would be missed for ten minutes
            eventually(lambda: runs_of(worker.pid) >= total // 10, within=30)
            worker.sigterm()
            assert worker.wait(30) == 0
        assert stage.counts.running == 0
    with stage.worker("-q", "--burst", lease="10m") as worker:
        assert worker.wait(60) == 0

    assert (stage.counts.done, stage.counts.crashed) == (total, 0)
    assert len({fact.key for fact in stage.ledger.of("end")}) == stage.ledger.count("end") == total
