"""Who waits on a SQLite file in one process is woken by what happens in another, and costs nothing meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest

from chronoq.adapters.sqlite import open_backend
from chronoq.adapters.sqlite.bell import Bells
from chronoq.domain.job import State
from chronoq.domain.ports import Backend
from chronoq.domain.verdict import Done
from chronoq.testing.contracts.values import HOUR, MAIL, NOW, PATIENCE, Background, add, bring, jid, job, take
from tests.proc import Process, python
from tests.servers import eventually

WAITER = """
import sys
from datetime import timedelta
from time import monotonic
from chronoq.adapters.sqlite import open_backend
from chronoq.testing.contracts.values import MAIL, NOW, take
queue = open_backend(sys.argv[1]).queue
kind = sys.argv[2]
hour = timedelta(hours=1)
if kind == "ended":
    queue.wait_ended([MAIL], timeout=hour)
take(queue)
if kind == "due":
    queue.wait_due([MAIL], timeout=timedelta(0))
print("waiting", flush=True)
while True:
    if kind == "ready":
        queue.wait_ready([MAIL], timeout=hour)
        seen = [claim.id.key for claim in take(queue, 9)]
    else:
        seen = (queue.wait_due if kind == "due" else queue.wait_ended)([MAIL], timeout=hour)
    print("woken", monotonic(), seen, flush=True)
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def backend(url: str) -> Iterator[Backend]:
    backend = open_backend(url)
    yield backend
    backend.close()


def waiting(url: str, kind: str) -> Process:
    return python("-c", WAITER, url, kind)


def test_a_job_wakes_a_process_that_waits_for_work(backend: Backend, url: str) -> None:
    """Nobody polls here: without a bell it would sleep for an hour."""
    late = []
    with waiting(url, "ready") as waiter:
        waiter.wait_line("waiting", within=30)
        for number in range(30):
            sent = monotonic()
            add(backend.queue, f"j{number}")
            woken = waiter.wait_line(rf"woken (\S+) .*'j{number}'", within=30)
            late.append(float(woken[1]) - sent)
    late.sort()
    print(f"woken and granted after {late[15] * 1000:.2f} ms (p50), {late[-1] * 1000:.2f} ms (longest)")


@pytest.mark.parametrize("kind", ["due", "ended"])
def test_what_is_due_sooner_and_what_has_ended_wakes_a_process_too(
    backend: Backend, url: str, kind: str
) -> None:
    claim = None
    if kind == "ended":
        add(backend.queue, "a", "b")
        (claim,) = take(backend.queue)
    with waiting(url, kind) as waiter:
        waiter.wait_line("waiting", within=30)
        if claim is None:
            backend.queue.submit([job("later", due=NOW + HOUR)], now=NOW)
        else:
            backend.queue.settle([(claim, Done())], now=NOW)
        woken = waiter.wait_line("woken .*", within=30)[0]
    assert (MAIL if claim is None else "key='a'") in woken


def test_every_process_that_waits_is_woken_when_there_is_work_for_each(backend: Backend, url: str) -> None:
    with waiting(url, "ready") as one, waiting(url, "ready") as two:
        for waiter in (one, two):
            waiter.wait_line("waiting", within=30)
        backend.queue.submit([job(f"j{number}") for number in range(18)], now=NOW)
        for waiter in (one, two):
            waiter.wait_line("woken", within=30)  # the quicker one may have taken all


def test_a_path_that_is_too_long_for_a_socket_has_bells_too(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    backend = open_backend(f"sqlite:///{deep}/jobs.db")
    with waiting(f"sqlite:///{deep}/jobs.db", "ready") as waiter:
        waiter.wait_line("waiting", within=30)
        add(backend.queue, "a")
        waiter.wait_line("woken .*'a'", within=30)
    backend.close()


def test_where_there_can_be_no_bells_it_is_looked_now_and_then(tmp_path: Path) -> None:
    (tmp_path / "jobs.db-wake").write_text("in the way")
    backend = open_backend(f"sqlite:///{tmp_path}/jobs.db")
    waiter = Background(lambda: backend.queue.wait_ready([MAIL], timeout=PATIENCE))
    add(backend.queue, "a")
    waiter.answer()
    backend.close()


def test_bells_of_a_killed_process_are_cleared_away(backend: Backend, url: str, tmp_path: Path) -> None:
    with waiting(url, "ready") as waiter:
        waiter.wait_line("waiting", within=30)
        eventually(lambda: list((tmp_path / "jobs.db-wake").glob("*.work")))
        waiter.sigkill()
    add(backend.queue, "a")
    eventually(lambda: not list((tmp_path / "jobs.db-wake").glob(f"{waiter.pid}-*")))


def test_closing_clears_ones_own_bells_away(backend: Backend, tmp_path: Path) -> None:
    backend.queue.wait_ready([MAIL], timeout=timedelta(milliseconds=1))
    assert len(os.listdir(tmp_path / "jobs.db-wake")) == 1
    backend.close()
    assert not (tmp_path / "jobs.db-wake").exists()


def test_closing_wakes_who_still_waits(backend: Backend) -> None:
    waiter = Background(lambda: backend.queue.wait_ready([MAIL], timeout=PATIENCE))
    folder = Path(str(backend.queue.data.path) + "-wake")  # type: ignore[attr-defined]
    eventually(lambda: folder.is_dir() and os.listdir(folder))
    backend.close()
    waiter.answer()


def test_a_bell_that_rings_again_and_again_rings_once(tmp_path: Path) -> None:
    ours, theirs = Bells(tmp_path / "wake"), Bells(tmp_path / "wake")
    with ours.listening("work") as bell:
        assert bell is not None
        for _ in range(2_000):  # more than a socket holds
            theirs.ring({"work", "news"})
        assert bell.wait(5)
        bell.hush()
        assert not bell.wait(0)
        theirs.ring({"time"})
        assert not bell.wait(0)
    ours.close()
    theirs.close()


def test_news_from_before_the_first_question_are_nobodys(backend: Backend) -> None:
    bring(backend.queue, State.DONE, job("old"))
    assert backend.queue.wait_ended([MAIL], timeout=timedelta(0)) == []
    bring(backend.queue, State.DONE, job("new"))
    assert backend.queue.wait_ended([MAIL], timeout=timedelta(0)) == [jid("new")]
