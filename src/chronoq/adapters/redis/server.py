"""What the ports share: one server, and how to spread a batch over its queues."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from attrs import frozen

from chronoq.adapters.redis.calls import AT_ONCE, Operation, Scripts
from chronoq.adapters.redis.keys import Keys
from chronoq.adapters.redis.names import QueueNames
from chronoq.adapters.redis.wire import Wire

T = TypeVar("T")
Item = TypeVar("Item")


@frozen
class Server:
    """`wire` answers at once; `patient` is for commands that block, so that they keep nobody waiting."""

    wire: Wire
    patient: Wire
    scripts: Scripts
    keys: Keys
    names: QueueNames

    def spread(
        self,
        items: Sequence[Item],
        *,
        queue: Callable[[Item], str],
        call: Callable[[str, list[Item]], Operation[list[T]]],
        weight: Callable[[Item], int] = lambda _: 1,
        before: Callable[[str], Sequence[Operation[Any]]] = lambda _: (),
    ) -> list[T]:
        """One answer for each item, in order, by one round trip: a call or more for each queue."""
        if len(items) == 1:
            name = queue(items[0])
            only: list[list[T]] = self.wire.run_all([*before(name), call(name, [items[0]])])
            return only[-1]
        spots: dict[str, list[int]] = {}
        for spot, item in enumerate(items):
            spots.setdefault(queue(item), []).append(spot)
        first: list[Operation[Any]] = [one for name in spots for one in before(name)]
        parts = [
            (name, part)
            for name, all in spots.items()
            for part in portions(all, lambda at: weight(items[at]))
        ]
        calls = [call(name, [items[at] for at in part]) for name, part in parts]
        replies = self.wire.run_all([*first, *calls])[len(first) :]
        answers: list[Any] = [None] * len(items)
        for (_, part), reply in zip(parts, replies, strict=True):
            for at, answer in zip(part, reply, strict=True):
                answers[at] = answer
        return answers


def portions(items: Sequence[Item], weight: Callable[[Item], int]) -> Iterator[list[Item]]:
    """`items` in lists that weigh at most `AT_ONCE`, or hold one item."""
    portion: list[Item] = []
    load = 0
    for item in items:
        more = weight(item)
        if portion and load + more > AT_ONCE:
            yield portion
            portion, load = [], 0
        portion.append(item)
        load += more
    if portion:
        yield portion
