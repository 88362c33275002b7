"""The actor that keeps a process on the roll of the living."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import define

from chronoq.domain.lease import Process, Vitals
from chronoq.domain.ports import LifePort
from chronoq.domain.time import brief

log = logging.getLogger("chronoq.presence")

BEAT = timedelta(seconds=5)
FIRST = timedelta(seconds=1)
"""After the birth: by then there is something to say."""
TTL = timedelta(seconds=20)


@define
class Presence:
    """Birth, then a heartbeat with its vitals, and birth again when the roll has forgotten it."""

    life: LifePort
    process: Process
    vitals: Callable[[], Vitals]
    on_return: Callable[[], object] = lambda: None
    """Called after the roll had forgotten it: what else was stored may be gone too."""
    born: bool = False
    gone: bool = False

    def step(self, now: datetime) -> datetime:
        if self.gone:
            return now + BEAT
        moment = self._beat(now)
        if self.gone:  # meanwhile, in another thread: who has left must not be born again
            self.life.death(self.process.id)
        return moment

    def leave(self) -> None:
        self.gone = True
        self.life.death(self.process.id)

    def _beat(self, now: datetime) -> datetime:
        forgotten = self.born and not self.life.beat(self.process.id, self.vitals(), ttl=TTL, now=now)
        if forgotten or not self.born:
            self.life.birth(self.process, ttl=TTL, now=now)
            self.born = True
            if forgotten:
                log.warning("⚠ not on the roll any more: silent for %s, or the store was emptied", brief(TTL))
                self.on_return()
            return now + FIRST
        return now + BEAT
