"""`backup`, `vacuum` and `copy`: between files and servers, counted, again and again."""

from __future__ import annotations

import ast
import json
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from chronoq.adapters.redis import open_backend as open_redis
from chronoq.adapters.sqlite import open_backend as open_file
from chronoq.cli.main import run
from chronoq.domain.job import Job, Options, Pause, State
from chronoq.domain.lease import Kind, Process
from chronoq.domain.ports import Backend
from chronoq.domain.schedule import planned
from chronoq.domain.verdict import Dead, Done, Retry
from chronoq.testing.contracts.values import FAILED, HOUR, LEASE, MAIL, jid, job, keys, schedule

ABOVE = Path(__file__).parents[2] / "src" / "chronoq"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def source(path: Path) -> Iterator[Backend]:
    backend = open_file(f"sqlite:///{path}")
    yield backend
    backend.close()


def due_now(backend: Backend, key: str, *, later: timedelta = timedelta(0), **given: Any) -> Job:
    began = backend.clock.now() - timedelta(minutes=1)
    return evolve(job(key, **given), due=began + later, enqueued_at=began)


def furnish(backend: Backend) -> None:
    """Jobs in every place, with a history; a schedule with a run; a queue that is paused."""
    queue, now = backend.queue, backend.clock.now()
    queue.submit([due_now(backend, key) for key in ("dead", "again", "done", "held")], now=now)
    dead, again, done, held = queue.claim([(MAIL, 4)], worker="w", lease=LEASE, now=now).claims
    verdicts = [(dead, Dead(FAILED)), (again, Retry(now + HOUR, FAILED)), (done, Done(b"1"))]
    queue.settle(verdicts, now=now)
    queue.release([held], now=now)
    queue.submit([due_now(backend, "later", later=HOUR), due_now(backend, "ready")], now=now)
    queue.submit([due_now(backend, "other", queue="paused")], now=now)
    queue.pause("paused", Pause("moving"))
    _, cursor = planned(None, schedule(), now=now)
    assert backend.store.put(schedule(), cursor=cursor, expected=None, now=now)


def seen(backend: Backend) -> list[object]:
    """What is to be the same on both sides."""
    now = backend.clock.now()
    ids = [jid(key) for key in ("dead", "again", "held", "later", "ready")] + [jid("other", "paused")]
    places = [
        (one.delayed, one.ready, one.running, one.dead, one.pause)
        for one in backend.queue.counts([MAIL, "paused"], now=now)
    ]
    order = [one.job.id.key for one in backend.queue.find(MAIL, State.READY, now=now).items]
    found = [one and evolve(one, worker="") for one in backend.queue.get(ids, now=now)]
    return [*places, order, *found, *backend.store.find(MAIL)]


def told(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> Any:
    capsys.readouterr()
    found = run([*args, "-o", "json"])
    out, err = capsys.readouterr()
    assert found == code, err
    return json.loads(out) if out else err


def test_a_copy_keeps_places_histories_and_schedules_and_is_once_however_often(
    source: Backend, path: Path, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    furnish(source)
    ours = seen(source)
    args = ("copy", f"sqlite:///{path}", redis_url)

    dry = told(capsys, *args, "--dry-run")
    target = open_redis(redis_url)
    assert target.queue.queues() == []
    first = told(capsys, *args)
    assert dry == first
    assert first == [
        {
            "queue": MAIL,
            "ready": 2,
            "delayed": 2,
            "dead": 1,
            "schedules": 1,
            "already there": 0,
            "taken": 0,
            "unreadable": 0,
        },
        {
            "queue": "paused",
            "ready": 1,
            "delayed": 0,
            "dead": 0,
            "schedules": 0,
            "already there": 0,
            "taken": 0,
            "unreadable": 0,
        },
    ]
    assert seen(target) == ours
    assert seen(source) == ours
    again = told(capsys, *args)
    assert [row["already there"] for row in again] == [6, 1]
    assert seen(target) == ours

    back = path.with_name("back.db")
    told(capsys, "copy", redis_url, f"sqlite:///{back}")
    other = open_file(f"sqlite:///{back}")
    assert seen(other) == ours
    now = target.clock.now()
    claims = target.queue.claim([(MAIL, 5)], worker="w2", lease=LEASE, now=now).claims
    assert [(claim.id.key, claim.token, claim.attempt) for claim in claims] == [
        ("held", 2, 1),
        ("ready", 1, 1),
    ]
    target.close()
    other.close()


def test_a_copy_that_was_broken_off_goes_on(
    source: Backend, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = source.clock.now()
    source.queue.submit([due_now(source, f"j{n:04}") for n in range(1_000)], now=now)
    target = open_file(f"sqlite:///{tmp_path}/new.db")
    target.queue.adopt(source.queue.find(MAIL, State.READY, now=now, limit=300).items, now=now)
    (row,) = told(capsys, "copy", f"sqlite:///{path}", f"sqlite:///{tmp_path}/new.db")
    assert (row["ready"], row["already there"]) == (700, 300)
    taken = target.queue.claim([(MAIL, 1_000)], worker="w", lease=LEASE, now=now).claims
    assert keys(taken) == [f"j{n:04}" for n in range(1_000)]
    target.close()


def test_what_stands_for_something_else_there_is_left_and_said(
    source: Backend, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = source.clock.now()
    source.queue.submit([due_now(source, "a"), due_now(source, "b")], now=now)
    target = open_file(f"sqlite:///{tmp_path}/new.db")
    target.queue.submit([due_now(target, "a", task="another")], now=now)
    (row,) = told(capsys, "copy", f"sqlite:///{path}", f"sqlite:///{tmp_path}/new.db", code=1)
    assert (row["ready"], row["taken"]) == (1, 1)
    assert [one and one.job.task for one in target.queue.get([jid("a")], now=now)] == ["another"]
    target.close()


@pytest.mark.parametrize("side", ["source", "target"])
def test_nothing_is_copied_while_somebody_lives_on_either_side(
    source: Backend, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], side: str
) -> None:
    target = open_file(f"sqlite:///{tmp_path}/new.db")
    living = source if side == "source" else target
    now = living.clock.now()
    source.queue.submit([due_now(source, "a")], now=now)
    living.life.birth(Process("w1", Kind.WORKER, "host", 1, now, "0"), ttl=HOUR, now=now)
    said = told(capsys, "copy", f"sqlite:///{path}", f"sqlite:///{tmp_path}/new.db", code=1)
    assert f"Somebody lives on the {side}: w1" in said
    assert target.queue.queues() == []
    target.close()


def test_leases_that_hold_are_waited_for_and_those_that_ran_out_are_taken_back(
    source: Backend, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = source.clock.now()
    source.queue.submit([due_now(source, "a")], now=now)
    (claim,) = source.queue.claim([(MAIL, 1)], worker="w", lease=HOUR, now=now).claims
    args = ("copy", f"sqlite:///{path}", f"sqlite:///{tmp_path}/new.db")
    assert "1 jobs of the source are leased" in told(capsys, *args, code=1)
    source.queue.extend([claim], lease=timedelta(0), now=now)
    (row,) = told(capsys, *args)
    assert row["ready"] == 1
    target = open_file(f"sqlite:///{tmp_path}/new.db")
    (there,) = target.queue.get([jid("a")], now=now)
    assert there is not None
    assert (there.crashes, there.token, there.attempt) == (1, 1, 0)
    target.close()


def test_a_copy_to_itself_or_to_memory_is_refused(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{path}"
    assert "are the same" in told(capsys, "copy", url, url, code=2)
    assert "private to each process" in told(capsys, "copy", url, "memory://", code=2)


def test_a_backup_is_a_file_of_its_own_that_opens(
    source: Backend, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    furnish(source)
    dest = tmp_path / "safe" / "copy.db"
    args = ("backup", str(dest), "--url", f"sqlite:///{path}")
    assert "Create the folder" in told(capsys, *args, code=3)
    dest.parent.mkdir()
    figures = told(capsys, *args)
    assert figures == {"path": str(dest), "bytes": dest.stat().st_size}
    assert [one.name for one in dest.parent.iterdir()] == [dest.name]
    before = dest.read_bytes()
    assert "is there already. Nothing was overwritten" in told(capsys, *args, code=2)
    assert dest.read_bytes() == before
    copy = open_file(f"sqlite:///{dest}")
    assert seen(copy) == seen(source)
    copy.close()


def test_vacuum_gives_room_back_while_others_go_on(
    source: Backend, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now, brief = source.clock.now() - 48 * HOUR, Options(result_ttl=timedelta(0))
    jobs = [job(f"j{n}", payload=b'[["%s"],{}]' % (b"x" * 2_000), due=now, options=brief) for n in range(500)]
    source.queue.submit(jobs, now=now)
    claims = source.queue.claim([(MAIL, 500)], worker="w", lease=LEASE, now=now).claims
    source.queue.settle([(claim, Done(b'"%s"' % (b"y" * 2_000))) for claim in claims], now=now)
    figures = told(capsys, "vacuum", "--url", f"sqlite:///{path}")
    assert figures["before"] > 2_000_000
    assert figures["after"] < 200_000
    source.queue.submit([due_now(source, "new")], now=source.clock.now())
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*) FROM jobs WHERE place = 'ended'").fetchone() == (0,)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


@pytest.mark.parametrize("command", [["backup", "copy.db"], ["vacuum"]])
def test_a_store_on_a_server_is_not_ours_to_back_up(
    command: list[str], redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "has its own tools" in told(capsys, *command, "--url", redis_url, code=2)


def test_no_file_above_the_adapters_knows_of_this_backend() -> None:
    """Docstrings and messages included: what is asked of a store is asked of any"""
    files = [path for path in ABOVE.rglob("*.py") if "adapters" not in path.relative_to(ABOVE).parts]
    assert len(files) > 50
    known = [path for path in files if "sqlite" in ast.unparse(ast.parse(path.read_text())).lower()]
    assert known == []
