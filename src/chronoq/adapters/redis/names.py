"""The set of queue names, by which schedulers and people find the queues."""

from typing import Any

from attrs import field, frozen

from chronoq.adapters.redis.calls import Call, Scripts
from chronoq.adapters.redis.keys import Keys


@frozen
class QueueNames:
    """Remembers which names this process has announced, so that a submission costs no more than itself."""

    keys: Keys
    scripts: Scripts
    announced: set[str] = field(factory=set)

    def before(self, queue: str) -> list[Call[Any]]:
        """What to run before the first job or schedule of a queue is stored."""
        return [] if queue in self.announced else [self._add({queue})]

    def stored(self, queue: str) -> None:
        self.announced.add(queue)

    def again(self) -> list[Call[Any]]:
        """All of them once more, in case that the server has lost them."""
        return [self._add(self.announced)] if self.announced else []

    def _add(self, names: set[str]) -> Call[Any]:
        return Call(self.scripts["announce"], (self.keys.queues,), sorted(names), int)
