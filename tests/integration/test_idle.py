"""What waiting costs, and how soon a job starts that wakes a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, time

import pytest

from chronoq.domain.job import State
from tests.faults import Stage, on_stage
from tests.servers import Server, eventually

NewServer = Callable[..., Server]


@pytest.fixture
def stage(new_server: NewServer, tmp_path: Path) -> Iterator[Stage]:
    with on_stage(new_server(), tmp_path) as stage:
        yield stage


def test_a_job_without_a_due_time_is_ready_at_once(stage: Stage) -> None:
    for number in range(20):  # at any part of a millisecond
        assert stage.task("work").enqueue(number).status() is State.READY


WINDOW = 6.0
"""Seconds to watch: one of the few tests in which real time has to pass, for the promise is a rate."""


STARTING = 2
"""Waits for work that begin before the window: by the second one, a process has done what it does once only."""


def watched(server: Server, seconds: float) -> list[str]:
    """The commands that clients send in so many seconds once they idle, without those that scripts call inside."""
    seen: list[str] = []
    waits, deadline = 0, monotonic() + 30
    with server.client().monitor() as monitor:
        while monotonic() < deadline:
            if monitor.connection.can_read(0.2):
                command = monitor.next_command()
                if command["client_type"] != "lua":
                    seen.append(str(command["command"]))
                    waits += seen[-1].startswith("BLPOP")
                    if waits == STARTING and seen[-1].startswith("BLPOP"):
                        seen, deadline = [], monotonic() + seconds
    assert waits >= STARTING, "it does not wait for work"
    return seen


def test_an_idle_process_makes_fewer_than_five_commands_a_second(
    new_server: NewServer, tmp_path: Path
) -> None:
    """A worker and a scheduler, each on a server of its own, watched at the same time."""

    def seen(command: str, *args: str) -> list[str]:
        (folder := tmp_path / command).mkdir()
        server = new_server()
        with on_stage(server, folder) as stage:
            with stage.process(command, *args, lease="30s", lock_ttl="3s") as process:
                life = stage.app.backend.life
                eventually(lambda: life.roll(now=stage.app.backend.clock.now()), within=30)
                seen = watched(server, WINDOW)
                assert process.alive
            return seen

    with ThreadPoolExecutor() as pool:
        both = [pool.submit(seen, "worker", "--queues", "work"), pool.submit(seen, "scheduler")]
    for commands in (one.result() for one in both):
        assert commands, "it does nothing at all, or nothing was seen"
        assert len(commands) / WINDOW < 5, commands


def test_a_job_wakes_an_idle_worker_within_milliseconds(stage: Stage) -> None:
    waits = []
    with stage.worker("-q", "--queues", "work", lease="30s"):
        task = stage.task("work")
        task.enqueue(0).result(timeout="30s")
        for number in range(1, 101):
            sent = time()
            handle = task.enqueue(number)
            start = eventually(lambda: stage.ledger.of("start", handle.job_id.key))[0]  # noqa: B023
            waits.append(start.at - sent)
            eventually(lambda: stage.ledger.of("end", handle.job_id.key))  # noqa: B023  # idle again

    waits.sort()
    p50, p99 = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
    print(f"a job starts after {p50 * 1000:.2f} ms (p50), {p99 * 1000:.2f} ms (p99)")
    assert p50 < 0.05
