"""What people do to a schedule: each verb is a step on the cursor."""

from collections import deque
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from chronoq.domain.control import (
    MOST_BACKFILL,
    Backfill,
    fill,
    missing,
    pause,
    readable,
    resume,
    trigger,
)
from chronoq.domain.errors import BadName, ChronoqError, Invalid
from chronoq.domain.firing import fire, minted
from chronoq.domain.job import Options, Origin, Pause, Priority
from chronoq.domain.ports import LEDGER
from chronoq.domain.rhythm import Rhythm, cron, every, once
from chronoq.domain.schedule import Due, Happened, Outcome, Overlap, Put, Stored, planned
from tests.unit.made import DAY, HOUR, MINUTE, NOW, S, cursor, minutes, nominals, plan, saved, step

TICK = timedelta(microseconds=1)
UNREADABLE = Stored(plan().id, cursor(NOW), None, "unknown rhythm 'moon'")


def paused(rhythm: Rhythm | None = None, **policy: Any) -> Stored:
    return evolve(stored := saved(plan(rhythm, **policy)), cursor=evolve(stored.cursor, pause=Pause("lunch")))


# pause and resume


def test_a_pause_stands_in_the_cursor_and_keeps_what_is_pending() -> None:
    stored = saved(plan())
    firing = pause(stored, Pause("lunch", NOW + HOUR))
    assert firing.expected == stored.cursor
    assert firing.cursor == evolve(stored.cursor, pause=Pause("lunch", NOW + HOUR))
    assert firing.cursor.wake == NOW + HOUR
    assert (firing.jobs, firing.outcomes, firing.stop) == ((), (), False)


def test_a_pause_without_an_end_is_not_looked_at_again() -> None:
    assert pause(saved(plan()), Pause()).cursor.wake is None


def test_a_pause_ends_being_held() -> None:
    _, held = step(saved(plan(overlap=Overlap.QUEUE_ONE)), NOW + MINUTE, live=1)
    assert held.cursor.held
    assert not pause(held, Pause()).cursor.held


def test_a_second_pause_replaces_the_first() -> None:
    assert pause(paused(), Pause("dinner")).cursor.pause == Pause("dinner")


def test_one_that_cannot_be_read_can_be_paused() -> None:
    assert pause(UNREADABLE, Pause("broken")).cursor.pause == Pause("broken")


def test_resuming_goes_on_from_the_next_time_and_says_what_was_left_out() -> None:
    firing = resume(paused(), catch_up=False, now=NOW + 5.5 * MINUTE)
    assert firing.cursor.pause is None
    assert firing.cursor.next == NOW + 6 * MINUTE
    assert firing.cursor.last is None
    assert firing.outcomes == (
        Outcome(NOW + MINUTE, Happened.PAUSED, NOW + 5.5 * MINUTE, last=NOW + 5.5 * MINUTE, count=None),
    )


def test_resuming_before_anything_has_passed_leaves_nothing_out() -> None:
    firing = resume(paused(), catch_up=False, now=NOW + MINUTE - TICK)
    assert firing.cursor == saved(plan()).cursor
    assert firing.outcomes == ()


def test_a_time_at_the_very_moment_of_resuming_is_left_out() -> None:
    assert resume(paused(), catch_up=False, now=NOW + MINUTE).cursor.next == NOW + 2 * MINUTE


@pytest.mark.parametrize(("catch_up", "made"), [("skip", ()), ("latest", (5,)), (3, (3, 4, 5))])
def test_resuming_with_catch_up_leaves_it_to_the_policy(catch_up: Any, made: tuple[int, ...]) -> None:
    stored, now = paused(catch_up=catch_up, overlap=Overlap.ALLOW), NOW + 5.5 * MINUTE
    firing = resume(stored, catch_up=True, now=now)
    assert firing.cursor == evolve(stored.cursor, pause=None)
    assert firing.outcomes == ()
    caught_up, _ = step(evolve(stored, cursor=firing.cursor), now)
    assert nominals(caught_up) == minutes(*made)


@pytest.mark.parametrize("catch_up", [False, True])
def test_resuming_what_is_not_paused_drops_nothing_that_is_pending(catch_up: bool) -> None:
    _, held = step(saved(plan(overlap=Overlap.QUEUE_ONE)), NOW + MINUTE, live=1)
    for stored in (saved(plan()), held):
        firing = resume(stored, catch_up=catch_up, now=NOW + 10 * MINUTE)
        assert firing.cursor == stored.cursor
        assert firing.outcomes == ()


def test_resuming_a_finished_one_leaves_it_finished() -> None:
    stored = paused(once(NOW + MINUTE))
    assert resume(stored, catch_up=False, now=NOW + HOUR).cursor.next is None
    finished = evolve(stored, cursor=evolve(stored.cursor, next=None))
    assert resume(finished, catch_up=False, now=NOW + HOUR).outcomes == ()


def test_resuming_one_that_cannot_be_read_says_what_to_do() -> None:
    broken = evolve(UNREADABLE, cursor=evolve(UNREADABLE.cursor, pause=Pause("broken")))
    with pytest.raises(ChronoqError, match=r"cannot be read: unknown rhythm 'moon'\. Save it again\."):
        resume(broken, catch_up=False, now=NOW)


# trigger


def test_a_trigger_makes_one_job_now_and_moves_nothing() -> None:
    stored = saved(plan(jitter=50 * S))
    firing = trigger(stored, "tick@by-hand", now=NOW + 30 * S)
    assert firing.expected == firing.cursor == stored.cursor
    (job,) = firing.jobs
    assert job.id.key == "tick@by-hand"
    assert job.due == job.enqueued_at == NOW + 30 * S
    assert job.origin == Origin(stored.id, NOW + 30 * S)
    assert job.run_of == stored.id
    assert firing.outcomes == (Outcome(NOW + 30 * S, Happened.MANUAL, NOW + 30 * S, note="tick@by-hand"),)


def test_a_paused_one_can_be_triggered_and_stays_paused() -> None:
    firing = trigger(paused(), "k", now=NOW)
    assert len(firing.jobs) == 1
    assert firing.cursor.pause == Pause("lunch")


def test_one_that_cannot_be_read_cannot_be_triggered() -> None:
    with pytest.raises(ChronoqError, match="cannot be read"):
        trigger(UNREADABLE, "k", now=NOW)


# backfill


def wish(begin: float = 0, end: float = 5, **given: Any) -> Backfill:
    return Backfill(NOW + begin * MINUTE, NOW + end * MINUTE, given.pop("id", "b"), **given)


def made_up(stored: Stored, backfill: Backfill, *ledger: Outcome) -> list[float]:
    found = missing(stored, backfill, ledger)
    return [(nominal - NOW) / MINUTE for _, nominal in found]


def outcome(minute: float, what: Happened = Happened.FIRED, **given: Any) -> Outcome:
    return Outcome(NOW + minute * MINUTE, what, NOW + HOUR, **given)


def test_the_range_includes_its_start_and_not_its_end() -> None:
    assert made_up(saved(plan()), wish(1, 4)) == [1, 2, 3]


def test_each_data_interval_ends_at_its_nominal_time() -> None:
    found = missing(saved(plan()), wish(2, 4), [])
    assert found == [(NOW + 1 * MINUTE, NOW + 2 * MINUTE), (NOW + 2 * MINUTE, NOW + 3 * MINUTE)]


def test_the_first_time_of_all_begins_at_the_start_of_the_range() -> None:
    assert missing(saved(plan()), wish(-3, 2), []) == [(NOW - 3 * MINUTE, NOW + MINUTE)]


def test_a_cron_reaches_back_before_it_was_saved_and_an_interval_does_not() -> None:
    assert made_up(saved(plan(cron("* * * * *"))), wish(-3, 0)) == [-3, -2, -1]
    assert made_up(saved(plan()), wish(-3, 0)) == []


def test_what_has_fired_is_left_out_unless_again() -> None:
    ledger = [outcome(2), outcome(3, Happened.OVERLAP), outcome(4, Happened.MISSED)]
    assert made_up(saved(plan()), wish(), *ledger) == [1, 3, 4]
    assert made_up(saved(plan()), wish(again=True), *ledger) == [1, 2, 3, 4]


def test_what_the_same_backfill_has_made_is_left_out_always() -> None:
    ledger = [outcome(1, Happened.BACKFILL, note="b"), outcome(2, Happened.BACKFILL, note="another")]
    assert made_up(saved(plan()), wish(), *ledger) == [2, 3, 4]
    assert made_up(saved(plan()), wish(again=True), *ledger) == [2, 3, 4]


def test_more_than_the_limit_is_refused_with_what_to_do() -> None:
    assert made_up(saved(plan()), wish(limit=4)) == [1, 2, 3, 4]
    with pytest.raises(Invalid, match=r"more than 3 jobs\. Narrow the range, or raise the limit\."):
        made_up(saved(plan()), wish(limit=3))
    assert wish().limit == MOST_BACKFILL == 1_000


def test_what_is_left_out_does_not_count_towards_the_limit() -> None:
    assert made_up(saved(plan()), wish(limit=3), outcome(1)) == [2, 3, 4]


def test_a_long_range_is_refused_after_a_bounded_walk() -> None:
    with pytest.raises(Invalid):
        made_up(saved(plan(every("1s"))), wish(0, 10**7))


@pytest.mark.parametrize(("begin", "end"), [(1, 1), (2, 1)])
def test_a_range_that_ends_before_it_begins_is_refused(begin: int, end: int) -> None:
    with pytest.raises(Invalid, match=r"the end .* is not after the start"):
        wish(begin, end)


@pytest.mark.parametrize("id", ["", "a b", "a:b", "a+b", "x" * 129, "ü"])
def test_a_name_that_would_not_fit_into_a_job_id_is_refused(id: str) -> None:
    with pytest.raises(BadName, match="backfill id"):
        wish(id=id)


def test_one_that_cannot_be_read_cannot_be_made_up_for() -> None:
    with pytest.raises(ChronoqError, match="cannot be read"):
        made_up(UNREADABLE, wish())
    with pytest.raises(ChronoqError, match="cannot be read"):
        fill(UNREADABLE, wish(), [(NOW, NOW + MINUTE)], now=NOW)


def test_a_backfill_makes_low_priority_jobs_beside_the_schedule() -> None:
    schedule = evolve(plan(jitter=50 * S), options=Options(priority=Priority.CRITICAL, timeout=7 * S))
    stored = saved(schedule)
    firing = fill(stored, wish(id="march"), [(NOW, NOW + MINUTE)], now=NOW + HOUR)
    assert firing.expected == firing.cursor == stored.cursor
    (job,) = firing.jobs
    assert job.id.key == f"{minted('tick', NOW + MINUTE)}+march"
    assert job.origin == Origin(stored.id, NOW + MINUTE, NOW, NOW + MINUTE)
    assert job.run_of is None
    assert job.options == Options(priority=Priority.LOW, timeout=7 * S)
    assert job.due == NOW + HOUR
    assert firing.outcomes == (Outcome(NOW + MINUTE, Happened.BACKFILL, NOW + HOUR, note="march"),)


@given(st.integers(0, 40), st.integers(1, 40), st.integers(1, 10), st.booleans())
def test_a_backfill_that_is_cut_anywhere_and_taken_up_makes_each_time_once(
    begin: int, length: int, chunk: int, again: bool
) -> None:
    stored, wanted = saved(plan()), wish(begin, begin + length, again=again)
    whole = missing(stored, wanted, [])
    ledger: list[Outcome] = []
    keys: list[str] = []
    while left := missing(stored, wanted, ledger):
        firing = fill(stored, wanted, left[:chunk], now=NOW + 10 * HOUR)
        ledger = [*reversed(firing.outcomes), *ledger]
        keys += [job.id.key for job in firing.jobs]
    assert keys == [f"{minted('tick', nominal)}+b" for _, nominal in whole]


def test_neighbouring_times_share_an_entry_of_the_ledger() -> None:
    stored, wanted = saved(plan()), wish(0, 8)
    times = missing(stored, wanted, [outcome(4)])
    assert fill(stored, wanted, times, now=NOW + HOUR).outcomes == (
        Outcome(NOW + MINUTE, Happened.BACKFILL, NOW + HOUR, NOW + 3 * MINUTE, 3, "b"),
        Outcome(NOW + 5 * MINUTE, Happened.BACKFILL, NOW + HOUR, NOW + 7 * MINUTE, 3, "b"),
    )
    assert fill(stored, wanted, times[:1], now=NOW + HOUR).outcomes == (
        Outcome(NOW + MINUTE, Happened.BACKFILL, NOW + HOUR, note="b"),
    )


def test_a_large_backfill_pushes_nothing_that_has_fired_out_of_the_ledger() -> None:
    stored, wanted = saved(plan()), wish(0, 1_401)
    ledger = deque((outcome(minute) for minute in range(1_400, 800, -1)), maxlen=LEDGER)
    times = missing(stored, wanted, list(ledger))
    for place in range(0, 500, 100):
        ledger.extendleft(fill(stored, wanted, times[place : place + 100], now=NOW + DAY).outcomes)
    assert missing(stored, wanted, list(ledger)) == times[500:]


def test_readable_gives_the_schedule() -> None:
    assert readable(saved(plan())) == plan()


# saving


def test_an_edit_of_a_spent_schedule_does_not_fire_once_more() -> None:
    _, spent = step(saved(plan(max_fires=1)), NOW + MINUTE)
    assert spent.cursor.next is None
    put, after = planned(spent, plan(max_fires=1, jitter=S), now=NOW + HOUR)
    assert put is Put.UPDATED
    assert after.next is None
    _, more = planned(spent, plan(max_fires=2), now=NOW + HOUR)
    assert more.next == NOW + HOUR + MINUTE


def test_a_time_that_a_faster_clock_held_back_does_not_fire_before_it_is_due() -> None:
    _, held = step(saved(plan(overlap=Overlap.QUEUE_ONE)), NOW + MINUTE, live=1)
    firing = fire(Due(held), now=NOW + 30 * S)
    assert firing.jobs == ()
    assert firing.cursor == evolve(held.cursor, held=False)
