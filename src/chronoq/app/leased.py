"""What a worker has leased, as its queue sees it."""

from collections.abc import Iterator
from datetime import datetime

from chronoq.domain.job import Claim, State
from chronoq.domain.ports import QueuePort

AT_ONCE = 500


def leased(queue: QueuePort, name: str, *, worker: str, now: datetime) -> Iterator[Claim]:
    """The claims of that worker in one queue. It looks at all that run there."""
    mark, more = "", True
    while more:
        page = queue.find(name, State.RUNNING, now=now, mark=mark, limit=AT_ONCE)
        for one in page.items:
            if one.worker == worker:
                yield Claim(one.job, one.token, one.attempt, one.worker, one.until or now, one.crashes)
        mark, more = page.mark, bool(page.mark)
