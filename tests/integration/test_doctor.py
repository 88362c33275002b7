"""What the doctor finds on real servers, and that nobody works on one that evicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from attrs import evolve

from chronoq import Scheduler, errors
from chronoq.adapters.memory import open_backend as open_memory
from chronoq.adapters.redis import open_backend
from chronoq.adapters.redis.examine import has_hole
from chronoq.app.doctor import diagnose, rights
from chronoq.cli.main import run
from chronoq.domain.finding import Finding, Level
from chronoq.domain.lease import Kind, Process
from chronoq.domain.ports import Backend
from chronoq.testing.contracts.values import MAIL, add, cursor, job, schedule
from tests import acl
from tests.proc import chronoq
from tests.servers import Server

NewServer = Callable[..., Server]


def examined(backend: Backend, *, apart: timedelta = timedelta(), slow: float = 0) -> dict[str, Finding]:
    moments = iter(range(1000))
    wall = backend.clock.now() + apart
    elapsed = (lambda: next(moments) * slow) if slow else perf_counter
    return {one.topic: one for one in diagnose(backend, wall=wall, elapsed=elapsed)}


@pytest.mark.parametrize(
    ("role", "may_not"),
    [
        ("producer", "work, nor schedule"),
        ("worker", "enqueue and cancel, nor schedule"),
        ("observer", "enqueue and cancel, nor work, nor schedule"),
    ],
)
def test_what_a_user_may_not_do_is_told(new_server: NewServer, role: str, may_not: str) -> None:
    server = new_server(aof=True)
    acl.let_in(server)
    backend = open_backend(acl.url_of(server, role))
    found = {one.topic: one for one in rights(backend)}
    assert found["rights"].what == f"This user may not {may_not}."
    assert found["rights"].level is Level.NOTE
    assert not [key for key in server.client().scan_iter() if b"doctor" in key]
    backend.close()


def dangers(found: dict[str, Finding]) -> set[str]:
    return {topic for topic, one in found.items() if one.level is Level.DANGER}


def test_a_sound_installation_is_fine(new_server: NewServer) -> None:
    backend = open_backend(new_server(aof=True).url())
    assert dangers(examined(backend)) == set()
    backend.close()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_an_evicting_server_is_found_and_refused(new_server: NewServer, policy: str) -> None:
    server = new_server("valkey-9.1", "--maxmemory", "100mb", "--maxmemory-policy", policy)
    backend = open_backend(server.url())
    found = examined(backend)
    assert dangers(found) == {"eviction", "persistence"}
    assert (found["eviction"].code, found["persistence"].code) == ("W4", "W5")
    backend.close()
    app = Scheduler(server.url())
    for start in (app.worker, app.scheduler, app.start):
        with pytest.raises(errors.Evicting, match="--allow-eviction"):
            start()
    app.close()
    brave = Scheduler(server.url(), allow_eviction=True)
    brave.worker()
    brave.close()


def test_a_policy_without_a_bound_is_only_noted(new_server: NewServer) -> None:
    server = new_server("redis-6.2", "--maxmemory-policy", "allkeys-lru")
    backend = open_backend(server.url())
    assert examined(backend)["eviction"].level is Level.NOTE
    Scheduler(server.url()).worker()
    backend.close()


def test_processes_do_not_start_on_an_evicting_server(new_server: NewServer, tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text("from chronoq import Scheduler\napp = Scheduler()\n")
    server = new_server("valkey-9.1", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    given = ("--app", "jobs:app", "--url", server.url())
    for kind in ("worker", "scheduler"):
        with chronoq(kind, *given, cwd=tmp_path) as process:
            process.wait_line("error E20: The server throws keys away", within=30)
            assert process.wait(30) == 1
    with chronoq("worker", "--allow-eviction", "--burst", *given, cwd=tmp_path) as process:
        assert process.wait(30) == 0


def test_a_full_server_and_an_old_one_are_found(new_server: NewServer) -> None:
    server = new_server("redis-6.2", "--maxmemory", "1mb")
    backend = open_backend(server.url())
    found = examined(backend)
    assert found["memory"].level is Level.DANGER
    backend.close()


@pytest.mark.parametrize(
    ("name", "version", "hole"),
    [
        *(("Redis", old, True) for old in ("6.2.19", "7.0.15", "7.2.10", "7.4.5", "8.0.3", "8.2.1", "8.1.9")),
        *(("Redis", new, False) for new in ("6.2.20", "7.2.11", "7.4.6", "8.0.4", "8.2.2", "8.4.0", "9.0.0")),
        *(("Valkey", old, True) for old in ("7.2.10", "8.0.5", "8.1.3")),
        *(("Valkey", new, False) for new in ("7.2.11", "8.0.6", "8.1.4", "9.0.0", "9.1.0")),
        ("Redis", "unstable", False),
    ],
)
def test_known_holes(name: str, version: str, hole: bool) -> None:
    assert has_hole(name, version) is hole


def test_work_that_nobody_does_is_found() -> None:
    backend = open_memory()
    now = backend.clock.now()
    backend.queue.submit([evolve(job(), due=now)], now=now)
    backend.store.put(schedule(), cursor=cursor(), expected=None, now=now)
    found = examined(backend)
    assert {found[topic].code for topic in dangers(found)} == {"W1", "W2"}
    for kind in Kind:
        process = Process(kind.value, kind, "h", 1, now, "0.1", (MAIL,))
        backend.life.birth(process, ttl=timedelta(hours=1), now=now)
    assert dangers(examined(backend)) == set()
    early = now - timedelta(minutes=2)
    backend.queue.submit([evolve(job("early"), due=early)], now=early)
    backend.queue.claim([(MAIL, 2)], worker="gone", lease=timedelta(seconds=1), now=early)
    assert dangers(examined(backend)) == {"leases"}


def test_clocks_that_differ_and_slow_answers_are_noted() -> None:
    backend = open_memory()
    found = examined(backend, apart=timedelta(seconds=5), slow=0.5)
    assert (found["clock"].level, found["latency"].level) == (Level.NOTE, Level.NOTE)


def test_damage_is_told() -> None:
    backend = open_memory()
    add(backend.queue, "a", "b", now=backend.clock.now())
    shelf: Any = backend.queue.room.shelves[MAIL]  # type: ignore[attr-defined]
    del shelf.jobs["a"], shelf.ready[2]["a"]
    assert "damage" in dangers(examined(backend))
    backend.queue.sweep(MAIL, now=backend.clock.now())
    assert "1 jobs were lost" in examined(backend)["damage"].what
    shelf.stats["lost"], shelf.stats["accepted"] = 0, 1
    shelf.stats["mended"] = 3
    assert examined(backend)["damage"].level is Level.NOTE


def test_what_this_user_may_not_see_is_a_finding() -> None:
    def refused() -> list[Finding]:
        raise errors.NotAllowed("no INFO")

    found = examined(evolve(open_memory(), examine=refused))
    assert dangers(found) == {"rights"}


def test_the_command_shows_it_and_tells_by_its_exit_code(
    redis_url: str, valkey: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--url", redis_url, "doctor"]
    assert run(given) == 1
    shown = capsys.readouterr().out
    assert "✖ persistence" in shown
    assert "do:  CONFIG SET appendonly yes" in shown
    assert run([*given, "-o", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["healthy"] is False
    assert {one["topic"] for one in told["findings"]} >= {"latency", "eviction", "workers", "damage"}
    assert run(["--app", "nosuch:app", *given, "-q"]) == 1
    assert "✖ app" in capsys.readouterr().out
    assert run(["--url", "unix:///nosuch.sock", "doctor"]) == 3
