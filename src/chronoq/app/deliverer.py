"""The actor that hands due jobs over to other engines, and the process part around it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from attrs import define, field

from chronoq.app.loop import Actor, Ear, Loop, Trouble, end
from chronoq.app.presence import Presence
from chronoq.app.reaper import SWEEP, Reaper
from chronoq.app.relay import Engine, Parcel, Relay
from chronoq.app.sweeper import Sweeper, eldest
from chronoq.app.tasks import Registry, default_name
from chronoq.config import Settings
from chronoq.domain.errors import BackendError
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import LIVE, Claim
from chronoq.domain.lease import Process, Vitals
from chronoq.domain.ports import Backend, QueuePort, StorePort
from chronoq.domain.schedule import Overlap, Policy
from chronoq.domain.time import brief
from chronoq.domain.verdict import Dead, Verdict, unknown_task

log = logging.getLogger("chronoq.relay")

POLL = timedelta(seconds=2)
AT_ONCE = 100


@define
class Deliverer:
    """Claims what is due in relayed queues, hands it over, settles what is over."""

    queue: QueuePort
    store: StorePort
    engines: Mapping[str, Engine]
    relays: Mapping[str, Relay]
    registry: Registry
    worker: str
    settings: Settings
    listen: Callable[[], None] = lambda: None
    """Ask to be woken when there is something to do."""
    outbox: list[tuple[Claim, Verdict]] = field(factory=list)
    stopping: bool = False
    idle: bool = False
    handed: int = 0
    """How many jobs went through its hands."""

    def step(self, now: datetime) -> datetime:
        """One round; the next look is due with the next delayed job, at `POLL` at the latest."""
        wants = [(name, 0 if self.stopping else AT_ONCE) for name in self.relays]
        outbox, lease = self.outbox, self.settings.lease
        claimed = self.queue.claim(wants, worker=self.worker, lease=lease, now=now, verdicts=outbox)
        self.outbox = []
        claims = list(claimed.claims)
        trouble: Exception | None = None
        for name in self.relays:
            own = [claim for claim in claims if claim.id.queue == name]
            try:
                self._hand_over(name, own, now)
            except Exception as error:  # an engine that is away or has a fault does not hold up the others
                self._give_back(own, now)
                trouble = trouble or error
        if trouble is not None:
            raise trouble
        self.idle = not claims and not self.outbox
        full = len(claims) >= AT_ONCE or claimed.more or bool(self.outbox)
        if not full:
            self.listen()
        return now if full else min(claimed.next or now + POLL, now + POLL)

    def _hand_over(self, name: str, claims: Sequence[Claim], now: datetime) -> None:
        followed = self._followed(name, claims)
        parcels = []
        for claim in claims:
            function = self._function(name, claim.job.task)
            if function is None:
                hint = self.registry.hint(claim.job.task)
                lost = unknown_task(claim, now=now, park_for=self.settings.park_for, hint=hint)
                self.outbox.append((claim, lost))
            else:
                follow = claim.id.key in followed
                parcels.append(Parcel(claim, function, follow, lambda id: self._to_come(id, now)))
        if not parcels:
            return
        for parcel, verdict in zip(parcels, self.relays[name].deliver(parcels, now=now), strict=True):
            self.handed += 1
            if verdict is not None:
                self.outbox.append((parcel.claim, verdict))
                if isinstance(verdict, Dead):
                    said = (parcel.function, parcel.claim.id.key, verdict.failure.message)
                    log.warning("✖ %s  %s  %s", *said)

    def _followed(self, name: str, claims: Sequence[Claim]) -> set[str]:
        """The jobs whose end matters to us: their schedule's next run depends on it, or the engine asks for all."""
        if self.engines[name].follow:
            return {claim.id.key for claim in claims}
        schedules = sorted({claim.job.run_of for claim in claims if claim.job.run_of})
        stored = self.store.get(schedules) if schedules else []
        watched = {
            one.schedule.id for one in stored if one and one.schedule and _is_watched(one.schedule.policy)
        }
        return {claim.id.key for claim in claims if claim.job.run_of in watched}

    def _to_come(self, id: str, now: datetime) -> datetime | None:
        """See `Parcel`. Of schedules the last time counts: no other run is meant by a plain id."""
        queue, colon, key = id.rpartition(":")
        queues = [queue] if colon else list(self.relays)
        jobs = self.queue.get([JobId(one, key) for one in queues], now=now)
        found = [one.until or one.job.due for one in jobs if one and one.state in LIVE]
        for stored in self.store.get([ScheduleId(one, key) for one in queues]):
            if stored and stored.schedule and (at := stored.cursor.next):
                last = stored.schedule.next_after(at, since=stored.cursor.since) is None
                found += [at] * last
        return min(found, default=None)

    def _function(self, queue: str, task: str) -> str | None:
        """The dotted name of the function behind a task; None when nobody may run it."""
        known = self.registry.find(task)
        if known is not None:
            return default_name(known.fn)
        return task if self.engines[queue].unregistered else None

    def _give_back(self, claims: Sequence[Claim], now: datetime) -> None:
        """What is settled or kept in the outbox stays; the rest is somebody's at once, or when its lease ends."""
        kept = {claim.id for claim, _ in self.outbox}
        with suppress(BackendError):
            self.queue.release([claim for claim in claims if claim.id not in kept], now=now)


def _is_watched(policy: Policy) -> bool:
    """Whether it matters to the schedule when its runs end, or how."""
    return policy.overlap is not Overlap.ALLOW or policy.pause_after is not None


@define(eq=False)
class RelayService:
    """Hands over jobs of relayed queues until it is stopped. Any number may run."""

    backend: Backend
    registry: Registry
    settings: Settings
    process: Process
    engines: Mapping[str, Engine]
    trouble: Trouble = field(factory=Trouble)
    deliverer: Deliverer = field(init=False)
    presence: Presence = field(init=False)
    ear: Ear = field(init=False)
    loops: dict[str, Loop] = field(init=False)

    def __attrs_post_init__(self) -> None:
        backend, settings, queues = self.backend, self.settings, list(self.engines)
        relays = {name: engine.connect(settings, name) for name, engine in self.engines.items()}
        self.deliverer = Deliverer(
            backend.queue, backend.store, self.engines, relays, self.registry, self.process.id, settings
        )
        self.presence = Presence(backend.life, self.process, self._vitals)
        self.ear = Ear(lambda patience: backend.queue.wait_ready(queues, timeout=patience), self._heard)
        self.deliverer.listen = self.ear.wanted.set
        actors: dict[str, Actor] = {
            "deliverer": self.deliverer,
            # a job does not run here, so it cannot be what took a deliverer down: it is never given up for that
            "reaper": Reaper(backend.queue, queues, None, min(SWEEP, settings.lease)),
            "presence": self.presence,
            "sweeper": Sweeper(
                (backend.queue.sweep,),
                lambda: {*queues, *backend.queue.queues()},
                lambda now: eldest(backend.life.roll(now=now), self.process.id),
            ),
            "ear": self.ear,
        }
        self.loops = {name: Loop(name, actor, backend.clock, self.trouble) for name, actor in actors.items()}

    def start(self) -> None:
        for loop in self.loops.values():
            loop.start()

    def stop(self) -> None:
        """End after the step that it is in; what was handed over goes on where it is."""
        self.deliverer.stopping = True
        end(self.loops.values())
        try:
            self.deliverer.step(self.backend.clock.now())
            self.presence.leave()
        except BackendError as error:
            log.warning("⚠ %s What it had in hand comes back within %s.", error, brief(self.settings.lease))
        for relay in self.deliverer.relays.values():
            relay.close()

    def _heard(self, _: object) -> None:
        self.ear.wanted.clear()
        self.loops["deliverer"].ring()

    def _vitals(self) -> Vitals:
        return Vitals(
            done=self.deliverer.handed,
            stopping=self.deliverer.stopping,
            served_at=self.loops["deliverer"].stepped_at,
        )
