"""LockPort and LifePort on SQLite."""

from datetime import datetime, timedelta

from attrs import evolve, frozen

from chronoq.adapters.codec import Malformed, decode, encode
from chronoq.adapters.sqlite.database import Database
from chronoq.adapters.sqlite.statements import SQL
from chronoq.adapters.sqlite.step import Step
from chronoq.domain.lease import Lease, Presence, Process, Vitals
from chronoq.domain.time import from_ms, to_ms

KEPT = timedelta(days=1)


@frozen
class SqliteLock:
    """A lock's row is never deleted: it would forget its token."""

    data: Database

    def acquire(self, name: str, *, owner: str, ttl: timedelta, now: datetime) -> Lease | None:
        until = to_ms(now + ttl)

        def work(step: Step) -> Lease | None:
            row = step.db.execute(SQL["locks.get"], (step.namespace, name)).fetchone()
            holder, token, ends = row or ("", to_ms(now), 0)
            if ends <= to_ms(now):
                token += 1
            elif holder != owner:
                return None
            step.db.execute(SQL["locks.take"], (step.namespace, name, owner, token, until))
            return Lease(name, owner, token, from_ms(until))

        return self.data.write(work)

    def renew(self, lease: Lease, *, ttl: timedelta, now: datetime) -> Lease | None:
        until = to_ms(now + ttl)
        values = (until, self.data.namespace, lease.name, lease.owner, lease.token, to_ms(now))
        held = self.data.write(
            lambda step: step.db.execute(SQL["locks.renew"], values).rowcount, durable=False
        )
        return evolve(lease, expires_at=from_ms(until)) if held else None

    def release(self, lease: Lease) -> bool:
        values = (self.data.namespace, lease.name, lease.owner, lease.token)
        return bool(self.data.write(lambda step: step.db.execute(SQL["locks.release"], values).rowcount))


@frozen
class SqliteLife:
    """The roll of living processes."""

    data: Database

    def birth(self, process: Process, *, ttl: timedelta, now: datetime) -> None:
        values = (
            *(self.data.namespace, process.id, encode(process), encode(Vitals())),
            *(to_ms(now), to_ms(now + ttl)),
        )

        def work(step: Step) -> None:
            step.db.execute(SQL["processes.forget"], (step.namespace, to_ms(now - KEPT)))
            step.db.execute(SQL["processes.birth"], values)

        self.data.write(work, durable=False)

    def beat(self, id: str, vitals: Vitals, *, ttl: timedelta, now: datetime) -> bool:
        values = (encode(vitals), to_ms(now), to_ms(now + ttl), self.data.namespace, id, to_ms(now))
        there = self.data.write(
            lambda step: step.db.execute(SQL["processes.beat"], values).rowcount, durable=False
        )
        return bool(there)

    def death(self, id: str) -> None:
        values = (self.data.namespace, id)
        self.data.write(lambda step: step.db.execute(SQL["processes.death"], values), durable=False)

    def roll(self, *, now: datetime) -> list[Presence]:
        values = (self.data.namespace, to_ms(now))
        rows = self.data.read(lambda step: step.db.execute(SQL["processes.roll"], values).fetchall())
        found = [presence for row in rows if (presence := _presence(*row))]
        return sorted(found, key=lambda presence: (presence.process.started_at, presence.process.id))


def _presence(process: bytes, vitals: bytes, seen: int) -> Presence | None:
    try:
        return Presence(decode(Process, process), decode(Vitals, vitals), from_ms(seen))
    except Malformed:
        return None  # another version's: it is not ours to show, and it leaves by itself
