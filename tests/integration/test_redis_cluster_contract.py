"""The Redis backend keeps the contract on a cluster of three masters."""

import os
from collections.abc import Iterator

import pytest

from chronoq.adapters.redis import open_backend
from chronoq.domain.ports import Backend, Opening
from chronoq.testing.contracts import LifeContract, LockContract, QueueContract, StoreContract
from tests.topology import Nodes

if os.environ.get("CHRONOQ_CHECK") != "1":
    pytest.skip("the contract on a cluster takes a minute: set CHRONOQ_CHECK=1", allow_module_level=True)

pytestmark = pytest.mark.xdist_group("cluster")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Nodes]:
    with Nodes() as nodes:
        yield nodes


@pytest.fixture
def backend(cluster: Nodes) -> Iterator[Backend]:
    cluster.flush()
    backend = open_backend(cluster.url(), Opening(namespace="contract"))
    yield backend
    backend.close()


class TestQueue(QueueContract): ...


class TestStore(StoreContract): ...


class TestLock(LockContract): ...


class TestLife(LifeContract): ...
