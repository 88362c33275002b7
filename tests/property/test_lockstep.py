"""Every backend gives the same answers as memory, whatever is asked of it, and in whatever order (A3).

Each rule puts one question to all of them, with the same `now`, and compares the answers; after each step
everything that can be seen of them is compared as well. CHRONOQ_CHECK=1 looks longer, CHRONOQ_LONG=1 much
longer. CHRONOQ_SHRINK=1 makes a counterexample smaller, which takes minutes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import count, zip_longest
from pathlib import Path
from typing import TypeVar

import pytest
from attrs import evolve
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chronoq.adapters.memory import open_backend as open_memory
from chronoq.adapters.memory.queue import MemoryQueue
from chronoq.adapters.redis import open_backend as open_redis
from chronoq.adapters.sqlite import open_backend as open_sqlite
from chronoq.domain import firing as rules
from chronoq.domain.firing import minted
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Claim, Counts, Job, Options, Origin, Pause, Priority, Progress, State
from chronoq.domain.lease import Kind, Lease, Process, Vitals
from chronoq.domain.ports import Backend, Fired, Opening
from chronoq.domain.retry import Failure
from chronoq.domain.rhythm import every
from chronoq.domain.schedule import (
    Cursor,
    Firing,
    Happened,
    Outcome,
    Overlap,
    Policy,
    Put,
    Schedule,
    Stored,
    planned,
)
from chronoq.domain.verdict import Cancelled, Dead, Done, Expired, Retry, Snooze, Verdict, after_lapse
from chronoq.testing.contracts.values import NOW, S
from tests.servers import KINDS, Server, find_binary

T = TypeVar("T")

ROUNDS = 100 if os.environ.get("CHRONOQ_LONG") == "1" else 10 if os.environ.get("CHRONOQ_CHECK") == "1" else 2
EXAMPLES = 30 if ROUNDS == 2 else 50
SHRINK = (Phase.shrink,) if os.environ.get("CHRONOQ_SHRINK") == "1" else ()
STEPS = 40

MS = timedelta(milliseconds=1)
LEASE = 30 * S
FAR = NOW + timedelta(days=3650)
QUEUES = ("x", "y")
KEYS = ("a", "b", "c", "d", "e", "f")
PLANS = (ScheduleId("x", "p"), ScheduleId("x", "q"), ScheduleId("y", "p"))
FAILED = (Failure("ValueError", "no"), Failure("OSError", "gone", "tb", ("a.B", "OSError")))
LEAPS = (*[MS, 500 * MS, S, 10 * S] * 3, LEASE - MS, LEASE, 60 * S, 90 * S, 3600 * S, 7200 * S)

queues = st.sampled_from(QUEUES)
ids = st.builds(JobId, st.sampled_from(("x", "x", "y")), st.sampled_from(KEYS))
plan_ids = st.sampled_from(PLANS)
soon = st.sampled_from((-S, 0 * S, 0 * S, MS, S, S, 10 * S, 60 * S))
index = st.integers(0, 7)
options = st.builds(
    Options,
    priority=st.sampled_from(
        (Priority.NORMAL, Priority.NORMAL, Priority.HIGH, Priority.LOW, Priority.CRITICAL)
    ),
    result_ttl=st.sampled_from((0 * S, 0 * S, 90 * S, 3600 * S)),
)
verdicts = st.one_of(
    st.builds(lambda result: lambda now: Done(result), st.sampled_from((b"", b"1", b'"\xc3\xa9"'))),
    st.builds(
        lambda after, failure, crash: lambda now: Retry(now + after, failure, crash),
        soon,
        st.sampled_from(FAILED),
        st.booleans(),
    ),
    st.builds(lambda after, why: lambda now: Snooze(now + after, why), soon, st.sampled_from(("", "later"))),
    st.builds(
        lambda failure, crash: lambda now: Dead(failure, crash),
        st.sampled_from(FAILED),
        st.sampled_from((0, 0, 1)).map(bool),
    ),
    st.just(lambda now: Cancelled()),
    st.just(lambda now: Expired()),
)
works = st.sampled_from(
    (("send", b"[[],{}]"), ("send", b"[[],{}]"), ("send", b"[[1],{}]"), ("other", b"[[],{}]"))
)
new_jobs = st.tuples(ids, st.booleans(), works, soon, options)
"""With a key of its own when the second is true."""
NewJob = tuple[JobId, bool, tuple[str, bytes], timedelta, Options]
schedules = st.builds(
    lambda name, interval, overlap, catch_up, fires, after: Schedule(
        name,
        every(interval),
        "sweep",
        b"[[],{}]",
        Policy(overlap=overlap, catch_up=catch_up, max_fires=fires, pause_after=after),
        Options(result_ttl=90 * S),
    ),
    plan_ids,
    st.sampled_from(("1s", "10s", "60s")),
    st.sampled_from(Overlap),
    st.sampled_from(("skip", "latest", 3)),
    st.sampled_from((None, None, 2)),
    st.sampled_from((None, None, 2)),
)
pauses = st.one_of(st.just(Pause("stop")), st.sampled_from((0 * S, S, 60 * S)))


class Lockstep(RuleBasedStateMachine):
    """Memory and some others, asked the same at each step."""

    def __init__(self, others: Callable[[], list[Backend]]) -> None:
        super().__init__()
        memory = open_memory("memory://")
        assert isinstance(memory.queue, MemoryQueue)
        self.room = memory.queue.room
        self.sides = [memory, *others()]
        self.now = NOW
        self.claims: list[Claim] = []
        self.known: set[JobId] = {JobId(queue, key) for queue in QUEUES for key in KEYS}
        self.steps: list[Firing] = []
        self.cursors: list[Cursor] = []
        self.leases: list[Lease] = []
        self.age = 0

    def teardown(self) -> None:
        for side in self.sides:
            side.close()

    def ask(self, question: Callable[[Backend], T]) -> T:
        """The answer, if all give the same."""
        first, *answers = [question(side) for side in self.sides]
        for answer in answers:
            assert answer == first
        note(f"    -> {first}")
        return first

    @property
    def running(self) -> list[Claim]:
        """The claims that are current."""
        return self.sides[0].queue.expired(QUEUES, now=FAR, limit=50)

    @property
    def counts(self) -> list[Counts]:
        return self.sides[0].queue.counts(QUEUES, now=self.now)

    @property
    def waits(self) -> list[datetime]:
        """When something is due."""
        due, _ = self.sides[0].store.due(QUEUES, now=FAR, limit=50)
        delayed = (self.sides[0].queue.find(name, State.DELAYED, now=self.now).items for name in QUEUES)
        times = [one.until for items in delayed for one in items]
        return [
            time for time in (*times, *(one.stored.cursor.wake for one in due)) if time and time > self.now
        ]

    def fresh(self, one: JobId) -> JobId:
        """An id that nobody had before, in the queue of `one`."""
        fresh = JobId(one.queue, f"n{len(self.known)}")
        self.known.add(fresh)
        return fresh

    def dead(self) -> list[JobId]:
        found = (self.sides[0].queue.find(name, State.DEAD, now=self.now).items for name in QUEUES)
        return [one.job.id for items in found for one in items]

    def pick(self, choices: Sequence[int], among: Sequence[T]) -> list[T]:
        return [among[n % len(among)] for n in choices] if among else []

    # --- time

    @rule(leap=st.sampled_from(LEAPS))
    def time_passes(self, leap: timedelta) -> None:
        self.now += leap

    @precondition(lambda self: self.waits)
    @rule()
    def it_is_time(self) -> None:
        self.now = min(self.waits)

    # --- submitting and claiming

    @initialize(many=st.lists(new_jobs, max_size=6))
    def some_jobs_are_there(self, many: list[NewJob]) -> None:
        self.submit(many, None)

    @rule(many=st.lists(new_jobs, min_size=1, max_size=6), room=st.sampled_from((None, None, None, 0, 2, 4)))
    def submit(self, many: list[NewJob], room: int | None) -> None:
        jobs = [
            Job(self.fresh(one) if fresh else one, task, payload, self.now + after, self.now, options)
            for one, fresh, (task, payload), after, options in many
        ]
        limits = None if room is None else {"x": room}
        self.ask(lambda side: side.queue.submit(jobs, now=self.now, room=limits))

    @rule(which=st.lists(index, min_size=1, max_size=3), fresh=st.booleans())
    def adopt(self, which: list[int], fresh: bool) -> None:
        """Take over what stands somewhere here, as if it came from elsewhere."""
        live = (State.DELAYED, State.READY, State.DEAD)
        found = [one for one in self.sides[0].queue.get(sorted(self.known), now=self.now) if one]
        standing = [one for one in found if one.state in live]
        picked = [
            evolve(one, job=evolve(one.job, id=self.fresh(one.job.id) if fresh else one.job.id))
            for one in self.pick(which, standing)
        ]
        self.ask(lambda side: side.queue.adopt(picked, now=self.now))

    @rule(limit=st.integers(1, 4))
    def promote(self, limit: int) -> None:
        self.ask(lambda side: side.queue.promote(QUEUES, now=self.now, limit=limit))

    @rule(
        wants=st.sampled_from(
            ([("x", 1)], [("x", 2)], [("x", 5), ("y", 5)], [("y", 1), ("x", 3)], [("x", 0)])
        )
    )
    def claim(self, wants: list[tuple[str, int]]) -> None:
        worker = f"w{len(self.claims) % 3}"
        got = self.ask(lambda side: side.queue.claim(wants, worker=worker, lease=LEASE, now=self.now))
        self.claims += got.claims

    @rule()
    def take_all(self) -> None:
        self.claim([("x", 9), ("y", 9)])

    @rule(given=st.lists(verdicts, min_size=1, max_size=5))
    def work(self, given: list[Callable[[datetime], Verdict]]) -> None:
        self.claim([("x", 5), ("y", 5)])
        self.settle(list(enumerate(given)))

    # --- ending leases

    @precondition(lambda self: self.running)
    @rule(which=st.lists(st.tuples(index, verdicts), min_size=1, max_size=4))
    def settle(self, which: list[tuple[int, Callable[[datetime], Verdict]]]) -> None:
        claims = self.pick([n for n, _ in which], self.running)
        pairs = [(claim, verdict(self.now)) for claim, (_, verdict) in zip(claims, which, strict=False)]
        self.ask(lambda side: side.queue.settle(pairs, now=self.now))

    @precondition(lambda self: self.claims)
    @rule(which=st.lists(st.tuples(index, verdicts), min_size=1, max_size=4), old=st.booleans())
    def settle_and_claim(self, which: list[tuple[int, Callable[[datetime], Verdict]]], old: bool) -> None:
        claims = self.pick([n for n, _ in which], self.claims if old else self.running)
        pairs = [(claim, verdict(self.now)) for claim, (_, verdict) in zip(claims, which, strict=False)]
        got = self.ask(
            lambda side: side.queue.claim(
                [("x", 2), ("y", 1)], worker="w1", lease=LEASE, now=self.now, verdicts=pairs
            )
        )
        self.claims += got.claims

    @precondition(lambda self: self.claims)
    @rule(which=st.lists(index, min_size=1, max_size=4), verdict=verdicts)
    def settle_with_claims_of_old(self, which: list[int], verdict: Callable[[datetime], Verdict]) -> None:
        pairs = [(claim, verdict(self.now)) for claim in self.pick(which, self.claims)]
        self.ask(lambda side: side.queue.settle(pairs, now=self.now))

    @precondition(lambda self: self.claims)
    @rule(which=st.lists(index, min_size=1, max_size=4, unique=True), old=st.booleans())
    def release(self, which: list[int], old: bool) -> None:
        claims = list(dict.fromkeys(self.pick(which, self.claims if old else self.running)))
        self.ask(lambda side: side.queue.release(claims, now=self.now))

    @precondition(lambda self: self.claims)
    @rule(
        which=st.lists(index, min_size=1, max_size=4),
        old=st.booleans(),
        lease=st.sampled_from((S, LEASE, 3600 * S)),
    )
    def extend(self, which: list[int], old: bool, lease: timedelta) -> None:
        claims = self.pick(which, self.claims if old else self.running)
        self.ask(lambda side: side.queue.extend(claims, lease=lease, now=self.now))

    @precondition(lambda self: self.claims)
    @rule(
        which=index,
        old=st.booleans(),
        done=st.sampled_from((0.0, 0.5, 3.0)),
        total=st.sampled_from((None, 3.0)),
    )
    def report(self, which: int, old: bool, done: float, total: float | None) -> None:
        for claim in self.pick([which], self.claims if old else self.running):
            self.ask(partial(_report, claim, Progress(done, total)))

    @precondition(lambda self: self.running)
    @rule(limit=st.integers(1, 5), max_crashes=st.sampled_from((1, 3)))
    def reap(self, limit: int, max_crashes: int) -> None:
        lapsed = self.ask(lambda side: side.queue.expired(QUEUES, now=self.now, limit=limit))
        pairs = [(claim, after_lapse(claim, now=self.now, max_crashes=max_crashes)) for claim in lapsed]
        self.ask(lambda side: side.queue.settle(pairs, now=self.now))

    @precondition(lambda self: self.running)
    @rule(verdict=verdicts)
    def leases_lapse_and_the_jobs_are_taken_again(self, verdict: Callable[[datetime], Verdict]) -> None:
        zombies = list(self.claims[-3:])
        self.now += LEASE
        self.reap(5, 3)
        self.take_all()
        pairs = [(claim, verdict(self.now)) for claim in zombies]
        self.ask(lambda side: side.queue.settle(pairs, now=self.now))
        self.ask(lambda side: side.queue.release(zombies, now=self.now))
        self.ask(lambda side: side.queue.extend(zombies, lease=LEASE, now=self.now))

    # --- people

    @rule(which=st.lists(ids, min_size=1, max_size=4))
    def cancel(self, which: list[JobId]) -> None:
        self.ask(lambda side: side.queue.cancel(which, now=self.now))

    @precondition(lambda self: self.running)
    @rule(which=index)
    def cancel_what_runs(self, which: int) -> None:
        self.cancel([claim.id for claim in self.pick([which], self.running)])

    @rule(queue=queues)
    def cancel_what_waits(self, queue: str) -> None:
        page = self.ask(lambda side: side.queue.find(queue, State.READY, now=self.now).items)
        self.cancel([one.job.id for one in page[:2]])

    @precondition(lambda self: self.dead())
    @rule(which=st.lists(ids, min_size=1, max_size=4), purge=st.booleans())
    def revive_or_purge(self, which: list[JobId], purge: bool) -> None:
        asked = [*which, *self.dead()[:2]]
        self.ask(lambda side: (side.queue.purge if purge else side.queue.revive)(asked, now=self.now))

    @rule(queue=queues, pause=pauses)
    def pause(self, queue: str, pause: Pause | timedelta) -> None:
        value = Pause("short", self.now + pause) if isinstance(pause, timedelta) else pause
        self.ask(lambda side: side.queue.pause(queue, value))

    @precondition(lambda self: any(counts.pause for counts in self.counts))
    @rule()
    def resume(self) -> None:
        self.ask(lambda side: [side.queue.resume(queue) for queue in QUEUES])

    @precondition(lambda self: any(counts.pause for counts in self.counts))
    @rule()
    def resume_and_work(self) -> None:
        self.resume()
        self.take_all()

    @rule(queue=queues, state=st.sampled_from(State), limit=st.integers(1, 3))
    def turn_pages(self, queue: str, state: State, limit: int) -> None:
        self.ask(lambda side: list(_pages(side, queue, state, self.now, limit)))

    # --- schedules

    def stored(self, plan: ScheduleId) -> Stored | None:
        return self.sides[0].store.get([plan])[0]

    @initialize(schedule=schedules)
    def one_schedule_is_there(self, schedule: Schedule) -> None:
        self.put(schedule)

    @rule(schedule=schedules)
    def put(self, schedule: Schedule) -> None:
        before = self.stored(schedule.id)
        put, cursor = planned(before, schedule, now=self.now)
        if put is not Put.UNCHANGED:
            expected = before and before.cursor
            self.cursors.append(cursor)
            assert self.ask(
                lambda side: side.store.put(schedule, cursor=cursor, expected=expected, now=self.now)
            )

    @precondition(lambda self: self.cursors)
    @rule(schedule=schedules, which=index)
    def put_on_what_was(self, schedule: Schedule, which: int) -> None:
        cursor = Cursor(9, self.now + S, self.now)
        for expected in [*self.pick([which], self.cursors), None]:
            put = partial(_put, schedule, cursor=cursor, expected=expected, now=self.now)
            if self.ask(put):
                self.cursors.append(cursor)

    @rule(plan=plan_ids, pause=st.one_of(st.none(), pauses))
    def pause_schedule(self, plan: ScheduleId, pause: Pause | timedelta | None) -> None:
        before = self.stored(plan)
        if before is None or before.schedule is None:
            return
        schedule = before.schedule
        value = Pause("short", self.now + pause) if isinstance(pause, timedelta) else pause
        cursor = evolve(before.cursor, pause=value, held=before.cursor.held and value is None)
        self.ask(lambda side: side.store.put(schedule, cursor=cursor, expected=before.cursor, now=self.now))

    @rule(which=st.lists(plan_ids, min_size=1, max_size=2))
    def drop(self, which: list[ScheduleId]) -> None:
        self.ask(lambda side: side.store.drop(which))

    @precondition(lambda self: self.sides[0].store.due(QUEUES, now=self.now, limit=1)[0])
    @rule(limit=st.integers(1, 3), fence=st.sampled_from((None, 1, 2, 2, 9, 11)))
    def fire_what_is_due(self, limit: int, fence: int | None) -> None:
        due, _ = self.ask(lambda side: side.store.due(QUEUES, now=self.now, limit=limit))
        self.fire([rules.fire(one, now=self.now) for one in due], fence)

    @precondition(lambda self: self.cursors)
    @rule(
        plan=plan_ids,
        runs=st.lists(st.tuples(st.integers(0, 3), soon), max_size=3),
        held=st.booleans(),
        stop=st.booleans(),
        forgive=st.booleans(),
        fence=st.sampled_from((None, 1, 2, 9, 10)),
    )
    def fire_by_hand(
        self,
        plan: ScheduleId,
        runs: list[tuple[int, timedelta]],
        held: bool,
        stop: bool,
        forgive: bool,
        fence: int | None,
    ) -> None:
        before = self.stored(plan)
        if before is None or before.schedule is None:
            return
        schedule = before.schedule
        jobs = []
        for n, after in runs:
            nominal = NOW + n * S
            key = minted(plan.key, nominal) + ("+b" if n == 3 else "")
            jobs.append(schedule.job(key, origin=Origin(plan, nominal), due=self.now + after, now=self.now))
        outcome = Outcome(self.now, Happened.MANUAL, self.now, note=f"{len(self.steps)}")
        cursor = evolve(
            before.cursor, fires=before.cursor.fires + 1, held=held and before.cursor.pause is None
        )
        self.fire([Firing(plan, before.cursor, cursor, tuple(jobs), (outcome,), stop, forgive)], fence)

    @precondition(lambda self: self.steps)
    @rule(which=st.lists(index, min_size=1, max_size=2), fence=st.sampled_from((None, 1, 3)))
    def fire_again(self, which: list[int], fence: int | None) -> None:
        self.fire(self.pick(which, self.steps[::-1]), fence)

    def fire(self, steps: list[Firing], fence: int | None) -> None:
        answers = self.ask(lambda side: side.store.fire(steps, fence=fence, now=self.now))
        for step, answer in zip(steps, answers, strict=True):
            self.steps.append(step)
            if answer is Fired.YES:
                self.cursors.append(step.cursor)
                self.known |= {job.id for job in step.jobs}

    # --- locks and life

    @rule(
        owner=st.sampled_from(("one", "two")),
        ttl=st.sampled_from((S, LEASE)),
        name=st.sampled_from(("l", "m")),
    )
    def acquire(self, owner: str, ttl: timedelta, name: str) -> None:
        lease = self.ask(lambda side: side.lock.acquire(name, owner=owner, ttl=ttl, now=self.now))
        if lease:
            self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(which=index, ttl=st.sampled_from((S, LEASE)), let_go=st.booleans())
    def renew_or_release(self, which: int, ttl: timedelta, let_go: bool) -> None:
        for lease in self.pick([which], self.leases[::-1]):
            if let_go:
                self.ask(partial(_let_go, lease))
            else:
                self.ask(partial(_renew, lease, ttl=ttl, now=self.now))

    @rule(name=st.sampled_from(("p1", "p2")), verb=st.sampled_from(("birth", "beat", "beat", "death")))
    def live(self, name: str, verb: str) -> None:
        match verb:
            case "birth":
                process = Process(name, Kind.WORKER, "host", 7, self.now, "1", ("x",), ("send",), 4)
                self.ask(lambda side: side.life.birth(process, ttl=LEASE, now=self.now))
            case "beat":
                self.ask(lambda side: side.life.beat(name, Vitals(1, 2, 3), ttl=LEASE, now=self.now))
            case _:
                self.ask(lambda side: side.life.death(name))

    # --- all that can be seen

    @invariant()
    def everything_looks_the_same(self) -> None:
        """The others are asked in turn, for that is slow."""
        self.age += 1
        asked = [self.sides[0], self.sides[1 + self.age % (len(self.sides) - 1)]]
        known, *others = (dict(_seen(side, sorted(self.known), self.now)) for side in asked)
        for other in others:
            for what, shown in known.items():
                for n, (theirs, ours) in enumerate(zip_longest(other[what], shown)):
                    assert theirs == ours, (what, n)
        for counts in self.counts:
            assert counts.balanced


def _put(
    schedule: Schedule, side: Backend, *, cursor: Cursor, expected: Cursor | None, now: datetime
) -> bool:
    return side.store.put(schedule, cursor=cursor, expected=expected, now=now)


def _report(claim: Claim, progress: Progress, side: Backend) -> bool:
    return side.queue.report(claim, progress)


def _let_go(lease: Lease, side: Backend) -> bool:
    return side.lock.release(lease)


def _renew(lease: Lease, side: Backend, *, ttl: timedelta, now: datetime) -> Lease | None:
    return side.lock.renew(lease, ttl=ttl, now=now)


def _seen(side: Backend, known: list[JobId], now: datetime) -> Iterator[tuple[str, list[object]]]:
    """What there is to see of a backend, by what it is."""
    queue, store = side.queue, side.store
    yield "get", [*queue.get(known, now=now)]
    yield "endings", [*queue.endings(known, now=now)]
    yield "counts", [*queue.counts(QUEUES, now=now)]
    yield "expired", [*queue.expired(QUEUES, now=now, limit=50)]
    for name in QUEUES:
        for state in State:
            yield f"{name}: {state}", [*queue.find(name, state, now=now).items]
        yield f"{name}: schedules", [*store.find(name)]
    for plan in PLANS:
        yield f"{plan}: ledger", [*store.ledger(plan)]
        yield f"{plan}: live", [*sorted(store.live(plan))]
    found, nexts = store.due(QUEUES, now=now, limit=50)
    yield "due", [*found, *nexts]
    yield "get schedules", [*store.get(PLANS)]
    yield "roll", [*side.life.roll(now=now)]


def _pages(side: Backend, queue: str, state: State, now: datetime, limit: int) -> Iterator[object]:
    mark = ""
    for _ in range(100):
        page = side.queue.find(queue, state, now=now, mark=mark, limit=limit)
        yield from page.items
        mark = page.mark
        if not mark:
            return
    raise AssertionError("find never came to an end")


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    """A server of each kind that is there, the machine's own excepted."""
    there = [Server(kind) for kind in KINDS if kind != "redis-path" and find_binary(kind)]
    try:
        for server in there:
            server.start()
        yield there
    finally:
        for server in there:
            server.close()


@pytest.mark.parametrize("part", range(1, ROUNDS + 1))
def test_every_backend_gives_the_same_trace_as_memory(
    servers: list[Server], part: int, tmp_path: Path
) -> None:
    """A3; in several parts, so that they spread over the cores and none of them takes long"""
    numbers = count()
    clients = [server.client() for server in servers]

    def others() -> list[Backend]:
        for client in clients:
            client.flushdb()
        opening = Opening(namespace=f"n{next(numbers)}")
        file = open_sqlite(f"sqlite:///{tmp_path}/jobs.db?synchronous=off", opening)
        return [file, *(open_redis(server.url(), opening) for server in servers)]

    run_state_machine_as_test(
        lambda: Lockstep(others),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            phases=(Phase.explicit, Phase.reuse, Phase.generate, *SHRINK),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
