"""Which queues are divided, and into what: declared in code, remembered in the store."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from attrs import define, evolve, field

from chronoq.app.sharded_queue import ShardedQueue
from chronoq.app.sharded_store import ShardedStore
from chronoq.domain import shards
from chronoq.domain.errors import BadSetting, NotAllowed
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.ports import Backend

FOR_EVER = timedelta(days=100 * 365)
"""The number of shards is remembered as the owner of a lock, which is compared and set in one step."""


@define
class Shards:
    """What is known of the division of queues. Made at the opening; `learn` adds parts that have come up since."""

    backend: Backend
    numbers: dict[str, int] = field(factory=dict)
    _parts: dict[str, tuple[str, ...]] = field(factory=dict)

    def parts(self, queue: str) -> tuple[str, ...]:
        """Every part in which the queue may have something, those of former divisions included."""
        return self._parts.get(queue, (queue,))

    def part_of(self, id: JobId | ScheduleId) -> str:
        return shards.part_of(id.queue, id.key, self.numbers.get(id.queue, 1))

    def learn(self, names: Iterable[str]) -> list[str]:
        """The queues to which these names belong; parts not met before are served from now on."""
        for name in names:
            queue = shards.whole(name)
            if name != queue and name not in self.parts(queue):
                self._parts[queue] = (*self.parts(queue), name)
        return sorted({shards.whole(name) for name in names})

    def open(self, declared: Mapping[str, int], *, now: datetime) -> None:
        """Take over what is declared, look up the rest. Errors: `BadSetting` for a number that has changed."""
        with suppress(NotAllowed):  # whoever may only submit looks at no list, and goes by what is declared
            self.learn(self.backend.queue.queues())
        for queue in {*self._parts, *declared}:
            number = declared.get(queue)
            if number is None:
                number = self._remembered(queue, now)
            else:
                self._declare(queue, shards.count(number), now)
            self.numbers[queue] = number
            self._parts[queue] = tuple(dict.fromkeys((*shards.parts(queue, number), *self.parts(queue))))

    def _declare(self, queue: str, number: int, now: datetime) -> None:
        before = self._remembered(queue, now)
        if before != number:
            if held := self._held(queue, now):
                raise BadSetting(
                    f"Queue {queue!r} is declared with shards={number}, and what it holds lies in {before}: {held}. "
                    f"The number can change when the queue is empty. Until then, declare shards={before}."
                )
            self._forget(queue, now)
        if not self._is(queue, number, now):
            raise BadSetting(
                f"Queue {queue!r} is declared with shards={number}, and another process has just declared "
                "another number. Declare the same one everywhere."
            )

    def _remembered(self, queue: str, now: datetime) -> int:
        """In how many shards the queue lies; where there are parts of several divisions, the store says."""
        seen = {shards.shards_of(name) for name in self.parts(queue)} - {1}
        return next((number for number in sorted(seen) if self._is(queue, number, now)), 1)

    def _is(self, queue: str, number: int, now: datetime) -> bool:
        """Whether the queue is divided so, by now at the latest."""
        lock = self.backend.lock
        return lock.acquire(_lock(queue), owner=str(number), ttl=FOR_EVER, now=now) is not None

    def _forget(self, queue: str, now: datetime) -> None:
        for number in range(1, shards.MOST + 1):
            lease = self.backend.lock.acquire(_lock(queue), owner=str(number), ttl=FOR_EVER, now=now)
            if lease is not None:
                self.backend.lock.release(lease)
                return

    def _held(self, queue: str, now: datetime) -> str:
        """What the queue still holds, in words; "" when it is empty."""
        parts = self.parts(queue)
        counts = self.backend.queue.counts(parts, now=now)
        found = {
            "jobs": sum(one.delayed + one.ready + one.running for one in counts),
            "dead letters": sum(one.dead for one in counts),
            "schedules": sum(len(self.backend.store.find(part)) for part in parts),
        }
        return ", ".join(f"{number} {what}" for what, number in found.items() if number)


def sharded(backend: Backend, declared: Mapping[str, int], *, now: datetime) -> Backend:
    """The backend with its divided queues seen as one each; itself where there is none.

    Errors: `BadSetting` where the store remembers another number of shards, and the queue is in use.
    """
    known = Shards(backend)
    known.open(declared, now=now)
    if not any(number > 1 or len(known.parts(queue)) > 1 for queue, number in known.numbers.items()):
        return backend
    return evolve(backend, queue=ShardedQueue(backend.queue, known), store=ShardedStore(backend.store, known))


def _lock(queue: str) -> str:
    return f"shards.{queue}"
