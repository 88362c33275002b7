"""The scheduler's actor: the leader promotes what has come due and fires schedules; the others stand by."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from attrs import define, field

from chronoq.domain.firing import fire, set_aside
from chronoq.domain.identity import ScheduleId
from chronoq.domain.lease import Lease
from chronoq.domain.ports import Fired, LockPort, QueuePort, StorePort
from chronoq.domain.schedule import Due, Firing, Happened
from chronoq.domain.stream import Stream

log = logging.getLogger("chronoq.scheduler")

LOCK = "scheduler"
REFRESH = timedelta(seconds=5)
"""How often the leader looks at every queue, known or new: a lost wake-up costs at most this."""

BATCH = 500
AGAIN = timedelta(seconds=1)
TRIES = 3
"""Steps of one schedule that may fail before it is set aside (S9)."""


@define
class Ticker:
    """Every step is safe without the lock (S2): it only keeps several schedulers from doing the same work."""

    queue: QueuePort
    store: StorePort
    lock: LockPort
    owner: str
    ttl: timedelta
    declared: Sequence[str] = ()
    on_lead: Callable[[bool], None] = lambda leads: None
    """Told when leadership is won or lost. Who does not lead must not listen: it would hear for the leader."""
    lease: Lease | None = None
    renewed: datetime | None = None
    refreshed: datetime | None = None
    woken: deque[str] = field(factory=deque)
    nexts: dict[str, datetime | None] = field(factory=dict)
    errors: dict[ScheduleId, int] = field(factory=dict)
    rests: dict[ScheduleId, datetime] = field(factory=dict)
    """When a schedule that could not be fired is tried again."""

    @property
    def leader(self) -> bool:
        return self.lease is not None

    def wake(self, queues: Iterable[str]) -> None:
        """Something of these queues may have become due earlier than was known. Any thread may say so."""
        self.woken.extend(queues)

    def step(self, now: datetime) -> datetime:
        """Lead or stand by; do what is due; the next moment is the first at which something will be."""
        retry = self._lead(now)
        if self.lease is None:
            return retry
        if self.refreshed is None or now >= self.refreshed + REFRESH:
            self.wake(sorted({*self.declared, *self.queue.queues()}))
            self.refreshed = now
        while self.woken:
            self.nexts[self.woken.popleft()] = now
        due = [queue for queue, moment in self.nexts.items() if moment is not None and moment <= now]
        if due:
            self.nexts.update(zip(due, self._tend(due, now), strict=True))
        moments = [moment for moment in self.nexts.values() if moment is not None]
        return min([retry, self.refreshed + REFRESH, *moments])

    def resign(self) -> None:
        """Let another one lead at once."""
        if self.lease is not None:
            lease, self.lease = self.lease, None
            self.on_lead(False)
            self.lock.release(lease)

    def _lead(self, now: datetime) -> datetime:
        """Hold or take the lock. It is renewed after half of its life; who has none tries after a third."""
        half = self.ttl / 2
        if self.lease is not None and self.renewed is not None and now < self.renewed + half:
            return self.renewed + half
        held = self.lease and self.lock.renew(self.lease, ttl=self.ttl, now=now)
        lease = held or self.lock.acquire(LOCK, owner=self.owner, ttl=self.ttl, now=now)
        if lease and not self.lease:
            log.info("♔ %s leads (term %d)", self.owner, lease.token)
            self.refreshed, self.nexts = None, {}
            self.on_lead(True)
        elif self.lease and not lease:
            self._depose()
        self.lease, self.renewed = lease, now
        return now + (half if lease else self.ttl / 3)

    def _depose(self) -> None:
        log.warning("⚠ %s leads no more: another scheduler took over", self.owner)
        self.lease = None
        self.on_lead(False)

    def _tend(self, queues: Sequence[str], now: datetime) -> list[datetime | None]:
        """Promote and fire what is due in these queues; for each, when it wants to be looked at again."""
        promoted = self.queue.promote(queues, now=now, limit=BATCH)
        found, wakes = self.store.due(queues, now=now, limit=BATCH)
        again = self._fire(found, now)
        nexts: list[datetime | None] = []
        for queue, moved, wake in zip(queues, promoted, wakes, strict=True):
            moments = (moved.next, wake, again.get(queue))
            nexts.append(min((moment for moment in moments if moment is not None), default=None))
        return nexts

    def _fire(self, found: Sequence[Due], now: datetime) -> dict[str, datetime]:
        """Fire these schedules. When to look at their queues again: at once, unless all that is left there rests."""
        fence = self.lease.token if self.lease else 0
        again: dict[str, datetime] = {}
        # the store takes the first while the last are still decided
        firings = Stream(self._decided(found, now, again))
        answers = self.store.fire(firings, fence=fence, now=now) if firings else []
        for firing, answer in zip(firings, answers, strict=True):
            if answer is Fired.STALE and self.lease is not None:
                self._depose()
            elif answer is Fired.YES:
                self._after(firing, now)
        return again

    def _decided(self, found: Sequence[Due], now: datetime, again: dict[str, datetime]) -> Iterator[Firing]:
        """The steps of those that do not rest; into `again`, when to look at each queue again."""
        for due in found:
            queue, firing = due.stored.id.queue, self._firing(due, now)
            if firing is not None:
                again[queue] = now
                yield firing
            else:
                rest = self.rests[due.stored.id]
                again[queue] = min(rest, again.get(queue, rest))

    def _firing(self, due: Due, now: datetime) -> Firing | None:
        """The step of one schedule. One that fails again and again is set aside, and delays nobody."""
        id = due.stored.id
        if self.rests and now < self.rests.get(id, now):
            return None
        try:
            firing = fire(due, now=now)
        except Exception as error:
            self.errors[id] = self.errors.get(id, 0) + 1
            log.exception("⚠ schedule %s cannot be fired (try %d of %d)", id, self.errors[id], TRIES)
            if self.errors[id] < TRIES:
                self.rests[id] = now + AGAIN
                return None
            firing = set_aside(due.stored, f"cannot be fired: {error}", now=now)
        if self.errors:
            self.errors.pop(id, None)
            self.rests.pop(id, None)
        return firing

    def _after(self, firing: Firing, now: datetime) -> None:
        for outcome in firing.outcomes:
            if outcome.what is Happened.SET_ASIDE:
                log.warning("⚠ schedule %s is set aside: %s", firing.id, outcome.note)
        for job in firing.jobs:
            log.info("⏱ %s  %s", firing.id.key, job.id.key)
