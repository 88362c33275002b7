"""What the Redis adapter makes of each error that a server can answer with, and of each answer that is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from redis.connection import UnixDomainSocketConnection

from chronoq.adapters.redis import open_backend
from chronoq.adapters.redis.address import Address
from chronoq.adapters.redis.trouble import KINDS, Action
from chronoq.domain.errors import BackendError, BadSetting, NotReady, Unknown, Unreachable
from chronoq.domain.job import Pause
from chronoq.domain.ports import Backend
from chronoq.testing.contracts.values import NOW, job
from tests.fake_server import CUT, FakeServer, array, error

LEASE = timedelta(seconds=30)

SPOKEN = {
    "OOM": "OOM command not allowed when used memory > 'maxmemory'.",
    "LOADING": "LOADING Redis is loading the dataset in memory",
    "MISCONF": "MISCONF Redis is configured to save RDB snapshots, but it's unable to persist to disk.",
    "BUSY": "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "CLUSTERDOWN": "CLUSTERDOWN The cluster is down",
    "TRYAGAIN": "TRYAGAIN Multiple keys request during rehashing of slot",
    "NOREPLICAS": "NOREPLICAS Not enough good replicas to write.",
    "MAXCLIENTS": "ERR max number of clients reached",
    "NOSCRIPT": "NOSCRIPT No matching script. Please use EVAL.",
    "READONLY": "READONLY You can't write against a read only replica.",
    "MASTERDOWN": "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "UNBLOCKED": "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    "NOAUTH": "NOAUTH Authentication required.",
    "NOPERM": "NOPERM User ann has no permissions to run the 'evalsha' command",
    "DENIED": "DENIED Redis is running in protected mode because protected mode is enabled.",
    "MOVED": "MOVED 3999 127.0.0.1:6381",
}
"""What a server says, for each row of the table."""

MORE = [
    ("ASK 3999 127.0.0.1:6381", "MOVED"),
    ("WRONGPASS invalid username-password pair or user is disabled.", "NOAUTH"),
    ("ACL failure in script: User ann has no permissions to run the 'hset' command", "NOPERM"),
    *(
        (f"ERR Error running script (call to f_0): @user_script:1: @user_script: 1: -{SPOKEN[word]}", word)
        for word in ("OOM", "MISCONF", "NOREPLICAS", "READONLY")
    ),
    (
        "ERR Error running script (call to f_0): @user_script:1: The user executing the script can't run this",
        "NOPERM",
    ),
]
"""Other words for the same: in a cluster, at the login, and inside a script before Redis 7 or after."""


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def backend(fake: FakeServer) -> Iterator[Backend]:
    made = open_backend(fake.url)
    yield made
    made.close()


def submitting(backend: Backend) -> BackendError | Unknown:
    with pytest.raises((BackendError, Unknown)) as caught:
        backend.queue.submit([job("a")], now=NOW)
    return caught.value


def test_every_kind_of_error_is_spoken_here() -> None:
    assert set(SPOKEN) == set(KINDS)


@pytest.mark.parametrize(("says", "word"), [*((says, word) for word, says in SPOKEN.items()), *MORE])
def test_each_error_has_its_class_its_words_and_its_action(
    fake: FakeServer, backend: Backend, says: str, word: str
) -> None:
    kind = KINDS[word]
    losses: list[bool] = []
    wire: Any = backend.queue.server.wire  # type: ignore[attr-defined]
    wire.on_loss = lambda: losses.append(True)
    fake.says(error(says), to="EVALSHA")
    fake.says(error(says), to="EVAL")

    caught = submitting(backend)

    expected = Unknown if kind.error.__name__ == "Lost" else kind.error
    assert type(caught) is expected
    assert str(caught).count(". ") >= 1, "what, why and what next"
    assert kind.why in str(caught)
    assert kind.advice in str(caught)
    assert fake.asked["EVALSHA"] + fake.asked["EVAL"] <= 12, "it asked again and again"
    before = fake.connections
    assert type(submitting(backend)) is expected
    if kind.action is Action.RECONNECT:
        assert losses
        assert fake.connections > before
    elif word not in ("LOADING", "MAXCLIENTS", "NOAUTH"):  # after those a connection is not in step any more
        assert not losses
        assert fake.connections == before
    assert (kind.action is Action.REFUSE) is not isinstance(caught, Unreachable | NotReady | Unknown)


@pytest.mark.parametrize("word", SPOKEN)
@pytest.mark.parametrize("command", ["BLPOP", "SUBSCRIBE", "TIME", "HMGET"])
def test_each_error_of_a_plain_command_is_said_too(
    fake: FakeServer, backend: Backend, word: str, command: str
) -> None:
    fake.says(error(SPOKEN[word]), to=command)
    ask: dict[str, Callable[[], object]] = {
        "BLPOP": lambda: backend.queue.wait_ready(["mail"], timeout=LEASE),
        "SUBSCRIBE": lambda: backend.queue.wait_ended(["mail"], timeout=LEASE),
        "TIME": lambda: open_backend(fake.url),
        "HMGET": lambda: backend.queue.cancel([job("a").id], now=NOW),
    }
    with pytest.raises(KINDS[word].error):
        ask[command]()
    assert fake.asked[command] <= 5


@pytest.mark.parametrize("before_that", [0, 1])
@pytest.mark.parametrize("word", ["READONLY", "MASTERDOWN", "UNBLOCKED"])
def test_all_connections_to_a_demoted_primary_are_left(
    fake: FakeServer, backend: Backend, word: str, before_that: int
) -> None:
    """Whether it is the first that this process stores there, or not."""
    wire: Any = backend.queue.server.wire  # type: ignore[attr-defined]
    fake.says(b":1\r\n", to="EVALSHA")
    fake.says(b":1\r\n", to="EVAL")
    for _ in range(before_that):
        backend.queue.submit([job("a")], now=NOW)
    fake.behaves()
    lines = [wire.take() for _ in range(5)]
    for line in lines:
        wire.give_back(line)
    before = fake.connections
    fake.says(error(SPOKEN[word]))
    submitting(backend)
    fake.says(error("OOM"))
    submitting(backend)
    assert fake.connections == before + 1, "another old connection was tried"


@pytest.mark.parametrize("garbage", [b"garbage\r\n", b"*1\r\n!!", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_what_is_no_redis_protocol_is_said_and_not_asked_again(
    fake: FakeServer, backend: Backend, garbage: bytes
) -> None:
    fake.says(garbage)
    with pytest.raises(Unreachable, match="not the Redis protocol"):
        backend.queue.counts(["mail"], now=NOW)
    assert fake.asked["EVALSHA"] == 1
    assert isinstance(submitting(backend), Unknown)
    fake.says(garbage, to="CLIENT")
    with pytest.raises(Unreachable, match="not the Redis protocol"):
        open_backend(fake.url)


@pytest.mark.parametrize(
    "answer",
    [b":7\r\n", b"$-1\r\n", b"*0\r\n", array(b":1\r\n", b":1\r\n"), array(*[b":1\r\n"] * 4), b"+OK\r\n"],
)
def test_an_answer_that_cannot_be_one_is_no_answer(fake: FakeServer, backend: Backend, answer: bytes) -> None:
    fake.says(answer)
    before = fake.connections
    assert isinstance(submitting(backend), Unknown)
    with pytest.raises(Unreachable, match="makes no sense"):
        backend.queue.get([job("a").id], now=NOW)
    with pytest.raises(Unreachable, match="makes no sense"):
        backend.queue.claim([("mail", 1)], worker="w", lease=LEASE, now=NOW)
    assert fake.connections > before


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:1/0",
        "rediss://127.0.0.1:1/0",
        "unix:///nowhere?db=1",
        "redis://127.0.0.1:1/0?retry_on_timeout=yes&health_check_interval=7&socket_timeout=2",
        "unix:///nowhere?retry_on_error=a&socket_connect_timeout=3",
    ],
)
@pytest.mark.parametrize("longer", [0, 10])
def test_redis_py_repeats_nothing_and_never_waits_for_ever(url: str, longer: float) -> None:
    connection = Address(url).pool(longer=longer).make_connection()
    assert connection.retry.get_retries() == 0
    assert connection.retry_on_error == []
    assert not connection.retry_on_timeout
    assert connection.socket_timeout > longer
    assert connection.socket_connect_timeout > 0
    if not isinstance(connection, UnixDomainSocketConnection):
        assert connection.socket_keepalive


@pytest.mark.parametrize("option", ["socket_timeout=0", "socket_connect_timeout=0", "socket_timeout=-1"])
def test_a_timeout_that_is_none_is_refused(option: str) -> None:
    with pytest.raises(BadSetting, match="above zero"):
        Address(f"redis://127.0.0.1:1/0?{option}").pool()


def test_a_command_whose_answer_is_lost_is_sent_once_more_at_most(fake: FakeServer, backend: Backend) -> None:
    fake.says(CUT)
    queue, id = backend.queue, job("a").id
    for ask, times in (
        (lambda: queue.counts(["mail"], now=NOW), 2),
        (lambda: queue.claim([("mail", 1)], worker="w", lease=LEASE, now=NOW), 1),
        (lambda: queue.promote(["mail"], now=NOW, limit=1), 1),
        (lambda: queue.purge([id], now=NOW), 1),
        (lambda: queue.resume("mail"), 1),
        (lambda: queue.wait_ready(["mail"], timeout=LEASE), 1),
    ):
        fake.asked.clear()
        with pytest.raises(Unreachable, match="Lost"):
            ask()
        assert fake.asked["EVALSHA"] + fake.asked["BLPOP"] == times


def test_pausing_twice_is_pausing_once(fake: FakeServer, backend: Backend) -> None:
    fake.says(CUT)
    with pytest.raises(Unreachable):
        backend.queue.pause("mail", Pause())
    assert fake.asked["SET"] == 2
