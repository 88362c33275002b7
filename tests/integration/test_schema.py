"""Two versions on one store: neighbours work side by side, strangers are refused before they write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from chronoq.adapters.redis import open_backend
from chronoq.domain.errors import OtherSchema
from chronoq.domain.lease import Kind
from chronoq.domain.lease import Process as Living
from chronoq.testing.contracts.values import LEASE, NOW, job
from tests.faults import SETTINGS, on_stage
from tests.faults_app import ROOT
from tests.proc import Process, python
from tests.servers import Server, eventually

MARK = "chronoq:schema"


@pytest.fixture
def client(valkey: Server) -> redis.Redis:
    return valkey.client()


def test_the_mark_is_written_with_the_first_job_and_not_by_looking(
    redis_url: str, client: redis.Redis
) -> None:
    backend = open_backend(redis_url)
    assert backend.queue.queues() == []
    assert not client.exists(MARK)
    backend.queue.submit([job()], now=NOW)
    assert client.get(MARK) == b'{"readable_by":1,"version":1}'
    client.delete(MARK)
    backend.life.birth(Living("p1", Kind.WORKER, "host", 1, NOW, "0.1"), ttl=LEASE, now=NOW)
    assert client.exists(MARK), "a heartbeat writes it again, like the names of queues"
    backend.close()


@pytest.mark.parametrize("mark", [b'{"readable_by":2,"version":2}', b'{"version":-1}', b"junk", b"", b"7"])
def test_a_store_of_a_stranger_is_refused_and_not_written_to(
    redis_url: str, client: redis.Redis, mark: bytes
) -> None:
    """A4"""
    client.set(MARK, mark)
    with pytest.raises(OtherSchema, match="Nothing was written"):
        open_backend(redis_url)
    assert client.keys() == [MARK.encode()]
    assert client.get(MARK) == mark


def test_the_mark_of_a_neighbour_is_left_as_it_is(redis_url: str, client: redis.Redis) -> None:
    """A4"""
    for mark in (b'{"readable_by":0,"version":0}', b'{"readable_by":1,"version":2}'):
        client.set(MARK, mark)
        backend = open_backend(redis_url)
        backend.queue.submit([job()], now=NOW)
        assert client.get(MARK) == mark
        backend.close()


def test_a_later_version_and_this_one_run_each_others_jobs_and_schedules(
    new_server: Callable[..., Server], tmp_path: Path
) -> None:
    """A4"""
    with on_stage(new_server(), tmp_path) as stage:
        env = {"CHRONOQ_URL": stage.server.url(), "FAULTS_FOLDER": str(tmp_path), **SETTINGS}
        app = ("--factory", "--app", "tests.faults_app:ticking")

        def process(version: str, kind: str) -> Process:
            if version == "this":
                return stage.process(kind, app="ticking")
            return python("-m", "tests.next_version", kind, *app, env=env, cwd=ROOT)

        for fires, runs in (("later", "this"), ("this", "later")):
            before = stage.ledger.count("fast")
            with process(fires, "scheduler"), process(runs, "worker"):
                handles = [stage.task("work").enqueue(number) for number in range(5)]
                assert [handle.result(timeout="60s") for handle in handles] == list(range(5))
                eventually(lambda: stage.ledger.count("fast") >= before + 5, within=60)  # noqa: B023

        assert stage.counts.dead == 0
        assert all(stored.cursor.pause is None for stored in stage.app.backend.store.find("work"))
        # this version moved the schedules on last, and kept what it does not know
        cursors = stage.server.client().hgetall("chronoq:{work}:cursors").values()
        assert all(b"later" in text for text in cursors)
