"""The checker of the chaos suite: it finds what is lost, doubled or left over, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from chronoq.adapters.memory import open_backend
from chronoq.domain.identity import JobId
from chronoq.domain.job import Job
from chronoq.domain.ports import Backend
from chronoq.domain.verdict import Done
from tests.chaos.checker import back_after, check_jobs, check_ticks, pace, percentile, recoveries
from tests.chaos.ledger import Fact, Ledger, Notes, What
from tests.chaos.roles import QUEUE
from tests.chaos.row import Row
from tests.chaos.scenarios.poison import charges

S = timedelta(seconds=1)


class Play:
    """Jobs on a memory backend, and the ledger of what was done to them."""

    def __init__(self, folder: Path) -> None:
        self.backend: Backend = open_backend("memory://")
        self.notes = Notes(folder)
        self.ledger = Ledger(folder)

    def submit(self, *keys: str) -> None:
        now = self.backend.clock.now()
        self.backend.queue.submit(
            [Job(JobId(QUEUE, key), "work", b"[[],{}]", now, now) for key in keys], now=now
        )
        for key in keys:
            self.notes.note(What.TRIED, key)
            self.notes.note(What.ACKED, key)

    def work(self) -> None:
        now = self.backend.clock.now()
        for claim in self.backend.queue.claim([(QUEUE, 100)], worker="w", lease=S, now=now).claims:
            self.notes.note(What.CLAIMED, claim.id.key, claim.token)
            self.notes.note(What.STARTED, claim.id.key, claim.token)
            self.notes.note(What.ENDED, claim.id.key, claim.token)
            assert self.backend.queue.settle([(claim, Done(b"null"))], now=now) == [True]
            self.notes.note(What.SETTLED, claim.id.key, claim.token)

    def verdict(self, **given: frozenset[str]) -> Row:
        row = Row("F0", "play")
        check_jobs(self.ledger.refresh(), self.backend, row, **given)
        return row


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    play = Play(tmp_path / "ledger")
    yield play
    play.backend.close()


def test_all_is_well_when_each_acknowledged_job_has_ended_once(play: Play) -> None:
    play.submit("a", "b")
    play.work()
    row = play.verdict()
    assert (row.violations, row.jobs, row.lost, row.doubled, row.duplicates) == ([], 2, 0, 0, 0)


def test_an_acknowledged_job_that_the_store_does_not_know_is_lost_unless_it_is_forgiven(play: Play) -> None:
    play.submit("a")
    play.work()
    play.notes.note(What.TRIED, "gone")
    assert play.verdict().ok, "it was never acknowledged"
    play.notes.note(What.ACKED, "gone")
    row = play.verdict()
    assert row.lost == 1
    assert "1 acknowledged jobs are lost (Q1), such as ['gone']" in row.violations
    assert play.verdict(forgiven=frozenset({"gone"})).ok


def test_a_job_that_still_waits_when_all_should_be_over_is_found(play: Play) -> None:
    play.submit("a")
    assert any("have not ended" in one for one in play.verdict().violations)


def test_a_second_completion_is_found(play: Play) -> None:
    play.submit("a")
    play.work()
    play.notes.note(What.SETTLED, "a", 2)
    row = play.verdict()
    assert row.doubled == 1
    assert any("completed twice (Q5)" in one for one in row.violations)


def test_a_token_that_was_granted_twice_is_found(play: Play) -> None:
    play.submit("a")
    play.work()
    play.notes.note(What.CLAIMED, "a", 1)
    assert any("a token was granted twice (C" in one for one in play.verdict().violations)


def test_a_job_that_nobody_tried_to_submit_is_found(play: Play) -> None:
    now = play.backend.clock.now()
    play.backend.queue.submit([Job(JobId(QUEUE, "ghost"), "work", b"[[],{}]", now, now)], now=now)
    play.submit("a")
    play.work()
    assert any("(Q4)" in one for one in play.verdict().violations)


def test_more_second_runs_than_the_faults_explain_are_a_violation(play: Play) -> None:
    play.submit("a")
    play.work()
    play.notes.note(What.STARTED, "a", 2)
    row = Row("F0", "play", allowed=0)
    check_jobs(play.ledger.refresh(), play.backend, row)
    assert row.duplicates == 1
    assert row.violations == ["1 duplicates, the faults explain 0"]


def ticks(tmp_path: Path, *times: int) -> Row:
    notes, row = Notes(tmp_path), Row("F0", "ticks")
    for time in times:
        notes.note(What.TICKED, "s", 1, time)
    check_ticks(Ledger(tmp_path).refresh(), row, step=1, schedules=1)
    return row


def test_each_nominal_time_has_to_run_once(tmp_path: Path) -> None:
    assert ticks(tmp_path / "all", 1000, 2000, 3000).ok
    missing = ticks(tmp_path / "missing", 1000, 3000)
    assert (missing.lost, missing.doubled) == (1, 0)
    assert not missing.ok
    doubled = ticks(tmp_path / "doubled", 1000, 2000, 2000)
    assert (doubled.lost, doubled.doubled) == (0, 1)
    assert not doubled.ok


def test_a_second_run_of_a_schedules_job_is_no_second_firing(tmp_path: Path) -> None:
    notes, row = Notes(tmp_path), Row("F0", "ticks")
    for token in (1, 2):
        notes.note(What.TICKED, "s", token, 1000)
    check_ticks(Ledger(tmp_path).refresh(), row, step=1, schedules=1)
    assert (row.jobs, row.duplicates, row.doubled, row.ok) == (1, 1, 0, True)


def test_recovery_is_the_time_from_a_fall_until_what_was_in_hand_is_ready_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)

    def fact(what: What, key: str, token: int, at: float, pid: int, crashes: int = 0) -> Fact:
        return Fact(what, key, token, at, "-", pid, crashes)

    ledger.take(
        fact(What.CLAIMED, "kept", 1, 1, 7),
        fact(What.SETTLED, "kept", 1, 2, 7),
        fact(What.CLAIMED, "held", 1, 3, 7),
        fact(What.CLAIMED, "elsewhere", 1, 3, 8),
        fact(What.REAPED, "held", 1, 9, 8),
        fact(What.REAPED, "elsewhere", 1, 99, 9),
    )
    assert recoveries(ledger, [(7, 4.0)]) == [5.0]
    assert recoveries(ledger, [(7, 4.0), (7, 5.0)]) == [5.0], "it was in hand at the first"
    ledger.take(fact(What.CLAIMED, "later", 1, 4.5, 7), fact(What.REAPED, "later", 1, 16, 8))
    assert recoveries(ledger, [(7, 4.0), (7, 5.0)]) == [5.0, 11.0], "stopped, gone on, and killed"
    assert percentile([1, 2, 3], 0.5) == 2
    assert percentile([], 0.5) is None


def test_the_pace_is_back_when_a_window_has_95_of_100_of_what_there_was(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    steady = [n / 10 for n in range(100)]  # ten a second for ten seconds, silence until 15, then again
    ledger.take(*(Fact(What.ENDED, "a", 1, at, "-", 1) for at in (*steady, *(15 + one for one in steady))))
    assert pace(ledger, 1, 9) == 10
    assert back_after(ledger, 10, 12, 30) == pytest.approx(3, abs=0.2)
    assert back_after(ledger, 20, 12, 30) is None


def test_a_neighbour_may_be_charged_by_two_poisons_and_not_twice_by_one(tmp_path: Path) -> None:
    """L3"""
    ledger = Ledger(tmp_path)

    def died(pid: int, poison: str, *held: tuple[str, int]) -> None:
        for key, token in held:
            ledger.take(Fact(What.CLAIMED, key, token, pid, "-", pid))
        ledger.take(
            Fact(What.STARTED, "exit-9", 1, pid - 0.5, "-", pid), Fact(What.STARTED, poison, 1, pid, "-", pid)
        )
        ledger.take(*(Fact(What.REAPED, key, token, pid + 1, "-", 99) for key, token in held))

    died(1, "exit-0", ("g1", 1), ("g2", 1), ("exit-0", 1))
    died(2, "segfault-0", ("g1", 2))
    assert max(charges(ledger).values()) == 1
    died(3, "exit-0", ("g2", 2), ("exit-0", 2))
    assert charges(ledger) == {("g1", "exit-0"): 1, ("g2", "exit-0"): 2, ("g1", "segfault-0"): 1}
