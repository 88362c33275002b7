"""The actor that keeps leases alive."""

from datetime import timedelta

import pytest

from chronoq.app.heart import MARGIN
from chronoq.domain.errors import Unreachable
from chronoq.domain.identity import JobId
from chronoq.domain.job import Progress
from chronoq.domain.ports import Cancel
from tests.unit.bench import LEASE, Bench
from tests.unit.made import NOW, S, job, options


def test_it_beats_each_second_or_at_a_third_of_a_short_lease() -> None:
    bench = Bench()
    assert bench.beat() == S
    bench.heart.lease = 1.5 * S
    assert bench.beat() == 0.5 * S


def test_every_lease_that_is_held_is_extended() -> None:
    bench = Bench()
    bench.held("a", "b")
    for _ in range(100):
        bench.beat()
        bench.clock.advance("1s")
    assert bench.backend.queue.expired(["default"], now=bench.now, limit=9) == []
    assert bench.seen("a").until == bench.now - S + LEASE


def test_nothing_is_asked_while_nothing_is_held() -> None:
    bench = Bench()
    bench.beat()
    assert not bench.outage.calls


def test_a_beat_that_comes_early_does_not_ask_again() -> None:
    bench = Bench()
    bench.held("a")
    bench.beat()
    bench.clock.advance("999ms")
    bench.beat()
    assert bench.outage.calls["extend"] == 1
    bench.clock.advance("1ms")
    bench.beat()
    assert bench.outage.calls["extend"] == 2


def test_a_job_that_somebody_cancelled_is_asked_to_stop_once() -> None:
    bench, asked = Bench(), []
    (run,) = bench.held("a")
    run.interrupt = lambda: asked.append(1)
    assert bench.backend.queue.cancel([JobId("default", "a")], now=NOW) == [Cancel.ASKED]
    for _ in range(3):
        bench.beat()
        bench.clock.advance("1s")
    assert run.context.cancelled
    assert asked == [1]
    assert run in bench.hands.held


def test_a_job_whose_lease_was_lost_is_let_go_and_asked_to_stop(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    runs = bench.held("a", "b")
    bench.clock.advance(LEASE)
    bench.reaper.step(bench.now)
    bench.beat()
    assert not bench.hands.held
    assert all(run.context.cancelled for run in runs)
    assert "⚠ send  a  the lease was lost" in caplog.text


def test_progress_is_passed_on_with_the_beat_and_only_when_it_is_new() -> None:
    bench = Bench()
    (run,) = bench.held("a")
    run.context.progress(3, 10)
    run.context.progress(4, 10)
    bench.beat()
    assert bench.seen("a").progress == Progress(4, 10)
    bench.clock.advance("1s")
    bench.beat()
    assert bench.outage.calls["report"] == 1


def test_a_worker_that_cannot_renew_stops_its_jobs_before_the_lease_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """L7"""
    bench = Bench()
    (run,) = bench.held("a")
    bench.beat()
    bench.outage.fail("extend")
    bench.clock.move_to(NOW + LEASE - min(MARGIN, LEASE / 2) - timedelta(milliseconds=1))
    with pytest.raises(Unreachable):
        bench.beat()
    assert run in bench.hands.held
    assert not run.stopping
    tries = bench.outage.calls["extend"]
    bench.clock.advance("1ms")
    bench.beat()
    assert bench.outage.calls["extend"] == tries, "it tried first, and a server that hangs holds up a try"
    assert run not in bench.hands.held
    assert run.stopping
    assert "⚠ send  a  stopped: its lease could not be renewed" in caplog.text


def test_a_worker_that_stood_still_but_can_renew_stops_nothing() -> None:
    """L2"""
    bench = Bench()
    (run,) = bench.held("a")
    bench.beat()
    bench.clock.move_to(NOW + LEASE - timedelta(seconds=1))
    bench.beat()
    assert run in bench.hands.held
    assert run.until == bench.now + LEASE


def test_an_outage_that_ends_in_time_stops_nothing() -> None:
    bench = Bench()
    (run,) = bench.held("a")
    bench.beat()
    bench.outage.fail("extend", times=20)
    for _ in range(20):
        bench.clock.advance("1s")
        with pytest.raises(Unreachable):
            bench.beat()
    bench.beat()
    assert not run.stopping
    assert run.until == bench.now + LEASE


def test_a_thread_past_its_deadline_is_given_up_and_its_lease_not_kept() -> None:
    """L2: a handler past its deadline is not kept alive."""
    bench = Bench()
    (run,) = bench.held(job("a", options=options(timeout=5 * S)))
    run.deadline = NOW + 5 * S
    assert bench.beat() == S
    bench.clock.advance("4500ms")
    assert bench.beat() == 0.5 * S
    bench.clock.advance("500ms")
    bench.beat()
    assert run.given_up
    assert run not in bench.hands.held
    assert len(bench.hands.outbox) == 1
    assert bench.timeouts == [1]


def test_a_deadline_is_met_through_an_outage_too() -> None:
    bench = Bench()
    (run,) = bench.held("a")
    run.deadline = NOW + S
    bench.outage.fail()
    bench.clock.advance("1s")
    bench.beat()
    assert run.given_up


def test_a_run_that_ended_by_itself_at_its_deadline_is_not_given_up() -> None:
    bench = Bench()
    (run,) = bench.held("a")
    run.deadline = NOW
    bench.runner.run(run)
    bench.beat()
    assert not run.given_up
    assert not bench.timeouts
