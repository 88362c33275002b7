"""A running scheduler of the face: chronoq's scheduler and a relay into every queue that there is."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from attrs import define, evolve, field

from chronoq.api.scheduler import Scheduler
from chronoq.app.deliverer import RelayService
from chronoq.app.scheduler import SchedulerService
from chronoq.compat.rq_scheduler.entries import Entries
from chronoq.compat.rq_scheduler.register import refuse_twin
from chronoq.compat.rq_scheduler.turn import relaying
from chronoq.domain.errors import BackendError
from chronoq.domain.lease import Kind
from chronoq.relay.rq import RqRelay

LOOK = 0.5
"""Seconds between two looks for queues that are new."""
TIDY = timedelta(minutes=1)


@define
class Service:
    """Fires and delivers until it is stopped. `tend` wants to be called each `LOOK` seconds."""

    app: Scheduler
    relay: RqRelay
    entries: Entries
    name: str
    scheduler: SchedulerService = field(init=False)
    relays: RelayService = field(init=False)
    tidied: datetime | None = None
    before: int = 0

    @property
    def handed(self) -> int:
        """How many jobs went through its hands."""
        return self.before + self.relays.deliverer.handed

    def start(self) -> None:
        """Errors: `BackendError`, `BadSetting`, also when a scheduler of this name is alive: then nothing runs."""
        refuse_twin(self.app, self.name)
        process = evolve(self.app.process(Kind.SCHEDULER), id=self.name)
        self.scheduler = self.app.container.scheduler(process=process)
        self.relays = relaying(self.app, self.relay, self.entries.queues())
        self.scheduler.start()
        self.relays.start()

    def tend(self) -> None:
        """Deliver into queues that are new; keep the entries tidy. While the store is away, that has time."""
        try:
            queues = self.entries.queues()
            if set(queues) - self.relays.engines.keys():
                before, self.relays = self.relays, relaying(self.app, self.relay, queues)
                self.relays.start()
                before.stop()
                self.before += before.deliverer.handed
            now = self.app.backend.clock.now()
            if self.tidied is None or now >= self.tidied + TIDY:
                self.tidied = now
                self.entries.tidy()
        except BackendError:
            return  # whoever fires and delivers has said so

    def stop(self) -> None:
        """End after the step that it is in; another scheduler leads at once."""
        self.scheduler.stop()
        self.relays.stop()


@contextmanager
def hearing() -> Iterator[Callable[[float], bool]]:
    """Hear SIGINT and SIGTERM: what it gives waits so many seconds for one, and tells whether one came.

    The second has the effect that it had before. In another thread than the main one no signal is heard.
    """
    heard = SimpleQueue[int]()  # its put may interrupt its get
    before: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def hear(number: int, frame: FrameType | None) -> None:
        restore()
        heard.put(number)

    def asked(seconds: float) -> bool:
        try:
            heard.get(timeout=seconds)
        except Empty:
            return False
        return True

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        restore()
