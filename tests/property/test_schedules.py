"""S1 to S10: several schedulers over one store, cut off, deposed, skewed, and interrupted by people.

The store keeps the books: each step that it applies is checked against what has been applied before, so
a law that is broken fails at the step that breaks it. Which scheduler steps when, what it hears of it,
what runs end and what people do meanwhile is hypothesis' choice.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import define, evolve, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from chronoq.adapters.memory import open_backend
from chronoq.adapters.memory.people import MemoryLock
from chronoq.adapters.memory.queue import MemoryQueue
from chronoq.adapters.memory.store import MemoryStore
from chronoq.app.schedules import Schedules
from chronoq.app.ticker import AGAIN, REFRESH, TRIES, Ticker
from chronoq.domain.control import Backfill
from chronoq.domain.errors import BackendError, Invalid
from chronoq.domain.firing import AT_ONCE, minted
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Claim, Job, Pause
from chronoq.domain.ports import Backend, Fired, LockPort, StorePort
from chronoq.domain.rhythm import Rhythm, cron, every, union
from chronoq.domain.schedule import (
    GRACE,
    Cursor,
    Firing,
    Happened,
    Outcome,
    Overlap,
    Policy,
    Schedule,
)
from chronoq.domain.time import ZERO, duration
from chronoq.domain.verdict import Cancelled, Done
from chronoq.testing import ManualClock, Outage
from tests.unit.made import DAY, HOUR, MINUTE, NOW, S

TTL = 15 * S
FOREVER = 36_500 * DAY
YEAR = 365 * DAY
MUCH = 4 if "1" in (os.environ.get("CHRONOQ_CHECK"), os.environ.get("CHRONOQ_LONG")) else 2
OFTEN = settings(max_examples=MUCH * settings.default.max_examples)
BESIDE = (Happened.MANUAL, Happened.BACKFILL, Happened.SET_ASIDE)
"""Outcomes that decide on no nominal time: runs beside the rhythm, and times that stay pending."""


# the books


@define(eq=False)
class Book:
    """What the store has applied for one schedule. `open`: the first nominal time that has no fate yet."""

    schedule: Schedule
    since: datetime
    open: datetime | None
    paused: bool = False
    fired: list[datetime] = field(factory=list)
    fates: list[Outcome] = field(factory=list)

    def after(self, moment: datetime) -> datetime | None:
        return self.schedule.next_after(moment, since=self.since)

    def decide(self, outcome: Outcome) -> None:
        """S3, S5: fates are given in order, with no nominal time between them, and none twice."""
        if outcome.what in BESIDE:
            return
        assert outcome.nominal == self.open, f"{self.open} is open, not {outcome}"
        end = outcome.last or outcome.nominal
        assert end >= outcome.nominal
        if outcome.what is Happened.FIRED:
            assert not self.fired or outcome.nominal > self.fired[-1]
            self.fired.append(outcome.nominal)
        self.fates.append(outcome)
        self.open = self.after(end)


@frozen
class Audited(MemoryStore):
    """A store that checks each step which it applies."""

    books: dict[ScheduleId, Book] = field(factory=dict)
    jobs: dict[JobId, Job] = field(factory=dict)

    def put(self, schedule: Schedule, *, cursor: Cursor, expected: Cursor | None, now: datetime) -> bool:
        done = super().put(schedule, cursor=cursor, expected=expected, now=now)
        if done:
            before = self.books.get(schedule.id)
            book = Book(schedule, cursor.since, cursor.next, cursor.pause is not None)
            if before is not None:
                book.fired = before.fired
            assert cursor.next is not None
            assert cursor.next > now
            self.books[schedule.id] = book
        return done

    def drop(self, ids: Sequence[ScheduleId]) -> list[bool]:
        for id in ids:
            self.books.pop(id, None)
        return super().drop(ids)

    def fire(self, firings: Sequence[Firing], *, fence: int | None, now: datetime) -> list[Fired]:
        answers = super().fire(firings, fence=fence, now=now)
        for firing, answer in zip(firings, answers, strict=True):
            if answer is Fired.YES:
                self.check(firing, now, rhythmic=fence is not None)
        return answers

    def check(self, firing: Firing, now: datetime, *, rhythmic: bool) -> None:
        book = self.books[firing.id]  # S8: one that was dropped fires no more
        made = [outcome.nominal for outcome in firing.outcomes if outcome.what is Happened.FIRED]
        if rhythmic:
            assert [job.origin.nominal for job in firing.jobs if job.origin] == made
            assert [job.id.key for job in firing.jobs] == [minted(firing.id.key, nominal) for nominal in made]
        for job in firing.jobs:
            assert job.id not in self.jobs, f"{job.id} is made twice"  # S1
            assert job.payload == book.schedule.payload, "made by a version that was replaced"  # S8
            assert job.origin
            assert job.origin.nominal <= now, "fired before it was due"
            self.jobs[job.id] = job
        if rhythmic and book.paused:
            assert firing.expected.pause
            assert firing.expected.pause.until
            assert all(nominal >= firing.expected.pause.until for nominal in made), "fired while paused"  # S8
        for outcome in firing.outcomes:
            book.decide(outcome)
        assert firing.cursor.next == book.open  # S4: never without the next one, and none is left behind
        book.paused = firing.cursor.pause is not None
        if book.schedule.policy.overlap is not Overlap.ALLOW:  # S10; what people start goes beside it
            runs = [id for id in self.live(firing.id) if "manual" not in id.key]
            assert len(runs) <= 1, f"{runs} run beside each other"


@define(eq=False)
class Interrupted:
    """A line to the store on which others act between a scheduler's look and its firing."""

    true: StorePort
    acts: list[Callable[[], object]] = field(factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.true, name)

    def fire(self, firings: Sequence[Firing], *, fence: int | None, now: datetime) -> list[Fired]:
        while self.acts:
            self.acts.pop()()
        return self.true.fire(firings, fence=fence, now=now)


@define(eq=False)
class Machine:
    """One scheduler with its own clock and its own line to the store."""

    ticker: Ticker
    skew: timedelta
    line: Interrupted
    store: Outage[StorePort]


# the world


class World:
    """Some schedulers over one store, and a worker whose runs end when they are told to."""

    def __init__(
        self, schedules: Sequence[Schedule], skews: Sequence[timedelta], *, everyone_leads: bool = False
    ) -> None:
        self.clock = ManualClock(start=NOW)
        true = open_backend()
        assert isinstance(true.queue, MemoryQueue)
        self.queue = true.queue
        self.store = Audited(true.queue.room)
        self.backend: Backend = evolve(true, store=self.store, clock=self.clock)
        self.people = Schedules(self.backend)
        self.queues = sorted({schedule.id.queue for schedule in schedules})
        self.declared = {schedule.id: schedule for schedule in schedules}
        self.machines = [
            self.machine(f"s{number}", skew, MemoryLock() if everyone_leads else true.lock)
            for number, skew in enumerate(skews)
        ]
        self.running: list[Claim] = []
        self.ran = Counter[JobId]()
        self.punctual = not any(skews)
        self.version = 0
        for schedule in schedules:
            self.people.save(schedule)

    def machine(self, name: str, skew: timedelta, lock: LockPort) -> Machine:
        line = Interrupted(self.store)
        outage: Outage[StorePort] = Outage(line)  # type: ignore[arg-type]
        ticker = Ticker(self.queue, outage.port, lock, owner=name, ttl=TTL, declared=self.queues)
        return Machine(ticker, skew, line, outage)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    # what schedulers do

    def step(self, place: int) -> None:
        one = self.machines[place % len(self.machines)]
        with suppress(BackendError):  # its loop tries again
            one.ticker.step(self.now + one.skew)

    def lose(self, place: int, verb: str, after: bool) -> None:
        self.machines[place % len(self.machines)].store.fail(verb, times=1, after=after)

    def resign(self, place: int) -> None:
        self.machines[place % len(self.machines)].ticker.resign()

    # what the worker does

    def begin(self, many: int) -> None:
        for queue in self.queues:
            found = self.queue.claim([(queue, many)], worker="w", lease=FOREVER, now=self.now)
            for claim in found.claims:
                assert claim.job.due <= self.now or not self.punctual, "begun before it was due"
                self.ran[claim.id] += 1
                assert self.ran[claim.id] == 1
                self.running.append(claim)

    def end(self, place: int) -> None:
        if self.running:
            claim = self.running.pop(place % len(self.running))
            (snapshot,) = self.queue.get([claim.id], now=self.now)
            verdict = Cancelled() if snapshot and snapshot.stopping else Done()
            assert self.queue.settle([(claim, verdict)], now=self.now) == [True]

    # what people do

    def edit(self, place: int) -> None:
        schedule = self.one(place)
        self.version += 1
        new = evolve(schedule, payload=f"[[{self.version}],{{}}]".encode())
        if self.version % 2:
            new = evolve(new, rhythm=union(new.rhythm, every("90s")))
        self.declared[schedule.id] = new
        self.people.save(new)

    def pause(self, place: int, until: timedelta | None) -> None:
        if (id := self.stored(place)) is not None:
            self.people.pause(str(id), Pause("lunch", until and self.now + until))

    def resume(self, place: int, catch_up: bool) -> None:
        if (id := self.stored(place)) is not None:
            self.people.resume(str(id), catch_up=catch_up)

    def trigger(self, place: int) -> None:
        if (id := self.stored(place)) is not None:
            self.people.trigger(str(id), f"{id.key}@manual-{len(self.store.jobs)}")

    def backfill(self, place: int, hours: int) -> None:
        if (id := self.stored(place)) is not None:
            wish = Backfill(self.now - hours * HOUR, self.now, f"b{len(self.store.jobs)}", limit=20)
            with suppress(Invalid):  # too many
                self.people.backfill(str(id), wish)

    def drop(self, place: int) -> None:
        if (id := self.stored(place)) is not None:
            self.people.remove(str(id))

    def one(self, place: int) -> Schedule:
        return list(self.declared.values())[place % len(self.declared)]

    def stored(self, place: int) -> ScheduleId | None:
        id = self.one(place).id
        return id if id in self.store.books else None

    # the end

    def calm_down(self) -> None:
        """The faults heal, and everybody goes on for a while."""
        for one in self.machines:
            one.store.heal()
            one.line.acts.clear()
        for pause in (*[REFRESH] * 5, ZERO if self.punctual else 2 * HOUR):  # past every skew
            self.clock.advance(pause)
            self.settle()

    def settle(self) -> None:
        """Until nothing more can be done at this moment; a long queue of held times is only begun."""
        for _ in range(60):
            seen = len(self.store.jobs), sum(len(book.fates) for book in self.store.books.values())
            for place in range(len(self.machines)):
                self.step(place)
            self.begin(1_000)
            while self.running:
                self.end(0)
            if seen == (len(self.store.jobs), sum(len(book.fates) for book in self.store.books.values())):
                return
        assert any(book.schedule.policy.overlap is Overlap.QUEUE_ALL for book in self.store.books.values()), (
            "it goes round in circles"
        )

    def verify(self, slowest: timedelta) -> None:
        """Nothing is stuck: each active schedule waits for a time that has not come; every job ran once."""
        for id, book in self.store.books.items():
            (stored,) = self.store.get([id])
            assert stored
            assert stored.cursor.next == book.open
            assert stored.cursor.next is not None
            if stored.cursor.pause or (stored.cursor.held and not self.punctual):
                continue  # a run that ended by the worker's clock has not ended yet by a slower one
            if book.schedule.policy.overlap is not Overlap.QUEUE_ALL:
                assert not stored.cursor.held
                assert stored.cursor.next > self.now + slowest
        counts = self.queue.counts(self.queues, now=self.now)
        assert sum(one.accepted for one in counts) == len(self.store.jobs)
        waiting = sum(one.delayed + one.ready for one in counts)
        assert sum(self.ran.values()) + waiting == len(self.store.jobs)


# what hypothesis chooses

places = st.integers(0, 4)
rhythms = st.sampled_from(
    [
        every("1s"),
        every("7s"),
        every("1m"),
        cron("*/5 * * * *"),
        cron("30 2 * * *", tz="Europe/Berlin"),
        union(every("11s"), cron("* * * * *")),
    ]
)
policies = st.builds(
    Policy,
    catch_up=st.sampled_from(("skip", "latest", 1, 3)),
    overlap=st.sampled_from(Overlap),
    window=st.sampled_from((MINUTE, DAY)),
    jitter=st.sampled_from((ZERO, ZERO, 3 * S)),
)
schedule_lists = st.lists(st.tuples(rhythms, policies), min_size=1, max_size=3).map(
    lambda found: [
        Schedule(ScheduleId("xy"[place % 2], f"plan-{place}"), rhythm, "work", b"[[],{}]", policy)
        for place, (rhythm, policy) in enumerate(found)
    ]
)
skews = st.integers(-3600, 3600).map(lambda seconds: seconds * S)
lengths = st.sampled_from((0.4, 1, 1, 2, 3, 6, 20, 70, 600, 90_000)).map(lambda seconds: seconds * S)

steps = st.tuples(st.just("step"), places)
passing = st.tuples(st.just("pass"), lengths)
losses = st.tuples(st.just("lose"), places, st.sampled_from(("fire", "due")), st.booleans())
runs = st.one_of(st.tuples(st.just("begin"), st.integers(1, 3)), st.tuples(st.just("end"), places))
verbs = st.one_of(
    st.tuples(st.just("edit"), places),
    st.tuples(st.just("pause"), places, st.sampled_from((None, 3 * S, MINUTE))),
    st.tuples(st.just("resume"), places, st.booleans()),
    st.tuples(st.just("trigger"), places),
    st.tuples(st.just("backfill"), places, st.integers(1, 3)),
    st.tuples(st.just("drop"), places),
)
machinery = st.one_of(steps, steps, steps, passing, passing, runs, runs, losses)
races = st.tuples(st.just("race"), places, st.one_of(steps, runs))
upsets = st.tuples(st.just("race"), places, st.one_of(steps, runs, verbs))


def play(world: World, moves: Sequence[tuple[Any, ...]]) -> None:
    for move in moves:
        act(world, move)


def act(world: World, move: tuple[Any, ...]) -> None:
    name, *given = move
    if name == "pass":
        world.clock.advance(given[0])
    elif name == "race":
        place, inner = given
        one = world.machines[place % len(world.machines)]
        one.line.acts.append(lambda: act(world, inner))
        world.step(place)
        one.line.acts.clear()
    else:
        getattr(world, name)(*given)


# laws


@OFTEN
@given(
    schedule_lists,
    st.lists(skews, min_size=2, max_size=5),
    st.booleans(),
    st.lists(st.one_of(machinery, machinery, races, st.tuples(st.just("resign"), places)), max_size=40),
)
def test_schedulers_whose_clocks_are_an_hour_apart_give_each_nominal_time_one_fate(
    schedules: list[Schedule], skews: list[timedelta], everyone_leads: bool, moves: list[tuple[Any, ...]]
) -> None:
    """S1 to S6 and S10, with `now` of each machine's own clock, whether or not they agree on a leader."""
    world = World(schedules, skews, everyone_leads=everyone_leads)
    play(world, moves)
    world.calm_down()
    world.verify(min(skews))


@OFTEN
@given(
    schedule_lists,
    st.integers(2, 5),
    st.booleans(),
    st.lists(
        st.one_of(machinery, machinery, verbs, upsets, st.tuples(st.just("resign"), places)), max_size=50
    ),
)
def test_what_people_do_holds_for_every_nominal_time_after_it(
    schedules: list[Schedule], many: int, everyone_leads: bool, moves: list[tuple[Any, ...]]
) -> None:
    """S1 to S5, S8 and S10 by the store's clock, as in production: edits, pauses and drops beside firings."""
    world = World(schedules, [ZERO] * many, everyone_leads=everyone_leads)
    play(world, moves)
    world.calm_down()
    world.verify(ZERO)


@given(rhythms, policies, st.integers(1, 30), st.integers(2, 4))
def test_an_edit_while_a_firing_is_in_flight_refuses_the_firing(
    rhythm: Rhythm, policy: Policy, seconds: int, many: int
) -> None:
    world = World([Schedule(ScheduleId("x", "plan"), rhythm, "work", b"[[],{}]", policy)], [ZERO] * many)
    (before,) = world.store.books.values()
    assert before.open
    world.clock.move_to(before.open + seconds * S)
    act(world, ("race", 0, ("edit", 0)))
    assert not world.store.jobs  # the old version's time has passed unfired, the new one's has not come
    world.calm_down()
    world.verify(ZERO)


@given(st.sampled_from(("pause", "drop")), st.integers(0, 4))
def test_a_pause_or_drop_while_a_firing_is_in_flight_refuses_the_firing(verb: str, seconds: int) -> None:
    world = World([Schedule(ScheduleId("x", "plan"), every("1m"), "work", b"[[],{}]")], [ZERO] * 2)
    world.clock.advance(MINUTE + seconds * S)
    act(world, ("race", 0, ("pause", 0, None) if verb == "pause" else ("drop", 0)))
    world.calm_down()
    assert not world.store.jobs
    assert world.store.ledger(ScheduleId("x", "plan")) == []


# catching up


class Counted(Rhythm):
    """A rhythm that counts how often it is asked."""

    def __init__(self, rhythm: Rhythm) -> None:
        self.rhythm = rhythm
        self.asked = 0

    def spec(self) -> dict[str, object]:
        return self.rhythm.spec()

    def describe(self) -> str:
        return self.rhythm.describe()

    def _next(self, moment: datetime) -> datetime | None:
        self.asked += 1
        return self.rhythm.next_after(moment)


@given(
    st.sampled_from(("skip", "latest", 1, 2, 7, 40)),
    st.integers(60, 366 * 86_400).map(lambda seconds: seconds * S),
    st.sampled_from(("1s", "250ms", "10s")),
    st.integers(1, 3),
)
def test_catching_up_makes_the_configured_number_of_jobs_in_bounded_work(
    catch_up: Any, outage: timedelta, interval: str, many: int
) -> None:
    """S7: a year's outage costs as much as a minute's, however many schedulers come back at once."""
    counted = Counted(every(interval, anchor=NOW))
    policy = Policy(catch_up=catch_up, window=2 * YEAR, overlap=Overlap.ALLOW)
    world = World([Schedule(ScheduleId("x", "plan"), counted, "work", b"[[],{}]", policy)], [ZERO] * many)
    world.clock.advance(outage)
    counted.asked = 0
    for _ in range(3):
        for place in range(many):
            world.step(place)
    late = [
        job for job in world.store.jobs.values() if job.origin and job.origin.nominal <= world.now - GRACE
    ]
    most = {"skip": 0, "latest": 1}.get(catch_up, catch_up)
    assert len(late) == min(most, (outage - GRACE) // duration(interval))
    assert len(world.store.jobs) <= most + 5 * 4 + 1
    assert counted.asked < 3_000
    (fates,) = [book.fates for book in world.store.books.values()]
    assert sum(one.what is Happened.MISSED for one in fates) <= 1


@pytest.mark.parametrize("overlap", Overlap)
def test_a_day_of_a_schedule_that_fires_each_second_is_caught_up_without_growing(overlap: Overlap) -> None:
    """Outages of growing length, met again and again: each costs the same number of questions."""
    counted = Counted(every("1s", anchor=NOW))
    policy = Policy(window=2 * YEAR, overlap=overlap)
    world = World([Schedule(ScheduleId("x", "plan"), counted, "work", b"[[],{}]", policy)], [ZERO] * 2)
    costs = []
    for outage in (MINUTE, HOUR, DAY, 30 * DAY, YEAR):
        world.clock.advance(outage)
        counted.asked = 0
        world.settle()
        costs.append(counted.asked)
    assert max(costs) < 1_500


def test_what_does_not_fit_into_one_step_follows_in_the_next() -> None:
    policy = Policy(catch_up=3 * AT_ONCE, overlap=Overlap.ALLOW)
    world = World([Schedule(ScheduleId("x", "plan"), every("1s"), "work", b"[[],{}]", policy)], [ZERO])
    world.clock.advance(HOUR)
    made = []
    for _ in range(5):
        world.step(0)
        made.append(len(world.store.jobs))
    assert made == [100, 200, 300, 305, 305]


# neighbours


class Broken(Rhythm):
    """Has a first time, and then raises for some time."""

    def __init__(self) -> None:
        self.broken = False

    def spec(self) -> dict[str, object]:
        return {"kind": "broken"}

    def describe(self) -> str:
        return "broken"

    def _next(self, moment: datetime) -> datetime | None:
        if self.broken:
            raise RuntimeError("the moon is down")
        return every("1s", anchor=NOW).next_after(moment)


@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from(("100ms", "300ms", "1s")),
    st.sampled_from(("x", "y")),
)
def test_broken_schedules_never_delay_another_and_are_set_aside(
    broken: int, many: int, interval: str, queue: str
) -> None:
    """S9: each time of the sound one fires at its moment, in the queue of the broken ones or beside it."""
    rhythm = Broken()
    sound = Schedule(
        ScheduleId(queue, "sound"), every(interval), "work", b"[[],{}]", Policy(overlap=Overlap.ALLOW)
    )
    ill = [Schedule(ScheduleId("x", f"ill-{number}"), rhythm, "work", b"[[],{}]") for number in range(broken)]
    world = World([*ill, sound], [ZERO] * many)
    rhythm.broken = True
    late = follow(world, NOW + 10 * S, sound.id)
    assert max(late) == ZERO
    for schedule in ill:
        (stored,) = world.store.get([schedule.id])
        assert stored
        assert stored.cursor.pause == Pause("cannot be fired: the moon is down")
        assert [one.what for one in world.store.ledger(schedule.id)] == [Happened.SET_ASIDE]
        assert world.store.ledger(schedule.id)[0].at >= NOW + S + (TRIES - 1) * AGAIN


def follow(world: World, until: datetime, id: ScheduleId) -> list[timedelta]:
    """Step each scheduler when it wants to be; how late each time of the schedule fired."""
    turns = [world.now for _ in world.machines]
    for _ in range(5_000):
        place = min(range(len(turns)), key=lambda place: turns[place])
        if turns[place] > until:
            fates = world.store.ledger(id, limit=1_000)
            assert all(one.what is Happened.FIRED for one in fates)
            assert len(fates) == len(world.store.books[id].fired) > 0
            return [one.at - one.nominal for one in fates]
        world.clock.move_to(max(turns[place], world.now))
        turns[place] = world.machines[place].ticker.step(world.now)
    raise AssertionError("it goes round in circles")
