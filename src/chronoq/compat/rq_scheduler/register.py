"""Birth, heartbeat, death and the lock of a scheduler, as its user may ask for them by hand."""

import os
from datetime import timedelta

from attrs import evolve

from chronoq.api.scheduler import Scheduler as Application
from chronoq.app.ticker import LOCK
from chronoq.domain.errors import BadSetting
from chronoq.domain.identity import name
from chronoq.domain.lease import Kind, Lease, Vitals


class Registered:
    """A scheduler's place on the roll of the living, and its hold on the lock that every scheduler of the
    namespace asks for. Both last the interval and ten seconds more.
    """

    def __init__(self, application: Application, own: str, interval: float) -> None:
        self.application = application
        self.name = name(own, what="name")
        self.interval = interval
        self._lease: Lease | None = None

    @property
    def key(self) -> str:
        """The name under which it stands on the roll."""
        return self.name

    @property
    def pid(self) -> int:
        return os.getpid()

    @property
    def _life(self) -> timedelta:
        return timedelta(seconds=self.interval + 10)

    def register_birth(self) -> None:
        """Errors: `BadSetting` (a ValueError) when one of this name is alive."""
        refuse_twin(self.application, self.name)
        backend = self.application.backend
        process = evolve(self.application.process(Kind.SCHEDULER), id=self.name)
        backend.life.birth(process, ttl=self._life, now=backend.clock.now())

    def heartbeat(self) -> None:
        backend = self.application.backend
        backend.life.beat(self.name, Vitals(), ttl=self._life, now=backend.clock.now())

    def register_death(self) -> None:
        self.application.backend.life.death(self.name)

    def acquire_lock(self) -> bool:
        """Keep others from doing the same work. Whether it is ours."""
        backend = self.application.backend
        self._lease = backend.lock.acquire(LOCK, owner=self.name, ttl=self._life, now=backend.clock.now())
        return self._lease is not None

    def remove_lock(self) -> None:
        """Give it back, if it is still ours."""
        lease, self._lease = self._lease, None
        if lease is not None:
            self.application.backend.lock.release(lease)


def refuse_twin(application: Application, own: str) -> None:
    """Errors: `BadSetting` (a ValueError) when one of this name is alive."""
    backend = application.backend
    if any(one.process.id == own for one in backend.life.roll(now=backend.clock.now())):
        raise BadSetting(
            f"There's already an active RQ scheduler named: {own!r}. Stop it, wait until its last heartbeat "
            "has run out, or give this one another name."
        )
