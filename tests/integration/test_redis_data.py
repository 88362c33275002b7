"""What the Redis adapter keeps, and where: slots, lifetimes, wake tokens, damage, a server that is full."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
import redis
from attrs import evolve

from chronoq.adapters.redis import open_backend
from chronoq.adapters.redis.address import Address
from chronoq.adapters.redis.calls import Call, Operation
from chronoq.adapters.redis.store import RedisStore
from chronoq.adapters.redis.wire import Wire
from chronoq.domain import firing
from chronoq.domain.errors import NotReady
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Options, Origin, Pause, Priority, Progress, Snapshot, State
from chronoq.domain.lease import Kind, Process, Vitals
from chronoq.domain.ports import Backend, Cancel, Fired, Hold, Opening, Submitted
from chronoq.domain.rhythm import every
from chronoq.domain.schedule import Cursor, Firing, Overlap, Policy, Schedule, planned
from chronoq.domain.stream import Stream
from chronoq.domain.verdict import Cancelled, Dead, Done, Expired, Retry, Snooze, before_start
from chronoq.testing.contracts.values import FAILED, HOUR, LEASE, MAIL, MS, NOW, S, job, large
from tests.servers import Server, eventually

KEY = f"chronoq:{{{MAIL}}}:"
SCHEDULE = Schedule(
    ScheduleId(MAIL, "tick"), every("1m"), "send", b"[[],{}]", Policy(overlap=Overlap.QUEUE_ALL)
)
PROCESS = Process("p1", Kind.WORKER, "host", 17, NOW, "0.1")


@pytest.fixture
def backend(redis_url: str) -> Iterator[Backend]:
    backend = open_backend(redis_url)
    yield backend
    backend.close()


@pytest.fixture
def client(valkey: Server) -> redis.Redis:
    return valkey.client()


def put(backend: Backend, schedule: Schedule = SCHEDULE) -> Cursor:
    _, cursor = planned(None, schedule, now=NOW)
    assert backend.store.put(schedule, cursor=cursor, expected=None, now=NOW)
    return cursor


def fire(backend: Backend, *, now: Any) -> list[Fired]:
    dues, _ = backend.store.due([MAIL], now=now, limit=10)
    return backend.store.fire([firing.fire(due, now=now) for due in dues], fence=1, now=now)


def everything(backend: Backend) -> None:
    """Bring jobs to every place and every ending, and call every operation at least once."""
    queue, store = backend.queue, backend.store
    queue.submit(
        [job(str(i)) for i in range(12)] + [job("late", due=NOW + HOUR), job("now", due=NOW + S)], now=NOW
    )
    queue.adopt([Snapshot(job("adopted"), State.READY)], now=NOW)
    queue.promote([MAIL], now=NOW + S, limit=5)
    claims = queue.claim([(MAIL, 10)], worker="w", lease=LEASE, now=NOW).claims
    queue.extend(claims, lease=LEASE, now=NOW)
    queue.report(claims[0], Progress(1, 2))
    queue.cancel([claims[1].id, job("11").id, job("late").id], now=NOW)
    queue.forget([job("late").id], now=NOW)
    retry, dead = Retry(NOW + HOUR, FAILED), Dead(FAILED)
    verdicts = [Done(b"1"), retry, retry, Snooze(NOW, "later"), dead, dead, dead, Cancelled(), Expired()]
    queue.settle(list(zip(claims, verdicts, strict=False)), now=NOW)
    queue.release(claims[9:], now=NOW)
    queue.expired([MAIL], now=NOW, limit=5)
    queue.revive([claims[4].id], now=NOW)
    queue.purge([claims[5].id], now=NOW)
    (claim,) = queue.claim([(MAIL, 1)], worker="w", lease=LEASE, now=NOW).claims
    queue.settle([(claim, Done())], now=NOW)
    queue.pause(MAIL, Pause("note", NOW + HOUR))
    queue.resume(MAIL)
    queue.endings([claim.id for claim in claims], now=NOW)
    queue.get([claim.id for claim in claims], now=NOW)
    for state in State:
        queue.find(MAIL, state, now=NOW, limit=1)
    queue.counts([MAIL], now=NOW)
    queue.queues()
    put(backend)
    for minute in (1, 2):  # the second time it is held back by the first run
        assert fire(backend, now=NOW + minute * 60 * S) == [Fired.YES]
    store.get([SCHEDULE.id])
    assert store.find(MAIL)
    assert store.live(SCHEDULE.id)
    assert store.ledger(SCHEDULE.id)
    other = evolve(SCHEDULE, id=ScheduleId(MAIL, "other"))
    put(backend, other)
    store.drop([other.id])
    lease = backend.lock.acquire("leader", owner="a", ttl=LEASE, now=NOW)
    assert lease
    backend.lock.renew(lease, ttl=LEASE, now=NOW)
    backend.lock.release(lease)
    backend.life.birth(PROCESS, ttl=LEASE, now=NOW)
    backend.life.beat("p1", Vitals(), ttl=LEASE, now=NOW)
    backend.life.roll(now=NOW)
    backend.life.death("p1")


def damage(backend: Backend, client: redis.Redis) -> None:
    """Let a sweep find a bit of everything."""
    backend.queue.submit([job("lost"), job("blank"), job("tick@5")], now=NOW)
    client.lrem(KEY + "ready:2", 0, "lost")
    client.hdel(KEY + "jobs", "blank")
    client.delete(KEY + "dues")
    for step in (backend.queue.sweep, backend.store.sweep):
        mark = step(MAIL, now=NOW).mark
        while mark:
            mark = step(MAIL, now=NOW, mark=mark).mark


class Recording(Wire):
    """Keeps the calls that it runs."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self.seen: list[Call[Any]] = []

    def run_all(self, operations: Sequence[Operation[Any]], **rest: Any) -> list[Any]:
        self.seen += [one for one in operations if isinstance(one, Call)]
        return super().run_all(operations, **rest)


def test_all_keys_of_a_call_are_in_one_slot(redis_url: str, client: redis.Redis) -> None:
    backend = open_backend(redis_url)
    wire = Recording(Address(redis_url))
    server = evolve(backend.queue.server, wire=wire)  # type: ignore[attr-defined]
    names = evolve(server.names, announced=set())
    server = evolve(server, names=names)
    queue = type(backend.queue)(server)  # type: ignore[call-arg]
    lock, life = evolve(backend.lock, wire=wire), evolve(backend.life, wire=wire)  # type: ignore[type-var]
    watched = evolve(backend, queue=queue, store=RedisStore(server), lock=lock, life=life)
    everything(watched)
    damage(watched, client)
    assert {call.script.sha for call in wire.seen} == {script.sha for script in server.scripts.known.values()}
    for call in wire.seen:
        assert len({client.execute_command("CLUSTER", "KEYSLOT", key) for key in call.keys}) == 1
        assert len(set(call.keys[:10])) == len(call.keys[:10])
    wire.close()
    backend.close()


def test_it_runs_on_a_node_of_a_cluster(new_server: Callable[..., Server]) -> None:
    server = new_server("valkey-9.1", "--cluster-enabled", "yes")
    server.client().execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    while b"cluster_state:ok" not in server.client().execute_command("CLUSTER", "INFO"):
        pass
    backend = open_backend(server.url())
    everything(backend)
    backend.close()


def test_only_what_may_be_forgotten_has_a_lifetime(backend: Backend, client: redis.Redis) -> None:
    everything(backend)
    backend.life.birth(PROCESS, ttl=LEASE, now=NOW)
    mortal = {name.decode() for name in client.scan_iter() if client.pttl(name) != -1}
    assert {name.removeprefix(KEY).partition(":")[0] for name in mortal} == {"ending", "chronoq"}
    assert "chronoq:process:p1" in mortal


def test_an_ending_is_kept_for_an_hour_longer_than_it_holds(backend: Backend, client: redis.Redis) -> None:
    backend.queue.submit([job("a", options=Options(result_ttl=2 * HOUR))], now=NOW)
    backend.queue.cancel([job("a").id], now=NOW)
    assert 3 * HOUR - S <= timedelta(milliseconds=client.pttl(KEY + "ending:a")) <= 3 * HOUR


def test_a_record_is_written_once_and_never_again(backend: Backend, client: redis.Redis) -> None:
    backend.queue.submit([job("a")], now=NOW)
    record = client.hget(KEY + "jobs", "a")
    (claim,) = backend.queue.claim([(MAIL, 1)], worker="w", lease=LEASE, now=NOW).claims
    backend.queue.settle([(claim, Retry(NOW, FAILED))], now=NOW)
    assert client.hget(KEY + "jobs", "a") == record


def tokens(client: redis.Redis) -> int:
    return client.llen(KEY + "wake:work")


def test_tokens_are_as_many_as_jobs_and_64_at_the_most(backend: Backend, client: redis.Redis) -> None:
    backend.queue.submit([job("a"), job("b")], now=NOW)
    assert tokens(client) == 2
    backend.queue.submit([job(str(i)) for i in range(50)], now=NOW)
    assert tokens(client) == 52
    backend.queue.submit([job(str(i)) for i in range(50, 500)], now=NOW)
    assert tokens(client) == 64


def test_jobs_that_come_one_by_one_leave_64_tokens_at_the_most(backend: Backend, client: redis.Redis) -> None:
    """Also where workers take each at once and never listen, because there is always more of a lower priority."""
    backend.queue.submit([job("low", options=Options(Priority.LOW))], now=NOW)
    for number in range(100):
        backend.queue.submit([job(str(number))], now=NOW)
        assert backend.queue.claim([(MAIL, 1)], worker="w", lease=LEASE, now=NOW).claims
    assert tokens(client) == 64


def test_a_job_behind_many_cancelled_ones_wakes_somebody(backend: Backend, client: redis.Redis) -> None:
    backend.queue.submit([job(str(i)) for i in range(1200)], now=NOW)
    backend.queue.cancel([job(str(i)).id for i in range(1200)], now=NOW)
    assert not backend.queue.claim([(MAIL, 1)], worker="w", lease=LEASE, now=NOW).claims
    assert (client.llen(KEY + "ready:2"), tokens(client)) == (199, 0)
    backend.queue.submit([job("new")], now=NOW)
    assert tokens(client) == 1


def test_a_job_that_comes_alone_replaces_a_token_that_was_lost(backend: Backend, client: redis.Redis) -> None:
    backend.queue.submit([job(str(i)) for i in range(99)], now=NOW)
    client.delete(KEY + "wake:work")  # as by workers that heard of them, and died
    backend.queue.submit([job("new")], now=NOW)
    assert tokens(client) == 1


def test_who_finds_nothing_clears_the_tokens(backend: Backend, client: redis.Redis) -> None:
    backend.queue.submit([job(str(i)) for i in range(9)], now=NOW)
    backend.queue.claim([(MAIL, 9)], worker="w", lease=LEASE, now=NOW)
    assert tokens(client) == 0


@pytest.mark.parametrize("limit", [0, 3])
def test_who_leaves_jobs_leaves_a_token(backend: Backend, client: redis.Redis, limit: int) -> None:
    backend.queue.submit([job(str(i)) for i in range(9)], now=NOW)
    client.delete(KEY + "wake:work")
    backend.queue.claim([(MAIL, limit)], worker="w", lease=LEASE, now=NOW)
    assert tokens(client) == 1
    backend.queue.claim([(MAIL, limit)], worker="w", lease=LEASE, now=NOW)
    assert tokens(client) == 1


def test_promotion_wakes_as_many_as_it_brings(backend: Backend, client: redis.Redis) -> None:
    backend.queue.submit([job(str(i), due=NOW + S) for i in range(9)], now=NOW)
    assert tokens(client) == 0
    backend.queue.promote([MAIL], now=NOW + S, limit=4)
    assert tokens(client) == 4
    backend.queue.claim([(MAIL, 2)], worker="w", lease=LEASE, now=NOW + S)
    assert tokens(client) == 7


def test_a_paused_queue_wakes_nobody_until_it_is_resumed(backend: Backend, client: redis.Redis) -> None:
    backend.queue.submit([job(str(i)) for i in range(9)], now=NOW)
    backend.queue.pause(MAIL, Pause())
    assert backend.queue.claim([(MAIL, 9)], worker="w", lease=LEASE, now=NOW).claims == ()
    assert tokens(client) == 0
    assert backend.queue.resume(MAIL)
    assert tokens(client) == 9


def test_one_token_tells_of_an_earlier_moment(backend: Backend, client: redis.Redis) -> None:
    def hears(*jobs: Any) -> int:
        client.delete(KEY + "wake:time")
        backend.queue.submit(jobs, now=NOW)
        return client.llen(KEY + "wake:time")

    assert hears(job("a", due=NOW + HOUR), job("b", due=NOW + HOUR)) == 1
    assert hears(job("c", due=NOW + HOUR)) == 0
    assert hears(job("d", due=NOW + HOUR - MS), job("e", due=NOW + S)) == 1
    assert hears(job("f", due=NOW + 2 * S)) == 0
    assert hears(job("g")) == 0


def test_a_cancelled_ready_job_leaves_a_mark_that_a_claim_takes_away(
    backend: Backend, client: redis.Redis
) -> None:
    backend.queue.submit([job(str(i)) for i in range(300)], now=NOW)
    assert backend.queue.cancel([job(str(i)).id for i in range(299)], now=NOW) == [Cancel.CANCELLED] * 299
    assert (client.llen(KEY + "ready:2"), client.scard(KEY + "skips")) == (300, 299)
    later = NOW + 2 * HOUR  # nobody remembers it, but its key stands in the list
    assert backend.queue.submit([job("7")], now=later) == [Submitted.ACCEPTED]
    claims = backend.queue.claim([(MAIL, 3)], worker="w", lease=LEASE, now=later).claims
    assert [claim.id for claim in claims] == [job("299").id, job("7").id]
    assert not client.exists(KEY + "skips", KEY + "ready:2")


def test_a_claim_walks_over_a_bounded_number_of_marks(backend: Backend, client: redis.Redis) -> None:
    backend.queue.submit([job(str(i)) for i in range(3000)], now=NOW)
    backend.queue.cancel([job(str(i)).id for i in range(2999)], now=NOW)
    rounds = 1
    while not backend.queue.claim([(MAIL, 1)], worker="w", lease=LEASE, now=NOW).claims:
        assert tokens(client)  # so that it is tried again
        rounds += 1
    assert rounds == 3


@pytest.mark.parametrize("damage", ["garbage", "missing"])
def test_a_bad_record_is_claimed_with_a_defect_beside_its_neighbours(
    backend: Backend, client: redis.Redis, damage: str
) -> None:
    backend.queue.submit([job("a"), job("b", options=Options(Priority.HIGH)), job("c")], now=NOW)
    if damage == "garbage":
        client.hset(KEY + "jobs", "b", "garbage")
    else:
        client.hdel(KEY + "jobs", "b")
    claims = backend.queue.claim([(MAIL, 3)], worker="w", lease=LEASE, now=NOW).claims
    assert [(claim.id.key, bool(claim.job.defect)) for claim in claims] == [
        ("b", True),
        ("a", False),
        ("c", False),
    ]
    verdict = before_start(claims[0], now=NOW)
    assert isinstance(verdict, Dead)
    assert backend.queue.settle([(claims[0], verdict)], now=NOW) == [True]
    (dead,) = backend.queue.find(MAIL, State.DEAD, now=NOW).items
    assert dead.failure == verdict.failure
    assert dead.job.defect
    assert backend.queue.purge([dead.job.id], now=NOW) == [True]


def test_a_bad_record_of_a_schedules_job_does_not_hold_the_schedule_back(
    backend: Backend, client: redis.Redis
) -> None:
    put(backend)
    fire(backend, now=NOW + 60 * S)
    (run,) = backend.store.live(SCHEDULE.id)
    client.hset(KEY + "jobs", run.key, "garbage")
    (claim,) = backend.queue.claim([(MAIL, 1)], worker="w", lease=LEASE, now=NOW + 60 * S).claims
    backend.queue.settle([(claim, Dead(FAILED))], now=NOW + 60 * S)
    assert backend.store.live(SCHEDULE.id) == []


def test_a_lease_whose_claim_is_lost_can_be_ended(backend: Backend, client: redis.Redis) -> None:
    backend.queue.submit([job("a"), job("b")], now=NOW)
    held = backend.queue.claim([(MAIL, 2)], worker="w", lease=LEASE, now=NOW).claims
    client.hdel(KEY + "claims", "a")
    client.hset(KEY + "claims", "b", "junk")
    assert backend.queue.extend(held, lease=LEASE, now=NOW) == [Hold.LOST, Hold.LOST]
    lapsed = backend.queue.expired([MAIL], now=NOW + LEASE, limit=9)
    assert [claim.token for claim in lapsed] == [0, 0]
    assert backend.queue.settle([(claim, Retry(NOW, FAILED)) for claim in lapsed], now=NOW + LEASE) == [
        True,
        True,
    ]


def test_bad_notes_and_endings_do_not_spoil_a_listing(backend: Backend, client: redis.Redis) -> None:
    backend.queue.submit([job("a"), job("b"), job("c")], now=NOW)
    claims = backend.queue.claim([(MAIL, 3)], worker="w", lease=LEASE, now=NOW).claims
    backend.queue.settle([(claims[0], Dead(FAILED)), (claims[1], Done())], now=NOW)
    client.hset(KEY + "notes", "a", "junk")
    client.hset(KEY + "progress", "c", "junk")
    client.set(KEY + "ending:b", "junk")
    dead, done, running = backend.queue.get([claim.id for claim in claims], now=NOW)
    assert dead
    assert dead.failure
    assert dead.failure.type == "BadRecord"
    assert done is None
    assert running
    assert running.progress is None
    assert backend.queue.submit([job("b")], now=NOW) == [Submitted.ACCEPTED]


@pytest.mark.parametrize("part", ["schedules", "cursors"])
@pytest.mark.parametrize("damage", ["garbage", "missing"])
def test_a_schedule_that_cannot_be_read_is_set_aside(
    backend: Backend, client: redis.Redis, part: str, damage: str
) -> None:
    put(backend)
    if damage == "garbage":
        client.hset(KEY + part, "tick", "garbage")
    else:
        client.hdel(KEY + part, "tick")
    now = NOW + 60 * S
    ((due,), _) = backend.store.due([MAIL], now=now, limit=5)
    assert due.stored.schedule is None
    assert due.stored.defect
    step = firing.fire(due, now=now)
    if (part, damage) == ("cursors", "missing"):
        return  # nothing to compare with: it is put anew, or dropped
    assert backend.store.fire([step], fence=None, now=now) == [Fired.YES]
    assert backend.store.due([MAIL], now=now, limit=5) == ([], [None])
    (stored,) = backend.store.get([SCHEDULE.id])
    assert stored
    assert stored.cursor.pause
    assert backend.store.put(
        SCHEDULE, cursor=planned(None, SCHEDULE, now=now)[1], expected=stored.cursor, now=now
    )


def many(backend: Backend) -> tuple[list[Firing], Callable[[], int]]:
    """What 200 schedules do that are due, more than fits into a piece; and how many of them have done it."""
    plans = [evolve(SCHEDULE, id=ScheduleId(MAIL, f"s{n}")) for n in range(200)]
    for plan in plans:
        put(backend, plan)
    now = NOW + 60 * S
    steps = [firing.fire(due, now=now) for due in backend.store.due([MAIL], now=now, limit=200)[0]]
    return steps, lambda: 200 - len(backend.store.due([MAIL], now=now, limit=200)[0])


def test_the_first_steps_are_stored_while_the_last_are_still_decided(
    redis_url: str, backend: Backend
) -> None:
    steps, stored = many(backend)
    seen: list[int] = []

    def deciding() -> Iterator[Firing]:
        yield from steps[:-1]
        eventually(stored)
        seen.append(stored())
        yield steps[-1]

    scheduler = open_backend(redis_url)
    assert scheduler.store.fire(Stream(deciding()), fence=1, now=NOW + 60 * S) == [Fired.YES] * 200
    assert 0 < seen[0] < 200
    scheduler.close()


def test_an_error_while_deciding_loses_no_step_and_takes_none_twice(redis_url: str, backend: Backend) -> None:
    steps, stored = many(backend)

    def deciding() -> Iterator[Firing]:
        yield from steps[:-1]
        eventually(stored)
        raise MemoryError("no more")

    scheduler, now = open_backend(redis_url), NOW + 60 * S
    with pytest.raises(MemoryError, match="no more"):
        scheduler.store.fire(Stream(deciding()), fence=1, now=now)
    assert stored() > 0
    left, _ = scheduler.store.due([MAIL], now=now, limit=200)
    assert steps[-1].id in [due.stored.id for due in left]
    answers = scheduler.store.fire(steps, fence=1, now=now)
    assert answers.count(Fired.YES) == len(left)
    assert answers.count(Fired.MOVED) == 200 - len(left)
    assert backend.queue.counts([MAIL], now=now)[0].accepted == 200
    scheduler.close()


def full(server: Server) -> Backend:
    """A backend with jobs everywhere, on a server that takes no more."""
    backend = open_backend(server.url())
    backend.queue.submit([job(str(i), options=Options(Priority(i % 4))) for i in range(40)], now=NOW)
    backend.queue.submit([job(f"d{i}", due=NOW + S) for i in range(100)], now=NOW)
    put(backend)
    fire(backend, now=NOW + 60 * S)
    backend.life.birth(PROCESS, ttl=LEASE, now=NOW)
    server.client().config_set("maxmemory", 1)
    return backend


def contents(client: redis.Redis) -> dict[bytes, Any]:
    read: dict[bytes, Callable[[bytes], Any]] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
    }
    return {key: read[client.type(key)](key) for key in client.scan_iter()}


@pytest.mark.parametrize("kind", ["valkey-9.1", "redis-6.2"])
def test_a_full_server_takes_nothing_new(new_server: Callable[..., Server], kind: str) -> None:
    server = new_server(kind)
    backend = full(server)
    before = contents(server.client())
    step = Firing(SCHEDULE.id, *[backend.store.find(MAIL)[0].cursor] * 2, jobs=(job("f"),))
    for refused in (
        lambda: backend.queue.submit([job("new"), job("later", due=NOW + HOUR)], now=NOW),
        lambda: backend.queue.submit([job("new"), job("newer")], now=NOW),
        lambda: backend.queue.submit([job("new")], now=NOW),
        lambda: backend.store.put(
            evolve(SCHEDULE, id=ScheduleId(MAIL, "b")), cursor=Cursor(1, NOW, NOW), expected=None, now=NOW
        ),
        lambda: backend.store.fire([step], fence=7, now=NOW),
        lambda: backend.store.fire([evolve(step, jobs=())], fence=None, now=NOW),
    ):
        with pytest.raises(NotReady, match="its memory is full"):
            refused()
    assert contents(server.client()) == before
    backend.close()


@pytest.mark.parametrize("kind", ["valkey-9.1", "redis-6.2"])
def test_a_full_server_can_be_drained(new_server: Callable[..., Server], kind: str) -> None:
    backend = full(server := new_server(kind))
    queue, now = backend.queue, NOW + 60 * S
    server.client().delete(KEY + "wake:work")
    assert queue.claim([(MAIL, 0)], worker="w", lease=LEASE, now=NOW).claims == ()
    assert tokens(server.client()) == 1
    assert queue.promote([MAIL], now=now, limit=98)[0].moved == 98
    held = queue.claim([(MAIL, 10)], worker="w", lease=LEASE, now=now).claims
    assert queue.extend(held, lease=LEASE, now=now) == [Hold.KEPT] * 10
    assert queue.report(held[0], Progress(1))
    assert queue.cancel([held[1].id, job("39").id], now=now) == [Cancel.ASKED, Cancel.CANCELLED]
    verdicts = [
        Done(b"1"),
        Cancelled(),
        Retry(now, FAILED),
        Retry(now + S, FAILED),
        Snooze(now),
        Dead(FAILED),
    ]
    assert queue.settle(list(zip(held, verdicts, strict=False)), now=now) == [True] * 6
    assert queue.release(held[6:], now=now) == [True] * 4
    assert queue.revive([held[5].id], now=now) == [True]
    lease = backend.lock.acquire("leader", owner="a", ttl=LEASE, now=now)
    assert lease
    assert backend.lock.renew(lease, ttl=LEASE, now=now)
    assert backend.life.beat("p1", Vitals(running=1), ttl=LEASE, now=NOW)
    now += S
    while claims := queue.claim([(MAIL, 10)], worker="w", lease=LEASE, now=now).claims:
        assert all(queue.settle([(claim, Done()) for claim in claims], now=now))
    (counts,) = queue.counts([MAIL], now=now)
    assert counts.balanced
    assert counts.accepted == counts.done + counts.cancelled == 141
    backend.close()


def test_the_jobs_of_another_queue_or_namespace_are_not_seen(redis_url: str, backend: Backend) -> None:
    other = open_backend(redis_url, Opening(namespace="other"))
    other.queue.submit([job("a"), job("b", queue="x")], now=NOW)
    assert backend.queue.get([job("a").id, JobId("x", "b")], now=NOW) == [None, None]
    assert backend.queue.queues() == []
    assert other.queue.queues() == [MAIL, "x"]
    other.close()


def test_a_heartbeat_announces_the_queues_again(backend: Backend, client: redis.Redis) -> None:
    backend.queue.submit([job("a")], now=NOW)
    backend.life.birth(PROCESS, ttl=LEASE, now=NOW)
    client.delete("chronoq:queues")
    assert backend.life.beat("p1", Vitals(), ttl=LEASE, now=NOW)
    assert backend.queue.queues() == [MAIL]


def test_a_manual_run_counts_as_live(backend: Backend) -> None:
    put(backend)
    backend.queue.submit([job("manual", origin=Origin(SCHEDULE.id, NOW))], now=NOW)
    assert backend.store.live(SCHEDULE.id) == [job("manual").id]


@pytest.mark.parametrize("light", [0, 4, 20])
def test_no_claim_script_answers_more_than_a_megabyte_or_so(
    backend: Backend, client: redis.Redis, light: int
) -> None:
    """Also where the first ones do not look like it"""
    names = [f"j{number:03}" for number in range(light + 250)]
    jobs = [job(key, payload=large(200_000) if n >= light else large(20)) for n, key in enumerate(names)]
    backend.queue.submit(jobs, now=NOW)
    before = client.info("stats")["total_net_output_bytes"]
    granted = backend.queue.claim([(MAIL, 800)], worker="w", lease=LEASE, now=NOW)
    sent = client.info("stats")["total_net_output_bytes"] - before
    assert 2_000_000 < sent < 4_100_000, "by four calls"
    assert [claim.id.key for claim in granted.claims] == names[: len(granted.claims)]
    assert granted.more
    assert client.lrange(f"{KEY}ready:2", 0, -1) == [key.encode() for key in names[len(granted.claims) :]]
    assert client.zcard(f"{KEY}leases") == client.hlen(f"{KEY}claims") == len(granted.claims)
