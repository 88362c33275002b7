"""What waiting costs, and how soon a job starts that wakes a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chronoq.domain.job import State
from tests.faults import Stage, on_stage
from tests.servers import Server

NewServer = Callable[..., Server]


@pytest.fixture
def stage(new_server: NewServer, tmp_path: Path) -> Iterator[Stage]:
    with on_stage(new_server(), tmp_path) as stage:
        yield stage


def test_a_job_without_a_due_time_is_ready_at_once(stage: Stage) -> None:
    for number in range(20):  # at any part of a millisecond
        assert stage.task("work").enqueue(number).status() is State.READY
