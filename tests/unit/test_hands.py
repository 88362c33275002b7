"""What a worker has in hand."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from attrs import define

from chronoq.app.hands import Hands, Pace
from chronoq.domain.identity import JobId
from chronoq.domain.job import Claim, Job
from chronoq.domain.verdict import Done

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def claim(key: str = "j") -> Claim:
    return Claim(Job(JobId("q", key), "task", b"[[],{}]", NOW, NOW), 1, 1, "w", NOW + timedelta(seconds=30))


def test_a_worker_is_not_empty_handed_while_a_verdict_is_on_its_way_to_the_outbox() -> None:
    seen: list[bool] = []

    @define
    class Watched(Pace):
        def saw(self, length: timedelta) -> None:  # called between the two: no longer held, not yet put out
            seen.append(hands.empty)

    hands = Hands(1, pace=Watched())
    run = hands.take(claim())
    assert not hands.empty

    assert hands.finish(run, Done(), now=NOW)

    assert seen == [False]
    assert not hands.empty
    hands.outbox.clear()
    assert hands.empty


def test_a_run_that_somebody_else_let_go_of_leaves_nothing_behind() -> None:
    hands = Hands(1)
    run = hands.take(claim())

    assert hands.drop(run)
    assert not hands.finish(run, Done(), now=NOW)
    assert hands.empty


def test_among_short_jobs_one_that_was_kept_waiting_hardly_counts() -> None:
    pace = Pace()
    for _ in range(500):
        pace.saw(timedelta(microseconds=50))
    assert pace.depth == Pace.DEEPEST
    pace.saw(timedelta(milliseconds=40))
    assert pace.depth >= Pace.DEEPEST // 2


def test_one_job_for_each_slot_is_brought_at_once_or_half_of_the_short_ones() -> None:
    hands = Hands(8)
    assert hands.half == 8
    hands.pace.mean = 0.025  # two for each slot
    assert hands.half == 8
    hands.pace.mean = 0.005  # ten
    assert hands.half == 40
    hands.pace.mean = 0.0001
    assert hands.half == 4 * Pace.DEEPEST


def test_where_nearly_all_jobs_end_at_once_that_is_known_until_they_do_not() -> None:
    pace = Pace()
    assert not pace.instant
    for _ in range(1000):
        pace.saw(timedelta(microseconds=100))
    assert pace.instant
    for _ in range(5):
        pace.saw(timedelta(milliseconds=1))
    assert not pace.instant


def test_where_nearly_all_jobs_end_at_once_one_whose_thread_had_to_wait_changes_nothing() -> None:
    pace = Pace()
    for length in (timedelta(0), timedelta(milliseconds=7), timedelta(0)):
        for _ in range(500 if length == timedelta(0) else 1):
            pace.saw(length)
            known = pace.instant
        assert known


def test_one_in_twenty_that_waits_for_something_is_enough_for_them_to_run_side_by_side() -> None:
    pace, known = Pace(), list[bool]()
    for number in range(3000):
        pace.saw(timedelta(milliseconds=5) if number % 20 == 0 else timedelta(microseconds=10))
        known.append(pace.instant)
    assert not any(known)


def test_nobody_waits_for_jobs_of_which_it_is_not_known_that_they_end_at_once() -> None:
    hands = Hands(1)
    hands.take(claim())
    hands.breathe(10**9)


def test_who_waits_for_jobs_that_end_at_once_goes_on_with_the_end_of_the_last() -> None:
    hands = Hands(1)
    hands.pace.forget()
    runs = [hands.take(claim()), hands.take(claim())]
    waiting = threading.Thread(target=hands.breathe, args=(10**9,))
    waiting.start()
    hands.finish(runs[0], Done(), now=NOW)
    assert waiting.is_alive()
    hands.finish(runs[1], Done(), now=NOW)
    waiting.join(20)
    assert not waiting.is_alive()
    hands.breathe(10**9)  # nothing is held: nothing to wait for


def test_when_jobs_become_long_fewer_are_held_soon() -> None:
    pace = Pace()
    for _ in range(500):
        pace.saw(timedelta(microseconds=50))
    for _ in range(10):
        pace.saw(timedelta(seconds=1))
    assert pace.depth == 1


def test_a_moment_in_which_the_machine_stands_still_does_not_make_the_hands_overfull() -> None:
    hands = Hands(slots=8, pace=Pace(mean=0.00025))
    for number in range(1600):
        hands.take(claim(f"j{number}"))
    for _ in range(8):
        hands.pace.saw(timedelta(milliseconds=40))
    assert not hands.overfull
    for _ in range(16):
        hands.pace.saw(timedelta(milliseconds=90))
    assert hands.overfull
