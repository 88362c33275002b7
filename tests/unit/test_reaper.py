"""The actor that takes leases from workers that are gone."""

import pytest

from chronoq.app.reaper import AT_ONCE, SWEEP
from chronoq.domain.job import State
from chronoq.domain.verdict import after_lapse
from tests.unit.bench import LEASE, Bench
from tests.unit.made import S


def sweep(bench: Bench) -> float:
    return (bench.reaper.step(bench.now) - bench.now).total_seconds()


def test_a_lease_that_holds_is_left_alone() -> None:
    bench = Bench()
    bench.held("a")
    bench.clock.move_to(bench.now + LEASE - 0.001 * S)
    assert sweep(bench) == SWEEP.total_seconds() == 2  # L1
    assert bench.state("a") is State.RUNNING


def test_a_lease_that_ran_out_lets_the_job_run_again_with_one_crash_and_no_attempt_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.held("a")
    bench.clock.advance(LEASE)
    assert sweep(bench) == SWEEP.total_seconds()
    (claim,) = bench.take(worker="w2")
    assert (claim.crashes, claim.attempt, claim.token) == (1, 1, 2)
    assert "worker w1 was lost while it held this job (crash 1 of 3 allowed): it runs again" in caplog.text


def test_the_third_lost_worker_leads_to_the_dead_letters(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.put("a")
    for _ in range(3):
        bench.take()
        bench.clock.advance(LEASE)
        sweep(bench)
    assert bench.state("a") is State.DEAD
    assert bench.seen("a").crashes == 3
    assert "in the dead letters" in caplog.text


def test_a_full_sweep_goes_on_at_once() -> None:
    bench = Bench()
    bench.held(*(f"{n}" for n in range(AT_ONCE + 1)))
    bench.clock.advance(LEASE)
    assert sweep(bench) == 0
    assert sweep(bench) == SWEEP.total_seconds()
    assert bench.counts().ready == AT_ONCE + 1


def test_two_reapers_charge_one_crash(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.held("a")
    bench.clock.advance(LEASE)
    verdict = after_lapse(
        bench.backend.queue.expired(["default"], now=bench.now, limit=9)[0], now=bench.now, max_crashes=3
    )
    (run,) = bench.hands.held
    sweep(bench)
    assert bench.backend.queue.settle([(run.claim, verdict)], now=bench.now) == [False]
    sweep(bench)
    assert bench.seen("a").crashes == 1
    assert caplog.text.count("was lost while") == 1
