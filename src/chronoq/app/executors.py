"""What runs handlers, as the fetcher sees it."""

from collections import deque
from contextlib import suppress
from typing import Protocol, TypeVar

from chronoq.app.hands import Run

T = TypeVar("T")


class Executor(Protocol):
    def start(self) -> None: ...

    def give(self, runs: list[Run]) -> None:
        """Run these as soon as a slot is free."""
        ...

    def take_back(self) -> list[Run]:
        """Runs that have not started; they will not."""
        ...

    def stop(self) -> None:
        """Take nothing more. What runs goes on."""
        ...

    @property
    def adrift(self) -> int:
        """Slots whose handler goes on although its run was given up."""
        ...


class Host(Executor, Protocol):
    """One that may borrow its caller's thread."""

    def run_here(self, run: Run) -> bool:
        """Run it now, in the caller's thread. False: better `give` it."""
        ...


def emptied(waiting: deque[T]) -> list[T]:
    """Take all of it out. Other threads may do so too."""
    taken = []
    with suppress(IndexError):
        while True:
            taken.append(waiting.popleft())
    return taken
