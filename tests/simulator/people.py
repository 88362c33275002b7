"""Those who ask: a client that submits, cancels, pauses and schedules, and asks again when it got no answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from chronoq.app.client import Client
from chronoq.app.schedules import Schedules
from chronoq.domain import errors
from chronoq.domain.control import Backfill
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Job, Options, Pause, Priority
from chronoq.domain.retry import RetryPolicy
from chronoq.domain.rhythm import Rhythm, cron, every, union
from chronoq.domain.rhythm_kinds import Every
from chronoq.domain.schedule import Overlap, Policy, Schedule
from chronoq.domain.time import ZERO
from tests.simulator.actors import MS, S, lines
from tests.simulator.hub import Process
from tests.simulator.jobs import BAD

if TYPE_CHECKING:
    from tests.simulator.world import World

KEYS = "abcdefgh"
KINDS = (
    *(("quick", 0),) * 4,
    *(("work", n) for n in (1, 2, 4)),
    ("work", 9),
    ("deaf", 9),
    *(("fail", n) for n in (1, 2, 9)),
    ("snooze", 2),
    ("poison", 1),
    ("poison", 9),
)
TASKS = (*("act",) * 10, "other", "nobody")
"""Nobody knows the last one."""

FIXED = RetryPolicy.listed([S], retries=2)
OPTIONS = (
    *(Options(retry=FIXED),) * 4,
    Options(retry=FIXED, priority=Priority.HIGH),
    Options(retry=FIXED, priority=Priority.LOW),
    Options(retry=RetryPolicy(jitter=False, retries=1), result_ttl=ZERO),
    Options(retry=FIXED, timeout=S),
    Options(retry=FIXED, expires=2 * S),
    Options(retry=FIXED, result_ttl=ZERO, remember=300 * S),
)
DELAYS = (-S, ZERO, ZERO, ZERO, MS, 700 * MS, 2 * S, 5 * S)


@frozen
class Broken(Every):
    """A rhythm that can be computed for a while, and then not any more."""

    def _next(self, moment: datetime) -> datetime | None:
        if self.anchor is not None and moment > self.anchor + 4 * S:
            raise RuntimeError("broken")
        return super()._next(moment)


RHYTHMS: tuple[Rhythm, ...] = (
    *(every("1s"), every("3s"), every("7s"), every("10s"), every("20s")),
    cron("*/5 * * * * *"),
    union(every("4s"), every("6s")),
    Broken(2 * S),
)
WRITTEN: tuple[Rhythm, ...] = (*RHYTHMS[:-1], every("2s"))
"""For stores that write a schedule down: the broken one has no form in which it could be written."""
PAYLOADS = {kind: f'[["{kind[0]}",{kind[1]}],{{}}]'.encode() for kind in KINDS}


class Person(Process):
    """One client, busy for `times` times."""

    def __init__(self, world: World, name: str, times: int, *, lag: timedelta, wall: timedelta) -> None:
        super().__init__(world.hub, name, lag=lag, wall=wall)
        self.world = world
        backend = lines(world, self, world.true)
        self.backend = backend
        self.client = Client(backend, world.room)
        self.schedules = Schedules(backend)
        self.times = times
        self.made = 0
        world.hub.spawn(name, self, self.live)

    def live(self) -> None:
        chance, world = self.hub.chance, self.world
        acts = (*(self.submit,) * 10, self.submit_many, self.submit_many, *(self.cancel,) * 3, self.rest)
        plans = (*(self.put,) * 3, self.pause_plan, self.resume_plan, self.trigger, self.backfill, self.drop)
        acts += (*(self.halt,) * 2, self.proceed, self.revive, self.purge) + plans * world.planning
        for _ in range(self.times):
            self.insist(chance.choice(acts))
            self.hub.sleep(chance.choice((ZERO, 10 * MS, 300 * MS, S, 2 * S)))
        world.busy -= 1

    def insist(self, do: Callable[[], object]) -> None:
        """Again, up to twice, when no answer came; what is asked must be the same each time."""
        for _ in range(3):
            try:
                do()
                return
            except (errors.Unknown, errors.BackendError):
                if self.hub.chance.random() < 0.4:
                    return
                self.hub.sleep(200 * MS)
            except (errors.ChronoqError, RuntimeError):  # refused; or a broken rhythm
                return

    # jobs

    def id(self) -> JobId:
        chance = self.hub.chance
        return JobId(chance.choice(self.world.queues), chance.choice(KEYS))

    def job(self) -> Job:
        chance, now = self.hub.chance, self.now()
        payload = BAD if chance.random() < 0.04 else PAYLOADS[chance.choice(KINDS)]
        due = now + chance.choice(DELAYS)
        return Job(self.id(), chance.choice(TASKS), payload, due, now, chance.choice(OPTIONS))

    def submit(self) -> None:
        job = self.job()
        self.keep(lambda: self.sent(job))

    def keep(self, do: Callable[[], object]) -> None:
        """The very same request again, until there is an answer or patience ends."""
        for _ in range(2):
            try:
                do()
                return
            except (errors.Unknown, errors.BackendError):
                self.hub.sleep(200 * MS)

    def sent(self, job: Job) -> None:
        self.world.note("%s submits %s %s %s due %s", self.name, job.id, job.task, job.payload, job.due)
        self.client.submit(job)
        self.world.checker.acknowledged(job.id)

    def submit_many(self) -> None:
        jobs = [self.job() for _ in range(self.hub.chance.choice((2, 3, 6)))]
        for job, answer in zip(jobs, self.client.submit_many(jobs), strict=True):
            if answer is None:
                self.world.checker.acknowledged(job.id)

    def cancel(self) -> None:
        ids = [self.id() for _ in range(self.hub.chance.choice((1, 1, 3)))]
        self.backend.queue.cancel(list(dict.fromkeys(ids)), now=self.now())

    def halt(self) -> None:
        until = self.hub.chance.choice((None, self.now() + S, self.now() + 4 * S))
        self.backend.queue.pause(self.hub.chance.choice(self.world.queues), Pause("lunch", until))

    def proceed(self) -> None:
        self.backend.queue.resume(self.hub.chance.choice(self.world.queues))

    def revive(self) -> None:
        self.backend.queue.revive(self.dead(), now=self.now())

    def purge(self) -> None:
        self.backend.queue.purge(self.dead(), now=self.now())

    def dead(self) -> list[JobId]:
        known = [id for id, one in self.world.checker.jobs.live.items() if one.state == "dead"]
        return known[:1] or [self.id()]

    def rest(self) -> None:
        self.hub.sleep(self.hub.chance.choice((3 * S, 10 * S)))

    # schedules

    def plan_id(self) -> ScheduleId:
        return ScheduleId(self.hub.chance.choice(self.world.queues), self.hub.chance.choice("pq"))

    def put(self) -> None:
        chance, now = self.hub.chance, self.now()
        self.made += 1
        policy = Policy(
            catch_up=chance.choice(("skip", "latest", "latest", 3)),
            window=chance.choice((timedelta(days=1), 15 * S)),
            overlap=chance.choice(tuple(Overlap)),
            jitter=chance.choice((ZERO, ZERO, S)),
            spread=chance.choice((ZERO, ZERO, S)),
            pause_after=chance.choice((None, None, 1, 2)),
            max_fires=chance.choice((None, None, 3)),
            starts_at=chance.choice((None, None, now + 5 * S)),
            ends_at=chance.choice((None, None, now + 30 * S)),
        )
        kind = chance.choice(KINDS)
        payload = f'[["{kind[0]}",{kind[1]}],{{"tag":"{self.name}{self.made}"}}]'.encode()
        schedule = Schedule(
            self.plan_id(), chance.choice(self.world.rhythms), "act", payload, policy, chance.choice(OPTIONS)
        )
        known = self.world.checker.plans.stored.get(schedule.id)
        if known is not None and chance.random() < 0.5:
            schedule = evolve(known.schedule, payload=payload)
        self.world.note("%s saves %s", self.name, schedule)
        self.keep(lambda: self.schedules.save(schedule))

    def pause_plan(self) -> None:
        until = self.hub.chance.choice((None, self.now() + 3 * S, self.now() + 12 * S))
        self.schedules.pause(str(self.plan_id()), Pause("lunch", until))

    def resume_plan(self) -> None:
        self.schedules.resume(str(self.plan_id()), catch_up=self.hub.chance.random() < 0.5)

    def trigger(self) -> None:
        self.made += 1
        id, key = str(self.plan_id()), f"manual-{self.name}-{self.made}"
        self.keep(lambda: self.schedules.trigger(id, key))

    def backfill(self) -> None:
        self.made += 1
        now = self.now()
        wish = Backfill(now - 10 * S, now, f"fill-{self.name}-{self.made}", limit=20)
        self.schedules.backfill(str(self.plan_id()), wish)

    def drop(self) -> None:
        self.schedules.remove(str(self.plan_id()))
