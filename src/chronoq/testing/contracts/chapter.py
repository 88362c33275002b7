"""What the chapters of the contracts share."""

from collections.abc import Iterator

import pytest

from chronoq.domain.ports import Backend, QueuePort, StorePort
from chronoq.testing.contracts.values import accounts_balance


class Chapter:
    """Some tests of a contract. The books have to balance at the end of each (Q10)."""

    @pytest.fixture
    def queue(self, backend: Backend) -> QueuePort:
        return backend.queue

    @pytest.fixture
    def store(self, backend: Backend) -> StorePort:
        return backend.store

    @pytest.fixture(autouse=True)
    def _the_books_balance(self, backend: Backend) -> Iterator[None]:
        yield
        accounts_balance(backend)
