"""A worker: its actors, wired to each other, from start to graceful stop."""

import asyncio
import logging
import random
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from attrs import define, field

from chronoq.app.coroutines import Coroutines
from chronoq.app.fetcher import POLL, Fetcher
from chronoq.app.hands import Hands
from chronoq.app.heart import Heart
from chronoq.app.long_poll import LongPoll
from chronoq.app.loop import Actor, Ear, Loop, Trouble, end
from chronoq.app.presence import Presence
from chronoq.app.processes import Processes
from chronoq.app.reaper import SWEEP, Reaper
from chronoq.app.runner import Runner
from chronoq.app.sweeper import Sweeper, eldest
from chronoq.app.tasks import Registry
from chronoq.app.threads import Threads
from chronoq.config import Settings
from chronoq.domain.errors import BackendError
from chronoq.domain.lease import Process, Vitals
from chronoq.domain.ports import Backend, Claimed

log = logging.getLogger("chronoq.worker")

TURN = timedelta(milliseconds=100)


@define(eq=False)
class Worker:
    """Runs jobs of `queues` until it is stopped.

    `loop`: where coroutines run; without one, on a loop in a thread of the worker's own.
    `burst`: it will be stopped when it is idle, so nothing may be on its way to it by then.
    """

    backend: Backend
    registry: Registry
    settings: Settings
    process: Process
    queues: Sequence[str]
    loop: asyncio.AbstractEventLoop | None = None
    burst: bool = False
    trouble: Trouble = field(factory=Trouble)
    failed: threading.Event = field(factory=threading.Event)
    """Set when every thread is stuck past its job's timeout, or the event loop is blocked by a job past its
    own: the process had better be replaced."""
    hands: Hands = field(init=False)
    threads: Threads = field(init=False)
    coroutines: Coroutines = field(init=False)
    processes: Processes = field(init=False)
    fetcher: Fetcher = field(init=False)
    presence: Presence = field(init=False)
    ear: Ear = field(init=False)
    loops: dict[str, Loop] = field(init=False)

    def __attrs_post_init__(self) -> None:
        backend, settings, slots = self.backend, self.settings, self.settings.concurrency
        self.hands = Hands(slots)
        runner = Runner(
            self.registry, self.hands, backend.clock, random.random, settings.park_for, settings.max_payload
        )
        self.threads, self.coroutines = Threads(runner, slots), Coroutines(runner, slots, self.loop)
        self.processes = Processes(runner, slots, settings.process_memory)
        self.fetcher = Fetcher(
            backend.queue,
            self.queues,
            self.hands,
            self.registry,
            self.threads,
            self.coroutines,
            self.process.id,
            settings.lease,
            self.processes,
        )
        heart = Heart(backend.queue, self.hands, runner, settings.lease, self._on_timeout)
        self.presence = Presence(backend.life, self.process, self._vitals)
        poll = LongPoll(self.fetcher, backend.clock, at_home=self.burst, brings=self._brings)
        self.ear = Ear(poll.listen, self._heard)
        actors: dict[str, Actor] = {
            "fetcher": self.fetcher,
            "heart": heart,
            "reaper": Reaper(backend.queue, self.queues, settings.max_crashes, min(SWEEP, settings.lease)),
            "presence": self.presence,
            "sweeper": Sweeper(
                (backend.queue.sweep,),
                lambda: {*self.queues, *backend.queue.queues()},
                lambda now: eldest(backend.life.roll(now=now), self.process.id),
            ),
            "ear": self.ear,
        }
        self.loops = {name: Loop(name, actor, backend.clock, self.trouble) for name, actor in actors.items()}
        self.loops["heart"].longest_pause = timedelta(seconds=1)  # an outage must not keep it from L7
        self.hands.changed = self.loops["fetcher"].ring
        runner.watch = self.loops["heart"].ring
        self.fetcher.listen = self.ear.wanted.set
        self.fetcher.breathe = self.hands.breathe
        self.threads.relieve = self._relieve

    def start(self) -> None:
        self.threads.start()
        self.coroutines.start()
        self.processes.start()
        for loop in self.loops.values():
            loop.start()

    def stop(self, *, grace: timedelta | None = None) -> bool:
        """Claim no more, finish within the grace period, give back the rest. Whether all was finished."""
        self.fetcher.stopping = True
        with suppress(BackendError):  # then it is back when its time is over
            if not self.backend.queue.recall(self.process.id):
                self.fetcher.out = None  # it goes on waiting, and brings nothing
        self.loops["fetcher"].wake.set()
        limit = self.settings.grace if grace is None else grace
        finished = self._drained(limit)
        end(self.loops.values())
        try:
            if not finished:
                self._abandon()
            self.fetcher.give_up(self.backend.clock.now())
            self.presence.leave()
        except BackendError as error:
            log.warning("⚠ %s The leases of this worker will run out by themselves.", error)
        self.threads.stop()
        self.coroutines.stop()
        self.processes.stop()
        return finished

    def _drained(self, limit: timedelta) -> bool:
        """Wait in short turns: a signal that the system gave to another thread is heard between two of them."""
        left = limit
        while not self.fetcher.drained.wait(min(left, TURN).total_seconds()) and left > TURN:
            left -= TURN
        return self.fetcher.drained.is_set()

    @property
    def idle(self) -> bool:
        """Whether the last look found nothing to do, and nothing is in hand."""
        return self.fetcher.idle and self.hands.empty

    def _abandon(self) -> None:
        """The grace period is over: what still runs is asked to stop, and goes back to its queue."""
        now = self.backend.clock.now()
        runs = [run for run in list(self.hands.held) if self.hands.drop(run)]
        for run in runs:
            run.ask_to_stop()
        self.fetcher.settler.settle(now)
        self.backend.queue.release([*(run.claim for run in runs), *self.fetcher.fresh], now=now)

    def _brings(self) -> None:
        """The long poll hands something over: it listens again when the fetcher has looked."""
        self.ear.wanted.clear()
        self.fetcher.heard = True

    def _relieve(self) -> None:
        """What the long poll brought goes on in the ear's thread: somebody else listens from now on."""
        self.loops["fetcher"].ring()
        self.loops["ear"].relieve()

    def _heard(self, found: object) -> None:
        if isinstance(found, Claimed):
            if self._nothing(found):
                return  # the long poll has looked a moment ago, and waits on
            if found.claims:
                # else it has looked since that came, and the ear is asked for again
                if self.fetcher.heard or self.fetcher.brought or not self.ear.wanted.is_set():
                    self.loops["fetcher"].wake.set()
                return
        self.ear.wanted.clear()
        try:
            if self.fetcher.stopping and found is None:  # it was meant for another: say it again
                nothing = [(queue, 0) for queue in self.queues]
                self.backend.queue.claim(
                    nothing, worker=self.process.id, lease=self.settings.lease, now=self.backend.clock.now()
                )
        finally:
            self.fetcher.heard = True
            self.loops["fetcher"].wake.set()

    def _nothing(self, found: Claimed) -> bool:
        """Whether there is nothing to do before the next look, for a worker that has nothing else to do."""
        free = self.hands.empty and not self.fetcher.stopping
        soon = found.next is not None and found.next <= self.backend.clock.now() + 2 * POLL
        return free and not (found.claims or soon)

    def _on_timeout(self) -> None:
        if self.threads.stuck or not self.coroutines.turns():
            self.failed.set()

    def _vitals(self) -> Vitals:
        return Vitals(
            running=len(self.hands.held),
            done=self.hands.done,
            failed=self.hands.failed,
            stopping=self.fetcher.stopping,
            served_at=self.loops["fetcher"].stepped_at,
        )
