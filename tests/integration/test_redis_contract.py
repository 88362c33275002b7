"""The Redis backend keeps the contract, on each kind of server."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis
from attrs import evolve, frozen
from redis.crc import key_slot

from chronoq.adapters.redis import open_backend
from chronoq.adapters.redis.calls import Call, Operation
from chronoq.adapters.redis.life import RedisLife
from chronoq.adapters.redis.link import Link
from chronoq.adapters.redis.lock import RedisLock
from chronoq.adapters.redis.queue import RedisQueue
from chronoq.adapters.redis.store import RedisStore
from chronoq.domain.job import State
from chronoq.domain.ports import Backend, Opening, QueuePort
from chronoq.domain.verdict import Dead, Retry
from chronoq.testing.contracts import LifeContract, LockContract, QueueContract, StoreContract
from chronoq.testing.contracts.values import (
    FAILED,
    HOUR,
    LEASE,
    MAIL,
    NOW,
    S,
    add,
    bring,
    jid,
    job,
    listed,
    take,
)
from tests.damage import Damage
from tests.servers import KINDS, Server, find_binary

THERE = [kind for kind in KINDS if find_binary(kind)]
on_each_server = pytest.mark.parametrize("any_redis", THERE, indirect=True, scope="session")
"""Those that this machine has: a thousand lines about tests that were skipped would tell nobody anything."""


@frozen
class OneSlot:
    """A link which makes sure that each operation stays within one slot, as a cluster demands it."""

    link: Link

    def run_all(self, operations: Sequence[Operation[Any]], **how: Any) -> list[Any]:
        for one in operations:
            keys = one.keys if isinstance(one, Call) else [one.key or ""]
            slots = {key_slot(key.encode()) for key in keys}
            assert len(slots) == 1, f"keys of {len(slots)} slots: {keys}"
        return self.link.run_all(operations, **how)

    def run(self, operation: Operation[Any]) -> Any:
        return self.run_all([operation])[0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.link, name)


@pytest.fixture
def backend(any_redis_url: str) -> Iterator[Backend]:
    backend = open_backend(any_redis_url, Opening(namespace="contract"))
    assert isinstance(backend.queue, RedisQueue)
    assert isinstance(backend.lock, RedisLock)
    assert isinstance(backend.life, RedisLife)
    link = OneSlot(backend.queue.server.wire)
    server = evolve(backend.queue.server, wire=link)
    yield evolve(
        backend,
        queue=RedisQueue(server),
        store=RedisStore(server),
        lock=evolve(backend.lock, wire=link),
        life=evolve(backend.life, wire=link),
    )
    backend.close()


@on_each_server
class TestQueue(QueueContract): ...


@on_each_server
class TestStore(StoreContract): ...


@on_each_server
class TestLock(LockContract): ...


@on_each_server
class TestLife(LifeContract): ...


Move = Callable[[QueuePort, str], object]


def _cancel(queue: QueuePort, key: str) -> None:
    queue.cancel([jid(key)], now=NOW)


def _try_later(queue: QueuePort, key: str) -> None:
    (claim,) = (one for one in take(queue, 9, now=NOW + 2 * S) if one.id.key == key)
    queue.settle([(claim, Retry(NOW + HOUR, FAILED))], now=NOW + 2 * S)


@on_each_server
class TestPages:
    """More than the contract asks: whatever moves on between two pages, the others are all seen."""

    @pytest.mark.parametrize("move", [_cancel, _try_later])
    def test_pages_of_delayed_jobs_go_on_where_the_mark_stood(self, backend: Backend, move: Move) -> None:
        names = "abcdef"
        backend.queue.submit([job(key, due=NOW + n * S) for n, key in enumerate(names, start=1)], now=NOW)
        page = backend.queue.find(MAIL, State.DELAYED, now=NOW, limit=2)
        assert [one.job.id.key for one in page.items] == ["a", "b"]

        move(backend.queue, "b")

        rest = backend.queue.find(MAIL, State.DELAYED, now=NOW, mark=page.mark, limit=3)
        assert [one.job.id.key for one in rest.items] == ["c", "d", "e"]

    def test_pages_of_dead_letters_go_on_where_the_mark_stood(self, backend: Backend) -> None:
        for n, key in enumerate("abcdef"):
            bring(backend.queue, State.DEAD, job(key), now=NOW + n * S)
        page = backend.queue.find(MAIL, State.DEAD, now=NOW, limit=2)
        assert [one.job.id.key for one in page.items] == ["f", "e"]

        backend.queue.purge([jid("e")], now=NOW)

        rest = backend.queue.find(MAIL, State.DEAD, now=NOW, mark=page.mark, limit=3)
        assert [one.job.id.key for one in rest.items] == ["d", "c", "b"]

    def test_pages_of_dead_letters_go_on_when_the_marked_one_died_again(self, backend: Backend) -> None:
        for n, key in enumerate("abcdef"):
            bring(backend.queue, State.DEAD, job(key), now=NOW + n * S)
        page = backend.queue.find(MAIL, State.DEAD, now=NOW, limit=2)

        backend.queue.revive([jid("e")], now=NOW)
        (claim,) = take(backend.queue)
        backend.queue.settle([(claim, Dead(FAILED))], now=NOW + HOUR)

        rest = backend.queue.find(MAIL, State.DEAD, now=NOW, mark=page.mark, limit=3)
        assert [one.job.id.key for one in rest.items] == ["d", "c", "b"]

    def test_pages_of_running_jobs_go_on_when_the_marked_lease_was_extended(self, backend: Backend) -> None:
        names = "abcdef"
        for n, key in enumerate(names):
            add(backend.queue, key)
            take(backend.queue, now=NOW + n * S)
        page = backend.queue.find(MAIL, State.RUNNING, now=NOW, limit=2)
        assert [one.job.id.key for one in page.items] == ["a", "b"]

        (claim,) = backend.queue.expired([MAIL], now=NOW + S + LEASE, limit=9)[1:]
        backend.queue.extend([claim], lease=HOUR, now=NOW)

        rest = backend.queue.find(MAIL, State.RUNNING, now=NOW, mark=page.mark, limit=3)
        assert [one.job.id.key for one in rest.items] == ["c", "d", "e"]
        assert listed(backend.queue, State.RUNNING) == ["a", "c", "d", "e", "f", "b"]


@on_each_server
class TestDamage(Damage):
    @pytest.fixture
    def client(self, any_redis: Server) -> redis.Redis:
        return any_redis.client()
