"""A cluster as one link: each operation goes to the node that serves its slot, also while slots move."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from time import sleep
from typing import Any, TypeVar

from redis.exceptions import AskError, ClusterDownError, MovedError, ReadOnlyError, TryAgainError

from chronoq.adapters.redis import blocking, trouble
from chronoq.adapters.redis.address import Line
from chronoq.adapters.redis.batch import Batch
from chronoq.adapters.redis.calls import Call, Command, Operation
from chronoq.adapters.redis.link import Confirmation, Link
from chronoq.adapters.redis.nodes import ClusterAddress, Nodes, Place
from chronoq.adapters.redis.recall import Recall
from chronoq.adapters.redis.wire import Wire
from chronoq.adapters.system import elapsed
from chronoq.domain.errors import BackendError, Unreachable
from chronoq.domain.ports import nothing
from chronoq.domain.time import MS, ZERO

T = TypeVar("T")

PATIENCE = timedelta(seconds=2)
"""How long one call waits for a cluster that rearranges itself, before it says so."""

_SHORTEST, _LONGEST = 2 * MS, 100 * MS
_EACH = timedelta(milliseconds=250)


class Cluster:
    """A link to all nodes, with a `Wire` to each.

    What a node refuses because a slot is elsewhere, or on its way, was not carried out: it is asked
    again where it belongs. A lost answer is asked for once more where that does no harm, at whoever
    serves the slot by then. All nodes are asked before an error is raised.
    """

    def __init__(self, address: ClusterAddress, *, longer: float = 0) -> None:
        self.address = address
        self.closed = False
        self.on_loss: Callable[[], None] = lambda: None
        self.nodes = Nodes(address, longer, lambda: self.on_loss())
        self._taken: dict[int, Wire] = {}

    @property
    def confirmation(self) -> Confirmation | None:
        return self.nodes.confirmation

    @confirmation.setter
    def confirmation(self, confirmation: Confirmation | None) -> None:
        self.nodes.confirmation = confirmation
        for wire in self.nodes.wires:
            wire.confirmation = confirmation

    def run(self, operation: Operation[T]) -> T:
        return self.run_all([operation])[0]

    def run_all(
        self, operations: Sequence[Operation[T]], *, meanwhile: Callable[[], None] = nothing
    ) -> list[T]:
        meanwhile()
        batch = Batch(operations, list(range(len(operations))))
        deadline, pause = elapsed() + PATIENCE, _SHORTEST
        while batch.todo:
            self._round(batch)
            if batch.todo and batch.waiting is not None:
                if elapsed() >= deadline or self.closed:
                    batch.failed(batch.waiting)
                    break
                sleep(pause.total_seconds())
                pause = min(pause * 2, _LONGEST)
        if (error := batch.verdict) is not None:
            raise error from batch.error
        return [one.parse(batch.replies[spot]) for spot, one in enumerate(operations)]

    def pop(self, lists: Sequence[str], seconds: float) -> str:
        """On up to `blocking.MOST` lists it blocks, each on a connection of its own; more it looks at now and then."""
        if len(lists) > blocking.MOST:
            return self._poll(lists, seconds)
        wires = [(one, self._wire_at(one)) for one in lists]
        known = self.nodes.map
        try:
            return blocking.first(wires, seconds)
        except BackendError as error:
            if self.closed:
                return ""
            self.nodes.refresh(known)
            if isinstance(error.__cause__, MovedError | AskError):
                return ""  # early, which is allowed; by the next time the map is right
            raise

    def pop_then(
        self, lists: Sequence[str], seconds: float, then: Sequence[Operation[T]], *, recall: Recall
    ) -> None:
        self.pop(lists, seconds)

    def take(self) -> Line:
        """A connection to whichever node answers: what is published is heard at each of them."""
        if not self.nodes.map.places:
            self.nodes.refresh(self.nodes.map)
        error: Unreachable | None = None
        for place in self.nodes.map.places:
            wire = self.nodes.wire(place)
            try:
                line = wire.take()
            except Unreachable as unreachable:
                error = unreachable
            else:
                self._taken[id(line)] = wire
                return line
        self.nodes.refresh(self.nodes.map)
        raise error or BackendError(f"{self.address} names no node that serves anything.")

    def give_back(self, connection: Line, *, broken: bool = False) -> None:
        self._taken.pop(id(connection)).give_back(connection, broken=broken)

    def each(self) -> Sequence[Link]:
        if not self.nodes.map.places:
            self.nodes.refresh(self.nodes.map)
        return [self.nodes.wire(place) for place in self.nodes.map.places]

    def close(self) -> None:
        self.closed = True
        self.nodes.close()

    def _wire_at(self, key: str) -> Wire:
        place = self.nodes.owner(key)
        if place is None:
            self.nodes.refresh(self.nodes.map)
            place = self.nodes.owner(key)
        if place is None:
            raise _unserved(self.address)
        return self.nodes.wire(place)

    def _round(self, batch: Batch) -> None:
        """Ask each node for what is still to do there."""
        known, groups = self.nodes.map, dict[Place | None, list[int]]()
        for spot in sorted(batch.todo):
            groups.setdefault(self.nodes.owner(batch.operations[spot].key), []).append(spot)
        batch.todo, batch.waiting, batch.stale = [], None, False
        for place, spots in groups.items():
            if place is None:
                batch.stale = True
                batch.later(spots, _unserved(self.address))
            else:
                self._ask(batch, place, spots)
        if batch.stale:
            try:
                self.nodes.refresh(known)
            except BackendError as error:
                batch.failed(error)
                batch.todo.clear()

    def _ask(self, batch: Batch, place: Place, spots: list[int]) -> None:
        wire = self.nodes.wire(place)
        try:
            replies = wire.replies([batch.operations[spot] for spot in spots])
        except trouble.Lost as error:
            batch.lost(spots, error)
        except Unreachable as error:
            self._gone(batch, place, spots, error)
        except BackendError as error:
            batch.failed(error)
        else:
            for spot, reply in zip(spots, replies, strict=True):
                self._take_in(batch, spot, reply, place)

    def _gone(self, batch: Batch, place: Place, spots: list[int], error: Unreachable) -> None:
        """Nothing was sent. If the slots have another owner by now, that one is asked."""
        try:
            self.nodes.refresh(self.nodes.map)
        except BackendError as nobody:
            batch.failed(nobody)
            return
        if any(self.nodes.owner(batch.operations[spot].key) == place for spot in spots):
            batch.failed(error)
        else:
            batch.later(spots, error)

    def _take_in(self, batch: Batch, spot: int, reply: Any, place: Place) -> None:
        match reply:
            case MovedError():
                self.nodes.moved(reply.slot_id, (reply.host or place[0], reply.port))
                batch.stale = True
                batch.later([spot], self._said(place, reply))
            case AskError():
                self._ask_once(batch, spot, (reply.host or place[0], reply.port))
            case TryAgainError() | ClusterDownError():
                batch.stale |= not isinstance(reply, TryAgainError)
                batch.later([spot], self._said(place, reply))
            case Exception():
                batch.stale |= isinstance(reply, ReadOnlyError)
                batch.failed(self._said(place, reply))
            case _:
                batch.replies[spot] = reply

    def _ask_once(self, batch: Batch, spot: int, place: Place) -> None:
        """The slot is on its way to `place`, which carries this out if the keys are there already."""
        one = batch.operations[spot]
        words = one.words_in_full if isinstance(one, Call) else one.words  # ASKING holds for one command
        try:
            asked = Command(words, one.parse, durable=one.durable)
            _, reply = self.nodes.wire(place).replies([Command(("ASKING",), bool), asked])
        except trouble.Lost as error:
            batch.lost([spot], error)
        except Unreachable as error:
            batch.later([spot], error)
        except BackendError as error:
            batch.failed(error)
        else:
            if isinstance(reply, AskError | MovedError):  # the slot has arrived, or has changed its mind
                batch.stale = True
                batch.later([spot], self._said(place, reply))
            else:
                self._take_in(batch, spot, reply, place)

    def _said(self, place: Place, error: Exception) -> BackendError:
        said = trouble.refused(self.nodes.address.node(place), error) or BackendError(str(error))
        if said is not error:
            said.__cause__ = error
        return said

    def _poll(self, lists: Sequence[str], seconds: float) -> str:
        deadline = elapsed() + timedelta(seconds=seconds)
        looks = [Command(("LPOP", one), bool, again=False) for one in lists]
        while not self.closed:
            found = self.run_all(looks)
            if any(found):
                return next(one for one, there in zip(lists, found, strict=True) if there)
            left = deadline - elapsed()
            if left <= ZERO:
                break
            sleep(min(left, _EACH).total_seconds())
        return ""


def _unserved(address: ClusterAddress) -> BackendError:
    error = ClusterDownError("CLUSTERDOWN Hash slot not served")
    return trouble.refused(address, error) or BackendError(str(error))
