"""Jobs that come due go into RQ's queues, once each, and RQ's own workers run them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis
from attrs import evolve
from rq import Queue as RqQueue
from rq import SimpleWorker
from rq.job import Job as RqJob

from chronoq import Queue, Scheduler, errors, every
from chronoq.app.deliverer import RelayService
from chronoq.app.options import JobOptions, treated
from chronoq.app.reaper import Reaper
from chronoq.app.relay import Parcel
from chronoq.domain.identity import JobId
from chronoq.domain.job import DEFAULTS, Claim, Job, Options, State
from chronoq.domain.ports import BROUGHT
from chronoq.domain.time import ZERO
from chronoq.domain.verdict import Done
from chronoq.relay.rq import RqRelay, rq_job_id, rq_options
from chronoq.relay.rq_delivery import RqDelivery
from chronoq.relay.rq_jobs import Blueprint
from chronoq.testing.contracts.values import large
from tests.faults_app import ROOT
from tests.proc import Process, chronoq
from tests.relay_app import add, make
from tests.servers import Server, eventually

LEASE = timedelta(seconds=30)
RQ = ("-c", "from rq.cli import main; main()")


@pytest.fixture
def app(redis_url: str) -> Iterator[Scheduler]:
    app = make(redis_url)
    yield app
    app.close()


@pytest.fixture
def relay(app: Scheduler) -> Iterator[RelayService]:
    with relaying(app) as relay:
        yield relay


@contextmanager
def relaying(app: Scheduler) -> Iterator[RelayService]:
    """A relay to be stepped by hand."""
    relay = app.relay()
    ways = list(relay.deliverer.relays.values())
    yield relay
    for way in ways:
        way.close()


def _job(app: Scheduler, task: str, *args: Any, id: str | None = None, **kwargs: Any) -> Job:
    now, settings = app.backend.clock.now(), app.configured.settings
    given: JobOptions = {"id": id} if id else {}
    return app.declared.job(app.tasks.tasks[task], args, kwargs, given, settings=settings, now=now)


def _meta(meta: dict[str, Any]) -> Options:
    return treated(DEFAULTS, {"meta": meta})


def turn(relay: RelayService, *, ahead: timedelta = ZERO) -> None:
    """Two steps: what the first has learnt, the second settles."""
    for _ in range(2):
        relay.deliverer.step(relay.backend.clock.now() + ahead)


def rq_queue(server: Server, name: str = "mail", db: int = 0) -> RqQueue:
    return RqQueue(name, connection=server.client(db))


def claims(
    app: Scheduler, queue: str = "mail", *, lease: timedelta = LEASE, worker: str = "one"
) -> list[Claim]:
    now = app.backend.clock.now()
    return list(app.backend.queue.claim([(queue, 100)], worker=worker, lease=lease, now=now).claims)


def parcels(claims: list[Claim], *, follow: bool = False) -> list[Parcel]:
    return [Parcel(claim, "tests.relay_app.add", follow) for claim in claims]


def delivery(relay: RelayService, queue: str = "mail") -> RqDelivery:
    found = relay.deliverer.relays[queue]
    assert isinstance(found, RqDelivery)
    return found


def work(queue: RqQueue) -> None:
    """What is there is run, here and now, by an RQ worker."""
    SimpleWorker([queue], connection=queue.connection).work(burst=True, logging_level="ERROR")


def run_all(queue: RqQueue) -> None:
    """The same with less ado: what an RQ worker leaves of a job whose result nobody wants."""
    while found := queue.connection.lpop(queue.key):
        queue.connection.rpush("ran", found)
        queue.connection.delete(RqJob.key_for(found.decode()))  # type: ignore[union-attr]


# with RQ's own workers


@pytest.mark.parametrize(
    "command",
    [["worker"], ["worker", "--worker-class", "rq.SimpleWorker"], ["worker-pool", "-n", "2"]],
    ids=" ".join,
)
def test_an_unmodified_rq_worker_runs_what_a_relay_process_delivers(
    command: list[str], new_server: Callable[..., Server]
) -> None:
    server = new_server()
    env = {"CHRONOQ_URL": server.url(), "PYTHONPATH": str(ROOT)}
    app = make(server.url())
    jobs = [_job(app, "note", n) for n in range(5)]
    app.enqueue_many(jobs)
    rq = [
        sys.executable,
        *RQ,
        command[0],
        "mail",
        "--url",
        server.url(),
        *command[1:],
    ]
    ours = chronoq("relay", "--app", "tests.relay_app:app", "--factory", env=env, cwd=ROOT)

    def ran() -> list[bytes]:
        return server.client().lrange("ran", 0, -1)  # type: ignore[return-value]

    with ours, Process(*rq, env=env, cwd=ROOT):
        eventually(lambda: len(ran()) >= 5, within=60)
    assert sorted(ran()) == sorted(rq_job_id(job.id).encode() for job in jobs)
    app.close()


def test_while_claims_are_cut_short_for_their_weight_it_goes_on_at_once(
    app: Scheduler, relay: RelayService, valkey: Server
) -> None:
    payload = large(3 * BROUGHT // 4)
    app.backend.queue.submit(
        [evolve(_job(app, "note", n), payload=payload) for n in range(2)], now=app.backend.clock.now()
    )
    for many in (1, 2):
        now = app.backend.clock.now()
        assert (relay.deliverer.step(now) == now) is (many == 1)
        assert len(rq_queue(valkey)) == many


def test_a_job_and_its_ending_come_to_be_in_one_step(
    app: Scheduler, relay: RelayService, valkey: Server
) -> None:
    handle = app.job("mail:a")
    app.enqueue_many([_job(app, "add", 1, b=2, id="a")])
    turn(relay)
    assert handle.status() is State.DONE
    (job,) = rq_queue(valkey).jobs
    assert (job.id, job.func_name, job.args, job.kwargs) == (
        rq_job_id("mail:a"),
        "tests.relay_app.add",
        (1,),
        {"b": 2},
    )
    work(rq_queue(valkey))
    assert RqJob.fetch(job.id, valkey.client()).return_value() == 3


# exactly once


def test_a_relay_whose_lease_was_taken_over_delivers_nothing(
    app: Scheduler, relay: RelayService, valkey: Server
) -> None:
    app.enqueue_many([_job(app, "add", n) for n in range(3)])
    late = claims(app, lease=timedelta(milliseconds=1))
    now = app.backend.clock.now() + timedelta(seconds=1)
    Reaper(app.backend.queue, ["mail"], 3).step(now)
    current = claims(app, worker="two")
    assert delivery(relay).deliver(parcels(late), now=now) == [None] * 3
    assert rq_queue(valkey).count == 0
    assert delivery(relay).deliver(parcels(current), now=now) == [None] * 3
    assert delivery(relay).deliver(parcels(current), now=now) == [None] * 3
    assert sorted(rq_queue(valkey).job_ids) == sorted(rq_job_id(claim.id) for claim in current)


class Overtaken(Blueprint):
    """Somebody else changes the queue while the first RQ job is made."""

    def __init__(self, inner: Blueprint, meanwhile: Callable[[], object]) -> None:
        self.client, self.serializer, self.queue = inner.client, inner.serializer, inner.queue
        self.meanwhile: Callable[[], object] | None = meanwhile

    def make(self, parcel: Parcel, *, now: datetime) -> tuple[RqJob, bool]:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        return super().make(parcel, now=now)


def test_a_lease_that_is_lost_while_the_delivery_is_prepared_delivers_nothing(
    app: Scheduler, relay: RelayService, valkey: Server
) -> None:
    app.enqueue_many([_job(app, "add", n) for n in range(4)])
    held = claims(app)
    first = held[0]

    def settled_by_another() -> None:
        app.backend.queue.settle([(first, Done())], now=app.backend.clock.now())

    ours = delivery(relay)
    one = evolve(ours, blueprint=Overtaken(ours.blueprint, settled_by_another))
    assert one.deliver(parcels(held), now=app.backend.clock.now()) == [None] * 4
    assert rq_queue(valkey).job_ids == [rq_job_id(claim.id) for claim in held[1:]]
    assert app.backend.queue.counts(["mail"], now=app.backend.clock.now())[0].done == 4


def test_an_id_that_rq_still_has_in_line_is_not_pushed_again(
    app: Scheduler, relay: RelayService, valkey: Server
) -> None:
    for _ in range(2):
        app.enqueue_many([_job(app, "add", 1, id="again")])
        turn(relay)
        for key in valkey.client().scan_iter("*:ending:*"):
            valkey.client().delete(key)  # as if it were long ago
    assert rq_queue(valkey).job_ids == [rq_job_id("mail:again")]


def test_with_a_database_of_its_own_the_same_job_is_still_delivered_once(
    redis_url: str, valkey: Server
) -> None:
    valkey.client(db=1).flushdb()
    app = Scheduler(redis_url, queues=[Queue("mail", relay=RqRelay(url=valkey.url(1)))])
    app.add_task(add, queue="mail", name="add")
    with relaying(app) as relay:
        assert not delivery(relay).shared
        app.enqueue_many([_job(app, "add", 1), _job(app, "add", 2)])
        held, now = claims(app), app.backend.clock.now()
        assert delivery(relay).deliver(parcels(held), now=now) == [Done(), Done()]
        work(rq_queue(valkey, db=1))
        assert delivery(relay).deliver(parcels(held), now=now) == [
            Done(),
            Done(),
        ]  # its first answer was lost
        assert rq_queue(valkey, db=1).job_ids == []
        app.backend.queue.settle([(claim, Done()) for claim in held], now=now)
    app.close()


def test_an_engine_that_is_away_holds_up_no_other_queue(
    redis_url: str, valkey: Server, new_server: Callable[..., Server]
) -> None:
    away = new_server()
    queues = [Queue("aside", relay=RqRelay(url=away.url())), Queue("mail", relay=RqRelay())]
    app = Scheduler(redis_url, queues=queues)
    for queue in ("aside", "mail"):
        app.add_task(add, queue=queue, name=queue)
    with relaying(app) as relay:
        away.kill()
        app.enqueue_many([_job(app, "aside", 1, id="waits"), _job(app, "mail", 2, id="goes")])
        with pytest.raises(errors.Unreachable, match=str(away.socket_path)):
            turn(relay)
        assert rq_queue(valkey).job_ids == [rq_job_id("mail:goes")]
        assert app.job("aside:waits").status() is State.READY
        away.start()
        turn(relay)
        assert rq_queue(away, "aside").job_ids == [rq_job_id("aside:waits")]
    app.close()


class Broken(RqQueue):
    def enqueue_job(self, *_: Any, **__: Any) -> RqJob:
        raise RuntimeError("not today")


def test_a_queue_class_with_a_fault_holds_up_no_other_queue(redis_url: str, valkey: Server) -> None:
    queues = [Queue("aside", relay=RqRelay(queue_class=Broken)), Queue("mail", relay=RqRelay())]
    app = Scheduler(redis_url, queues=queues)
    for queue in ("aside", "mail"):
        app.add_task(add, queue=queue, name=queue)
    app.enqueue_many([_job(app, "aside", 1, id="waits"), _job(app, "mail", 2, id="goes")])
    with relaying(app) as relay:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="not today"):
                relay.deliverer.step(app.backend.clock.now())
            assert app.job("aside:waits").status() is State.READY
    assert rq_queue(valkey).job_ids == [rq_job_id("mail:goes")]
    app.close()


class Killed(BaseException):
    """Stands for SIGKILL: whatever the process was about to do, it does not do."""


class Mortal(redis.UnixDomainSocketConnection):
    """Dies before it sends for the nth time, or after that without hearing the answer."""

    left = 0
    before = True

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        kind = type(self)
        kind.left -= 1
        if kind.left < 0:
            raise redis.ConnectionError("dead already")
        if kind.left == 0 and kind.before:
            raise Killed
        super().send_packed_command(command, check_health)
        if kind.left == 0:
            raise Killed


@pytest.mark.parametrize("before", [True, False], ids=["unsent", "unheard"])
@pytest.mark.parametrize("queue", ["mail", "checked"])
@pytest.mark.parametrize("database", [0, 1])
def test_a_relay_that_dies_at_any_point_of_a_delivery_leaves_one_rq_job(
    database: int, queue: str, before: bool, valkey: Server
) -> None:
    ids = [rq_job_id(f"{queue}:job-{n}").encode() for n in range(2)]
    for point in range(1, 20):
        valkey.client().flushall()
        app = make(valkey.url(), rq_url=valkey.url(database))
        app.enqueue_many([_job(app, NOTES[queue], id=f"job-{n}") for n in range(2)])
        Mortal.left, Mortal.before = point, before
        died = _dies(app, queue, rq_queue(valkey, queue, database))
        assert sorted(valkey.client(database).lrange("ran", 0, -1)) == sorted(ids), point
        assert app.backend.queue.counts([queue], now=app.backend.clock.now())[0].done == 2, point
        app.close()
        if not died:
            return
    pytest.fail("it never got through")


NOTES = {"mail": "note", "checked": "note_checked"}


def _dies(app: Scheduler, queue: str, rq: RqQueue) -> bool:
    """Whether a relay that is `Mortal` dies over its first step; another one goes on when its leases have run out."""
    address = rq.connection.connection_pool.connection_kwargs
    pool = redis.ConnectionPool(connection_class=Mortal, path=address["path"], db=address["db"])
    died = False
    with relaying(app) as relay, closing(redis.Redis.from_pool(pool)) as client:
        ours = delivery(relay, queue)
        mortal = evolve(ours, client=client, blueprint=Blueprint(client, queue, None))
        relay.deliverer.relays = {queue: mortal}
        try:
            relay.deliverer.step(app.backend.clock.now())
        except Killed:
            died = True
        run_all(rq)
        relay.deliverer.relays, relay.deliverer.outbox = {queue: ours}, []
        Reaper(app.backend.queue, [queue], 3).step(app.backend.clock.now() + timedelta(minutes=1))
        turn(relay, ahead=timedelta(minutes=1))
        run_all(rq)
        turn(relay, ahead=timedelta(minutes=2))
    return died


def test_the_same_database_under_another_name_is_known_as_shared(redis_url: str, valkey: Server) -> None:
    settings = Scheduler(redis_url).configured.settings
    for database, shared in ((0, True), (1, False)):
        way = RqRelay(url=f"{valkey.url(database)}&socket_timeout=7").connect(settings, "mail")
        assert way.shared is shared
        way.close()


# what RQ is told


def test_what_the_task_says_reaches_rq(app: Scheduler, relay: RelayService, valkey: Server) -> None:
    app.enqueue_many([_job(app, "add", 1)])
    turn(relay)
    app.enqueue_many([_job(app, "dressed", 1, b=2)])
    turn(relay)
    job = rq_queue(valkey).jobs[0]  # at the front
    assert (job.timeout, job.result_ttl, job.failure_ttl) == (90, 120, 3600)
    assert (job.description, job.meta) == ("adds", {"who": "us"})
    assert (job.retries_left, job.retry_intervals) == (3, [1, 5])
    assert job._success_callback_name == job._failure_callback_name == "tests.relay_app.note"
    assert job._failure_callback_timeout == 7


def test_a_job_waits_in_rq_for_those_that_it_depends_on(
    app: Scheduler, relay: RelayService, valkey: Server
) -> None:
    first = _job(app, "add", 1, id="first")
    second = evolve(_job(app, "add", 2, id="second"), options=_meta(rq_options(depends_on="mail:first")))
    app.enqueue_many([first, second, _job(app, "add", 3, id="third")])
    turn(relay)
    queue = rq_queue(valkey)
    assert sorted(queue.job_ids) == sorted([rq_job_id("mail:first"), rq_job_id("mail:third")])
    assert queue.deferred_job_registry.get_job_ids() == [rq_job_id("mail:second")]
    work(queue)
    assert RqJob.fetch(rq_job_id("mail:second"), valkey.client()).get_status() == "finished"


def test_a_job_waits_here_for_one_that_is_to_come(
    app: Scheduler, relay: RelayService, valkey: Server
) -> None:
    now = app.backend.clock.now()
    first = evolve(_job(app, "add", 1, id="first"), due=now + timedelta(hours=1))
    second = evolve(_job(app, "add", 2, id="second"), options=_meta(rq_options(depends_on="mail:first")))
    app.enqueue_many([first, second])
    for _ in range(2):
        turn(relay, ahead=timedelta(minutes=1))
        assert rq_queue(valkey).job_ids == []
    app.job("mail:first").cancel()  # nobody will bring it any more
    turn(relay, ahead=timedelta(minutes=2))
    assert rq_queue(valkey).job_ids == [rq_job_id("mail:second")]


def test_what_rq_refuses_is_a_dead_letter_that_says_why(app: Scheduler, relay: RelayService) -> None:
    bad = evolve(_job(app, "add", 1, id="bad"), options=_meta({"rq": {"at_frnt": True}}))
    app.enqueue_many([bad])
    turn(relay)
    found = app.job("mail:bad").info()
    assert found is not None
    assert found.state is State.DEAD
    assert found.failure is not None
    assert "at_front" in found.failure.message


@pytest.mark.parametrize(
    "told",
    [{"timeout": "soon"}, {"ttl": 10**18}, {"result_ttl": "x"}, {"description": ["x"]}, {"depends_on": 3}],
)
def test_an_option_that_rq_cannot_take_holds_up_no_other_job(
    told: dict[str, object], app: Scheduler, relay: RelayService, valkey: Server
) -> None:
    bad = evolve(_job(app, "add", 1, id="bad"), options=_meta({"rq": told}))
    app.enqueue_many([bad, _job(app, "add", 2, id="good")])
    turn(relay)
    assert rq_queue(valkey).job_ids == [rq_job_id("mail:good")]
    assert app.job("mail:bad").status() is State.DEAD


@pytest.mark.parametrize("options", [
    {"at_frnt": 1},
    {"retry": 0.5},
    {"on_success": 3},
    {"retry": {"max": 0}},
    {"on_failure": {"func": "a.b", "timeout": "soon"}},
    {"timeout": "soon"},
    {"timeout": 0},
    {"timeout": [1]},
    {"timeout": float("inf")},
    {"ttl": 0.5},
    {"ttl": -1},
    {"result_ttl": 10**18},
    {"description": 3},
    {"depends_on": 3},
])  # fmt: skip
def test_options_that_rq_does_not_have_are_refused_where_they_are_written(options: dict[str, object]) -> None:
    with pytest.raises((errors.UnknownOption, errors.BadSetting)):
        rq_options(**options)


def test_an_unknown_task_is_parked_not_delivered(app: Scheduler, relay: RelayService, valkey: Server) -> None:
    app.enqueue_many([evolve(_job(app, "add", 1, id="odd"), task="os.system")])
    turn(relay)
    assert rq_queue(valkey).count == 0
    assert app.job("mail:odd").status() is State.DELAYED


# following


def test_a_followed_job_ends_when_rq_has_ended_it(
    app: Scheduler, relay: RelayService, valkey: Server
) -> None:
    app.enqueue_many([_job(app, "add_checked", 1, id="good"), _job(app, "fail", "no luck", id="bad")])
    turn(relay)
    assert app.job("checked:good").status() is State.DELAYED
    assert "queued" in (app.job("checked:good").info() or pytest.fail("gone")).reason
    turn(relay, ahead=timedelta(minutes=1))
    assert app.job("checked:good").status() is State.DELAYED
    work(rq_queue(valkey, "checked"))
    turn(relay, ahead=timedelta(minutes=2))
    assert app.job("checked:good").status() is State.DONE
    bad = app.job("checked:bad").info()
    assert bad is not None
    assert bad.failure is not None
    assert (bad.state, bad.failure.type, bad.failure.message) == (State.DEAD, "ValueError", "no luck")
    assert rq_queue(valkey, "checked").count == 0
    assert not list(valkey.client().scan_iter("*:relayed:*"))


def test_a_dead_letter_that_is_revived_is_delivered_anew(
    app: Scheduler, relay: RelayService, valkey: Server
) -> None:
    app.enqueue_many([_job(app, "fail", "no luck", id="bad")])
    turn(relay)
    work(rq_queue(valkey, "checked"))
    turn(relay, ahead=timedelta(minutes=1))
    app.backend.queue.revive([JobId("checked", "bad")], now=app.backend.clock.now())
    turn(relay, ahead=timedelta(minutes=1))
    assert rq_queue(valkey, "checked").job_ids == [rq_job_id("checked:bad")]


def test_a_schedule_waits_for_its_former_rq_job_as_its_overlap_says(
    app: Scheduler, relay: RelayService, valkey: Server
) -> None:
    task = app.tasks.tasks["add"]
    schedule = app.declared.schedule(
        task, every("1s"), {"id": "tick", "args": (1,), "overlap": "skip"}, app.configured.settings
    )
    app.apply()
    ticker = app.scheduler().ticker

    def fire(seconds: float) -> None:
        ahead = timedelta(seconds=seconds)
        ticker.step(app.backend.clock.now() + ahead)
        turn(relay, ahead=ahead)

    fire(2)
    assert rq_queue(valkey).count == 1
    fire(4)
    fire(70)
    assert rq_queue(valkey).count == 1
    assert len(app.backend.store.live(schedule.id)) == 1
    work(rq_queue(valkey))
    fire(140)
    fire(142)
    assert rq_queue(valkey).count == 1


def test_a_followed_result_is_read_where_it_needs_no_pickle(redis_url: str, valkey: Server) -> None:
    relay_to = RqRelay(follow=True, serializer="rq.serializers.JSONSerializer")
    app = Scheduler(redis_url, queues=[Queue("sums", relay=relay_to)])
    task = app.add_task(add, queue="sums")
    handle = task.enqueue(2, b=3)
    with relaying(app) as relay:
        turn(relay)
        queue = RqQueue("sums", connection=valkey.client(), serializer="rq.serializers.JSONSerializer")
        SimpleWorker([queue], connection=queue.connection, serializer=queue.serializer).work(
            burst=True, logging_level="ERROR"
        )
        turn(relay, ahead=timedelta(minutes=1))
        assert handle.result(timeout=1) == 5
    app.close()


# where it does not fit


def test_a_worker_of_ours_does_not_serve_a_relayed_queue(app: Scheduler) -> None:
    assert app.worker().queues == ("default",)
    with pytest.raises(errors.BadSetting, match="chronoq relay"):
        app.worker(["mail"])
    with pytest.raises(errors.BadSetting, match="default is not relayed"):
        app.relay(["default"])


def test_a_relayed_queue_cannot_be_divided() -> None:
    with pytest.raises(errors.BadSetting, match="divided"):
        Queue("mail", relay=RqRelay(), shards=2)


def test_rq_needs_a_server_of_redis() -> None:
    app = Scheduler("memory://", queues=[Queue("mail", relay=RqRelay())])
    with pytest.raises(errors.BadSetting, match=r"RqRelay\(url="):
        app.relay()
    app.close()
