"""An application that is closed in the middle of something ends its threads without a word."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from chronoq.domain.errors import ChronoqError
from tests.faults import on_stage
from tests.faults_app import working
from tests.servers import Server, eventually

NewServer = Callable[..., Server]

LONG = timedelta(seconds=30)
WAITS: dict[str, Callable[..., object]] = {
    "wait_ready": lambda queue: queue.wait_ready(["work"], timeout=LONG),
    "wait_due": lambda queue: queue.wait_due(["work"], timeout=LONG),
    "wait_ended": lambda queue: [queue.wait_ended(["work"], timeout=LONG) for _ in range(2)],
}


@pytest.mark.parametrize("name", WAITS)
def test_what_waits_returns_when_the_backend_is_closed(valkey: Server, tmp_path: Path, name: str) -> None:
    raised: list[Exception] = []

    with on_stage(valkey, tmp_path) as stage:
        backend = stage.app.backend

        def wait() -> None:
            try:
                WAITS[name](backend.queue)
            except Exception as error:
                raised.append(error)

        before = len(valkey.client().client_list())
        waiter = threading.Thread(target=wait)
        waiter.start()
        eventually(lambda: len(valkey.client().client_list()) > before)

    waiter.join(5)
    assert not waiter.is_alive()
    assert raised == []


def test_a_listener_ends_without_a_trace_with_its_application(valkey: Server, tmp_path: Path) -> None:
    with on_stage(valkey, tmp_path) as stage:
        handle = stage.task("nothing").enqueue()
        with pytest.raises(ChronoqError):
            handle.result(timeout="50ms")

    for thread in threading.enumerate():
        if thread.name == "chronoq-listener":
            thread.join(5)
            assert not thread.is_alive()


def test_closing_an_unused_application_connects_to_nothing(new_server: NewServer, tmp_path: Path) -> None:
    server = new_server()
    server.kill()

    working(server.url(), tmp_path).close()
