"""A worker needs no scheduler for retries and delayed jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.faults import Stage, on_stage
from tests.servers import Server, eventually

NewServer = Callable[..., Server]

BACKOFF = 0.3


@pytest.fixture
def stage(new_server: NewServer, tmp_path: Path) -> Iterator[Stage]:
    with on_stage(new_server(), tmp_path) as stage:
        yield stage


def test_a_job_that_failed_is_tried_again_after_its_backoff_by_a_worker_alone(stage: Stage) -> None:
    job = stage.task("flaky").enqueue(2)

    with stage.worker() as worker:
        assert job.result(timeout="30s") == 3
        worker.wait_line(r"ConnectionError: not yet · retry 2 of 5 in \d+ms")

    starts = stage.ledger.of("start")
    assert [(fact.attempt, fact.token, fact.crashes) for fact in starts] == [(1, 1, 0), (2, 2, 0), (3, 3, 0)]
    for one, next in pairwise(starts):
        assert next.at - one.at >= BACKOFF - 0.01, "it was tried again too early"
    assert (stage.counts.retried, stage.counts.done) == (2, 1)


def test_a_delayed_job_runs_when_it_is_due_and_never_before_by_a_worker_alone(stage: Stage) -> None:
    with stage.worker(concurrency="1") as worker:  # in their order, however late it is
        worker.wait_line("concurrency", within=30)
        jobs = [stage.task("work").using(delay=f"{delay}ms").enqueue(delay) for delay in (900, 100, 500)]
        dues = {job.job_id.key: info.job.due.timestamp() for job in jobs if (info := job.info())}
        assert len(dues) == 3
        for job, delay in zip(jobs, (900, 100, 500), strict=True):
            assert job.result(timeout="30s") == delay

    starts = stage.ledger.of("start")
    assert [fact.key for fact in starts] == [jobs[place].job_id.key for place in (1, 2, 0)]
    for fact in starts:
        assert fact.at >= dues[fact.key], "it was started before it was due"


def test_a_job_that_becomes_due_while_a_worker_waits_does_not_wait_for_its_next_look(stage: Stage) -> None:
    with stage.worker() as worker:
        worker.wait_line("concurrency", within=30)
        first = stage.task("work").using(delay="30s").enqueue(1)  # the next moment that the worker knows of
        soon = stage.task("work").using(delay="300ms").enqueue(2)
        assert soon.result(timeout="20s") == 2
        assert eventually(lambda: stage.ledger.count("start")) == 1
        assert first.cancel().value == "cancelled"
