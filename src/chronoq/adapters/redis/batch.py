"""One call that several nodes have to carry out together."""

from collections.abc import Sequence
from typing import Any

from attrs import define, field
from redis.exceptions import ConnectionError as ConnectionEnded

from chronoq.adapters.redis import trouble
from chronoq.adapters.redis.calls import Operation
from chronoq.domain.errors import BackendError, Unreachable


@define
class Batch:
    """What has become of the operations of one call, by their place in it."""

    operations: Sequence[Operation[Any]]
    todo: list[int]
    replies: dict[int, Any] = field(factory=dict)
    error: BackendError | None = None
    waiting: BackendError | None = None
    """Why something has to be asked again after a pause."""
    repeated: set[int] = field(factory=set)
    """Those whose answer was lost once."""
    stale: bool = False
    """Whether the map of slots has turned out to be wrong."""

    def failed(self, error: BackendError) -> None:
        if not isinstance(self.error, trouble.Lost):
            self.error = error

    def later(self, spots: Sequence[int], why: BackendError) -> None:
        self.todo += spots
        self.waiting = why

    def lost(self, spots: Sequence[int], error: trouble.Lost) -> None:
        """Ask once more where that does no harm; a node that is merely slow is not asked again."""
        self.stale = True
        once = not self.repeated.intersection(spots) and all(self.operations[spot].again for spot in spots)
        if once and isinstance(error.__cause__, ConnectionEnded):
            self.repeated.update(spots)
            self.later(spots, error)
        else:
            self.failed(error)

    @property
    def verdict(self) -> BackendError | None:
        """The error to raise: when a part was carried out, one which does not claim that nothing was."""
        error = self.error
        if (
            isinstance(error, Unreachable)
            and (self.replies or self.repeated)
            and not isinstance(error, trouble.Lost)
        ):
            return trouble.Lost(f"{error} A part of what was asked may have been carried out.")
        return error
