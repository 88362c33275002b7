"""rq-scheduler's verbs and command over chronoq's engine, with RQ's own workers.

The faults of rq-scheduler 0.14 have their tests in test_compat_faults.py.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Callback, SimpleWorker
from rq import Queue as RqQueue
from rq.job import Dependency
from rq.job import Job as RqJob

from chronoq import errors
from chronoq.cli.main import run
from chronoq.compat.rq_scheduler import Job, Scheduler
from chronoq.compat.rq_scheduler.service import Service
from chronoq.compat.rq_scheduler.surroundings import url_of
from chronoq.domain.identity import JobId
from chronoq.domain.job import State
from tests.compat_jobs import OwnJob, OwnQueue, Shop, fail, failed, greet, record, succeeded
from tests.faults_app import ROOT
from tests.proc import Process, chronoq, python
from tests.servers import Server, eventually

S = timedelta(seconds=1)
H = timedelta(hours=1)
PAST = datetime(2020, 1, 1)  # noqa: DTZ001  # as users of rq-scheduler write it
RQ = ("-c", "from rq.cli import main; main()")


def utcnow() -> datetime:
    """As users of rq-scheduler write it."""
    return datetime.now(UTC).replace(tzinfo=None)


@pytest.fixture
def client(redis_url: str, valkey: Server) -> redis.Redis:
    return valkey.client()


@pytest.fixture
def new_scheduler(client: redis.Redis) -> Iterator[Callable[..., Scheduler]]:
    with ExitStack() as stack:
        yield lambda **given: stack.enter_context(closing(Scheduler(connection=client, **given)))


@pytest.fixture
def scheduler(new_scheduler: Callable[..., Scheduler]) -> Scheduler:
    return new_scheduler()


def ids(client: redis.Redis, queue: str = "default") -> list[str]:
    return RqQueue(queue, connection=client).job_ids


def times(scheduler: Scheduler) -> dict[str, datetime]:
    return {job.id: at for job, at in scheduler.get_jobs(with_times=True)}


# with unmodified rq workers

ONCE = "once [1] {'b': 2}"
LIVE: dict[str, tuple[Callable[[Scheduler], Any], list[str]]] = {
    "enqueue_at": (
        lambda s: s.enqueue_at(utcnow() + S / 5, record, 1, b=2, job_id="once", meta={"test": "enqueue_at"}),
        [ONCE],
    ),
    "enqueue_at, past, by name": (
        lambda s: s.enqueue_at(PAST, "tests.compat_jobs.record", meta={"test": "enqueue_at, past, by name"}),
        ["* [] {}"],
    ),
    "enqueue_in": (lambda s: s.enqueue_in(S / 5, record, [1], meta={"test": "enqueue_in"}), ["* [[1]] {}"]),
    "a queue of any name": (
        lambda s: s.enqueue_in(S / 5, record, queue_name="mail:high", meta={"test": "a queue of any name"}),
        ["* [] {}"],
    ),
    "schedule, once": (
        lambda s: s.schedule(utcnow(), record, [1], {"b": 2}, meta={"test": "schedule, once"}),
        ["* [1] {'b': 2}"],
    ),
    "schedule, interval and repeat": (
        lambda s: s.schedule(
            utcnow(), record, interval=0.3, repeat=3, meta={"test": "schedule, interval and repeat"}
        ),
        ["* [] {}"] * 3,
    ),
    "cron": (
        lambda s: s.cron("* * * * * * *", record, ["x"], repeat=2, meta={"test": "cron"}),
        ["* ['x'] {}"] * 2,
    ),
    "on_success": (
        lambda s: s.enqueue_in(S / 5, greet, "you", on_success=succeeded, meta={"test": "on_success"}),
        ["* succeeded"],
    ),
    "on_failure": (
        lambda s: s.enqueue_in(S / 5, fail, on_failure=Callback(failed), meta={"test": "on_failure"}),
        ["* failed"],
    ),
    "change_execution_time": (
        lambda s: s.change_execution_time(
            s.enqueue_in(H, record, job_id="moved", meta={"test": "change_execution_time"}), utcnow()
        ),
        ["moved [] {}"],
    ),
    "enqueue_job": (
        lambda s: s.enqueue_job(s.enqueue_in(H, record, job_id="now", meta={"test": "enqueue_job"})),
        ["now [] {}"],
    ),
    "depends_on": (
        lambda s: s.enqueue_in(
            S / 2,
            record,
            depends_on=[s.enqueue_in(S / 10, greet, "first")],
            meta={"test": "depends_on"},
        ),
        ["* [] {}"],
    ),
}


def test_rq_workers_run_what_comes_due(new_server: Callable[..., Server]) -> None:
    """All of LIVE at once, with one `rq worker` and one `chronoq rqscheduler` process."""
    server, env = new_server(), {"PYTHONPATH": str(ROOT)}
    client = server.client()
    worker = [sys.executable, *RQ, "worker", "default", "mail:high", "--url", server.url()]
    rqscheduler = chronoq("rqscheduler", "--url", server.url(), "-i", "3600", env=env, cwd=ROOT)

    def ran(case: str) -> list[str]:
        lines = [line.decode() for line in client.lrange(f"ran:{case}", 0, -1)]
        known = ("once", "moved", "now")
        return [line if line.split()[0] in known else "* " + line.partition(" ")[2] for line in lines]

    with Process(*worker, env=env, cwd=ROOT), rqscheduler, closing(Scheduler(connection=client)) as scheduler:
        for schedule, _ in LIVE.values():
            schedule(scheduler)
        for case, (_, expected) in LIVE.items():
            eventually(lambda case=case, expected=expected: len(ran(case)) >= len(expected), within=40)  # type: ignore[misc]
        assert {case: ran(case) for case in LIVE} == {case: expected for case, (_, expected) in LIVE.items()}
        eventually(lambda: scheduler.count() == 0)
        rqscheduler.sigterm()
        assert rqscheduler.wait() == 0
        assert not scheduler.application.backend.life.roll(now=datetime.now(UTC))


# what RQ is told

TOLD: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"timeout": 180, "result_ttl": None, "ttl": None, "origin": "default", "meta": {}}),
    ({"timeout": 90}, {"timeout": 90}),
    ({"timeout": "1h"}, {"timeout": 3600}),
    ({"ttl": 60}, {"ttl": 60}),
    ({"result_ttl": 5}, {"result_ttl": 5}),
    ({"description": "says"}, {"description": "says"}),
    ({"meta": {"who": ["us"]}}, {"meta": {"who": ["us"]}}),
    ({"queue_name": "high"}, {"origin": "high"}),
    ({"id": "mine"}, {"id": "mine"}),
    ({"on_success": succeeded}, {"_success_callback_name": "tests.compat_jobs.succeeded"}),
    ({"on_failure": "tests.compat_jobs.failed"}, {"_failure_callback_name": "tests.compat_jobs.failed"}),
    ({"on_failure": Callback(failed, timeout=7)}, {"_failure_callback_timeout": 7}),
]
AS_ENQUEUE = {
    "ttl": "job_ttl",
    "result_ttl": "job_result_ttl",
    "description": "job_description",
    "id": "job_id",
}


@pytest.mark.parametrize("way", ["enqueue_at", "enqueue_in", "schedule", "interval", "cron"])
def test_each_option_reaches_the_rq_job(way: str, scheduler: Scheduler, client: redis.Redis) -> None:
    for n, (given, expected) in enumerate(TOLD):
        client.flushall()
        named = {AS_ENQUEUE.get(name, name): value for name, value in given.items()}
        match way:
            case "enqueue_at":
                job = scheduler.enqueue_at(PAST, greet, "you", greeting=f"{n}", **named)
            case "enqueue_in":
                job = scheduler.enqueue_in(timedelta(0), greet, "you", greeting=f"{n}", **named)
            case "schedule":
                job = scheduler.schedule(PAST, greet, ["you"], {"greeting": f"{n}"}, **given)
            case "interval":
                job = scheduler.schedule(PAST, greet, ["you"], {"greeting": f"{n}"}, interval=60, **given)
            case _:
                job = scheduler.cron("0 0 1 1 *", greet, ["you"], {"greeting": f"{n}"}, **given)
                scheduler.change_execution_time(job, PAST)
        scheduler.enqueue_jobs()
        (found,) = ids(client, given.get("queue_name", "default"))
        made = RqJob.fetch(found, client)
        assert (made.func_name, made.args, made.kwargs) == (
            "tests.compat_jobs.greet",
            ("you",),
            {"greeting": f"{n}"},
        )
        periodic = {"interval": 60, "cron_string": "0 0 1 1 *", "use_local_timezone": False}
        made.meta = {key: value for key, value in made.meta.items() if key not in periodic}
        for name, value in expected.items():
            if name == "id" and way in ("interval", "cron"):
                assert made.id.startswith("default-mine-")
            else:
                assert getattr(made, name) == value, (given, name)
        assert job.origin == made.origin
        assert way in ("interval", "cron") or job.id == made.id


def test_at_front_goes_to_the_front(scheduler: Scheduler, client: redis.Redis) -> None:
    scheduler.enqueue_at(PAST, greet, "a", job_id="first")
    scheduler.enqueue_jobs()
    scheduler.enqueue_at(PAST, greet, "b", job_id="front", at_front=True)
    assert scheduler.schedule(PAST, greet, ["c"], id="front-2", at_front=True).enqueue_at_front
    scheduler.enqueue_jobs()
    assert ids(client) == ["front-2", "front", "first"]


def test_what_depends_on_another_waits_for_it_in_rq(scheduler: Scheduler, client: redis.Redis) -> None:
    first = scheduler.enqueue_at(PAST, greet, "a", job_id="first")
    scheduler.enqueue_jobs()
    in_rq = RqJob.fetch("first", client)
    for n, dependency in enumerate([first, in_rq, "first", [first], Dependency(in_rq)]):
        scheduler.enqueue_at(PAST, greet, "b", job_id=f"after-{n}", depends_on=dependency)
    scheduler.enqueue_jobs()
    queue = RqQueue("default", connection=client)
    assert queue.job_ids == ["first"]
    assert sorted(queue.deferred_job_registry.get_job_ids()) == [f"after-{n}" for n in range(5)]


def test_what_depends_on_a_job_that_is_to_come_is_not_delivered_before_it(
    scheduler: Scheduler, client: redis.Redis
) -> None:
    first = scheduler.enqueue_in(H, greet, "a", job_id="first", queue_name="other")
    moved = scheduler.enqueue_in(H, greet, "a", job_id="moved")
    scheduler.change_execution_time(moved, utcnow() + 2 * H)
    for name, dependency in {"b": first, "c": [moved], "d": ["first", "moved"], "e": "nobody's"}.items():
        scheduler.enqueue_at(PAST, greet, "b", job_id=name, depends_on=dependency)
    scheduler.enqueue_jobs()
    assert ids(client) == ["e"]  # what RQ knows nothing about, and nobody will bring, may have ended long ago
    queue = scheduler.application.backend.queue
    (found,) = queue.get([JobId("default", "b")], now=scheduler.entries.now())
    assert found
    assert (found.state, found.reason) == (
        State.DELAYED,
        "It depends on 'first', which RQ does not have yet.",
    )
    for one in (first, moved):
        scheduler.enqueue_job(one)
    deliverer = scheduler.turn.relays.deliverer  # type: ignore[union-attr]
    for minutes in (1, 2):
        deliverer.step(scheduler.entries.now() + timedelta(minutes=minutes))
    waiting = RqQueue("default", connection=client).deferred_job_registry.get_job_ids()
    assert sorted(waiting) == ["b", "c", "d"]


def test_classes_of_the_user_are_what_delivers(
    new_scheduler: Callable[..., Scheduler], client: redis.Redis
) -> None:
    by_name = {"job_class": "tests.compat_jobs.OwnJob", "queue_class": "tests.compat_jobs.OwnQueue"}
    for given in (by_name, {"job_class": OwnJob, "queue_class": OwnQueue}):
        scheduler = new_scheduler(**given)
        job = scheduler.enqueue_at(PAST, greet, "a")
        assert isinstance(scheduler.get_queue_for_job(job), OwnQueue)
        scheduler.enqueue_jobs()
    assert client.get("own:OwnJob") == b"2"
    with pytest.raises(errors.BadSetting, match=r"queue_class='builtins.dict' is no subclass"):
        new_scheduler(queue_class="builtins.dict").enqueue_jobs()


# the constructor


def test_a_queue_can_be_named_or_handed_over(
    new_scheduler: Callable[..., Scheduler], client: redis.Redis
) -> None:
    assert new_scheduler().queue_name == "default"
    assert new_scheduler(queue_name="mail").enqueue_in(H, greet, "a").origin == "mail"
    assert new_scheduler(queue=RqQueue("high", connection=client)).enqueue_in(H, greet, "a").origin == "high"
    with pytest.raises(ValueError, match="`connection` argument is required"):
        Scheduler()


@pytest.mark.parametrize("url", [
    "redis://localhost:6379/0",
    "redis://:p%40ss%2Fw@10.0.0.1:7000/3",
    "rediss://ada:secret@host:6380/1?ssl_cert_reqs=required&ssl_ca_certs=%2Fca.pem",
    "unix:///run/redis.sock?db=2",
    "redis://[::1]:6379/0?socket_timeout=2.5",
])  # fmt: skip
def test_the_connection_says_which_server_it_is(url: str) -> None:
    given = redis.Redis.from_url(url).connection_pool
    again = redis.Redis.from_url(url_of(redis.Redis.from_url(url))).connection_pool
    assert again.connection_class == given.connection_class
    told = (
        "host",
        "port",
        "path",
        "db",
        "username",
        "password",
        "ssl_cert_reqs",
        "ssl_ca_certs",
        "socket_timeout",
    )
    for name in told:
        assert again.connection_kwargs.get(name) == given.connection_kwargs.get(name), name


def test_a_connection_that_no_url_can_say_is_refused() -> None:
    provider = redis.CredentialProvider()
    with pytest.raises(ValueError, match="credential_provider"):
        Scheduler(connection=redis.Redis(credential_provider=provider))
    with pytest.raises(ValueError, match="one Redis server"):
        Scheduler(connection=object())  # type: ignore[arg-type]


def test_jobs_are_kept_in_the_database_of_the_connection(valkey: Server, client: redis.Redis) -> None:
    with closing(Scheduler(connection=valkey.client(db=3))) as other:
        other.enqueue_at(PAST, greet, "a", job_id="there")
        other.enqueue_jobs()
    assert ids(valkey.client(db=3)) == ["there"]
    assert client.dbsize() == 0


# changing and looking


def test_cancel_takes_a_job_an_id_or_a_job_of_rq(scheduler: Scheduler, client: redis.Redis) -> None:
    single, periodic = (
        scheduler.enqueue_in(H, greet, "a"),
        scheduler.cron("0 7 * * *", greet, ["a"], id="daily"),
    )
    rq_job = RqJob.create(greet, id="like-rq", connection=client)
    scheduler.enqueue_in(H, greet, "a", job_id="like-rq")
    assert single in scheduler
    assert "daily" in scheduler
    assert rq_job in scheduler
    for one in (single, "daily", rq_job):
        scheduler.cancel(one)
        assert one not in scheduler
    scheduler.cancel("never-there")
    assert periodic not in scheduler
    assert scheduler.count() == 0
    scheduler.enqueue_jobs()
    assert ids(client) == []


def test_a_delivered_job_is_not_in_the_scheduler_any_more(scheduler: Scheduler) -> None:
    job = scheduler.enqueue_at(PAST, greet, "a")
    assert job.get_status() == "scheduled"
    scheduler.enqueue_jobs()
    assert job not in scheduler
    assert job.get_status() == "queued"
    with pytest.raises(ValueError, match="not in scheduled jobs queue"):
        scheduler.change_execution_time(job, utcnow())


MAKE: dict[str, Callable[[Scheduler], Job]] = {
    "single": lambda s: s.enqueue_in(H, greet, "a", job_id="x"),
    "interval": lambda s: s.schedule(utcnow() + H, greet, ["a"], interval=600, id="x", repeat=5),
    "cron": lambda s: s.cron("30 3 * * *", greet, ["a"], id="x"),
}


@pytest.mark.parametrize("kind", MAKE)
def test_change_execution_time_moves_the_next_run(
    kind: str, scheduler: Scheduler, client: redis.Redis
) -> None:
    job = MAKE[kind](scheduler)
    for _ in range(2):
        to = (utcnow() + 3 * H).replace(microsecond=123_000)
        scheduler.change_execution_time(job, to)
        assert times(scheduler) == {"x": to}
    scheduler.change_execution_time(job, PAST)
    scheduler.enqueue_jobs()
    assert len(ids(client)) == 1
    if kind == "single":
        assert job not in scheduler
    else:
        assert next(iter(scheduler.get_jobs())).meta == {
            **job.meta,
            **({"repeat": 4} if kind == "interval" else {}),
        }
    if kind == "interval":
        assert 590 < (times(scheduler)["x"] - utcnow()).total_seconds() <= 600
        scheduler.change_execution_time(job, utcnow() + H)
        assert next(iter(scheduler.get_jobs())).meta["repeat"] == 4
    if kind == "cron":
        assert f"{times(scheduler)['x']:%H:%M:%S}" == "03:30:00"


@pytest.mark.parametrize("first", MAKE)
@pytest.mark.parametrize("second", MAKE)
def test_a_second_job_of_an_id_takes_the_place_of_the_first(
    first: str, second: str, scheduler: Scheduler
) -> None:
    MAKE[first](scheduler)
    expected = times(scheduler) if first == second == "cron" else None
    job = MAKE[second](scheduler)
    assert scheduler.count() == 1
    assert next(iter(scheduler.get_jobs())).meta == job.meta
    assert expected in (None, times(scheduler))


@pytest.mark.parametrize("first", MAKE)
def test_it_takes_its_place_in_another_queue_too(first: str, scheduler: Scheduler) -> None:
    MAKE[first](scheduler)
    for queue in ("high", "low"):
        scheduler.cron("30 3 * * *", greet, ["a"], id="x", queue_name=queue)
        assert [job.origin for job in scheduler.get_jobs()] == [queue]


def test_an_id_can_be_used_again_after_its_run(scheduler: Scheduler, client: redis.Redis) -> None:
    for n in range(3):
        scheduler.enqueue_at(PAST, greet, f"{n}", job_id="again", queue_name=f"q{n % 2}")
        assert "again" in scheduler
        scheduler.enqueue_jobs()
        SimpleWorker(["q0", "q1"], connection=client).work(burst=True, logging_level="ERROR")
        assert RqJob.fetch("again", client).return_value() == f"hello {n}"


def test_count_and_get_jobs_look_as_far_as_they_are_told(scheduler: Scheduler) -> None:
    now = utcnow()
    for n in range(4):
        scheduler.enqueue_at(now + n * H, greet, f"{n}", job_id=f"j{n}", queue_name=f"q{n % 2}")
    scheduler.schedule(now + 4 * H, greet, ["x"], interval=60, id="j4")
    listed = [job.id for job in scheduler.get_jobs()]
    assert listed == ["j0", "j1", "j2", "j3", "j4"]
    for until, count in [
        (None, 5),
        (now + H, 2),
        (now.replace(tzinfo=UTC) + H, 2),
        (timedelta(hours=2.5), 3),
        (int(now.replace(tzinfo=UTC).timestamp()) + 3 * 3600 + 60, 4),
        (PAST, 0),
    ]:
        assert scheduler.count(until) == count
        assert [job.id for job in scheduler.get_jobs(until)] == listed[:count]
    assert [job.id for job in scheduler.get_jobs(offset=1, length=2)] == ["j1", "j2"]
    assert [job.id for job in scheduler.get_jobs(offset=3, length=9)] == ["j3", "j4"]
    assert [at for _, at in scheduler.get_jobs(with_times=True, offset=1, length=1)] == [
        (now + H).replace(microsecond=-(-now.microsecond // 1000) * 1000)
    ]
    with pytest.raises(ValueError, match="both be specified"):
        scheduler.get_jobs(offset=1)


def test_get_jobs_to_queue_gives_what_is_due(scheduler: Scheduler, client: redis.Redis) -> None:
    scheduler.enqueue_at(PAST, greet, "a", job_id="due")
    scheduler.cron("0 0 1 1 *", greet, ["a"], id="later")
    assert [(job.id, at) for job, at in scheduler.get_jobs_to_queue(with_times=True)] == [("due", PAST)]
    assert [job.id for job in scheduler.enqueue_jobs()] == ["due"]
    assert list(scheduler.get_jobs_to_queue()) == []
    assert ids(client) == ["due"]


def test_enqueue_job_delivers_one_now_and_a_periodic_one_goes_on(
    scheduler: Scheduler, client: redis.Redis
) -> None:
    for kind in ("interval", "cron"):
        client.flushall()
        scheduler.enqueue_job(MAKE[kind](scheduler))
        assert len(ids(client)) == 1
        assert "x" in scheduler
    client.flushall()
    scheduler.enqueue_job(MAKE["single"](scheduler))
    assert ids(client) == ["x"]


def test_a_job_looks_like_one_of_rq(scheduler: Scheduler) -> None:
    job = scheduler.schedule(
        utcnow() + H, greet, ["a"], {"greeting": "hi"}, interval=90, repeat=2, timeout=7, ttl=8, meta={"k": 1}
    )
    assert (job.get_id(), job.origin, job.func_name) == (job.id, "default", "tests.compat_jobs.greet")
    assert (job.args, job.kwargs, job.timeout, job.ttl, job.result_ttl) == (
        ["a"],
        {"greeting": "hi"},
        7,
        8,
        None,
    )
    assert job.description == job.get_call_string() == "tests.compat_jobs.greet('a', greeting='hi')"
    assert job.meta == {"k": 1, "interval": 90, "repeat": 2}
    assert job.is_scheduled
    assert job in set(scheduler.get_jobs())
    job.cancel()
    assert job.scheduled_for() is None


@pytest.mark.parametrize(("call", "said"), [
    (lambda s: s.enqueue_in(H, greet, utcnow()), r"Argument name of tests.compat_jobs.greet\(\) .*isoformat"),
    (lambda s: s.enqueue_in(H, greet, "a", greeting={1}), r"Argument greeting of .*set is no JSON type"),
    (lambda s: s.enqueue_in(H, "a.b", object()), r"Argument #1 of a\.b\(\).*object is no JSON type"),
    (lambda s: s.enqueue_in(H, greet), "missing a required argument: 'name'"),
    (lambda s: s.enqueue_in(H, Shop().method), "a method of an object"),
    (lambda s: s.enqueue_in(H, lambda: 1), "no dotted name"),
    (lambda s: s.enqueue_in(60, greet, "a"), "give a timedelta"),
    (lambda s: s.enqueue_at("now", greet, "a"), "is no moment"),
    (lambda s: s.enqueue_in(H, greet, "a", job_id="a b"), "id 'a b' is not allowed"),
    (lambda s: s.schedule(PAST, greet, "abc"), "give a list or tuple"),
    (lambda s: s.schedule(PAST, greet, ["a"], repeat=2), "without interval"),
    (lambda s: s.schedule(PAST, greet, ["a"], interval=0), "above zero"),
    (lambda s: s.cron("0 25 * * *", greet, ["a"]), "hour is 25"),
    (lambda s: s.cron("0 0 30 2 *", greet, ["a"]), "can never fire"),
    (lambda s: s.enqueue_in(H, greet, "a", meta={"at": utcnow()}), "meta cannot be stored"),
    (lambda s: s.cancel(None), "neither a job nor the id"),
    (lambda s: s.enqueue_at(datetime.max.replace(tzinfo=UTC), greet, "a"), "is too far away"),
    (lambda s: s.enqueue_in(timedelta.max, greet, "a"), "is too far away"),
    (lambda s: s.enqueue_in(H, greet, "a", timeout="soon"), "timeout='soon'"),
    (lambda s: s.enqueue_in(H, greet, "a", job_ttl=0), "ttl=0"),
    (lambda s: s.enqueue_in(H, greet, "a", meta=["x"]), r"meta=\['x'\]: give a dict"),
    (lambda s: s.enqueue_in(H, greet, "a", queue_name=RqQueue("q", connection=s.connection)), "queue_name="),
    (lambda s: s.schedule(PAST, "a.b", kwargs=["x"]), r"kwargs=\['x'\]: give a dict"),
    (lambda s: s.schedule(PAST, "a.b", kwargs={1: 2}), "kwargs={1: 2}: give a dict"),
    (lambda s: s.schedule(PAST, greet, ["a"], interval="60"), "interval='60': give seconds"),
    (lambda s: s.schedule(PAST, greet, ["a"], interval=float("nan")), "interval=nan: give seconds"),
    (lambda s: s.schedule(PAST, greet, ["a"], interval=1e12), "interval=1000000000000.0: give seconds"),
    (lambda s: s.schedule(PAST, greet, ["a"], interval=60, repeat="x"), "repeat='x': give"),
    (lambda s: s.cron(None, greet, ["a"]), "cron_string=None: give"),
    (lambda s: s.cron("0 0 1 1 * 2001", greet, ["a"]), "has no time to come"),
])  # fmt: skip
def test_a_mistake_is_met_where_it_is_made(
    call: Callable[[Scheduler], Any], said: str, scheduler: Scheduler, client: redis.Redis
) -> None:
    with pytest.raises((ValueError, TypeError), match=said) as caught:
        call(scheduler)
    assert isinstance(caught.value, errors.ChronoqError)
    assert scheduler.count() == 0


# birth, heartbeat, death, the lock


def test_a_scheduler_is_born_once_and_dies(new_scheduler: Callable[..., Scheduler]) -> None:
    one, twin = new_scheduler(name="one"), new_scheduler(name="one")
    one.register_birth()
    one.heartbeat()
    with pytest.raises(ValueError, match="There's already an active RQ scheduler named: 'one'"):
        twin.register_birth()
    one.register_death()
    twin.register_birth()
    assert (one.key, one.pid) == ("one", os.getpid())


def test_the_lock_is_for_one(new_scheduler: Callable[..., Scheduler]) -> None:
    one, two = new_scheduler(), new_scheduler()
    assert one.acquire_lock()
    assert not two.acquire_lock()
    two.remove_lock()
    assert not two.acquire_lock()
    one.remove_lock()
    assert two.acquire_lock()


# a process of its own


def test_run_goes_on_until_it_is_told_to_stop(valkey: Server, client: redis.Redis) -> None:
    program = (
        "import redis; from chronoq.compat.rq_scheduler import Scheduler; "
        f"Scheduler(connection=redis.Redis.from_url({valkey.url()!r}), name='one').run(); print('over')"
    )
    with (
        python("-c", program, cwd=ROOT) as process,
        closing(Scheduler(connection=client, name="one")) as same,
    ):
        same.enqueue_at(PAST, greet, "a", job_id="single", queue_name="turns-up-later")
        eventually(lambda: ids(client, "turns-up-later") == ["single"], within=30)
        with pytest.raises(ValueError, match="There's already an active RQ scheduler named: 'one'"):
            same.run(burst=True)
        process.sigterm()
        assert process.wait() == 0
        assert process.out == ["over"]
        same.run(burst=True)


def test_a_signal_that_finds_it_starting_stops_it_and_the_next_has_its_old_effect(
    new_scheduler: Callable[..., Scheduler], monkeypatch: pytest.MonkeyPatch
) -> None:
    start, ends, ours = Service.start, Service.stop, list[int]()

    def started(service: Service) -> None:
        start(service)
        os.kill(os.getpid(), signal.SIGTERM)

    def stopping(service: Service) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        ends(service)

    def tend(service: Service) -> None:
        raise AssertionError("the signal was not heard")

    for name, fn in (("start", started), ("stop", stopping), ("tend", tend)):
        monkeypatch.setattr(Service, name, fn)
    before = signal.signal(signal.SIGTERM, lambda number, frame: ours.append(number))
    try:
        new_scheduler().run()
        assert ours == [signal.SIGTERM]
        os.kill(os.getpid(), signal.SIGTERM)
        assert len(ours) == 2
    finally:
        signal.signal(signal.SIGTERM, before)


# the command


def test_the_command_takes_the_options_of_rq_scheduler(
    new_server: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = new_server("valkey-9.1", "--requirepass", "secret", tcp=True)
    client = server.client(db=2, password="secret")
    (tmp_path / "own.py").write_text("from tests.compat_jobs import OwnJob, OwnQueue")
    with closing(Scheduler(connection=client)) as scheduler:
        scheduler.enqueue_at(PAST, greet, "a", job_id="first")
        place = ["-H", "127.0.0.1", "-p", f"{server.port}", "-d", "2", "-P", "secret"]
        given = [*place, "-b", "-v", "-i", "0.5", "--path", f"{tmp_path}:.", "--pid", str(tmp_path / "pid")]
        env = {"PYTHONPATH": str(ROOT)}
        with chronoq(
            "rqscheduler", *given, "-j", "own.OwnJob", "-q", "own.OwnQueue", env=env, cwd=ROOT
        ) as ours:
            assert ours.wait(30) == 0
            assert (tmp_path / "pid").read_text() == str(ours.pid)
        assert client.get("own:OwnJob") == b"1"
        scheduler.enqueue_at(PAST, greet, "a", job_id="second")
        monkeypatch.setenv("RQ_REDIS_URL", f"redis://:secret@127.0.0.1:{server.port}/2")
        assert run(["rqscheduler", "--burst", "--quiet"]) == 0
        for name, value in [
            ("URL", ""),
            ("HOST", "127.0.0.1"),
            ("PORT", server.port),
            ("DB", 2),
            ("PASSWORD", "secret"),
        ]:
            monkeypatch.setenv(f"RQ_REDIS_{name}", f"{value}")
        scheduler.enqueue_at(PAST, greet, "a", job_id="third")
        assert run(["rqscheduler", "--burst", "--quiet"]) == 0
    assert ids(client) == ["first", "second", "third"]
