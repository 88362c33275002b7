"""Schedulers that are killed, stopped and continued: no nominal time fires twice, none is missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from chronoq.domain.schedule import Happened
from chronoq.domain.time import duration
from tests.faults import Stage, on_stage
from tests.faults_app import RHYTHMS
from tests.proc import Process
from tests.servers import Server, eventually

NewServer = Callable[..., Server]

LEADS = r"♔ \S+ leads \(term (\d+)\)"
TAKEOVER = 10
"""Seconds: the lock lives for one, a third of that passes between tries; the rest is for a busy machine."""


@pytest.fixture
def stage(new_server: NewServer, tmp_path: Path) -> Iterator[Stage]:
    with on_stage(new_server(), tmp_path) as stage:
        yield stage


def nominal_times(stage: Stage, schedule: str) -> list[datetime]:
    return [datetime.fromisoformat(fact.note) for fact in stage.ledger.of(schedule)]


def wait_for_ticks(stage: Stage, more: int) -> None:
    """Until the fast schedule has run so many times more."""
    before = stage.ledger.count("fast")
    eventually(lambda: stage.ledger.count("fast") >= before + more, within=30)


def check(stage: Stage) -> None:
    """Every nominal time from the first to the last has fired, and has run, exactly once (S1, S3)."""
    eventually(lambda: stage.counts.running + stage.counts.ready + stage.counts.delayed == 0)
    for name, rhythm in RHYTHMS.items():
        ran = sorted(nominal_times(stage, name))
        outcomes = stage.app.stored_schedule(name).ledger(limit=1000)
        fired = sorted(outcome.nominal for outcome in outcomes)

        assert {outcome.what for outcome in outcomes} == {Happened.FIRED}
        assert {later - earlier for earlier, later in pairwise(fired)} == {duration(rhythm)}, name
        assert ran == fired
    counts = stage.counts
    assert counts.balanced
    assert counts.done == counts.accepted == sum(stage.ledger.count(name) for name in RHYTHMS)


def test_a_standby_takes_over_from_a_killed_leader_and_no_time_is_lost_or_doubled(stage: Stage) -> None:
    with stage.process("worker", "-q", app="ticking"), ExitStack() as stack:
        leader = stack.enter_context(stage.scheduler())
        first = int(leader.wait_line(LEADS, within=30)[1])
        for term in range(first + 1, first + 4):
            standby = stack.enter_context(stage.scheduler())
            standby.wait_line("declared", within=30)
            wait_for_ticks(stage, 3)
            leader.sigkill()
            assert int(standby.wait_line(LEADS, within=TAKEOVER)[1]) == term
            leader = standby
        wait_for_ticks(stage, 5)
        leader.sigterm()
        assert leader.wait() == 0
        check(stage)


def test_a_leader_that_was_stopped_past_its_locks_life_goes_on_without_doing_harm(stage: Stage) -> None:
    with stage.process("worker", "-q", app="ticking"), ExitStack() as stack:
        first, second = (stack.enter_context(stage.scheduler()) for _ in range(2))
        leader, standby = who_leads(first, second)
        for round in range(1, 4):
            wait_for_ticks(stage, 3)
            leader.sigstop()
            standby.wait_line(LEADS, within=TAKEOVER, times=(round + 1) // 2)
            wait_for_ticks(stage, 3)
            leader.sigcont()
            leader.wait_line("leads no more", within=TAKEOVER, times=(round + 1) // 2)
            leader, standby = standby, leader
        wait_for_ticks(stage, 5)
        for process in (first, second):
            process.sigterm()
            assert process.wait() == 0
        check(stage)


def test_a_scheduler_that_ends_in_order_lets_another_one_lead_at_once(stage: Stage) -> None:
    with stage.scheduler(lock_ttl="10m") as leader:
        leader.wait_line(LEADS, within=30)
        leader.sigterm()
        assert leader.wait() == 0
        assert [line for line in leader.err if "Traceback" in line or "⚠" in line] == []
    with stage.scheduler(lock_ttl="10m") as other:
        other.wait_line(LEADS, within=30)  # the lock of one that was killed would have nine minutes to live


def who_leads(one: Process, other: Process) -> tuple[Process, Process]:
    """The leader and the standby, when both are there."""
    for process in (one, other):
        process.wait_line("declared", within=30)

    def leads(process: Process) -> bool:
        return any("leads" in line for line in process.err)

    eventually(lambda: leads(one) or leads(other), within=30)
    return (one, other) if leads(one) else (other, one)
