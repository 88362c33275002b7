"""Workers that wait with a claim in their hand, stopped or killed while jobs come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from chronoq.domain.job import State
from tests.faults import Stage, on_stage
from tests.servers import Server, eventually

NewServer = Callable[..., Server]
FOREVER = "10m"
"""A lease that nobody waits for the end of: what is left leased is never seen to end."""


@pytest.fixture
def server(new_server: NewServer) -> Server:
    return new_server()


@pytest.fixture
def stage(server: Server, tmp_path: Path) -> Iterator[Stage]:
    with on_stage(server, tmp_path) as stage:
        yield stage


@contextmanager
def trickle(stage: Stage) -> Iterator[list[object]]:
    """Jobs that come one at a time, as fast as one thread can hand them in."""
    task, put, over = stage.task("work"), list[object](), threading.Event()

    def go() -> None:
        while not over.wait(0.001):
            put.append(task.enqueue(len(put)))

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield put
    finally:
        over.set()
        thread.join()


def waiting(server: Server, many: int) -> None:
    """Until so many connections wait on the server."""
    client = server.client()
    eventually(lambda: client.info("clients")["blocked_clients"] >= many, within=30)


def all_ran_once(stage: Stage) -> None:
    """After whoever comes last has done what is left: it does not wait for leases to end."""
    with stage.worker("--burst", lease=FOREVER) as last:
        assert last.wait(60) == 0
    counts, total = stage.counts, stage.counts.accepted
    assert (counts.accepted, counts.done, counts.running, counts.crashed) == (total, total, 0, 0)
    assert stage.ledger.count("start") == total
    assert counts.balanced


@pytest.mark.parametrize("kind", ["valkey-9.1", "redis-6.2"])
def test_workers_that_are_stopped_while_jobs_come_lose_nothing_and_count_no_crash(
    new_server: NewServer, tmp_path: Path, kind: str
) -> None:
    server = new_server(kind)
    with on_stage(server, tmp_path) as stage, ExitStack() as stack:
        workers = [stack.enter_context(stage.worker(lease=FOREVER)) for _ in range(4)]
        waiting(server, len(workers))
        with trickle(stage) as put:
            for worker in workers:
                seen = len(put)
                eventually(lambda: len(put) > seen + 20, within=30)  # noqa: B023
                worker.sigterm()
            for worker in workers:
                assert worker.wait(20) == 0
        all_ran_once(stage)


def test_a_worker_stops_at_any_moment_of_a_wait_without_leaving_anything_leased(stage: Stage) -> None:
    """Many short lives, in this process: a new one takes half a second to come up."""
    with trickle(stage):
        for life in range(30):
            worker = stage.app.worker(["work"])
            worker.start()
            eventually(lambda: worker.hands.done > life and worker.fetcher.out, within=30)  # noqa: B023
            assert worker.stop()
            assert stage.counts.running == 0
    all_ran_once(stage)


def test_a_worker_that_is_killed_while_it_waits_is_granted_nothing(stage: Stage, server: Server) -> None:
    with stage.worker(lease=FOREVER) as worker:
        waiting(server, 1)
        worker.sigkill()
        worker.wait(20)
        jobs = [stage.task("work").enqueue(number) for number in range(3)]
    assert [job.status() for job in jobs] == [State.READY] * 3
    all_ran_once(stage)


def test_a_worker_whose_waits_are_broken_off_loses_nothing(stage: Stage, server: Server) -> None:
    client, task = server.client(), stage.task("work")
    with stage.worker(lease=FOREVER) as worker:
        for number in range(10):
            waiting(server, 1)
            task.enqueue(number)
            for one in client.client_list():
                if "b" in one["flags"]:
                    client.client_kill_filter(_id=one["id"])
        eventually(lambda: stage.all_ended(10), within=30)
        worker.sigterm()
        assert worker.wait(20) == 0
    all_ran_once(stage)
