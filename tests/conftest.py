"""What every test can ask for; one that kills or pauses its server asks for its own: `new_server`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.databases import BOTH, Database, in_a_file, on_server
from tests.postgres import Postgres, find_programs
from tests.servers import KINDS, Server, find_binary

LONG = os.environ.get("CHRONOQ_LONG") == "1"

settings.register_profile(
    "default",
    deadline=None,  # a busy machine is no bug
    derandomize=False,  # also in CI, where hypothesis would repeat itself
    max_examples=2_000 if LONG else 100,
    print_blob=True,
    stateful_step_count=100 if LONG else 50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    """A Valkey server, shared by the tests of this process."""
    with Server("valkey-9.1") as server:
        yield server


@pytest.fixture(scope="session", params=KINDS)
def any_redis(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Each kind of server in turn, shared like `valkey`; a kind that this machine lacks is skipped."""
    if find_binary(request.param) is None:
        pytest.skip(f"no {request.param} server on this machine")
    with Server(request.param) as server:
        version = str(server.client().info("server")["redis_version"])
        if tuple(map(int, version.split(".")[:2])) < (6, 2):
            pytest.skip(f"the machine's own redis-server is {version}, older than chronoq supports")
        yield server


@pytest.fixture
def redis_url(valkey: Server) -> str:
    """The URL of an empty database on Valkey."""
    return _emptied(valkey)


@pytest.fixture
def any_redis_url(any_redis: Server) -> str:
    """The URL of an empty database, on each kind of server in turn."""
    return _emptied(any_redis)


@pytest.fixture
def new_server() -> Iterator[Callable[..., Server]]:
    """Start servers which belong to this test alone: `new_server("redis-6.2", aof=True)`."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(Server(*args, **options))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, shared by the tests of this process; they are skipped on a machine without one."""
    if find_programs() is None:
        pytest.skip("no PostgreSQL server on this machine, neither on PATH nor in /usr/lib/postgresql")
    with Postgres() as server:
        yield server


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An application's own database without any table, of each kind in turn."""
    if request.param == "sqlite":
        return in_a_file(str(tmp_path / "app.db"))
    return on_server(request.getfixturevalue("postgres"))


def _emptied(server: Server) -> str:
    with server.client() as client:
        client.flushall()
    return server.url()
