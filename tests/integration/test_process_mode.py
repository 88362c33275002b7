"""executor="process": handlers in warm child processes, replaced when they fall."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from chronoq import JobHandle, Scheduler
from chronoq.app.worker import Worker
from chronoq.domain.errors import BadSetting, JobCancelled, JobFailed
from chronoq.domain.job import State
from tests.integration import process_tasks as tasks
from tests.servers import eventually


@pytest.fixture(scope="module", autouse=True)
def _working() -> Iterator[None]:
    tasks.app.reconfigure(concurrency=2, process_memory="400MB")
    with tasks.app:
        yield


def test_it_runs_in_another_process_and_its_result_comes_back() -> None:
    square, pid = tasks.square.enqueue(7).result(timeout="60s")
    assert square == 49
    assert pid != os.getpid()


def test_children_are_warm_and_no_more_than_slots() -> None:
    handles = tasks.app.enqueue_many([tasks.square.job(number) for number in range(300)])
    found = [handle.result(timeout="60s") for handle in handles]
    assert [square for square, _ in found] == [number * number for number in range(300)]
    assert 1 <= len({pid for _, pid in found}) <= 2


def test_a_coroutine_runs_there_too() -> None:
    assert tasks.later.enqueue(1).result(timeout="60s") == 2


def test_the_handler_sees_its_job() -> None:
    handle = tasks.facts.enqueue()
    assert handle.result(timeout="60s") == [str(handle.job_id), 1, 1, {"of": "yours"}, "facts"]


def test_a_failure_is_told_with_its_traceback() -> None:
    with pytest.raises(JobFailed, match="not there") as caught:
        tasks.fails.enqueue().result(timeout="60s")
    assert "LookupError" in str(caught.value)


def test_a_snooze_costs_no_attempt() -> None:
    assert tasks.snoozes.enqueue().result(timeout="60s") == 2


def test_a_result_that_cannot_be_stored_is_refused() -> None:
    with pytest.raises(JobFailed, match="cannot be stored"):
        tasks.unstorable.enqueue().result(timeout="60s")


@pytest.mark.parametrize(("how", "said"), [("exit", "exit code 7"), ("crash", "SIGSEGV")])
def test_a_child_that_dies_fails_its_job_and_no_other(how: str, said: str) -> None:
    others = [tasks.square.enqueue(number) for number in range(20)]
    dying = tasks.dies.enqueue(how)
    others += [tasks.square.enqueue(number) for number in range(20)]
    with pytest.raises(JobFailed, match=said):
        dying.result(timeout="60s")
    assert len([other.result(timeout="60s") for other in others]) == 40


def test_past_its_timeout_the_child_is_killed_and_its_slot_free_again() -> None:
    overrun = [tasks.overruns.enqueue() for _ in range(4)]
    for handle in overrun:
        with pytest.raises(JobFailed, match="longer than its timeout"):
            handle.result(timeout="60s")
    assert tasks.square.enqueue(3).result(timeout="60s")[0] == 9


def test_one_that_never_stops_telling_its_progress_is_killed_too() -> None:
    for handle in [tasks.chatters.enqueue() for _ in range(2)]:
        with pytest.raises(JobFailed, match="longer than its timeout"):
            handle.result(timeout="60s")
    assert tasks.square.enqueue(3).result(timeout="20s")[0] == 9


def test_a_cancelled_one_is_killed_though_it_does_not_listen(tmp_path: Path) -> None:
    started = tmp_path / "started"
    handle = tasks.gate.enqueue(str(started), str(tmp_path / "never"))
    eventually(started.exists, within=60)
    handle.cancel()
    with pytest.raises(JobCancelled):
        handle.result(timeout="60s")
    assert tasks.square.enqueue(3).result(timeout="60s")[0] == 9


def test_progress_is_seen(tmp_path: Path) -> None:
    handle = tasks.gate.enqueue(str(tmp_path / "started"), str(tmp_path / "opened"))
    progress = eventually(handle.progress, within=60)
    assert (progress.done, progress.total) == (1, 3)
    (tmp_path / "opened").touch()
    assert handle.result(timeout="60s") == "through"


def test_one_that_holds_too_much_memory_is_killed_and_its_slot_free_again(tmp_path: Path) -> None:
    for handle in [tasks.grows.enqueue(500, str(tmp_path / f"started-{slot}")) for slot in range(2)]:
        with pytest.raises(JobFailed, match="more than the 400 of process_memory"):
            handle.result(timeout="60s")
    assert tasks.square.enqueue(3).result(timeout="60s")[0] == 9


@contextmanager
def behind_the_gate(folder: Path, timeout: str | None = None) -> Iterator[tuple[Worker, JobHandle[None]]]:
    """A worker with one slot, whose child is at the gate, and a job that came to it in the same batch."""
    app = Scheduler(concurrency=1)
    gate = app.add_task(tasks.gate.definition.fn, name="gate", executor="process")
    touch = app.add_task(tasks.touch.definition.fn, name="touch", executor="process", timeout=timeout)
    worker = app.worker()
    worker.start()
    touch.enqueue(str(folder / "warm")).result(timeout="60s")
    worker.hands.pace.mean = 0.0001  # as after many short jobs
    _, behind = app.enqueue_many(
        [gate.job(str(folder / "started"), str(folder / "opened")), touch.job(str(folder / "touched"))]
    )
    try:
        eventually((folder / "started").exists, within=60)
        yield worker, behind
    finally:
        (folder / "opened").touch()
        worker.stop()
        app.close()


def test_a_job_behind_a_slow_one_is_not_past_its_time_and_runs_once(tmp_path: Path) -> None:
    with behind_the_gate(tmp_path, timeout="500ms") as (_, behind):
        began = (tmp_path / "started").stat().st_mtime
        eventually(lambda: time.time() > began + 1)
        assert behind.status() not in (State.DONE, State.DEAD, State.DELAYED)
        (tmp_path / "opened").touch()
        behind.result(timeout="60s")
    assert (tmp_path / "touched").read_text() == "x"


def test_a_worker_that_stops_gives_back_what_a_child_has_not_begun(tmp_path: Path) -> None:
    with behind_the_gate(tmp_path) as (worker, behind), ThreadPoolExecutor() as pool:
        stopped = pool.submit(worker.stop)
        eventually(lambda: behind.status() is State.READY)
        (tmp_path / "opened").touch()
        assert stopped.result()
        assert behind.status() is State.READY
    assert not (tmp_path / "touched").exists()


def test_a_function_that_no_child_could_import_is_refused() -> None:
    app = Scheduler()
    with pytest.raises(BadSetting, match="top of a module"):
        app.add_task(lambda: None, name="inner", executor="process")
    with pytest.raises(BadSetting, match="choose thread or process"):
        app.add_task(os.getcwd, name="odd", executor="fibre")  # type: ignore[call-overload]


def test_a_task_of_the_started_script_is_refused_where_it_would_run() -> None:
    app = Scheduler()

    def script() -> None: ...

    script.__module__, script.__qualname__ = "__main__", "script"
    app.add_task(script, name="script", executor="process")
    with pytest.raises(BadSetting, match="module of its own"):
        app.worker()
    app.close()
