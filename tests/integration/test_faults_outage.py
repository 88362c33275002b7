"""The server is away: processes say so once, keep trying, and go on by themselves when it is back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from chronoq import errors
from chronoq.domain.job import State
from tests.faults import SETTINGS, Stage, on_stage, opened, task_of
from tests.faults_app import ROOT, working
from tests.proc import Process, chronoq
from tests.servers import Server, eventually

NewServer = Callable[..., Server]

AT_MOST = 5
"""Lines that a process may say about one outage."""

BACK = 30
"""Seconds after which all is as before (A2)."""


@pytest.fixture
def durable(new_server: NewServer) -> Server:
    return new_server(tcp=True, aof=True)


@pytest.fixture
def stage(durable: Server, tmp_path: Path) -> Iterator[Stage]:
    with on_stage(durable, tmp_path) as stage:
        yield stage


def words(process: Process, *expected: str) -> list[str]:
    """What it said, but for the lines that have one of `expected` in them."""
    return [line for line in (*process.out, *process.err) if not any(word in line for word in expected)]


def test_workers_and_schedulers_that_find_no_server_say_so_once_and_start_when_it_is_there(
    durable: Server, stage: Stage
) -> None:
    durable.kill()

    with stage.worker("-q") as worker, stage.scheduler("-q") as scheduler:
        for process in (worker, scheduler):
            said = process.wait_line("E01", within=30).string
            assert "Cannot reach redis://127.0.0.1" in said
            assert "connection refused" in said
        durable.start()
        assert eventually(lambda: opened(stage.app), within=BACK)
        job = stage.task("work").enqueue(7)
        assert job.result(timeout=f"{BACK}s") == 7
        for process in (worker, scheduler):
            process.wait_line("connected after", within=BACK)
        eventually(
            lambda: any("fast" in str(one.id) for one in stage.app.backend.store.find("work")), within=BACK
        )
        eventually(lambda: stage.app.stored_schedule("fast").ledger(), within=BACK)
        for process in (worker, scheduler):
            assert len(words(process)) <= AT_MOST, words(process)
            assert sum("E01" in line for line in words(process)) == 1
            assert process.alive


def test_a_process_that_waits_for_its_server_can_be_stopped(durable: Server, stage: Stage) -> None:
    durable.kill()

    with stage.worker() as worker, stage.scheduler() as scheduler:
        for process in (worker, scheduler):
            process.wait_line("E01", within=30)
            process.sigterm()
            assert process.wait() == 0


def test_a_server_killed_in_the_middle_costs_a_few_lines_and_no_job(durable: Server, stage: Stage) -> None:
    work = stage.task("work")
    jobs = [work.job(number, 0.002) for number in range(3_000)]
    acknowledged = [handle.id for handle in stage.app.enqueue_many(jobs)]

    with stage.process("worker", app="ticking") as worker, stage.scheduler() as scheduler:
        scheduler.wait_line(" leads ", within=BACK)  # one that finds no server at its start says other words
        for outage in range(1, 4):
            eventually(lambda: stage.ledger.count("end") >= outage * 300, within=BACK)  # noqa: B023
            lines = {process: len(trouble(process)) for process in (worker, scheduler)}
            durable.kill()
            with pytest.raises(errors.Unreachable) as caught:
                work.enqueue(-1)
            assert caught.value.code == "E01"
            for process in (worker, scheduler):
                process.wait_line("Trying again", times=outage, within=BACK)
            durable.start()
            acknowledged.append(eventually(lambda: enqueued(stage)))
            for process in (worker, scheduler):
                process.wait_line("the backend answers again", times=outage, within=BACK)
                assert len(trouble(process)) - lines[process] <= AT_MOST, trouble(process)[lines[process] :]
        eventually(lambda: all_done(stage, acknowledged), within=60)
        scheduler.sigterm()
        assert scheduler.wait() == 0
        eventually(lambda: stage.counts.running + stage.counts.ready + stage.counts.delayed == 0, within=BACK)
        worker.sigterm()
        assert worker.wait() == 0
        assert "Traceback" not in "\n".join((*worker.err, *scheduler.err))

    counts = stage.counts
    assert counts.balanced
    assert counts.accepted == counts.done


def test_enqueueing_without_a_server_is_refused_at_once(durable: Server, tmp_path: Path) -> None:
    durable.kill()
    app = working(durable.url(), tmp_path)

    started = monotonic()
    for _ in range(3):
        with pytest.raises(errors.Unreachable, match=r"Cannot reach redis://127\.0\.0\.1") as caught:
            task_of(app, "nothing").enqueue()
        assert caught.value.code == "E01"
    assert monotonic() - started < 3, "it waited or tried again; a caller wants to know now"

    durable.start()
    assert task_of(app, "nothing").enqueue().status() is State.READY
    app.close()


def test_the_command_line_says_the_same_and_its_exit_code_is_three(durable: Server) -> None:
    durable.kill()

    env = {**SETTINGS, "CHRONOQ_URL": durable.url()}
    with chronoq("enqueue", "work", "1", env=env, cwd=ROOT) as command:
        assert command.wait(30) == 3
        assert "E01" in "\n".join(command.err)
        assert len(command.err) <= AT_MOST


def trouble(process: Process) -> list[str]:
    """All lines that are not about one job, or a start."""
    return words(process, "▶", "✔", "⏱", "leads", "declared", "concurrency", "schedules", "it runs again")


def enqueued(stage: Stage) -> str:
    """The id of a job that was acknowledged, or "" when the server is not ready yet."""
    try:
        return str(stage.task("work").enqueue(1).id)
    except errors.BackendError:
        return ""


def all_done(stage: Stage, ids: list[str]) -> bool:
    backend = stage.app.backend
    found = backend.queue.get([stage.app.job(id).job_id for id in ids], now=backend.clock.now())
    return all(one is not None and one.state is State.DONE for one in found)
