"""The actor that keeps a process on the roll of the living."""

from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import define

from chronoq.domain.lease import Process, Vitals
from chronoq.domain.ports import LifePort

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
    born: bool = False

    def step(self, now: datetime) -> datetime:
        self.born = self.born and self.life.beat(self.process.id, self.vitals(), ttl=TTL, now=now)
        if not self.born:
            self.life.birth(self.process, ttl=TTL, now=now)
            self.born = True
            return now + FIRST
        return now + BEAT

    def leave(self) -> None:
        self.life.death(self.process.id)
