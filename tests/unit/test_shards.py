"""A divided queue is one queue to everybody but the store."""

from collections import Counter

import pytest
from attrs import evolve

from chronoq import Queue, Scheduler, every
from chronoq.adapters.memory import open_backend
from chronoq.app.sharded_queue import ShardedQueue
from chronoq.app.sharded_store import ShardedStore
from chronoq.app.shards import Shards, sharded
from chronoq.domain.errors import BadSetting
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Pause, State
from chronoq.domain.ports import BROUGHT, Backend, Submitted
from chronoq.domain.schedule import Cursor
from chronoq.domain.shards import parts, whole
from chronoq.domain.verdict import Done
from chronoq.testing.contracts import QueueContract, StoreContract
from chronoq.testing.contracts.values import (
    LEASE,
    MAIL,
    NOW,
    S,
    accounts_balance,
    job,
    large,
    listed,
    run,
    schedule,
    take,
)


class InOnePart:
    """The contract holds for a queue that has one part with a name of its own: all that is left is order."""

    @pytest.fixture
    def backend(self) -> Backend:
        inner = open_backend()
        known = OnePart(inner)
        return evolve(inner, queue=ShardedQueue(inner.queue, known), store=ShardedStore(inner.store, known))


class OnePart(Shards):
    """Each queue lies in one part, called as if there were more."""

    def parts(self, queue: str) -> tuple[str, ...]:
        return (f"{queue}~0.2",)

    def part_of(self, id: JobId | ScheduleId) -> str:
        return f"{id.queue}~0.2"


class TestQueue(InOnePart, QueueContract): ...


class TestStore(InOnePart, StoreContract): ...


@pytest.fixture
def inner() -> Backend:
    return open_backend()


@pytest.fixture
def backend(inner: Backend) -> Backend:
    return sharded(inner, {MAIL: 4}, now=NOW)


KEYS = [f"job-{number}" for number in range(40)]


def fill(backend: Backend, keys: list[str] = KEYS) -> None:
    answers = backend.queue.submit([job(key) for key in keys], now=NOW)
    assert answers == [Submitted.ACCEPTED] * len(keys)


def test_jobs_lie_in_all_parts_and_are_seen_as_one_queue(inner: Backend, backend: Backend) -> None:
    fill(backend)
    assert set(inner.queue.queues()) == set(parts(MAIL, 4))
    assert all(counts.ready >= 3 for counts in inner.queue.counts(parts(MAIL, 4), now=NOW))

    assert backend.queue.queues() == [MAIL]
    (counts,) = backend.queue.counts([MAIL], now=NOW)
    assert (counts.queue, counts.ready, counts.accepted) == (MAIL, 40, 40)
    for limit in (1, 7, 40, 100):
        assert sorted(listed(backend.queue, State.READY, limit=limit)) == sorted(KEYS)
    assert backend.queue.submit([job(KEYS[7])], now=NOW) == [Submitted.DUPLICATE]
    accounts_balance(backend)


@pytest.mark.parametrize("many", [1, 3, 4, 7, 40, 100])
def test_a_claim_gets_what_it_asks_for_wherever_it_lies(backend: Backend, many: int) -> None:
    fill(backend)
    granted = take(backend.queue, many)
    assert len(granted) == min(many, 40)
    assert {claim.id.queue for claim in granted} == {MAIL}
    kept = backend.queue.settle([(claim, Done(b"1")) for claim in granted], now=NOW)
    assert all(kept)
    assert backend.queue.counts([MAIL], now=NOW)[0].done == min(many, 40)


@pytest.mark.parametrize("many", [4, 20])
def test_a_claim_that_is_cut_short_for_its_weight_says_so_whichever_part_it_was(
    backend: Backend, many: int
) -> None:
    division = backend.queue.division  # type: ignore[attr-defined]
    beside = [
        key for key in KEYS if division.part_of(JobId(MAIL, key)) == division.part_of(JobId(MAIL, KEYS[0]))
    ]
    jobs = [job(key, payload=large(3 * BROUGHT // 4)) for key in beside[:4]]
    backend.queue.submit(jobs, now=NOW)
    brought, more = list[str](), True
    while more:
        claimed = backend.queue.claim([(MAIL, many)], worker="w1", lease=LEASE, now=NOW)
        brought += [claim.id.key for claim in claimed.claims]
        assert not claimed.more or len(claimed.claims) < 4
        more = claimed.more
    assert brought == beside[:4]


def test_one_job_is_found_at_once_in_whichever_part_it_lies(backend: Backend) -> None:
    for key in KEYS:
        fill(backend, [key])
        assert [claim.id.key for claim in take(backend.queue)] == [key]


def test_no_part_starves(backend: Backend, inner: Backend) -> None:
    fill(backend, [f"many-{number}" for number in range(400)])
    served = Counter(
        next(part for part in parts(MAIL, 4) if inner.queue.get([JobId(part, claim.id.key)], now=NOW)[0])
        for _ in range(40)
        for claim in take(backend.queue)
    )
    assert set(served.values()) == {10}


def test_order_holds_within_a_part(backend: Backend) -> None:
    fill(backend)
    order = [claim.id.key for _ in KEYS for claim in take(backend.queue)]
    place = {key: backend.queue.division.part_of(JobId(MAIL, key)) for key in KEYS}  # type: ignore[attr-defined]
    for part in parts(MAIL, 4):
        assert [key for key in order if place[key] == part] == [key for key in KEYS if place[key] == part]


def test_a_pause_holds_for_all_parts(backend: Backend) -> None:
    fill(backend)
    backend.queue.pause(MAIL, Pause("inventory"))
    assert take(backend.queue, 10) == ()
    assert backend.queue.counts([MAIL], now=NOW)[0].pause == Pause("inventory")
    assert backend.queue.resume(MAIL)
    assert not backend.queue.resume(MAIL)
    assert len(take(backend.queue, 10)) == 10


def test_the_runs_of_a_schedule_lie_beside_it(backend: Backend, inner: Backend) -> None:
    cursor = Cursor(1, NOW, NOW)
    for number in range(8):
        assert backend.store.put(schedule(f"tick{number}"), cursor=cursor, expected=None, now=NOW)
    assert [one.id.key for one in backend.store.find(MAIL)] == [f"tick{number}" for number in range(8)]
    assert len({whole(name) for name in inner.queue.queues()}) == 1 < len(inner.queue.queues())

    backend.queue.submit([run(f"tick{number}", NOW) for number in range(8)], now=NOW)
    due, _ = backend.store.due([MAIL], now=NOW, limit=10)
    assert {one.stored.id.key: one.live for one in due} == {f"tick{number}": 1 for number in range(8)}
    claims = take(backend.queue, 8)
    assert {claim.job.run_of for claim in claims} == {ScheduleId(MAIL, f"tick{n}") for n in range(8)}
    backend.queue.settle([(claim, Done(b"1")) for claim in claims], now=NOW)
    assert all(backend.store.live(ScheduleId(MAIL, f"tick{number}")) == [] for number in range(8))


def test_room_is_shared_out(backend: Backend) -> None:
    answers = backend.queue.submit([job(key) for key in KEYS], now=NOW, room={MAIL: 8})
    assert answers.count(Submitted.ACCEPTED) == 8
    assert answers.count(Submitted.FULL) == 32


def test_leases_that_lapse_are_found_in_all_parts(backend: Backend) -> None:
    fill(backend)
    take(backend.queue, 40)
    lapsed = backend.queue.expired([MAIL], now=NOW + LEASE + S, limit=100)
    assert sorted(claim.id.key for claim in lapsed) == sorted(KEYS)
    assert backend.queue.release(lapsed, now=NOW) == [True] * 40


# the number


def test_who_declares_nothing_finds_the_number_in_the_store(inner: Backend, backend: Backend) -> None:
    fill(backend)
    other = sharded(inner, {}, now=NOW)
    assert [
        one and one.job.id.key for one in other.queue.get([JobId(MAIL, key) for key in KEYS], now=NOW)
    ] == KEYS
    assert sharded(inner, {MAIL: 4}, now=NOW).queue.counts([MAIL], now=NOW)[0].ready == 40


def test_another_number_is_refused_until_the_queue_is_empty(inner: Backend, backend: Backend) -> None:
    fill(backend)
    with pytest.raises(BadSetting, match=r"shards=3, and what it holds lies in 4: 40 jobs\."):
        sharded(inner, {MAIL: 3}, now=NOW)
    backend.queue.settle([(claim, Done(b"1")) for claim in take(backend.queue, 40)], now=NOW)
    backend.store.put(schedule(), cursor=Cursor(1, NOW, NOW), expected=None, now=NOW)
    with pytest.raises(BadSetting, match="1 schedules"):
        sharded(inner, {MAIL: 1}, now=NOW)
    backend.store.drop([schedule().id])

    three = sharded(inner, {MAIL: 3}, now=NOW)
    fill(three, [f"new-{number}" for number in range(20)])
    assert {name for name in inner.queue.queues() if name.endswith(".3")} == set(parts(MAIL, 3))
    with pytest.raises(BadSetting, match=r"lies in 3: 20 jobs"):
        sharded(inner, {MAIL: 4}, now=NOW)
    assert sharded(inner, {}, now=NOW).queue.counts([MAIL], now=NOW)[0].accepted == 60


def test_a_queue_in_use_is_not_divided(inner: Backend) -> None:
    fill(inner)
    with pytest.raises(BadSetting, match=r"shards=4, and what it holds lies in 1: 40 jobs"):
        sharded(inner, {MAIL: 4}, now=NOW)
    assert sharded(inner, {}, now=NOW) is inner


def test_a_number_under_which_nothing_was_stored_can_change(inner: Backend) -> None:
    sharded(inner, {MAIL: 8}, now=NOW)
    fill(sharded(inner, {MAIL: 4}, now=NOW))
    assert set(inner.queue.queues()) == set(parts(MAIL, 4))


def test_what_someone_puts_beside_the_parts_is_run_all_the_same(inner: Backend, backend: Backend) -> None:
    fill(inner, ["stray"])  # a process that was started before the queue was divided
    (claim,) = take(backend.queue, 4)
    assert str(claim.id) == f"{MAIL}:stray"
    assert backend.queue.settle([(claim, Done(b"1"))], now=NOW) == [True]


@pytest.mark.parametrize("number", [0, -1, 65, 1.5, True, "4"])
def test_numbers_that_do_not_fit_are_refused(number: object) -> None:
    with pytest.raises(BadSetting, match="from 1 to 64"):
        Queue("orders", shards=number)  # type: ignore[arg-type]


# the whole of it


def test_an_application_notices_nothing() -> None:
    app = Scheduler(queues=[Queue("orders", shards=3)])

    @app.task(queue="orders")
    def double(number: int) -> int:
        return 2 * number

    app.add_schedule("often", double, every("100ms"), args=(21,), overlap="allow")
    with app:
        handles = [double.enqueue(number) for number in range(30)]
        assert [handle.result(timeout="10s") for handle in handles] == [2 * number for number in range(30)]
        assert app.stored_schedule("often").trigger().result(timeout="10s") == 42
        assert app.backend.queue.queues() == ["orders"]
