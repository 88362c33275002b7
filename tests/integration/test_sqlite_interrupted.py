"""A thread that is interrupted while it uses a SQLite file, as by Ctrl-C, holds nobody up afterwards."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from chronoq.adapters.sqlite import open_backend
from chronoq.domain.job import State
from chronoq.testing.contracts.values import MAIL, NOW
from tests.proc import python

TIMES = 400
"""Without care for interruptions, fewer than so many leave a lock or a transaction behind."""

INTERRUPTED = """
import random, signal, sqlite3, sys
from contextlib import closing
from chronoq.adapters.sqlite import open_backend
from chronoq.domain.ports import Submitted
from chronoq.testing.contracts.values import MAIL, NOW, job
path, what, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
queue = open_backend(f"sqlite:///{path}?synchronous=off").queue
queue.submit([job("first")], now=NOW)
other = sqlite3.connect(path, timeout=0, isolation_level=None)
dice, tried, hits, armed = random.Random(7), 0, 0, False

def interrupt(*_):
    if armed:
        raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
while hits < times:
    tried += 1
    names = [f"{tried}-{n}" for n in range(2 if what == "together" else 1)]
    try:
        armed = True
        signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.000005, 0.0003))
        if what == "read":
            assert queue.counts([MAIL], now=NOW)
        else:
            assert queue.submit([job(name) for name in names], now=NOW) == [Submitted.ACCEPTED] * len(names)
        armed = False
        if what != "read":
            print("accepted", *names)
    except KeyboardInterrupt:
        armed = False
        hits += 1
        other.execute("BEGIN IMMEDIATE")  # for others nothing is locked
        other.execute("ROLLBACK")
print("tried", tried)
"""


@pytest.mark.parametrize("what", ["alone", "together", "read"])
def test_whoever_is_interrupted_at_any_moment_goes_on_and_loses_nothing_that_was_accepted(
    tmp_path: Path, what: str
) -> None:
    path = tmp_path / "jobs.db"
    with python("-c", INTERRUPTED, str(path), what, str(TIMES)) as child:
        assert child.wait(within=60) == 0, child.err
        accepted = {name for line in child.out if line.startswith("accepted") for name in line.split()[1:]}
    with ExitStack() as closing_:
        backend = open_backend(f"sqlite:///{path}")
        closing_.callback(backend.close)
        (counts,) = backend.queue.counts([MAIL], now=NOW)
        page = backend.queue.find(MAIL, State.READY, now=NOW, limit=100_000)
        assert counts.ready == len(page.items)
        assert accepted <= {found.job.id.key for found in page.items}
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
