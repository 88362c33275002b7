"""The SQLite backend keeps the contract.

The files are not synced to the disk here: what a power failure leaves is another test's matter.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chronoq.adapters.sqlite import open_backend
from chronoq.domain.ports import Backend, Opening
from chronoq.testing.contracts import LifeContract, LockContract, QueueContract, StoreContract


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    backend = open_backend(f"sqlite:///{tmp_path}/jobs.db?synchronous=off", Opening(namespace="contract"))
    yield backend
    backend.close()


class TestQueue(QueueContract): ...


class TestStore(StoreContract): ...


class TestLock(LockContract): ...


class TestLife(LifeContract): ...
