"""What carries operations to where their keys are: one server, or the nodes of a cluster."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from chronoq.adapters.redis.address import Address, Line
from chronoq.adapters.redis.calls import Operation, Word
from chronoq.adapters.redis.recall import Recall
from chronoq.domain.errors import BackendError
from chronoq.domain.ports import nothing

T = TypeVar("T")


class Confirmation(Protocol):
    """What is sent after operations that are to be durable, and what its reply amounts to."""

    @property
    def words(self) -> Sequence[Word]: ...
    def meet(self, connection: Line, where: Address) -> None: ...
    def check(self, reply: Any) -> BackendError | None: ...


class Link(Protocol):
    """Safe for many threads. `on_loss` is told whenever a connection broke; `confirmation` follows what is
    to be durable, in the same round trip.

    Errors: `Unreachable` (nothing was sent), `Lost` (sent, but the answer never came), `LoginRefused`,
    `NotReady`, `NotDurable` (carried out, but not confirmed), `BackendError`.
    """

    on_loss: Callable[[], None]
    confirmation: Confirmation | None

    @property
    def closed(self) -> bool: ...

    @property
    def address(self) -> Address: ...

    def run(self, operation: Operation[T]) -> T: ...

    def run_all(
        self, operations: Sequence[Operation[T]], *, meanwhile: Callable[[], None] = nothing
    ) -> list[T]:
        """The answers, in order. On one server they are carried out in order too, on a cluster those of a slot.

        `meanwhile` is done while the answers are on their way, on a cluster before.
        """
        ...

    def pop(self, lists: Sequence[str], seconds: float) -> str:
        """Take an entry from the first list that has one; its name, or "" when none came in time."""
        ...

    def pop_then(
        self, lists: Sequence[str], seconds: float, then: Sequence[Operation[T]], *, recall: Recall
    ) -> list[T] | None:
        """As `pop`, and `then` carried out in the moment in which it ends, in the same round trip.

        None: only the waiting is done, for that needs one connection to one server.
        """
        ...

    def take(self) -> Line:
        """A connection to use alone until it is given back. Errors: `Unreachable`."""
        ...

    def give_back(self, connection: Line, *, broken: bool = False) -> None: ...

    def each(self) -> "Sequence[Link]":
        """A link to each server that serves keys now."""
        ...

    def close(self) -> None: ...
