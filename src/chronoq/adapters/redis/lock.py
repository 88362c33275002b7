"""LockPort on Redis. A lock is a hash without a TTL: a key that expires would forget its token."""

from datetime import datetime, timedelta

from attrs import evolve, frozen

from chronoq.adapters.redis.calls import Call, Scripts
from chronoq.adapters.redis.keys import Keys
from chronoq.adapters.redis.link import Link
from chronoq.domain.lease import Lease
from chronoq.domain.time import from_ms, to_ms


@frozen
class RedisLock:
    """Each lock stands in a slot of its own."""

    wire: Link
    scripts: Scripts
    keys: Keys

    def acquire(self, name: str, *, owner: str, ttl: timedelta, now: datetime) -> Lease | None:
        until = to_ms(now + ttl)

        def granted(token: int) -> Lease | None:
            return Lease(name, owner, token, from_ms(until)) if token else None

        args = (to_ms(now), owner, until)
        return self.wire.run(Call(self.scripts["acquire"], (self.keys.lock(name),), args, granted))

    def renew(self, lease: Lease, *, ttl: timedelta, now: datetime) -> Lease | None:
        until = to_ms(now + ttl)
        args = (to_ms(now), lease.owner, lease.token, until)
        held = self.wire.run(Call(self.scripts["renew"], (self.keys.lock(lease.name),), args, bool))
        return evolve(lease, expires_at=from_ms(until)) if held else None

    def release(self, lease: Lease) -> bool:
        args = (lease.owner, lease.token)
        places = (self.keys.lock(lease.name),)
        return self.wire.run(Call(self.scripts["unlock"], places, args, bool, again=False))
