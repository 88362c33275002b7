"""A job that kills its worker convicts itself, and nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chronoq import errors
from chronoq.domain.job import State
from tests.faults import Stage, on_stage
from tests.servers import Server, eventually

NewServer = Callable[..., Server]

NEIGHBOURS = 7
CRASHES = 3


@pytest.fixture
def stage(new_server: NewServer, tmp_path: Path) -> Iterator[Stage]:
    with on_stage(new_server(), tmp_path) as stage:
        yield stage


def test_poison_is_given_up_and_its_neighbours_are_charged_one_crash_at_most(stage: Stage) -> None:
    poison = stage.task("poison").using(id="a-poison").enqueue("poisoned")  # the first by its key as well
    wait = stage.task("wait")
    neighbours = [wait.using(id=f"b-{number}").enqueue("calm") for number in range(NEIGHBOURS)]

    with stage.worker(lease="1s", concurrency=str(NEIGHBOURS + 1)) as worker:
        eventually(lambda: stage.ledger.count("start") == NEIGHBOURS + 1, within=30)
        stage.open("poisoned")  # all are in one worker's hands when it dies
        assert worker.wait(30) == 66
    stage.open("calm")
    for _ in range(CRASHES + 2):
        with stage.worker(lease="1s", concurrency=str(NEIGHBOURS + 1)) as worker:
            eventually(lambda: stage.all_ended(NEIGHBOURS + 1) or not worker.alive, within=60)
            if worker.alive:
                break

    assert len(stage.ledger.of("start", "a-poison")) == CRASHES
    assert poison.status() is State.DEAD
    with pytest.raises(errors.JobFailed, match=r"WorkerLost: worker .* was lost .* \(crash 3 of 3 allowed\)"):
        poison.result(timeout="1s")

    assert [job.status() for job in neighbours] == [State.DONE] * NEIGHBOURS
    ends = [fact for fact in stage.ledger.of("end") if fact.key.startswith("b-")]
    assert len(ends) == NEIGHBOURS
    assert {fact.crashes for fact in ends} == {1}, "a neighbour was charged for a crash that was not its own"
    assert {fact.attempt for fact in ends} == {1}, "a crash has cost a neighbour its retry"
    assert stage.counts.crashed == NEIGHBOURS + CRASHES
    assert stage.counts.balanced
