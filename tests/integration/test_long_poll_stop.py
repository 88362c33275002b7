"""A worker that stops while it waits with a claim in its hand, where that is hardest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from chronoq import Queue, Scheduler
from chronoq.adapters.redis import open_backend
from chronoq.adapters.redis.calls import load_scripts
from chronoq.adapters.redis.keys import Keys
from chronoq.app.fetcher import POLL
from chronoq.domain.job import Pause, State
from chronoq.testing.contracts.values import LEASE, MAIL, NOW, Background, S, job, state
from tests.servers import Server, eventually

NewServer = Callable[..., Server]
KINDS = ("valkey-9.1", "redis-6.2")
BIG = 1_000_000


def blocked(server: Server) -> None:
    client = server.client()
    eventually(lambda: client.info("clients")["blocked_clients"] >= 1)


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_big_job_that_is_granted_while_its_worker_stops_is_not_left_leased(
    new_server: NewServer, kind: str, flushed: bool
) -> None:
    """Its record does not fit into one write: the server gives up the rest when it hears of the end."""
    server = new_server(kind)
    with closing(Scheduler(server.url(), max_payload=2 * BIG, lease="10m")) as app:
        work = app.task(name="work")(len)
        for _ in range(8):
            worker = app.worker()
            worker.start()
            eventually(lambda: worker.fetcher.out)  # noqa: B023
            blocked(server)
            if flushed:  # then the claim is sent once more, when the pop is over
                server.client().script_flush()
            handle = work.enqueue("x" * BIG)
            assert worker.stop()
            assert handle.status() in (State.READY, State.DONE)
            handle.cancel()


@pytest.mark.parametrize("kind", KINDS)
def test_work_that_a_worker_hears_of_while_it_stops_is_somebody_elses_to_hear_of(
    new_server: NewServer, kind: str
) -> None:
    """Its connection may be served within the moment in which the server hears of its end."""
    server = new_server(kind)
    backend, client, keys = open_backend(server.url()), server.client(), Keys("chronoq").of(MAIL)
    queue, resume = backend.queue, load_scripts()["resume"]
    places = (keys.paused, keys.work, keys.skips, *keys.ready)
    line = client.connection_pool.get_connection()
    try:
        for number in range(10):
            worker, name = f"w{number}", f"j{number}"
            queue.pause(MAIL, Pause())
            queue.submit([job(name)], now=NOW)
            client.delete(keys.work)
            wait = partial(queue.wait_claim, [(MAIL, 1)], worker=worker, lease=LEASE, now=NOW, timeout=8 * S)
            waiter = Background(wait)
            blocked(server)
            server.pause()
            queue.recall(worker)
            line.send_command("EVAL", resume.body, len(places), *places)
            server.resume()
            answer = waiter.answer()
            assert line.read_response() == 1
            claimed = [claim.id.key for claim in answer.claims] if answer else []
            assert state(queue, name) is (State.RUNNING if claimed else State.READY)
            # None: the worker says it again
            assert claimed or answer is None or client.llen(keys.work)
            queue.cancel([job(name).id], now=NOW)
    finally:
        client.connection_pool.release(line)
        backend.close()


@pytest.mark.parametrize("where", ["sqlite", "aof", "divided"])
def test_a_worker_whose_store_only_waits_does_not_wait_for_that_when_it_stops(
    new_server: NewServer, tmp_path: Path, where: str
) -> None:
    if where == "sqlite":
        made = Scheduler(f"sqlite:///{tmp_path}/jobs.db", queues=["work"])
    elif where == "aof":
        made = Scheduler(new_server(aof=True).url(), queues=["work"], durability="aof")
    else:
        made = Scheduler(new_server().url(), queues=[Queue("work", shards=2)])
    with closing(made) as app:
        worker = app.worker(["work"])
        worker.start()
        eventually(lambda: worker.fetcher.out)
        assert worker.stop()
        called, last = worker.fetcher.called, worker.loops["fetcher"].stepped_at
        assert called is not None
        assert last is not None
        assert last - called < POLL, "it gave up waiting"
