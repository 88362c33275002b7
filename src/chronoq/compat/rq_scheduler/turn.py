"""One turn by hand: fire what is due, deliver what is ready. Needs no lock, and waits for nobody."""

import logging
from collections.abc import Iterable
from datetime import datetime

from attrs import define, evolve

from chronoq.api.scheduler import Scheduler
from chronoq.app.deliverer import RelayService
from chronoq.app.doctor import refuse_eviction
from chronoq.compat.rq_scheduler.entries import Entries
from chronoq.domain.firing import fire
from chronoq.domain.identity import ScheduleId
from chronoq.domain.lease import Kind
from chronoq.domain.schedule import Due, Firing
from chronoq.relay.rq import RqRelay
from chronoq.relay.rq_entry import rq_queue_of

log = logging.getLogger("chronoq.compat")

BATCH = 500


def relaying(app: Scheduler, relay: RqRelay, queues: Iterable[str]) -> RelayService:
    """What delivers the jobs of these queues; not started."""
    refuse_eviction(app.backend, app.configured.settings)
    engines = {queue: evolve(relay, queue=rq_queue_of(queue)) for queue in sorted(queues)}
    process = app.process(Kind.WORKER, list(engines))
    service: RelayService = app.container.relay(process=process, engines=engines)
    return service


@define
class Turn:
    """Every step is a compare-and-set or a transaction, so any number may take turns at the same time."""

    app: Scheduler
    relay: RqRelay
    entries: Entries
    relays: RelayService | None = None

    def take(self) -> None:
        """All that is due now is in RQ's queues when this returns."""
        queues = self.entries.queues()
        self._fire(queues)
        if self.relays is None or self.relays.engines.keys() != set(queues):
            self.close()
            self.relays = relaying(self.app, self.relay, queues)
        deliverer, clock = self.relays.deliverer, self.app.backend.clock
        deliverer.step(clock.now())
        while not deliverer.idle:
            deliverer.step(clock.now())

    def _fire(self, queues: list[str]) -> None:
        store, now = self.app.backend.store, self.app.backend.clock.now()
        failed: set[ScheduleId] = set()
        while True:
            found, _ = store.due(queues, now=now, limit=BATCH)
            firings = [firing for due in found if (firing := _firing(due, failed, now)) is not None]
            if not firings:
                return
            store.fire(firings, fence=None, now=now)

    def close(self) -> None:
        if self.relays is not None:
            for way in self.relays.deliverer.relays.values():
                way.close()
            self.relays = None


def _firing(due: Due, failed: set[ScheduleId], now: datetime) -> Firing | None:
    """The step of one schedule; one that fails delays nobody."""
    if due.stored.id in failed:
        return None
    try:
        return fire(due, now=now)
    except Exception:
        log.exception("⚠ schedule %s cannot be fired", due.stored.id)
        failed.add(due.stored.id)
        return None
