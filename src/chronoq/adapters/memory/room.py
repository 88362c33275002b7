"""The one lock of a memory backend, what it guards, and how to wait for what happens behind it."""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Condition
from types import TracebackType
from typing import TypeVar

from attrs import define, field

from chronoq.adapters.memory.shelf import Shelf
from chronoq.domain.identity import JobId

T = TypeVar("T")

HEARD = 10_000


class _Shelves(dict[str, Shelf]):
    def __init__(self, news: deque[JobId]) -> None:
        self.news = news

    def __missing__(self, name: str) -> Shelf:
        return self.setdefault(name, Shelf(name, self.news))


@define
class Room:
    """`with room as shelves:` holds the lock; leaving wakes those who wait."""

    news: deque[JobId] = field(factory=lambda: deque(maxlen=HEARD))
    shelves: _Shelves = field()
    changed: Condition = field(factory=Condition)
    waiting: int = 0
    recalled: set[str] = field(factory=set)
    """Workers that were told to wait no more."""

    @shelves.default
    def _shelves(self) -> _Shelves:
        return _Shelves(self.news)

    def __enter__(self) -> _Shelves:
        self.changed.acquire()
        return self.shelves

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.waiting:
            self.changed.notify_all()
        self.changed.release()

    def wait(self, found: Callable[[], T], timeout: timedelta) -> T:
        """The first true answer of `found`, or its last one after `timeout`."""
        with self.changed:
            self.waiting += 1
            try:
                return self.changed.wait_for(found, timeout.total_seconds())
            finally:
                self.waiting -= 1

    def heard(self, queues: Sequence[str], timeout: timedelta) -> list[JobId]:
        """Jobs of `queues` that ended since the last call."""
        with self.changed:
            self.wait(lambda: bool(self.news), timeout)
            heard = [id for id in self.news if id.queue in queues]
            self.news.clear()
            return heard
