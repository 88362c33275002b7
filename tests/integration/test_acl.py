"""The access lists in docs/acl say neither more nor less than chronoq does, and the contract holds under them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from chronoq import Scheduler
from chronoq.adapters.redis import open_backend
from chronoq.cli.main import run
from chronoq.domain.errors import BackendError
from chronoq.domain.job import Pause, Progress, Snapshot, State
from chronoq.domain.lease import Kind, Lease, Process, Vitals
from chronoq.domain.ports import Backend
from chronoq.domain.verdict import Done
from chronoq.testing.contracts import LifeContract, LockContract, QueueContract, StoreContract
from chronoq.testing.contracts.values import LEASE, MAIL, NOW, S, add, bring, jid, job, taken
from tests import acl
from tests.proc import chronoq
from tests.servers import Server
from tests.unit.made import cursor, plan

PORTS = ("queue", "store", "lock", "life")


@pytest.fixture
def roles(any_redis: Server, any_redis_url: str) -> Server:
    acl.let_in(any_redis)
    return any_redis


class Shared:
    """A port whose verbs are called in turn by each of the roles that may."""

    def __init__(self, port: str, backends: dict[str, Backend]) -> None:
        self._turns = {
            verb: cycle([getattr(getattr(backends[role], port), verb) for role in who])
            for verb, who in _allowed(port).items()
        }

    def __getattr__(self, verb: str) -> Any:
        if verb.startswith("wait_"):  # an ear hears from its first call on: always the same one's
            self._turns[verb] = cycle([next(self._turns[verb])])
        return next(self._turns[verb])


def _allowed(port: str) -> dict[str, list[str]]:
    allowed: dict[str, list[str]] = {}
    for name, role in acl.ROLES.items():
        for verb in role.verbs:
            where, _, what = verb.partition(".")
            if where == port:
                allowed.setdefault(what, []).append(name)
    return allowed


@pytest.fixture
def backend(roles: Server) -> Iterator[Backend]:
    opened = {role: open_backend(acl.url_of(roles, role)) for role in acl.ROLES}
    ports = {port: Shared(port, opened) for port in PORTS}
    yield Backend(**ports, clock=opened["worker"].clock, close=lambda: None)  # type: ignore[arg-type]
    for one in opened.values():
        one.close()


LONGER = os.environ.get("CHRONOQ_CHECK") == "1"
KINDS = ["valkey-9.1", "redis-6.2"]
on_valkey = pytest.mark.parametrize("any_redis", ["valkey-9.1"], indirect=True, scope="session")
on_both = pytest.mark.parametrize("any_redis", KINDS, indirect=True, scope="session")


if LONGER:

    @on_valkey
    class TestQueue(QueueContract): ...

    @on_valkey
    class TestStore(StoreContract): ...


@on_valkey
class TestLock(LockContract): ...


@on_valkey
class TestLife(LifeContract): ...


# the files


@pytest.mark.parametrize("role", acl.ROLES)
def test_a_file_says_what_follows_from_the_scripts(role: str) -> None:
    written = (acl.FOLDER / f"{role}.acl").read_text()
    assert written == acl.line(role, acl.ROLES[role]) + "\n", "write it anew: python -m tests.acl"


def test_there_is_a_file_for_each_role_and_no_other() -> None:
    assert {path.stem for path in acl.FOLDER.iterdir()} == set(acl.ROLES)


def test_every_verb_and_every_script_is_somebodys() -> None:
    assert {script for role in acl.ROLES.values() for script in role.scripts} == set(acl.scripts())
    for port in PORTS:
        kind = Backend.__annotations__[port]
        verbs = {name for name in vars(kind) if not name.startswith("_")}
        assert set(_allowed(port)) == verbs


def test_every_command_that_the_adapter_names_is_somebodys(valkey: Server) -> None:
    with valkey.client() as root:
        known = {str(name).upper() for name in root.command()}
    sources = [path.read_text() for path in acl.ADAPTER.glob("*.py")]
    named = {word for text in sources for word in re.findall(r'\("([A-Z]{2,})"[,)]', text)} & known
    granted = {*acl.EVERYONE, *(name for role in acl.ROLES.values() for name in role.commands)}
    granted = {name.partition("|")[0] for name in granted} | {"SUBSCRIBE", *acl.ON_REQUEST}
    assert "BLPOP" in named
    assert named <= granted, "give them to the roles that need them, in tests/acl.py"


def test_who_only_looks_writes_nothing(valkey: Server) -> None:
    commands = {word[1:] for word in acl.line("observer", acl.ROLES["observer"]).split() if word[0] == "+"}
    with valkey.client() as root:
        writing = {name.lower() for name in root.execute_command("ACL", "CAT", "write")}
    writing = {one.decode() if isinstance(one, bytes) else one for one in writing}
    assert "set" in writing
    assert not commands & writing


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_takes_the_files_as_they_are_and_lets_nobody_in_before_there_is_a_password(
    kind: str, tmp_path: Path, new_server: Callable[..., Server]
) -> None:
    users = tmp_path / "users.acl"
    lines = [path.read_text() for path in sorted(acl.FOLDER.iterdir())]
    users.write_text("user default on nopass ~* &* +@all\n" + "".join(lines))
    server = new_server(kind, "--aclfile", str(users))
    with pytest.raises(BackendError, match="refused the login for user 'chronoq-worker'"):
        open_backend(acl.url_of(server, "worker"))
    with server.client() as root:
        root.execute_command("ACL", "SETUSER", "chronoq-worker", ">worker")
    open_backend(acl.url_of(server, "worker")).close()


# what a role may not


VERBS: dict[str, Callable[[Backend, Any], Any]] = {
    "queue.submit": lambda b, _: b.queue.submit([job("new")], now=NOW),
    "queue.adopt": lambda b, _: b.queue.adopt([Snapshot(job("old"), State.READY)], now=NOW),
    "queue.promote": lambda b, _: b.queue.promote([MAIL], now=NOW, limit=9),
    "queue.claim": lambda b, _: b.queue.claim([(MAIL, 1)], worker="w", lease=LEASE, now=NOW),
    "queue.extend": lambda b, claim: b.queue.extend([claim], lease=LEASE, now=NOW),
    "queue.settle": lambda b, claim: b.queue.settle([(claim, Done())], now=NOW),
    "queue.release": lambda b, claim: b.queue.release([claim], now=NOW),
    "queue.report": lambda b, claim: b.queue.report(claim, Progress(1)),
    "queue.expired": lambda b, _: b.queue.expired([MAIL], now=NOW, limit=9),
    "queue.cancel": lambda b, _: b.queue.cancel([jid("ready")], now=NOW),
    "queue.revive": lambda b, _: b.queue.revive([jid("dead")], now=NOW),
    "queue.purge": lambda b, _: b.queue.purge([jid("dead")], now=NOW),
    "queue.forget": lambda b, _: b.queue.forget([jid("past")], now=NOW),
    "queue.sweep": lambda b, _: b.queue.sweep(MAIL, now=NOW),
    "queue.pause": lambda b, _: b.queue.pause(MAIL, Pause("halt")),
    "queue.resume": lambda b, _: b.queue.resume(MAIL),
    "queue.endings": lambda b, _: b.queue.endings([jid("ready")], now=NOW),
    "queue.get": lambda b, _: b.queue.get([jid("ready")], now=NOW),
    "queue.find": lambda b, _: [b.queue.find(MAIL, state, now=NOW) for state in State],
    "queue.counts": lambda b, _: b.queue.counts([MAIL], now=NOW),
    "queue.queues": lambda b, _: b.queue.queues(),
    "queue.wait_ready": lambda b, _: b.queue.wait_ready([MAIL], timeout=timedelta(milliseconds=10)),
    "queue.wait_claim": lambda b, _: b.queue.wait_claim(
        [(MAIL, 1)], worker="w", lease=LEASE, now=NOW, timeout=timedelta(milliseconds=10)
    ),
    "queue.wait_due": lambda b, _: b.queue.wait_due([MAIL], timeout=timedelta(milliseconds=10)),
    "queue.wait_ended": lambda b, _: b.queue.wait_ended([MAIL], timeout=timedelta(milliseconds=10)),
    "store.put": lambda b, _: b.store.put(plan(), cursor=cursor(), expected=None, now=NOW),
    "store.drop": lambda b, _: b.store.drop([plan().id]),
    "store.sweep": lambda b, _: b.store.sweep("default", now=NOW),
    "store.due": lambda b, _: b.store.due(["default"], now=NOW, limit=9),
    "store.get": lambda b, _: b.store.get([plan().id]),
    "store.find": lambda b, _: b.store.find("default"),
    "store.live": lambda b, _: b.store.live(plan().id),
    "store.ledger": lambda b, _: b.store.ledger(plan().id),
    "lock.acquire": lambda b, _: b.lock.acquire("scheduler", owner="x", ttl=S, now=NOW),
    "lock.renew": lambda b, _: b.lock.renew(Lease("scheduler", "x", 1, NOW), ttl=S, now=NOW),
    "lock.release": lambda b, _: b.lock.release(Lease("scheduler", "x", 1, NOW)),
    "life.birth": lambda b, _: b.life.birth(Process("p", Kind.WORKER, "h", 1, NOW, "1", ()), ttl=S, now=NOW),
    "life.beat": lambda b, _: b.life.beat("p", Vitals(), ttl=S, now=NOW),
    "life.death": lambda b, _: b.life.death("p"),
    "life.roll": lambda b, _: b.life.roll(now=NOW),
}
UNTOLD = {"store.fire", "queue.recall", "queue.prepare"}
"""Only the contract calls the first: its firings are many lines to make. The others ask nothing of the server."""

ALSO = {
    "producer": {"queue.adopt", "queue.extend", "queue.revive", "queue.purge", "queue.settle"},
    "caller": {
        *("queue.adopt", "queue.expired", "queue.extend", "queue.promote", "queue.revive", "queue.settle"),
        "life.death",
    },
    "worker": {
        *("queue.revive", "queue.purge", "queue.pause", "queue.resume", "queue.wait_due"),
        *("store.put", "store.due", "store.live"),
    },
    "scheduler": {
        *(
            "queue.wait_ready",
            "queue.submit",
            "queue.adopt",
            "queue.get",
            "queue.endings",
            "queue.expired",
            "queue.extend",
        ),
        *("queue.report", "queue.revive", "queue.purge", "store.live", "store.ledger", "life.roll"),
    },
    "observer": {"queue.expired"},
    "operator": {
        *("queue.promote", "queue.extend", "queue.settle", "queue.release", "queue.report", "queue.expired"),
        *("store.due", "life.death"),
    },
}
"""What a role can do besides, for a list knows commands and keys, and these need no others."""

HALF = {
    *((role, verb) for role in ("operator", "caller") for verb in ("life.birth", "life.beat")),
    ("scheduler", "queue.wait_claim"),
}
"""Refused after a first command: of a process that should log in as somebody else, something is left."""


@on_both
@pytest.mark.parametrize("role", acl.ROLES)
def test_a_role_may_do_its_business_and_what_it_may_not_changes_nothing(roles: Server, role: str) -> None:
    root, own = open_backend(roles.url()), open_backend(acl.url_of(roles, role))
    mine = {*acl.ROLES[role].verbs, *ALSO[role]}
    with ExitStack() as stack:
        stack.callback(root.close)
        stack.callback(own.close)
        claim = taken(root.queue, "held")
        bring(root.queue, State.DEAD, job("dead"), now=NOW)
        add(root.queue, "ready", "past")
        root.queue.cancel([jid("past")], now=NOW)
        root.queue.submit([job("later", due=NOW + S)], now=NOW)
        root.store.put(plan(), cursor=cursor(), expected=None, now=NOW)
        before = _contents(roles)
        for verb in sorted(VERBS.keys() - mine):
            with pytest.raises(BackendError, match=f"does not allow this to user 'chronoq-{role}'"):
                print(verb, VERBS[verb](own, claim))
            if (role, verb) in HALF:
                before = _contents(roles)
            assert _contents(roles) == before, verb
        for verb in sorted(VERBS.keys() & mine):
            VERBS[verb](own, claim)


def _contents(server: Server) -> dict[bytes, bytes | None]:
    with server.client() as root:
        return {key: root.dump(key) for key in root.scan_iter()}


def test_every_verb_is_tried(valkey: Server) -> None:
    assert set(VERBS) | UNTOLD == {f"{port}.{verb}" for port in PORTS for verb in _allowed(port)}


# whole processes, each as its own user

APP = """
from chronoq import Scheduler, every

app = Scheduler()

@app.task
def double(number: int) -> int:
    return 2 * number

@app.schedule(every("200ms"), overlap="allow")
def tick() -> None: ...
"""
LOOKS = (
    ("stats",),
    ("jobs", "list"),
    ("jobs", "show", "one"),
    ("schedules", "list"),
    ("schedules", "show", "tick"),
    ("schedules", "next", "tick"),
    ("queues", "list"),
    ("dead", "list"),
    ("workers", "list"),
    ("why", "one"),
    ("healthcheck", "--worker", "--scheduler"),
    ("config",),
)


@pytest.mark.parametrize("any_redis", KINDS if LONGER else ["valkey-9.1"], indirect=True, scope="session")
def test_producer_worker_scheduler_and_observer_work_together(
    roles: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "jobs.py").write_text(APP)
    command = partial(chronoq, cwd=tmp_path)
    with (
        command("--app", "jobs:app", "--url", acl.url_of(roles, "worker"), "worker") as worker,
        command("--app", "jobs:app", "--url", acl.url_of(roles, "scheduler"), "scheduler") as scheduler,
    ):
        app = Scheduler(acl.url_of(roles, "producer"))

        @app.task(name="jobs.double")
        def double(number: int) -> int: ...  # type: ignore[empty-body]

        assert double.using(id="one").enqueue(21).result(timeout="30s") == 42
        assert double.using(delay="1h", id="later").enqueue(1).cancel()
        app.close()
        worker.wait_line("✔ jobs.tick", within=30, times=2)
        monkeypatch.setenv("CHRONOQ_URL", acl.url_of(roles, "observer"))
        for words in LOOKS:
            assert run(words) == 0, f"{words}: {capsys.readouterr().err}"
        assert run(["jobs", "cancel", "one"]) != 0
        assert "does not allow this to user 'chronoq-observer'" in capsys.readouterr().err
        monkeypatch.setenv("CHRONOQ_URL", acl.url_of(roles, "operator"))
        for words in (
            ("queues", "pause", "default"),
            ("queues", "resume", "default"),
            ("schedules", "pause", "tick"),
        ):
            assert run(words) == 0, f"{words}: {capsys.readouterr().err}"
        for process in (scheduler, worker):
            process.sigterm()
        assert [process.wait(30) for process in (scheduler, worker)] == [0, 0]
        assert not [
            line for line in (*worker.out, *worker.err, *scheduler.out, *scheduler.err) if "⚠" in line
        ]
