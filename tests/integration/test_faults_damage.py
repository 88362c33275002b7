"""Keys that were deleted under living processes: noticed by themselves, and mended or buried (F14)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chronoq.domain.job import State
from tests.faults import Stage, on_stage
from tests.servers import Server, eventually

KEY = "chronoq:{work}:"


@pytest.fixture
def stage(new_server: Callable[..., Server], tmp_path: Path) -> Iterator[Stage]:
    with on_stage(new_server(), tmp_path) as stage:
        yield stage


def test_a_worker_mends_what_it_finds_and_runs_it(stage: Stage) -> None:
    task, client = stage.task("work"), stage.server.client()
    lost = [task.enqueue(number) for number in range(3)]
    blank = task.enqueue(3)
    client.delete(KEY + "ready:2")
    client.hdel(KEY + "jobs", blank.job_id.key)
    client.rpush(KEY + "ready:2", blank.job_id.key)
    with stage.worker() as worker:
        assert [handle.result(timeout="60s") for handle in lost] == [0, 1, 2]
        worker.wait_line("queue work was damaged: 3 stood nowhere", within=60)
        eventually(lambda: blank.status() is State.DEAD, within=60)
    assert stage.counts.balanced
    assert stage.counts.mended >= 3


def test_an_emptied_store_gets_its_schedules_back(stage: Stage) -> None:
    client = stage.server.client()
    with stage.scheduler() as scheduler, stage.process("worker", app="ticking"):
        eventually(lambda: stage.ledger.count("fast") > 3, within=60)
        client.flushall()
        scheduler.wait_line("not on the roll any more", within=60)
        before = stage.ledger.count("fast")
        eventually(lambda: stage.ledger.count("fast") > before + 3, within=60)
    assert stage.counts.balanced


def test_a_lost_lock_does_not_keep_the_schedules_from_firing(stage: Stage) -> None:
    client = stage.server.client()
    with stage.scheduler(), stage.process("worker", app="ticking"):
        eventually(lambda: stage.ledger.count("fast") > 3, within=60)
        client.delete("chronoq:lock:scheduler")
        before = stage.ledger.count("fast")
        eventually(lambda: stage.ledger.count("fast") > before + 5, within=60)
