"""The stores that a simulation can run on, each new and empty for every seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from chronoq.adapters import sqlite
from chronoq.domain.ports import Backend
from tests.simulator.world import Opener, open_backend


@contextmanager
def in_memory() -> Iterator[Opener]:
    yield open_backend


@contextmanager
def in_files() -> Iterator[Opener]:
    """A new file for each seed, where commits need not reach the disk; the one before goes."""
    numbers = count()
    with TemporaryDirectory() as place:

        def opener() -> Backend:
            for old in Path(place).iterdir():
                old.unlink()
            return sqlite.open_backend(f"sqlite:///{place}/{next(numbers)}.db?synchronous=off")

        yield opener


STORES: dict[str, Callable[[], AbstractContextManager[Opener]]] = {"memory": in_memory, "sqlite": in_files}
