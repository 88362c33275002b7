"""QueuePort on SQLite."""

from collections import defaultdict

from attrs import field, frozen

from chronoq.adapters.sqlite.bell import Bells
from chronoq.adapters.sqlite.database import Database
from chronoq.adapters.sqlite.moves import Moves
from chronoq.adapters.sqlite.settling import Settling
from chronoq.adapters.sqlite.views import Views
from chronoq.adapters.sqlite.waits import Hints, Waits


@frozen(slots=False, eq=False)
class SqliteQueue(Moves, Settling, Views, Waits):
    """Four parts that do not know of each other, over one file.

    `times` and `news`: how far this process has heard what the queues' counters of that name tell.
    """

    data: Database
    bells: Bells
    hints: Hints = field(factory=Hints)
    times: dict[str, int] = field(factory=lambda: defaultdict(int))
    news: dict[str, int] = field(factory=dict)
