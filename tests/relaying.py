"""`python -m tests.relaying DATABASE_URL KILLS SEED`: relays that die, one after the other, at any statement.

Each is a fork that is killed just before one of its next statements, so also between the answer of the
backend and the removal of what it has taken. Ends when so many have died, or nothing waits any more.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg

from chronoq.app import courier
from chronoq.outbox import Outbox, Relay
from tests.faults_app import working


def doomed(url: str, statements: int) -> Callable[[], Any]:
    """What opens connections whose process is killed when it has executed so many statements."""
    left = [statements]

    def count() -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    class ServerCursor(psycopg.Cursor[Any]):
        def execute(self, *args: Any, **more: Any) -> Any:
            count()
            return super().execute(*args, **more)

    class FileCursor(sqlite3.Cursor):
        def execute(self, *args: Any) -> Any:
            count()
            return super().execute(*args)

    class File(sqlite3.Connection):
        def cursor(self, *args: Any) -> Any:
            return super().cursor(FileCursor)

    if url.startswith("postgresql"):
        return lambda: psycopg.connect(url, cursor_factory=ServerCursor)
    return lambda: sqlite3.connect(url.removeprefix("sqlite:///"), factory=File, timeout=30)


def opened(url: str) -> Any:
    """A connection of an application."""
    if url.startswith("postgresql"):
        return psycopg.connect(url)
    return sqlite3.connect(url.removeprefix("sqlite:///"))


def relayed(url: str, statements: int) -> None:
    """Deliver until nothing waits, or death comes."""
    with closing(Relay(Outbox(working()), doomed(url, statements))) as relay:
        while not relay.idle:
            relay.step(datetime.now(UTC))


def main(url: str, kills: int, seed: int) -> None:
    courier.AT_ONCE = 20  # more moments to die at
    with closing(working()) as app:
        assert app.backend.clock.now()  # what the forks need is imported once
    dice = random.Random(seed)
    died = 0
    while died < kills:
        child = os.fork()
        if child == 0:
            relayed(url, dice.randint(1, 13))
            os._exit(0)
        dice.random()
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert status == 0
            break
        died += 1
        print("died", flush=True)
    print("over", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
