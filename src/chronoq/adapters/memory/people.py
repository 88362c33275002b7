"""LockPort and LifePort in this process's memory."""

from datetime import datetime, timedelta
from threading import Lock

from attrs import evolve, field, frozen

from chronoq.domain.lease import Lease, Presence, Process, Vitals
from chronoq.domain.time import EPOCH, to_ms


@frozen
class MemoryLock:
    """Named locks. A lock that was let go keeps its token, so that tokens only grow (L4)."""

    held: dict[str, Lease] = field(factory=dict)
    guard: Lock = field(factory=Lock)

    def acquire(self, name: str, *, owner: str, ttl: timedelta, now: datetime) -> Lease | None:
        with self.guard:
            last = self.held.get(name, Lease(name, "", to_ms(now), EPOCH))
            if last.expires_at > now:
                if last.owner != owner:
                    return None
                lease = evolve(last, expires_at=now + ttl)
            else:
                lease = Lease(name, owner, last.token + 1, now + ttl)
            self.held[name] = lease
            return lease

    def renew(self, lease: Lease, *, ttl: timedelta, now: datetime) -> Lease | None:
        with self.guard:
            if not self._is_ours(lease, now):
                return None
            renewed = evolve(self.held[lease.name], expires_at=now + ttl)
            self.held[lease.name] = renewed
            return renewed

    def release(self, lease: Lease) -> bool:
        with self.guard:
            if not self._is_ours(lease, EPOCH):
                return False
            self.held[lease.name] = evolve(self.held[lease.name], owner="", expires_at=EPOCH)
            return True

    def _is_ours(self, lease: Lease, now: datetime) -> bool:
        last = self.held.get(lease.name)
        return bool(
            last and last.owner == lease.owner and last.token == lease.token and last.expires_at > now
        )


@frozen
class MemoryLife:
    """The roll of living processes."""

    book: dict[str, tuple[Presence, datetime]] = field(factory=dict)
    guard: Lock = field(factory=Lock)

    def birth(self, process: Process, *, ttl: timedelta, now: datetime) -> None:
        with self.guard:
            self.book[process.id] = (Presence(process, Vitals(), now), now + ttl)

    def beat(self, id: str, vitals: Vitals, *, ttl: timedelta, now: datetime) -> bool:
        with self.guard:
            presence, until = self.book.get(id, (None, EPOCH))
            if presence is None or until <= now:
                return False
            self.book[id] = (evolve(presence, vitals=vitals, seen_at=now), now + ttl)
            return True

    def death(self, id: str) -> None:
        with self.guard:
            self.book.pop(id, None)

    def roll(self, *, now: datetime) -> list[Presence]:
        with self.guard:
            for id in [id for id, (_, until) in self.book.items() if until <= now]:
                del self.book[id]
            return sorted(
                (p for p, _ in self.book.values()), key=lambda p: (p.process.started_at, p.process.id)
            )
