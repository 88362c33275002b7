"""How claims are granted on Redis, as calls that may travel with others."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from chronoq.adapters.redis.calls import AT_ONCE, Call
from chronoq.adapters.redis.server import Server
from chronoq.adapters.redis.words import Granted, grant, moment
from chronoq.domain.job import Claim
from chronoq.domain.ports import BROUGHT, Claimed
from chronoq.domain.time import to_ms

_PROMOTED = 500
_BYTES = 1_000_000
"""What one script call brings at the most, where it is more than one job."""


class Grants:
    """What claims for these wants: a call or more for each queue."""

    def __init__(
        self, server: Server, wants: Sequence[tuple[str, int]], *, worker: str, until: datetime, now: datetime
    ) -> None:
        self.server, self.worker, self.now, self.until = server, worker, now, to_ms(until)
        self.parts = [(queue, size) for queue, limit in wants for size in _sizes(limit)]
        self.bound = min(_BYTES, BROUGHT // max(1, len(self.parts)))
        self.calls = [self._call(queue, size) for queue, size in self.parts]

    def _call(self, queue: str, size: int) -> Call[tuple[bytes, bool, Sequence[Any]]]:
        keys = self.server.keys.of(queue)
        places = (
            *(keys.delayed, keys.work, *keys.ready, keys.skips),
            *(keys.jobs, keys.leases, keys.claims, keys.paused),
        )
        args = (to_ms(self.now), size, self.until, self.worker, _PROMOTED, self.bound)
        # run twice, it would lease twice as much: a lost reply is left to the leases' end
        return Call(self.server.scripts["claim"], places, args, grant, again=False, durable=True)

    def join(
        self, replies: Sequence[tuple[bytes, bool, Sequence[Any]]], settled: Sequence[bool] = ()
    ) -> Claimed:
        nexts, granted = list[datetime](), list[tuple[str, Sequence[Any]]]()
        for (queue, _), (score, _, lists) in zip(self.parts, replies, strict=True):
            if (due := moment(score)) is not None:
                nexts.append(due)
            if lists[0]:
                granted.append((queue, lists))
        claims: Sequence[Claim] = ()
        if granted:
            claims = Granted(granted, self.server.records, worker=self.worker, until=self.until, now=self.now)
        return Claimed(claims, min(nexts, default=None), tuple(settled), any(more for _, more, _ in replies))


def _sizes(limit: int) -> list[int]:
    """`limit` in steps of `AT_ONCE`; one of 0 still promotes, and tells what comes next."""
    full, rest = divmod(limit, AT_ONCE)
    return [AT_ONCE] * full + [rest] * (rest > 0 or not full)
