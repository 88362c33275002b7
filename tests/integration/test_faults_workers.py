"""Workers that are killed, stopped and continued: nothing is lost, and every job ends once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chronoq.app.hands import Pace
from chronoq.domain.job import State
from tests.faults import Stage, on_stage
from tests.servers import Server, eventually

NewServer = Callable[..., Server]

JOBS = 5_000
KILLS = 3
SLOTS = 4
IN_HAND = SLOTS * Pace.DEEPEST
"""What one worker holds at the most."""


@pytest.fixture
def stage(new_server: NewServer, tmp_path: Path) -> Iterator[Stage]:
    with on_stage(new_server(), tmp_path) as stage:
        yield stage


def test_five_thousand_jobs_end_once_each_though_their_worker_is_killed_again_and_again(stage: Stage) -> None:
    work = stage.task("work")
    handles = stage.app.enqueue_many([work.job(number, 0.001) for number in range(JOBS)])

    for kill in range(1, KILLS + 1):
        with stage.worker("-q") as victim:
            eventually(lambda: stage.ledger.count("end") >= kill * JOBS // 10, within=30)  # noqa: B023
            victim.sigkill()
    with stage.worker("-q"):
        eventually(lambda: stage.all_ended(JOBS), within=60)

    counts = stage.counts
    assert counts.balanced
    assert (counts.accepted, counts.done, counts.running, counts.retried) == (JOBS, JOBS, 0, 0)
    assert stage.states(handles) == {State.DONE: JOBS}
    for number in range(0, JOBS, 100):
        assert handles[number].result(timeout="5s") == number

    starts = stage.ledger.of("start")
    runs = Counter(fact.key for fact in starts)
    duplicates = len(starts) - len(runs)
    assert len(runs) == JOBS
    assert max(Counter((fact.key, fact.token) for fact in starts).values()) == 1, "a token was granted twice"
    assert {fact.attempt for fact in starts} == {1}, "a crash has cost a retry"
    assert 0 < counts.crashed <= KILLS * IN_HAND
    assert duplicates <= counts.crashed
    assert all(fact.token > fact.crashes for fact in starts)
    assert any(fact.crashes == 1 and fact.token >= 2 for fact in starts), "no job knows of its crash"


def test_a_worker_that_was_stopped_past_its_lease_cannot_end_a_job_that_was_taken_again(stage: Stage) -> None:
    job = stage.task("wait").enqueue("gate")

    with stage.worker() as frozen:
        eventually(lambda: stage.ledger.count("start") == 1)
        frozen.sigstop()
        with stage.worker() as heir:
            eventually(lambda: stage.ledger.count("start") == 2, within=20)
            frozen.sigcont()
            frozen.wait_line("lease was lost")  # it knows, and its handler runs on
            assert job.status() is State.RUNNING
            stage.open("gate")
            assert job.result(timeout="10s") == 2
            eventually(lambda: stage.ledger.count("end") == 2)
            heir.sigterm()
            assert heir.wait() == 0
        frozen.sigterm()
        assert frozen.wait() == 0

    first, second = stage.ledger.of("start")
    assert (first.token, first.crashes, second.token, second.crashes) == (1, 0, 2, 1)
    assert first.pid != second.pid
    assert (stage.counts.done, stage.counts.crashed) == (1, 1)
    assert stage.counts.balanced


def test_a_verdict_that_comes_after_the_end_changes_nothing(stage: Stage) -> None:
    job = stage.task("wait").enqueue("gate")

    with stage.worker() as frozen:
        eventually(lambda: stage.ledger.count("start") == 1)
        frozen.sigstop()
        stage.open("gate")  # the heir ends at once, and so does the first one as soon as it goes on
        with stage.worker():
            assert job.result(timeout="20s") == 2
        ending = stage.app.backend.queue.endings([job.job_id], now=stage.app.backend.clock.now())
        frozen.sigcont()
        frozen.wait_line("the verdict came too late|lease was lost")
        frozen.sigterm()
        assert frozen.wait() == 0

    assert stage.app.backend.queue.endings([job.job_id], now=stage.app.backend.clock.now()) == ending
    assert job.result(timeout="1s") == 2
    assert (stage.counts.done, stage.counts.crashed) == (1, 1)
