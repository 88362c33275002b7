"""The proxy of the chaos suite: it knows whose reply it holds, and does each harm to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.chaos.proxy import Proxy, Way
from tests.servers import Server


@pytest.fixture
def server(new_server: Callable[..., Server]) -> Server:
    return new_server(tcp=True)


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.port, seed=1, share=0, pace=0) as proxy:
        yield proxy


def client(proxy: Proxy) -> redis.Redis:
    return redis.Redis(port=proxy.port, retry=Retry(NoBackoff(), 0), socket_timeout=1, protocol=2)


def only(proxy: Proxy, command: str, way: Way) -> None:
    """From now on do that to the next reply of the command, and nothing else."""
    names = {"CLIENT", "HELLO", "PING", "GET", command}
    proxy.done.update({(name, one): 1 for name in names for one in Way if (name, one) != (command, way)})
    proxy.armed = True


def test_without_being_armed_it_only_listens(proxy: Proxy) -> None:
    with client(proxy) as through:
        assert through.incr("n") == 1
        assert through.mget(["n", "none"]) == [b"1", None]
        assert through.eval("return {1, {'two', {}}, false}", 0) == [1, [b"two", []], None]
    assert proxy.seen["INCRBY"] == proxy.seen["MGET"] == 1
    assert (proxy.done, proxy.missing) == (Counter(), [])


def test_a_command_with_many_chances_is_missing_until_it_was_harmed_in_every_way(proxy: Proxy) -> None:
    only(proxy, "INCRBY", Way.DELAY)
    proxy.done["INCRBY", Way.CUT] = 0
    proxy.share = 0
    with client(proxy) as through:
        for _ in range(20):
            with suppress(redis.ConnectionError):
                through.incr("n")
        assert proxy.missing == []
        proxy.done["INCRBY", Way.CUT] = 0
        assert proxy.missing == [f"INCRBY:{Way.CUT}"]


@pytest.mark.parametrize("way", [Way.DROP, Way.SWALLOW, Way.CUT, Way.RESET, Way.REFUSE])
def test_a_reply_that_is_gone_says_nothing_about_what_was_done(
    server: Server, proxy: Proxy, way: Way
) -> None:
    only(proxy, "INCRBY", way)
    with client(proxy) as through:
        with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
            through.incr("n")
        assert server.client().get("n") == (None if way is Way.REFUSE else b"1")
        assert proxy.done["INCRBY", way] == 1
        assert through.incr("n") == (1 if way is Way.REFUSE else 2), "one harm, and the next goes through"


def test_a_reply_that_is_late_arrives(proxy: Proxy) -> None:
    only(proxy, "INCRBY", Way.DELAY)
    with client(proxy) as through:
        assert through.incr("n") == 1
    assert proxy.done["INCRBY", Way.DELAY] == 1
