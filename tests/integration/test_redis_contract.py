"""The Redis backend keeps the contract, on each kind of server."""

from collections.abc import Iterator

import pytest

from chronoq.adapters.redis import open_backend
from chronoq.domain.ports import Backend
from chronoq.testing.contracts import LifeContract, LockContract, QueueContract, StoreContract
from tests.servers import KINDS, find_binary

THERE = [kind for kind in KINDS if find_binary(kind)]
on_each_server = pytest.mark.parametrize("any_redis", THERE, indirect=True, scope="session")
"""Those that this machine has: a thousand lines about tests that were skipped would tell nobody anything."""


@pytest.fixture
def backend(any_redis_url: str) -> Iterator[Backend]:
    backend = open_backend(any_redis_url, namespace="contract")
    yield backend
    backend.close()


@on_each_server
class TestQueue(QueueContract): ...


@on_each_server
class TestStore(StoreContract): ...


@on_each_server
class TestLock(LockContract): ...


@on_each_server
class TestLife(LifeContract): ...
