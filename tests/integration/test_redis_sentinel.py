"""Sentinels lead to the primary, whichever server that is now."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis.exceptions import ConnectionError as ConnectionEnded

from chronoq.adapters.redis import open_backend
from chronoq.adapters.redis.sentinel import SentinelAddress
from chronoq.domain.errors import BackendError, BadSetting, LoginRefused, Unreachable
from chronoq.domain.job import State
from chronoq.domain.ports import Backend
from chronoq.testing.contracts.values import MAIL, S, add, jid, job, listed, take
from tests.servers import Server, eventually, find_binary
from tests.topology import Watched

KINDS = [
    pytest.param(kind, marks=() if kind == "valkey-9.1" else pytest.mark.slow)
    for kind in ("valkey-9.1", "redis-6.2")
    if find_binary(kind)
]


@pytest.fixture(params=KINDS)
def watched(request: pytest.FixtureRequest) -> Iterator[Watched]:
    with Watched(request.param) as group:
        yield group


def stored(backend: Backend, key: str) -> bool:
    """Whether the job could be stored just now."""
    try:
        add(backend.queue, key, now=backend.clock.now())
    except BackendError:
        return False
    return True


def wait_for_replica(server: Server) -> None:
    assert server.client().execute_command("WAIT", 1, 5000) == 1


def test_a_killed_primary_is_followed_to_its_successor(watched: Watched) -> None:
    backend = open_backend(watched.url())
    first = watched.primary()
    add(backend.queue, "before", now=backend.clock.now())
    wait_for_replica(first)
    watched.sentinels[0].kill()  # the first in the URL: the others are asked

    first.kill()
    with pytest.raises(BackendError):
        add(backend.queue, "meanwhile", now=backend.clock.now())
    watched.sentinels.pop(0)
    moments = [backend.clock.now()]
    second = watched.await_another(first)

    assert eventually(lambda: stored(backend, "after"), 20)
    backend.queue.wait_ready([MAIL], timeout=S)
    moments += [backend.clock.now() for _ in range(9)]
    assert moments == sorted(moments), "the clock went back"
    assert listed(backend.queue, State.READY)[:1] == ["before"]
    assert second.client().llen("chronoq:{mail}:ready:2") >= 2
    assert [claim.id.key for claim in take(backend.queue, 9, now=backend.clock.now())][:1] == ["before"]
    backend.close()


@pytest.mark.slow
def test_a_demoted_primary_is_left(watched: Watched) -> None:
    backend = open_backend(watched.url())
    first = watched.primary()
    add(backend.queue, "before", now=backend.clock.now())
    wait_for_replica(first)

    first.pause()  # it hangs, is deposed, and wakes up as somebody who thinks that it is the primary
    second = watched.await_another(first)
    first.resume()
    eventually(lambda: demoted(first), 30)

    assert eventually(lambda: stored(backend, "after"), 20)
    assert second.client().llen("chronoq:{mail}:ready:2") >= 2
    assert "after" in listed(backend.queue, State.READY)
    assert not stored_wrong(first, second)
    backend.close()


def demoted(server: Server) -> bool:
    """It closes all connections when it becomes a replica, also the one of whoever asks for that."""
    try:
        return bool(server.client().role()[0] != b"master")
    except ConnectionEnded:
        return False


def stored_wrong(old: Server, new: Server) -> bool:
    """Whether the old primary holds what the new one does not."""
    eventually(lambda: old.client().info("replication").get("master_link_status") == "up", 30)
    return bool(set(old.client().keys("*")) - set(new.client().keys("*")))


def test_two_logins_one_for_the_sentinels_and_one_for_the_servers_and_what_is_wrong_is_said() -> None:
    with Watched(password="inner", outer="outer") as watched:
        hosts = watched.url().removeprefix("redis+sentinel://")
        url = f"redis+sentinel://:inner@{hosts}?sentinel_password=outer"
        backend = open_backend(url)
        backend.queue.submit([job("a")], now=backend.clock.now())
        assert backend.queue.get([jid("a")], now=backend.clock.now()) != [None]
        backend.close()
        assert "inner" not in str(SentinelAddress(url))
        assert "outer" not in str(SentinelAddress(url))

        with pytest.raises(Unreachable, match="knows a primary named 'orders'"):
            open_backend(url.replace("mymaster", "orders"))
        with pytest.raises(LoginRefused):
            open_backend(url.replace("=outer", "=other"))
        with pytest.raises(LoginRefused):
            open_backend(url.replace("inner", "wrong"))
        for sentinel in watched.sentinels:
            sentinel.kill()
        with pytest.raises(Unreachable, match="no sentinel answers"):
            open_backend(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis+sentinel://localhost:26379", "names no primary"),
        ("redis+sentinel://localhost:26379/a/b/c", "names no primary"),
        ("redis+sentinel://localhost:99999/mymaster", "is no list of servers"),
        ("redis+sentinel://[a,b/mymaster", "is no list of servers"),
        ("redis+sentinel://,b/mymaster", "is no list of servers"),
        ("redis+sentinel://a,b/mymaster?colour=blue", "has an option that does not fit"),
    ],
)
def test_urls_that_do_not_fit_are_refused(url: str, words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        open_backend(url)
