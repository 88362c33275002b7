"""QueuePort on Redis."""

from attrs import field, frozen

from chronoq.adapters.redis.moves import Moves
from chronoq.adapters.redis.recall import Recall
from chronoq.adapters.redis.server import Server
from chronoq.adapters.redis.sweep import Sweep
from chronoq.adapters.redis.waits import Ear, Waits


@frozen(slots=False)
class RedisQueue(Moves, Sweep, Waits):
    """Three parts that do not know of each other, over one server."""

    server: Server
    ear: Ear = field(init=False)
    recalls: dict[str, Recall] = field(factory=dict, init=False)

    @ear.default
    def _ear(self) -> Ear:
        return Ear(self.server)
