"""LifePort on Redis: a hash for each process, and a sorted set of them by the end of their last heartbeat."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from attrs import frozen

from chronoq.adapters.codec import Malformed, decode, encode
from chronoq.adapters.redis.calls import Call, Command, Operation, Scripts, texts
from chronoq.adapters.redis.keys import Keys
from chronoq.adapters.redis.link import Link
from chronoq.adapters.redis.names import QueueNames
from chronoq.adapters.redis.words import KEPT
from chronoq.domain.lease import Presence, Process, Vitals
from chronoq.domain.time import MS, from_ms, to_ms


@frozen
class RedisLife:
    """The processes stand each in a slot of its own, so the roll looks at each of them."""

    wire: Link
    scripts: Scripts
    keys: Keys
    names: QueueNames

    def birth(self, process: Process, *, ttl: timedelta, now: datetime) -> None:
        until = to_ms(now + ttl)
        args = (encode(process), encode(Vitals()), to_ms(now), until, (ttl + KEPT) // MS)
        entry: Call[Any] = Call(self.scripts["birth"], (self.keys.process(process.id),), args, bool)
        self._run(entry, process.id, until, now)

    def beat(self, id: str, vitals: Vitals, *, ttl: timedelta, now: datetime) -> bool:
        until = to_ms(now + ttl)
        args = (encode(vitals), to_ms(now), until, (ttl + KEPT) // MS)
        entry: Call[Any] = Call(self.scripts["beat"], (self.keys.process(id),), args, bool)
        return bool(self._run(entry, id, until, now))

    def death(self, id: str) -> None:
        gone: list[Operation[Any]] = [
            Command(("DEL", self.keys.process(id)), bool),
            Command(("ZREM", self.keys.processes, id), bool),
        ]
        self.wire.run_all(gone)

    def roll(self, *, now: datetime) -> list[Presence]:
        ids = self.wire.run(Command(("ZRANGEBYSCORE", self.keys.processes, f"({to_ms(now)}", "+inf"), texts))
        fields = ("process", "vitals", "seen", "until")
        read = [Command(("HMGET", self.keys.process(id), *fields), partial(_presence, now=now)) for id in ids]
        found = [presence for presence in self.wire.run_all(read) if presence]
        return sorted(found, key=lambda presence: (presence.process.started_at, presence.process.id))

    def _run(self, entry: Call[Any], id: str, until: int, now: datetime) -> Any:
        """Whoever lives takes those off the list who do not: who only looks need not be allowed to write."""
        listed: Call[Any] = Call(
            self.scripts["enlist"], (self.keys.processes,), (until, id, to_ms(now)), bool
        )
        operations: list[Operation[Any]] = [entry, listed, *self.names.again()]
        return self.wire.run_all(operations)[0]


def _presence(reply: Any, *, now: datetime) -> Presence | None:
    process, vitals, seen, until = reply
    if until is None or int(until) <= to_ms(now):
        return None
    try:
        return Presence(decode(Process, process), decode(Vitals, vitals), from_ms(int(seen)))
    except Malformed:
        return None  # another version's: it is not ours to show, and it leaves by itself
