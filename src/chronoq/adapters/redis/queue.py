"""QueuePort on Redis."""

from attrs import field, frozen

from chronoq.adapters.redis.moves import Moves
from chronoq.adapters.redis.server import Server
from chronoq.adapters.redis.views import Views
from chronoq.adapters.redis.waits import Ear, Waits


@frozen(slots=False)
class RedisQueue(Moves, Views, Waits):
    """Three parts that do not know of each other, over one server."""

    server: Server
    ear: Ear = field(init=False)

    @ear.default
    def _ear(self) -> Ear:
        return Ear(self.server)
