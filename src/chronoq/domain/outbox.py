"""An outbox: where jobs wait, in the application's own database, until they are delivered to a backend."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from chronoq.domain.job import Job


@frozen
class Fate:
    """What became of a job that was to be delivered: it leaves, or `stays`, or is `refused`, with the reason."""

    stays: bool = False
    refused: str = ""


DELIVERED = Fate()
LATER = Fate(stays=True)

Deliver = Callable[[Sequence[Job]], Sequence[Fate]]


class OutboxPort(Protocol):
    """Jobs on their way from one store to another."""

    def move(self, deliver: Deliver, *, limit: int, without: Collection[str], now: datetime) -> int:
        """Hand the oldest jobs to `deliver`, at most `limit`, and none of the queues `without`; how many there were.

        What was delivered is removed, what was refused is set aside with the reason, in one step. When
        `deliver` raises, or the process dies meanwhile, all of them stay, and are handed over again. A
        record that cannot be read becomes a job with a `defect`. Errors: `BackendError`.
        """
        ...

    def close(self) -> None: ...
