"""What is written before the first job of a queue: its name, by which it is found, and the schema's mark."""

from typing import Any

from attrs import field, frozen

from chronoq.adapters.codec import encode
from chronoq.adapters.redis.calls import Call, Scripts
from chronoq.adapters.redis.keys import Keys
from chronoq.domain.schema import SCHEMA


@frozen
class QueueNames:
    """Remembers which names this process has announced, so that a submission costs no more than itself."""

    keys: Keys
    scripts: Scripts
    announced: set[str] = field(factory=set)

    def before(self, queue: str) -> list[Call[Any]]:
        """What to run before the first job or schedule of a queue is stored."""
        return [] if queue in self.announced else [self._mark(), self._add({queue})]

    def stored(self, queue: str) -> None:
        self.announced.add(queue)

    def again(self) -> list[Call[Any]]:
        """All of it once more, in case that the server has lost it."""
        return [self._mark(), self._add(self.announced)] if self.announced else []

    def _mark(self) -> Call[Any]:
        return Call(self.scripts["once"], (self.keys.schema,), (encode(SCHEMA),), bytes)

    def _add(self, names: set[str]) -> Call[Any]:
        return Call(self.scripts["announce"], (self.keys.queues,), sorted(names), int)
