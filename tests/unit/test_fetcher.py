"""Between the queue and the hands."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoq import Scheduler
from chronoq.app.fetcher import MUCH, PATIENCE, POLL
from chronoq.app.hands import Pace
from chronoq.domain.errors import Unreachable
from chronoq.domain.job import Claim, Pause, State
from chronoq.domain.ports import BROUGHT
from chronoq.domain.retry import Failure
from chronoq.domain.verdict import Retry, Verdict
from chronoq.testing.contracts.values import large
from chronoq.testing.virtual import Inline
from tests.unit.bench import LEASE, Bench
from tests.unit.made import HOUR, NOW, S, job

HALF = 2 * Pace.DEEPEST
"""Of the short jobs that four slots hold."""


def crashed(bench: Bench, *keys: str) -> None:
    """Put jobs that have lost a worker before."""
    bench.put(*keys)
    lost = [(claim, Retry(bench.now, Failure("WorkerLost"), crash=True)) for claim in bench.take(len(keys))]
    assert all(bench.backend.queue.settle(lost, now=bench.now))


def test_it_claims_what_fits_and_hands_it_over() -> None:
    bench = Bench(slots=2)
    bench.put("a", "b", "c")
    bench.fetch()
    assert [run.claim.id.key for run in bench.threads.waiting] == ["a", "b"]
    assert bench.counts().ready == 1


def test_what_has_ended_is_settled_before_more_is_claimed() -> None:
    bench = Bench(slots=1)
    bench.put("a", "b")
    bench.fetch()
    bench.work()
    bench.fetch()
    assert bench.state("a") is State.DONE
    assert bench.state("b") is State.RUNNING


def test_what_has_ended_and_what_comes_next_travel_in_one_round_trip() -> None:
    bench = Bench(slots=2)
    bench.put("a", "b", "c", "d")
    bench.fetch()
    bench.work()
    true = bench.backend.queue.claim
    asked: list[list[str]] = []

    class Only:
        """Answers claims, and nothing else."""

        def claim(self, *args: Any, **kwargs: Any) -> object:
            asked.append([claim.id.key for claim, _ in kwargs["verdicts"]])
            return true(*args, **kwargs)

    bench.fetcher.queue = Only()  # type: ignore[assignment]
    bench.fetch()
    assert asked == [["a", "b"]]
    assert [bench.state(key) for key in "abcd"] == [State.DONE] * 2 + [State.RUNNING] * 2


def test_a_lost_answer_to_both_settles_once_and_gives_back_what_was_claimed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(slots=1)
    bench.put("a", "b")
    bench.fetch()
    bench.work()
    bench.outage.fail("claim", times=1, after=True)
    with pytest.raises(Unreachable):
        bench.fetch()
    assert [bench.state(key) for key in "ab"] == [State.DONE, State.RUNNING]
    bench.clock.advance(1)
    bench.fetch()
    bench.work()
    bench.fetch()
    assert bench.counts().done == 2
    assert bench.seen("b").crashes == 0
    assert "too late" not in caplog.text


def test_coroutines_and_functions_go_where_they_belong() -> None:
    async def wait() -> None: ...

    bench = Bench()
    bench.task("wait", wait)
    bench.put(job("a"), job("b", task="wait"), job("c", task="unknown"))
    bench.fetch()
    assert [run.claim.id.key for run in bench.threads.waiting] == ["a", "c"]
    assert [run.claim.id.key for run in bench.coroutines.waiting] == ["b"]


def test_the_slots_are_split_over_the_queues() -> None:
    bench = Bench(slots=4, queues=("one", "two"))
    bench.put(*(job(f"{queue}-{n}", queue=queue) for queue in ("one", "two") for n in range(9)))
    bench.fetch()
    assert [bench.counts(queue).running for queue in ("one", "two")] == [2, 2]


def test_slots_that_one_queue_leaves_are_filled_from_the_others() -> None:
    bench = Bench(slots=4, queues=("one", "two"))
    bench.put(job("x", queue="two"), *(job(f"{n}", queue="one") for n in range(9)))
    bench.fetch()
    assert [bench.counts(queue).running for queue in ("one", "two")] == [3, 1]


def test_an_odd_slot_goes_round() -> None:
    bench = Bench(slots=1, queues=("one", "two", "three"))
    bench.put(*(job(f"{queue}-{n}", queue=queue) for queue in ("one", "two", "three") for n in range(9)))
    order = []
    for _ in range(6):
        bench.fetch()
        (run,) = bench.threads.waiting
        order.append(run.claim.id.queue)
        bench.runner.run(bench.threads.waiting.popleft())
    assert order == ["one", "two", "three"] * 2


@given(st.integers(1, 9), st.lists(st.integers(0, 12), min_size=1, max_size=5))
def test_it_never_claims_more_than_it_can_hold_and_leaves_no_slot_free_while_there_is_work(
    slots: int, backlog: list[int]
) -> None:
    names = [f"q{place}" for place in range(len(backlog))]
    bench = Bench(slots=slots, queues=names)
    bench.registry.tasks.clear()
    bench.put(
        *(job(f"{n}", queue=name) for name, many in zip(names, backlog, strict=True) for n in range(many))
    )
    bench.fetch()
    assert len(bench.hands.held) == min(slots, sum(backlog))


def test_with_every_slot_taken_it_asks_for_nothing() -> None:
    bench = Bench(slots=1)
    bench.put("a", "b")
    bench.fetch()
    asked = bench.outage.calls["claim"]
    assert bench.fetch() == POLL
    assert bench.outage.calls["claim"] == asked


def test_while_there_is_more_than_one_claim_brings_it_asks_again_at_once() -> None:
    bench = Bench(slots=4)
    bench.hands.pace.mean = 0.0001  # as after many short jobs: two hundred for each slot
    bench.put(*(f"j{number}" for number in range(900)))
    assert bench.fetch() == 0 * S
    assert bench.counts().running == HALF
    assert bench.fetch() > 0 * S
    assert bench.counts().running == len(bench.hands.held) == 800


def test_while_claims_are_cut_short_for_their_weight_it_asks_again_at_once() -> None:
    bench = Bench(slots=4)
    bench.hands.pace.mean = 0.0001
    bench.put(*(job(f"j{number}", payload=large(BROUGHT // 4)) for number in range(10)))
    assert bench.fetch() == 0 * S
    assert bench.counts().running == 4
    assert bench.fetch() == 0 * S
    assert bench.counts().running == 8
    assert bench.fetch() > 0 * S
    assert bench.counts().running == len(bench.hands.held) == 10


def test_of_heavy_jobs_it_holds_no_more_than_a_few_claims_bring_and_runs_all() -> None:
    bench = Bench(slots=4)
    bench.hands.pace.mean = 0.0001
    bench.put(*(job(f"j{number}", payload=large(BROUGHT // 20)) for number in range(300)))
    heaviest = 0
    while len(bench.ran) < 300:
        while bench.fetch() == 0 * S:
            pass
        for _ in range(3):
            bench.fetcher.heard = True
            bench.fetch()
        heaviest = max(heaviest, bench.hands.weight)
        bench.work()
        bench.hands.pace.mean = 0.0001
    assert MUCH < heaviest <= MUCH + 2 * BROUGHT


def test_as_soon_as_it_holds_less_it_asks_for_more() -> None:
    bench = Bench(slots=4)
    bench.hands.pace.mean = 0.0001
    bench.put(*(job(f"j{number}", payload=large(BROUGHT // 20)) for number in range(300)))
    while bench.fetch() == 0 * S:
        pass
    while bench.hands.weight > MUCH:
        assert bench.threads.turn()
    bench.hands.pace.mean = 0.0001
    assert len(bench.hands.held) > 4
    bench.fetch()
    assert len(bench.fetcher.fresh) > 4


def test_a_claim_that_was_cut_short_asks_no_other_queue_for_the_rest() -> None:
    bench = Bench(slots=4, queues=("heavy", "light"))
    bench.hands.pace.mean = 0.0001
    bench.put(*(job(f"j{n}", queue="heavy", payload=large(BROUGHT // 4)) for n in range(4)))
    bench.put(*(job(f"j{n}", queue="light") for n in range(900)))
    assert bench.fetch() == 0 * S
    assert [bench.counts(name).running for name in ("heavy", "light")] == [2, HALF // 2]


def test_each_slot_has_its_job_however_heavy_all_are() -> None:
    bench = Bench(slots=4)
    bench.hands.pace.mean = 0.0001
    bench.put(*(job(f"j{number}", payload=large(MUCH)) for number in range(9)))
    while bench.fetch() == 0 * S:
        pass
    assert len(bench.hands.held) == 4


def overflowing(bench: Bench, many: int = 900) -> None:
    """One claim has brought all that it asked for, and there is more."""
    bench.hands.pace.mean = 0.0001
    bench.put(*(f"j{number:03}" for number in range(many)))
    assert bench.fetch() == 0 * S
    assert not bench.threads.waiting


def test_what_a_full_claim_brought_is_handed_over_while_the_next_is_under_way() -> None:
    bench, breathed = Bench(slots=4), list[tuple[int, int]]()
    bench.fetcher.breathe = lambda many: breathed.append((many, len(bench.threads.waiting)))
    overflowing(bench)
    bench.fetch()
    assert breathed == [(HALF, HALF)]
    assert [run.claim.id.key for run in bench.threads.waiting] == [f"j{number:03}" for number in range(800)]


@pytest.mark.parametrize("after", [False, True])
def test_what_a_full_claim_brought_runs_though_the_next_one_fails(after: bool) -> None:
    bench = Bench(slots=4)
    overflowing(bench)
    bench.outage.fail("claim", after=after)
    with pytest.raises(Unreachable):
        bench.fetch()
    bench.outage.heal()
    assert len(bench.threads.waiting) == HALF
    while not bench.fetcher.idle:
        bench.work()
        bench.fetch()
    assert (bench.counts().done, len(bench.ran)) == (900, 900)


class Prepared(list[tuple[Claim, Verdict]]):
    """Verdicts that the queue has prepared."""


class Preparing:
    """Its queue, which notes how many verdicts came with each claim, and whether it had prepared them."""

    def __init__(self, bench: Bench) -> None:
        self.true, self.asked = bench.fetcher.queue, list[tuple[int, bool]]()
        self.gone = False
        """Whether the next claim ends in the void, once it has been sent."""

    def __getattr__(self, name: str) -> object:
        return getattr(self.true, name)

    def prepare(self, verdicts: Sequence[tuple[Claim, Verdict]], *, now: datetime) -> Prepared:
        return Prepared(verdicts)

    def claim(self, *args: Any, **kwargs: Any) -> object:
        verdicts = kwargs["verdicts"]
        self.asked.append((len(verdicts), isinstance(verdicts, Prepared)))
        if self.gone:
            self.gone = False
            kwargs["meanwhile"]()
            raise Unreachable("gone")
        return self.true.claim(*args, **kwargs)


def test_what_has_run_beside_a_claim_is_prepared_for_the_next_one() -> None:
    bench = Bench(slots=4)
    overflowing(bench)
    bench.fetcher.queue = bench.fetcher.settler.queue = queue = Preparing(bench)  # type: ignore[assignment]
    bench.fetcher.breathe = lambda many: bench.work()
    for _ in range(3):
        bench.fetch()
    assert queue.asked == [(0, False), (HALF, True), (HALF, True)]
    assert bench.counts().done == 800


def test_what_was_prepared_beside_a_claim_that_came_to_nothing_waits_for_what_that_one_brought() -> None:
    bench = Bench(slots=4)
    overflowing(bench)
    bench.fetcher.queue = bench.fetcher.settler.queue = queue = Preparing(bench)  # type: ignore[assignment]
    bench.fetcher.breathe = lambda many: bench.work()
    bench.fetch()
    queue.gone = True
    with pytest.raises(Unreachable):
        bench.fetch()
    while not bench.fetcher.idle:
        bench.work()
        bench.fetch()
    assert (bench.counts().done, len(bench.ran)) == (900, 900)


def test_what_a_full_claim_brought_goes_back_when_the_worker_stops() -> None:
    bench = Bench(slots=8)
    overflowing(bench)
    bench.fetcher.stopping = True
    bench.fetch()
    assert bench.counts().ready == 900
    assert bench.fetcher.drained.is_set()


def test_a_suspect_in_a_full_claim_sends_back_what_the_next_one_brings() -> None:
    bench = Bench(slots=8)
    crashed(bench, "poison")
    overflowing(bench)
    bench.fetch()
    assert [run.claim.id.key for run in bench.threads.waiting] == ["poison"]
    assert (bench.counts().running, bench.counts().ready) == (1, 900)
    while not bench.fetcher.idle:
        bench.work()
        bench.fetch()
    assert bench.counts().done == 901


def test_it_looks_again_when_the_next_delayed_job_is_due() -> None:
    bench = Bench()
    bench.put(job("a", due=NOW + 0.5 * S))
    assert bench.fetch() == 0.5 * S
    bench.clock.advance(0.5)
    bench.fetch()
    assert bench.state("a") is State.RUNNING


def test_an_idle_worker_looks_at_the_latest_after_the_poll() -> None:
    bench = Bench()
    bench.put(job("a", due=NOW + HOUR))
    assert bench.fetch() == POLL
    assert bench.fetcher.idle


def test_it_listens_only_while_it_could_take_more() -> None:
    bench, listened = Bench(slots=1), []
    bench.fetcher.listen = lambda: listened.append(1)
    bench.put("a")
    bench.fetch()
    assert not listened
    bench.work()
    bench.fetch()
    assert listened == [1]
    assert bench.fetcher.idle


# outages


def test_a_verdict_waits_in_the_outbox_through_an_outage_and_is_settled_then() -> None:
    bench = Bench()
    bench.put("a")
    bench.fetch()
    bench.work()
    bench.outage.fail("settle", times=3)
    for _ in range(3):
        with pytest.raises(Unreachable):
            bench.fetch()
        assert len(bench.hands.outbox) == 1
    bench.fetch()
    assert not bench.hands.outbox
    assert bench.state("a") is State.DONE
    assert bench.counts().done == 1


def test_a_verdict_whose_reply_was_lost_is_settled_again_and_counts_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.put("a")
    bench.fetch()
    bench.work()
    bench.outage.fail("settle", times=1, after=True)
    with pytest.raises(Unreachable):
        bench.fetch()
    bench.fetch()
    assert not bench.hands.outbox
    assert bench.counts().done == 1
    assert "the verdict came too late" not in caplog.text  # it was in time: only its reply was lost


def test_a_verdict_on_a_lost_lease_is_dropped_and_said(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.put("a")
    bench.fetch()
    bench.work()
    bench.clock.advance(LEASE)
    bench.reaper.step(bench.now)
    bench.fetch()
    assert "⚠ send  a  the verdict came too late: the lease was lost" in caplog.text
    assert bench.state("a") is State.RUNNING
    assert bench.seen("a").crashes == 1


def test_what_was_claimed_before_the_backend_went_away_runs_all_the_same() -> None:
    """Else these leases would lapse, and the jobs be charged with a crash."""
    bench = Bench(slots=4, queues=("one", "two"))
    bench.put(*(job(f"{n}", queue="one") for n in range(9)))
    true_claim = bench.backend.queue.claim
    bench.fetcher.queue = bench.backend.queue

    class Second:
        calls = 0

        def __getattr__(self, name: str) -> object:
            return getattr(bench.backend.queue, name)

        def claim(self, *args: object, **kwargs: object) -> object:
            self.calls += 1
            if self.calls == 2:
                raise Unreachable("gone")
            return true_claim(*args, **kwargs)  # type: ignore[arg-type]

    bench.fetcher.queue = Second()  # type: ignore[assignment]
    bench.fetch()
    assert bench.counts("one").running == len(bench.hands.held) == 2


# stopping


def test_a_worker_that_stops_gives_back_what_it_has_not_started_at_the_front_and_at_no_cost() -> None:
    bench = Bench(slots=3)
    bench.put("a", "b", "c", "d")
    bench.fetch()
    bench.threads.turn()
    bench.fetcher.stopping = True
    bench.fetch()
    assert bench.fetcher.drained.is_set()
    assert bench.state("a") is State.DONE
    assert [claim.id.key for claim in bench.take(9, worker="w2")] == ["b", "c", "d"]
    assert bench.seen("b").attempt == 1


def test_a_worker_that_stops_claims_nothing_more() -> None:
    bench = Bench()
    bench.fetcher.stopping = True
    bench.put("a")
    bench.fetch()
    assert bench.state("a") is State.READY


def test_a_worker_is_drained_only_when_what_runs_has_ended_and_is_settled() -> None:
    bench = Bench(slots=1)

    def slow() -> None:
        bench.fetcher.stopping = True
        bench.fetch()
        assert not bench.fetcher.drained.is_set()

    bench.task("slow", slow)
    bench.put(job("a", task="slow"))
    bench.fetch()
    bench.work()
    assert not bench.fetcher.drained.is_set()
    bench.fetch()
    assert bench.fetcher.drained.is_set()
    assert bench.state("a") is State.DONE


# suspects


def test_a_job_that_lost_a_worker_runs_alone() -> None:
    bench = Bench(slots=4)
    alone = []
    bench.task("send", lambda *args: alone.append(len(bench.hands.held)))
    crashed(bench, "poison")
    bench.put("a", "b")
    bench.fetch()
    assert [run.claim.id.key for run in bench.threads.waiting] == ["poison"]
    while not bench.fetcher.idle:
        bench.work()
        bench.fetch()
    assert bench.counts().done == 3
    assert alone[0] == 1


def test_before_a_suspect_starts_what_has_not_started_goes_back_and_what_runs_ends() -> None:
    bench = Bench(slots=4)

    def first() -> None:
        crashed(bench, "poison")
        bench.fetcher.heard = True
        bench.fetch()  # claims the suspect while this one runs
        bench.fetch()
        assert bench.state("b") is State.READY
        assert bench.state("poison") is State.RUNNING
        assert not bench.threads.waiting

    bench.task("first", first)
    bench.put(job("a", task="first"), "b")
    bench.fetch()
    bench.threads.turn()
    bench.fetch()
    assert [run.claim.id.key for run in bench.threads.waiting] == ["poison"]


def test_nothing_is_claimed_while_a_suspect_runs() -> None:
    bench = Bench(slots=4)
    crashed(bench, "poison")
    bench.fetch()
    bench.fetch()
    bench.put("a")
    asked = bench.outage.calls["claim"]
    assert bench.fetch() == POLL
    assert bench.outage.calls["claim"] == asked


def test_several_suspects_run_one_after_the_other() -> None:
    bench = Bench(slots=4)
    crashed(bench, "p1", "p2", "p3")
    order = []
    bench.task("send", lambda: order.append(len(bench.threads.waiting)))
    for _ in range(9):
        bench.fetch()
        assert len(bench.threads.waiting) <= 1
        bench.work()
    assert order == [0, 0, 0]
    assert bench.counts().done == 3


def test_a_suspect_whose_lease_was_lost_while_it_waited_does_not_hold_up_the_worker() -> None:
    """A2: the heart gives it up in an outage; the fetcher must not wait for it for ever."""
    bench = Bench(slots=4)

    def first() -> None:
        crashed(bench, "poison")
        bench.fetcher.heard = True
        bench.fetch()
        for run in list(bench.hands.held):
            if run.claim.id.key == "poison":
                bench.hands.drop(run)
                run.ask_to_stop()

    bench.task("first", first)
    bench.put(job("a", task="first"))
    bench.fetch()
    bench.work()
    bench.put("b")
    for _ in range(3):
        bench.fetch()
        bench.work()
    assert bench.state("b") is State.DONE


def test_a_waiting_suspect_goes_back_when_the_worker_stops() -> None:
    bench = Bench(slots=4)

    def first() -> None:
        crashed(bench, "poison")
        bench.fetcher.heard = True
        bench.fetch()
        bench.fetcher.stopping = True
        bench.fetch()
        assert bench.state("poison") is State.READY

    bench.task("first", first)
    bench.put(job("a", task="first"))
    bench.fetch()
    bench.work()
    bench.fetch()
    assert bench.fetcher.drained.is_set()
    assert bench.counts().ready == 1


def test_what_could_not_be_given_back_in_an_outage_is_held_until_it_can() -> None:
    bench = Bench(slots=4)
    bench.put("a", "b")
    bench.fetch()
    bench.fetcher.stopping = True
    bench.outage.fail("release", times=2)
    for _ in range(2):
        with pytest.raises(Unreachable):
            bench.fetch()
        assert len(bench.hands.held) == 2
        assert not bench.fetcher.drained.is_set()
    bench.fetch()
    assert bench.counts().ready == 2
    assert bench.fetcher.drained.is_set()


def test_a_slot_whose_thread_goes_on_past_its_timeout_stays_taken() -> None:
    class Adrift(type(Bench().threads)):  # type: ignore[misc]
        adrift = 2

    bench = Bench(slots=3)
    bench.fetcher.threads = Adrift(bench.runner, 3)
    bench.put("a", "b", "c")
    bench.fetch()
    assert len(bench.hands.held) == 1


def test_a_paused_queue_gives_nothing_and_is_asked_again() -> None:
    bench = Bench()
    bench.put("a")
    bench.backend.queue.pause("default", Pause("", NOW + 10 * S))
    assert bench.fetch() == POLL
    assert bench.state("a") is State.READY
    bench.clock.advance(timedelta(seconds=10))
    bench.fetcher.step(bench.now)
    assert bench.state("a") is State.RUNNING


# prefetching


def warm(bench: Bench) -> None:
    """It has seen short jobs, and holds many."""
    for _ in range(100):
        bench.hands.pace.saw(timedelta(0))


def test_what_waits_behind_long_jobs_is_given_back_and_not_claimed_again() -> None:
    bench = Bench(slots=2)
    warm(bench)
    bench.put(*"abcdef")
    bench.fetch()
    assert len(bench.hands.held) == 6
    running = [bench.threads.waiting.popleft() for _ in range(2)]  # and goes on and on
    assert bench.fetch() == PATIENCE
    bench.clock.advance(PATIENCE)
    bench.fetcher.heard = True
    bench.fetch()
    assert bench.hands.held == set(running)
    assert [claim.id.key for claim in bench.take(9, worker="w2")] == ["c", "d", "e", "f"]
    assert bench.seen("c").attempt == 1


def test_while_short_jobs_end_nothing_is_given_back() -> None:
    bench = Bench(slots=2)
    warm(bench)
    bench.put(*"abcdef")
    bench.fetch()
    for _ in range(4):
        bench.clock.advance(PATIENCE / 2)
        bench.threads.turn()
        bench.fetch()
    assert bench.counts().done == 4
    assert bench.counts().ready == 0


def test_what_was_taken_for_short_jobs_goes_to_whoever_is_free_although_one_slot_moves_on() -> None:
    bench = Bench(slots=2)
    bench.hands.pace.mean = 0.0001  # as after many short jobs
    bench.task("slower", lambda: bench.clock.advance(0.09))
    bench.put(*(job(f"j{n:03}", task="slower") for n in range(300)))
    bench.fetch()
    bench.fetch()
    assert len(bench.hands.held) == 300
    stuck = bench.threads.waiting.popleft()  # and goes on and on
    for _ in range(25):
        bench.threads.turn()
        bench.fetch()
    assert stuck in bench.hands.held
    assert len(bench.hands.held) <= 2 * 2 * bench.hands.pace.depth
    following = bench.counts().done + len(bench.hands.held)
    assert [claim.id.key for claim in bench.take(1, worker="w2")] == [f"j{following:03}"], "in their order"


def test_what_waits_behind_slots_that_are_adrift_is_given_back() -> None:
    bench = Bench(slots=3)

    class Drifting(Inline):
        adrift = 0

    bench.fetcher.threads = threads = Drifting(bench.runner, 3)
    warm(bench)
    bench.put("a", "b", "c", "d")
    bench.fetch()
    running = [threads.waiting.popleft() for _ in range(3)]
    for run in running[:2]:  # past their timeouts; their threads go on
        bench.runner.give_up(run)
    threads.adrift = 2
    bench.clock.advance(PATIENCE)
    bench.fetch()
    assert bench.state("d") is State.READY


def test_what_is_given_back_comes_in_its_order_although_more_was_just_granted() -> None:
    bench, ran = Bench(slots=4), list[int]()
    bench.hands.pace.mean = 0.0001  # as after many short jobs

    def send(number: int) -> None:
        ran.append(number)
        bench.clock.advance(1.5 if number in {100, 101, 102} else 0)

    def turns(many: int) -> None:
        for _ in range(100):
            bench.threads.turn()

    bench.task("send", send)
    bench.put(*(job(f"j{n:03}", payload=b"[[%d],{}]" % n) for n in range(900)))
    bench.fetcher.breathe = turns  # they run meanwhile
    bench.fetch()
    bench.fetch()
    bench.fetcher.breathe = lambda many: None
    assert (len(ran), len(bench.fetcher.fresh)) == (100, 400)
    bench.hands.pace.mean = 0.05  # they turn out longer
    assert bench.hands.overfull
    while len(ran) < 900:
        bench.threads.turn()
        bench.fetcher.heard = True
        bench.fetch()
    assert ran == sorted(ran)


def test_it_rests_while_more_long_jobs_run_than_there_are_slots_of_one_kind() -> None:
    bench = Bench(slots=1)

    async def coro() -> None: ...

    bench.task("coro", coro)
    bench.hands.pace.mean = 0.0001  # as after many short jobs
    bench.put(job("a"), job("b", task="coro"), job("c"))
    bench.fetch()
    started = {one.waiting.popleft() for one in (bench.threads, bench.coroutines)}  # and go on and on
    bench.clock.advance(5)
    bench.fetch()
    assert bench.hands.held == started
    assert bench.hands.overfull
    for _ in range(3):
        bench.clock.advance(0.2)
        assert bench.fetch() > 0 * S


def test_what_cannot_be_given_back_in_an_outage_is_held_and_given_back_later() -> None:
    bench = Bench(slots=1)
    warm(bench)
    bench.put("a", "b")
    bench.fetch()
    bench.threads.waiting.popleft()
    bench.clock.advance(PATIENCE)
    bench.outage.fail("release", times=1)
    with pytest.raises(Unreachable):
        bench.fetch()
    assert len(bench.hands.held) == 2
    bench.fetch()
    assert bench.state("b") is State.READY


def test_what_a_full_claim_brought_is_handed_over_though_no_more_fits_by_then() -> None:
    bench = Bench(slots=8)
    overflowing(bench)
    bench.hands.pace.saw_longer(1 * S)  # as when a long run ends meanwhile: far fewer are held from here on
    bench.fetch()
    assert len(bench.threads.waiting) == 2 * HALF
    while not bench.fetcher.idle:
        bench.work()
        bench.fetch()
    assert (bench.counts().done, len(bench.ran)) == (900, 900)


def test_what_a_full_claim_brought_goes_back_when_the_grace_is_over_before_the_next() -> None:
    app = Scheduler(concurrency=8)
    task = app.add_task(lambda: None, name="nothing")
    worker = app.worker()
    worker.hands.pace.mean = 0.0001
    handles = [task.enqueue() for _ in range(900)]
    now = worker.backend.clock.now()
    assert worker.fetcher.step(now) == now
    assert len(worker.fetcher.fresh) == 2 * HALF
    assert not worker.stop(grace=timedelta(0))
    assert {handle.status() for handle in handles} == {State.READY}
    app.close()
