"""A claim whose answer was lost has leased jobs that nobody knows of: that is no crash of anybody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from time import monotonic

import pytest

from chronoq.adapters.system import SystemClock
from chronoq.app.loop import FIRST_PAUSE, Loop
from chronoq.domain.errors import BackendError, Unreachable
from chronoq.domain.job import State
from tests.unit.bench import LEASE, Bench
from tests.unit.made import S


def test_what_a_claim_has_leased_whose_answer_was_lost_is_given_back_and_runs() -> None:
    bench = Bench()
    bench.put("a", "b")
    bench.outage.fail("claim", times=1, after=True)
    with pytest.raises(BackendError):
        bench.fetch()
    assert bench.state("a") is State.RUNNING

    bench.clock.advance(1 * S)
    bench.fetch()
    bench.work()
    bench.fetch()

    for key in ("a", "b"):
        assert (bench.state(key), bench.seen(key).crashes) == (State.DONE, 0)
    assert bench.counts().crashed == 0


def test_what_is_in_hand_or_was_let_go_of_stays_leased_when_a_claims_answer_is_lost() -> None:
    bench = Bench()
    mine, dropped = bench.held("mine", "dropped")
    bench.hands.drop(dropped)  # its handler may run on until the lease ends
    bench.put("other")
    bench.take(worker="w2")
    bench.clock.advance(1 * S)
    bench.outage.fail("claim", times=1, after=True)
    with pytest.raises(BackendError):
        bench.fetch()

    bench.fetch()

    assert mine in bench.hands.held
    assert [bench.state(key) for key in ("mine", "dropped", "other")] == [State.RUNNING] * 3


def test_a_worker_that_stops_gives_back_what_it_never_heard_of() -> None:
    bench = Bench()
    bench.put("a")
    bench.outage.fail("claim", times=1, after=True)
    with pytest.raises(BackendError):
        bench.fetch()
    bench.fetcher.stopping = True

    bench.fetch()

    assert bench.state("a") is State.READY
    assert bench.fetcher.drained.is_set()


def test_while_the_queue_does_not_answer_nothing_is_given_up() -> None:
    bench = Bench()
    bench.put("a")
    bench.outage.fail("claim", times=1, after=True)
    for _ in range(2):
        with pytest.raises(BackendError):
            bench.fetch()
        bench.outage.fail("find", times=1)
    with pytest.raises(BackendError):
        bench.fetch()

    bench.fetch()
    bench.work()
    bench.fetch()
    assert bench.state("a") is State.DONE
    bench.clock.advance(LEASE)
    assert bench.backend.queue.expired(["default"], now=bench.now, limit=9) == []


def test_a_worker_that_was_lost_with_many_jobs_in_hand_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.put(*(f"{number}" for number in range(20)))
    bench.take(20, worker="w2")
    bench.clock.advance(LEASE)

    bench.reaper.step(bench.now)

    assert [record.getMessage() for record in caplog.records] == [
        "⚠ worker w2 was lost with 20 jobs in hand: they run again"
    ]


def test_in_an_outage_wake_ups_neither_cut_the_pauses_short_nor_make_them_grow() -> None:
    """Jobs that end in an outage wake the fetcher: it must not use up its short pauses at once."""
    tries: list[float] = []

    class Failing:
        def step(self, now: datetime) -> datetime:
            tries.append(monotonic())
            loop.wake.set()
            if len(tries) == 3:
                loop.stop()
            raise Unreachable("away")

    loop = Loop("fetcher", Failing(), SystemClock())
    loop.run()

    gaps = [after - before for before, after in pairwise(tries)]
    assert [
        gap >= pause.total_seconds() for gap, pause in zip(gaps, (FIRST_PAUSE, FIRST_PAUSE * 2), strict=True)
    ] == [
        True,
        True,
    ]


def test_what_ends_while_a_lost_claim_is_looked_for_is_not_given_back() -> None:
    bench = Bench()
    bench.put("a")
    bench.fetch()
    bench.outage.fail("claim", times=1, after=True)
    bench.fetcher.heard = True
    with pytest.raises(BackendError):
        bench.fetch()

    class Then(list[datetime]):
        """The run ends when the fetcher has settled, and begins to look."""

        def __iter__(self) -> Iterator[datetime]:
            bench.work()
            return super().__iter__()

    bench.fetcher.unanswered = Then(bench.fetcher.unanswered)
    bench.fetcher.step(bench.now)
    bench.work()
    bench.fetch()

    assert bench.counts().done == 1
    assert len(bench.ran) == 1
