"""A scheduler process: the ticker and what wakes it, from start to stop."""

from contextlib import suppress
from datetime import timedelta

from attrs import define, field

from chronoq.app.loop import Actor, Ear, Loop, Trouble, end
from chronoq.app.presence import Presence
from chronoq.app.sweeper import Sweeper
from chronoq.app.ticker import Ticker
from chronoq.config import Settings
from chronoq.domain.errors import BackendError
from chronoq.domain.lease import Process, Vitals
from chronoq.domain.ports import Backend


@define(eq=False)
class SchedulerService:
    """Moves what has come due, until it is stopped. Any number may run; one of them leads."""

    backend: Backend
    settings: Settings
    process: Process
    trouble: Trouble = field(factory=Trouble)
    ticker: Ticker = field(init=False)
    presence: Presence = field(init=False)
    loops: dict[str, Loop] = field(init=False)

    def __attrs_post_init__(self) -> None:
        backend = self.backend
        self.ticker = Ticker(
            backend.queue,
            backend.store,
            backend.lock,
            owner=self.process.id,
            ttl=self.settings.lock_ttl,
            declared=self.process.queues,
        )
        self.presence = Presence(backend.life, self.process, self._vitals)
        ear = Ear(self._listen, self._heard)
        self.ticker.on_lead = lambda leads: ear.wanted.set() if leads else ear.wanted.clear()
        sweeper = Sweeper(
            (backend.queue.sweep, backend.store.sweep),
            lambda: {*self.process.queues, *backend.queue.queues()},
            lambda _: self.ticker.leader,
        )
        actors: dict[str, Actor] = {
            "ticker": self.ticker,
            "presence": self.presence,
            "ear": ear,
            "sweeper": sweeper,
        }
        self.loops = {name: Loop(name, actor, backend.clock, self.trouble) for name, actor in actors.items()}
        # a lock that could not be renewed has to be, before its other half is over
        self.loops["ticker"].longest_pause = self.settings.lock_ttl / 6

    def start(self) -> None:
        for loop in self.loops.values():
            loop.start()

    def stop(self) -> None:
        """End after the step it is in, and let another one lead at once."""
        end(self.loops.values())
        with suppress(BackendError):  # it runs out by itself
            self.ticker.resign()
            self.presence.leave()

    def _vitals(self) -> Vitals:
        return Vitals(leader=self.ticker.leader, served_at=self.loops["ticker"].stepped_at)

    def _listen(self, patience: timedelta) -> list[str]:
        queues = sorted({*self.ticker.declared, *self.ticker.nexts})
        return self.backend.queue.wait_due(queues, timeout=patience)

    def _heard(self, queues: object) -> None:
        if isinstance(queues, list) and queues:
            self.ticker.wake(queues)
            self.loops["ticker"].wake.set()
