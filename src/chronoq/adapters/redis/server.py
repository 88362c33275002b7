"""What the ports share: one server, and how to spread a batch over its queues."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from attrs import frozen

from chronoq.adapters.records import Records
from chronoq.adapters.redis.calls import AT_ONCE, Operation, Scripts
from chronoq.adapters.redis.keys import Keys
from chronoq.adapters.redis.link import Link
from chronoq.adapters.redis.names import QueueNames
from chronoq.domain.ports import nothing
from chronoq.domain.stream import Stream

T = TypeVar("T")
Item = TypeVar("Item")

HEAVY = 5000
"""So many bytes of payload or result count as one more job: no script call stores or settles more than a megabyte
or so, unless a single one is larger."""


@frozen
class Server:
    """`wire` answers at once; `patient` is for commands that block, so that they keep nobody waiting."""

    wire: Link
    patient: Link
    scripts: Scripts
    keys: Keys
    names: QueueNames
    records: Records

    def spread(
        self,
        items: Sequence[Item],
        *,
        queue: Callable[[Item], str],
        call: Callable[[str, list[Item]], Operation[list[T]]],
        weight: Callable[[Item], int] | None = None,
        before: Callable[[str], Sequence[Operation[Any]]] = lambda _: (),
        meanwhile: Callable[[], None] = nothing,
    ) -> list[T]:
        """One answer for each item, in order, by one round trip: a call or more for each queue."""
        if len(items) == 1:
            name = queue(items[0])
            ahead, alone = before(name), call(name, [items[0]])
            if not ahead and meanwhile is nothing:
                return self.wire.run(alone)
            only: list[list[T]] = self.wire.run_all([*ahead, alone], meanwhile=meanwhile)
            return only[-1]
        spread = Spread.of(items, queue=queue, call=call, weight=weight)
        first: list[Operation[Any]] = [one for name in spread.queues for one in before(name)]
        if not first:
            return spread.join(self.wire.run_all(spread.calls, meanwhile=meanwhile))
        return spread.join(self.wire.run_all([*first, *spread.calls], meanwhile=meanwhile)[len(first) :])

    def stream(
        self,
        items: Iterable[Item],
        *,
        queue: Callable[[Item], str],
        call: Callable[[str, list[Item]], Operation[list[T]]],
        weight: Callable[[Item], int],
    ) -> list[T]:
        """As `spread`, for items that are still being made, those of a queue one after the other.

        What fills a call is on its way before the items of the next one are made.
        """
        parts = consecutive(items, queue, weight)
        answers = self.wire.run_all(Stream(call(queue(part[0]), part) for part in parts))
        return [answer for part in answers for answer in part]


@frozen
class Spread(Generic[T]):
    """A batch as calls, a call or more for each queue; `spots`: which items each one is about."""

    queues: list[str]
    calls: Stream[Operation[list[T]]]
    spots: list[Sequence[int]]

    @classmethod
    def of(
        cls,
        items: Sequence[Item],
        *,
        queue: Callable[[Item], str],
        call: Callable[[str, list[Item]], Operation[list[T]]],
        weight: Callable[[Item], int] | None = None,
    ) -> "Spread[T]":
        """`weight`: as how many an item counts; None: each as one."""
        weights = None if weight is None else list(map(weight, items))
        parts = [(name, part) for name, own in _spots(items, queue) for part in portions(own, weights)]
        calls = Stream(call(name, [items[at] for at in part]) for name, part in parts)
        return cls(list(dict(parts)), calls, [part for _, part in parts])

    def join(self, replies: Sequence[list[T]]) -> list[T]:
        """One answer for each item, in order."""
        if len(self.queues) == 1:  # its portions are in order
            return [answer for reply in replies for answer in reply]
        found = {
            spot: answer
            for spots, reply in zip(self.spots, replies, strict=True)
            for spot, answer in zip(spots, reply, strict=True)
        }
        return [found[spot] for spot in range(len(found))]


def _spots(items: Sequence[Item], queue: Callable[[Item], str]) -> Iterable[tuple[str, Sequence[int]]]:
    """The queues, each with the places of its items."""
    names = list(map(queue, items))
    if len(set(names)) == 1:
        return [(names[0], range(len(items)))]
    spots: dict[str, list[int]] = defaultdict(list)
    for spot, name in enumerate(names):
        spots[name].append(spot)
    return spots.items()


def portions(spots: Sequence[int], weights: Sequence[int] | None) -> Iterator[Sequence[int]]:
    """`spots` in lists that weigh at most `AT_ONCE`, or hold one item."""
    if weights is None:
        yield from (spots[start : start + AT_ONCE] for start in range(0, len(spots), AT_ONCE))
        return
    portion: list[int] = []
    load = 0
    for spot in spots:
        if portion and load + weights[spot] > AT_ONCE:
            yield portion
            portion, load = [], 0
        portion.append(spot)
        load += weights[spot]
    if portion:
        yield portion


def consecutive(
    items: Iterable[Item], queue: Callable[[Item], str], weight: Callable[[Item], int]
) -> Iterator[list[Item]]:
    """Neighbours of one queue, in lists that weigh at most `AT_ONCE`, or hold one item. Looks one item ahead."""
    part: list[Item] = []
    load, name = 0, ""
    for item in items:
        own, heavy = queue(item), weight(item)
        if part and (own != name or load + heavy > AT_ONCE):
            yield part
            part, load = [], 0
        part.append(item)
        load, name = load + heavy, own
    if part:
        yield part
