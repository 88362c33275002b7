"""Where rq-scheduler 0.14 is at fault, its familiar face here is not; docs/rq-scheduler-compat.md lists the faults."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta

import pytest
import redis
from attrs import evolve
from rq import Queue as RqQueue
from rq import SimpleWorker
from rq.job import Job as RqJob

from chronoq import errors
from chronoq.adapters.redis.keys import Keys
from chronoq.app.ticker import LOCK
from chronoq.compat.rq_scheduler import Scheduler
from chronoq.compat.rq_scheduler.entries import MOVED, REPLACES
from chronoq.compat.rq_scheduler.surroundings import zone_here
from chronoq.domain.firing import fire
from chronoq.domain.identity import JobId
from chronoq.domain.job import Pause
from chronoq.domain.ports import Fired
from chronoq.domain.verdict import Cancelled, Done
from chronoq.relay.rq_entry import NAMESPACE, Entry
from tests import compat_kills
from tests.compat_jobs import greet
from tests.faults_app import ROOT
from tests.proc import python
from tests.servers import Server, eventually

S = timedelta(seconds=1)
H = timedelta(hours=1)
PAST = datetime(2020, 1, 1, tzinfo=UTC)
KEYS = Keys(NAMESPACE).of("default")
KILLS = 500 if os.environ.get("CHRONOQ_LONG") == "1" else 40

Make = Callable[..., Scheduler]


@pytest.fixture
def client(redis_url: str, valkey: Server) -> redis.Redis:
    return valkey.client()


@pytest.fixture
def new_scheduler(client: redis.Redis) -> Iterator[Make]:
    with ExitStack() as stack:
        yield lambda **given: stack.enter_context(closing(Scheduler(connection=client, **given)))


@pytest.fixture
def scheduler(new_scheduler: Make) -> Scheduler:
    return new_scheduler()


def utcnow() -> datetime:
    return datetime.now(UTC)


def ids(client: redis.Redis) -> list[str]:
    return RqQueue("default", connection=client).job_ids


def times(scheduler: Scheduler) -> dict[str, datetime]:
    return {job.id: at for job, at in scheduler.get_jobs(with_times=True)}


@pytest.mark.parametrize(("zone", "hour"), [("Asia/Tokyo", 0), (":Asia/Kolkata", 3), ("UTC", 9)])
def test_use_local_timezone_uses_the_local_time_zone(
    zone: str, hour: int, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    scheduler.cron("0 9 * * *", greet, ["a"], id="local", use_local_timezone=True)
    scheduler.cron("0 9 * * *", greet, ["a"], id="utc")
    assert (times(scheduler)["local"].hour, times(scheduler)["utc"].hour) == (hour, 9)
    told = {job.id: job.meta["use_local_timezone"] for job in scheduler.get_jobs()}
    assert told == {"local": zone != "UTC", "utc": False}


def test_a_time_zone_without_a_name_is_refused(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST")
    with pytest.raises(errors.UnknownTimeZone):
        scheduler.cron("0 9 * * *", greet, ["a"], use_local_timezone=True)
    monkeypatch.setenv("TZ", "")
    assert zone_here()  # this machine says its own


def test_two_schedulers_at_work_at_the_same_time_deliver_each_job_once(
    new_scheduler: Make, client: redis.Redis
) -> None:
    """As when a cycle takes longer than the lock lives, so that a second scheduler begins."""
    schedulers = [new_scheduler(), new_scheduler()]
    for n in range(60):
        schedulers[0].enqueue_at(PAST, greet, f"{n}", job_id=f"single-{n}")
    for n in range(20):
        schedulers[0].schedule(PAST, greet, [f"{n}"], id=f"periodic-{n}", interval=3600)
    together = threading.Barrier(2)

    def cycle(scheduler: Scheduler) -> None:
        scheduler.enqueue_at(PAST + 10_000 * H, greet, "x")  # connects
        together.wait()
        scheduler.enqueue_jobs()

    threads = [threading.Thread(target=cycle, args=[scheduler]) for scheduler in schedulers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    schedulers[0].enqueue_jobs()  # what one of them had given back when it was overtaken
    found = ids(client)
    assert len(found) == len(set(found)) == 60 + 20 + 2


def test_who_has_lost_the_lock_does_not_take_it_from_the_next(new_scheduler: Make) -> None:
    first, second = new_scheduler(), new_scheduler()
    assert first.acquire_lock()
    lock, now = second.application.backend.lock, second.entries.now() + H  # when the first one's time is over
    taken = lock.acquire(LOCK, owner=second.name, ttl=H, now=now)
    assert taken
    first.remove_lock()
    assert lock.renew(taken, ttl=H, now=now)


@pytest.mark.parametrize("damage", [b"\x80\x04\x95", b"{}", b""])
def test_one_record_that_cannot_be_read_stops_nothing_else(
    damage: bytes, scheduler: Scheduler, client: redis.Redis
) -> None:
    for name in ("bad", "good"):
        scheduler.enqueue_at(PAST, greet, "a", job_id=f"single-{name}")
        scheduler.schedule(utcnow(), greet, ["a"], id=f"periodic-{name}", interval=3600)
    client.hset(KEYS.jobs, "single-bad", damage)
    client.hset(KEYS.schedules, "periodic-bad", damage)
    assert sorted(times(scheduler)) == ["periodic-good", "single-good"]
    assert scheduler.count() == 2
    scheduler.enqueue_jobs()
    found = ids(client)
    assert len(found) == 2
    assert "single-good" in found
    assert "periodic-good" in scheduler
    for name in ("single-bad", "periodic-bad"):
        scheduler.cancel(name)
    assert not client.hexists(KEYS.schedules, "periodic-bad")


def test_a_scheduler_that_dies_between_firing_and_delivery_loses_nothing(
    new_scheduler: Make, client: redis.Redis
) -> None:
    """Nor does one that dies elsewhere: see test_relay_kills, where hundreds of them do."""
    doomed, next_one = new_scheduler(), new_scheduler()
    doomed.schedule(utcnow(), greet, ["a"], id="periodic", interval=3600)
    backend = doomed.application.backend
    now = backend.clock.now()
    (due,), _ = backend.store.due(["default"], now=now, limit=10)
    firing = fire(due, now=now)
    assert backend.store.fire([firing], fence=None, now=now) == [
        Fired.YES
    ]  # its run and its next time, in one step
    doomed.close()
    assert ids(client) == []
    next_one.enqueue_jobs()
    assert len(ids(client)) == 1
    assert 3500 < (times(next_one)["periodic"].replace(tzinfo=UTC) - utcnow()).total_seconds() <= 3600
    assert next_one.application.backend.store.fire([firing], fence=None, now=now) == [Fired.MOVED]


def test_a_schedule_outlives_the_jobs_of_its_runs(scheduler: Scheduler, client: redis.Redis) -> None:
    scheduler.schedule(utcnow(), greet, ["a"], id="periodic", interval=0.2, ttl=1, result_ttl=0)
    seen: set[str] = set()

    def another() -> bool:
        scheduler.enqueue_jobs()
        fresh = set(ids(client)) - seen
        seen.update(fresh)
        for run in ids(client):
            client.delete(RqJob.key_for(run))  # it has expired
        client.delete(RqQueue("default", connection=client).key)
        return bool(fresh)

    for _ in range(3):
        eventually(another)
    assert "periodic" in scheduler


@pytest.mark.parametrize("late", [S * 20, timedelta(days=900)])
def test_what_was_missed_runs_once_however_late(
    late: timedelta, scheduler: Scheduler, client: redis.Redis
) -> None:
    for entry in (
        Entry(id="single", function="tests.compat_jobs.fail"),
        Entry(id="interval", function="tests.compat_jobs.fail", interval=S * 10),
        Entry(id="cron", function="tests.compat_jobs.fail", cron_string="0 0 1 1 *"),
    ):
        scheduler.entries.put(entry, scheduler.entries.now() - late)
    scheduler.enqueue_jobs()
    assert len([one for one in ids(client) if "interval" in one]) == 1
    assert len([one for one in ids(client) if "cron" in one]) == 1
    assert "single" in ids(client)
    assert sorted(times(scheduler)) == ["cron", "interval"]


def test_an_interval_may_be_half_a_second(scheduler: Scheduler) -> None:
    begin = (utcnow() + H).replace(microsecond=0)
    job = scheduler.schedule(begin, greet, ["a"], id="half", interval=0.5)
    stored = scheduler.application.stored_schedule("default:half").next(3)
    assert stored == [begin, begin + S / 2, begin + S]
    assert job.meta["interval"] == 0.5


def test_times_keep_their_milliseconds(scheduler: Scheduler, client: redis.Redis) -> None:
    at = (utcnow() + H).replace(microsecond=123_456)
    for way in ("single", "periodic"):
        if way == "single":
            scheduler.enqueue_at(at, greet, "a", job_id=way)
        else:
            scheduler.schedule(at, greet, ["a"], id=way, interval=60)
        assert times(scheduler)[way] == at.replace(microsecond=124_000, tzinfo=None)
    scheduler.change_execution_time("single", utcnow() + S / 4)
    scheduler.enqueue_jobs()
    assert ids(client) == []  # in rq-scheduler it would be due: the fraction is cut off

    def delivered() -> list[str]:
        scheduler.enqueue_jobs()
        return ids(client)

    assert eventually(delivered) == ["single"]


def test_a_slow_queue_gets_a_periodic_job_once_until_it_has_run(
    scheduler: Scheduler, client: redis.Redis
) -> None:
    job = scheduler.schedule(utcnow(), greet, ["a"], interval=0.2)
    scheduler.enqueue_jobs()
    first = ids(client)
    for _ in range(5):
        scheduler.change_execution_time(job, utcnow())
        scheduler.enqueue_jobs()
        assert ids(client) == first
    SimpleWorker(["default"], connection=client).work(burst=True, logging_level="ERROR")

    def second() -> list[str]:
        scheduler.enqueue_jobs()
        return ids(client)

    assert eventually(second) != first
    assert len(second()) == 1


def test_a_burst_waits_for_nobody_who_holds_the_lock(new_scheduler: Make, client: redis.Redis) -> None:
    holder, scheduler = new_scheduler(), new_scheduler()
    assert holder.acquire_lock()
    scheduler.enqueue_at(PAST, greet, "a", job_id="single")
    scheduler.schedule(utcnow(), greet, ["a"], interval=3600)
    scheduler.run(burst=True)
    assert len(ids(client)) == 2


# who dies while an entry is moved


@pytest.mark.parametrize(("why", "cancelled", "delivered", "left"), [
    (MOVED, False, False, "the job"),
    (MOVED, True, False, "the schedule"),
    (MOVED, False, True, "nothing"),
    (REPLACES, True, False, "the schedule"),
    (REPLACES, False, True, "the schedule"),
])  # fmt: skip
def test_an_entry_whose_move_was_cut_short_is_neither_lost_nor_doubled(
    why: str, cancelled: bool, delivered: bool, left: str, scheduler: Scheduler, client: redis.Redis
) -> None:
    scheduler.enqueue_at(PAST if delivered else utcnow() + H, greet, "a", job_id="x")
    backend, now = scheduler.application.backend, scheduler.entries.now()
    entry = Entry(id="x", function="tests.compat_jobs.greet", payload=b'[["a"],{}]')
    schedule, cursor = entry.begun(now + 2 * H, now=now)
    backend.store.put(schedule, cursor=evolve(cursor, pause=Pause(why)), expected=None, now=now)
    if cancelled:
        backend.queue.cancel([JobId("default", "x")], now=now)
    if delivered:
        scheduler.enqueue_jobs()
        assert ids(client) == ["x"]
    assert list(times(scheduler)) == ([] if cancelled or delivered else ["x"])
    scheduler.entries.tidy()
    moved = (now + 2 * H).replace(tzinfo=None)
    found = times(scheduler)
    assert list(found) == ([] if left == "nothing" else ["x"])
    assert left == "nothing" or (found["x"] == moved) == (left == "the schedule")


@pytest.mark.parametrize(("meanwhile", "moved"), [
    ("cancelled", True),  # by another one who moves it
    ("delivered", False),
    ("in hand, then cancelled", True),  # the relay has died
    ("in hand, then delivered", False),
])  # fmt: skip
def test_a_move_ends_as_the_job_ended_meanwhile(
    meanwhile: str, moved: bool, scheduler: Scheduler, client: redis.Redis
) -> None:
    scheduler.enqueue_at(PAST, greet, "a", job_id="x")
    (found,) = scheduler.entries.find("x")
    id, queue, now = JobId("default", "x"), scheduler.application.backend.queue, scheduler.entries.now()
    to, answers = now + H, list[bool]()
    mover = threading.Thread(target=lambda: answers.append(scheduler.entries.move(found, to)))
    if meanwhile == "cancelled":
        queue.cancel([id], now=now)
    elif meanwhile == "delivered":
        scheduler.enqueue_jobs()
    else:
        (claim,) = queue.claim([("default", 1)], worker="relay", lease=H, now=now).claims
        mover.start()
        eventually(lambda: (one := queue.get([id], now=now)[0]) and one.stopping)
        assert queue.settle([(claim, Cancelled() if moved else Done())], now=now) == [True]
    if not mover.ident:
        mover.start()
    mover.join()
    assert answers == [moved]
    assert times(scheduler) == ({"x": to.replace(tzinfo=None)} if moved else {})


def test_a_schedule_with_nothing_to_come_is_forgotten_after_an_hour(
    scheduler: Scheduler, client: redis.Redis
) -> None:
    job = scheduler.enqueue_in(H, greet, "a")
    scheduler.change_execution_time(job, utcnow())
    scheduler.enqueue_jobs()
    scheduler.entries.tidy()
    stored = scheduler.application.backend.store
    (kept,) = stored.find("default")
    before = evolve(kept.cursor, last=PAST)
    assert kept.schedule
    assert stored.put(kept.schedule, cursor=before, expected=kept.cursor, now=scheduler.entries.now())
    scheduler.entries.tidy()
    assert stored.find("default") == []


@pytest.mark.slow
def test_whoever_is_killed_each_job_is_delivered_once(
    scheduler: Scheduler, client: redis.Redis, redis_url: str
) -> None:
    """Two schedulers, and two programs that move the jobs all the time, are killed one after the other."""
    seed = random.randrange(1 << 30)
    for n, name in enumerate(compat_kills.NAMES):
        scheduler.enqueue_in(S * (2 + n * 0.03), greet, "a", job_id=name)
    for n in range(3):
        scheduler.schedule(utcnow() + S, greet, ["b"], id=f"periodic-{n}", interval=3600)
    env = {"CHRONOQ_LEASE": "1s", "CHRONOQ_LOCK_TTL": "1s"}
    with python("-m", "tests.compat_kills", redis_url, str(KILLS), str(seed), env=env, cwd=ROOT) as killer:
        assert killer.wait(within=600) == 0, f"seed {seed}"

    def over() -> bool:
        scheduler.entries.tidy()  # what was cut short; a running service does it once a minute
        backend = scheduler.application.backend
        standing = [one for one in backend.store.find("default") if one.cursor.pause is not None]
        counts = backend.queue.counts(["default"], now=scheduler.entries.now())[0]
        return scheduler.count() == 3 and not standing and counts.ready == counts.running == 0

    service = scheduler.service()
    service.start()
    eventually(over, within=90)
    service.stop()
    assert Counter(ids(client)).most_common(1)[0][1] == 1, f"seed {seed}"
    assert sorted(one for one in ids(client) if one.startswith("job-")) == sorted(compat_kills.NAMES), (
        f"seed {seed}"
    )
    assert len(ids(client)) == len(compat_kills.NAMES) + 3, f"seed {seed}"
