"""The memory backend keeps the contract."""

from collections.abc import Iterator

import pytest

from chronoq.adapters.memory import open_backend
from chronoq.domain.ports import Backend
from chronoq.testing.contracts import LifeContract, LockContract, QueueContract, StoreContract


@pytest.fixture
def backend() -> Iterator[Backend]:
    backend = open_backend("memory://")
    yield backend
    backend.close()


class TestQueue(QueueContract): ...


class TestStore(StoreContract): ...


class TestLock(LockContract): ...


class TestLife(LifeContract): ...
