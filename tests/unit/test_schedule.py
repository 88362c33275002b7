"""Schedules as values: their window, and what saving one over another means."""

from datetime import timedelta

import pytest
from attrs import evolve

from chronoq.domain.errors import BadSetting
from chronoq.domain.job import Pause
from chronoq.domain.rhythm import every, once
from chronoq.domain.schedule import Cursor, Put, planned
from tests.unit.made import HOUR, MINUTE, NOW, S, cursor, plan, saved


def test_a_new_schedule_is_created_with_its_first_fire_one_interval_later() -> None:
    assert planned(None, plan(), now=NOW) == (Put.CREATED, Cursor(1, NOW + MINUTE, NOW))


def test_an_unchanged_schedule_keeps_its_due_time_and_all_the_rest() -> None:
    stored = evolve(saved(plan()), cursor=cursor(NOW - HOUR, fires=7, last=NOW - 2 * HOUR, held=True))
    assert planned(stored, plan(), now=NOW) == (Put.UNCHANGED, stored.cursor)


def test_a_changed_schedule_is_planned_anew_from_now() -> None:
    stored = evolve(
        saved(plan()), cursor=cursor(NOW - HOUR, version=4, fires=7, last=NOW - 2 * HOUR, held=True)
    )
    put, after = planned(stored, plan(every("5m")), now=NOW)
    assert put is Put.UPDATED
    assert after == Cursor(5, NOW + 5 * MINUTE, NOW, fires=7)


def test_a_change_of_anything_counts_as_a_change() -> None:
    for other in (plan(overlap="allow"), evolve(plan(), task="other"), evolve(plan(), payload=b"[[1],{}]")):
        assert planned(saved(plan()), other, now=NOW)[0] is Put.UPDATED


def test_a_pause_outlives_a_change() -> None:
    stored = evolve(saved(plan()), cursor=cursor(pause=Pause("holidays")))
    assert planned(stored, plan(every("5m")), now=NOW)[1].pause == Pause("holidays")


def test_an_edit_by_a_clock_that_lags_goes_back_to_no_time_that_has_fired() -> None:
    """S5"""
    fired = evolve(saved(plan()), cursor=cursor(NOW + MINUTE, last=NOW))
    _, once_more = planned(fired, plan(every("30s")), now=NOW - 10 * MINUTE)
    assert (once_more.next, once_more.since) == (NOW + 30 * S, NOW)
    again = evolve(fired, cursor=once_more)
    assert planned(again, plan(every("20s")), now=NOW - 10 * MINUTE)[1].next == NOW + 20 * S


def test_a_rhythm_that_is_over_has_no_next_time() -> None:
    assert planned(None, plan(once(NOW - S)), now=NOW)[1].next is None


def test_nothing_fires_before_the_window_starts_and_its_start_belongs_to_it() -> None:
    schedule = plan(every("1m", anchor=NOW), starts_at=NOW + HOUR)
    assert schedule.next_after(NOW, since=NOW) == NOW + HOUR
    assert schedule.next_after(NOW + HOUR, since=NOW) == NOW + HOUR + MINUTE


def test_nothing_fires_after_the_window_ends_and_its_end_belongs_to_it() -> None:
    schedule = plan(every("1m", anchor=NOW), ends_at=NOW + HOUR)
    assert schedule.next_after(NOW + HOUR - MINUTE, since=NOW) == NOW + HOUR
    assert schedule.next_after(NOW + HOUR, since=NOW) is None


def test_an_interval_without_an_anchor_counts_from_when_it_was_saved() -> None:
    assert plan().next_after(NOW + 90 * S, since=NOW) == NOW + 2 * MINUTE


def test_a_schedule_is_looked_at_when_it_is_due_or_its_pause_ends() -> None:
    until = NOW + HOUR
    assert cursor(NOW).wake == NOW
    assert cursor(NOW, held=True).wake is None
    assert cursor(NOW, pause=Pause("", until)).wake == until
    assert cursor(NOW, pause=Pause()).wake is None


@pytest.mark.parametrize("catch_up", ["all", 0, -1, True, 1.5, None])
def test_a_catch_up_that_is_none_is_refused(catch_up: object) -> None:
    with pytest.raises(BadSetting, match="give 'skip', 'latest' or a number of 1 or more"):
        plan(catch_up=catch_up)


@pytest.mark.parametrize("label", ["pause_after", "max_fires"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "3"])
def test_a_limit_that_is_no_count_is_refused(label: str, value: object) -> None:
    with pytest.raises(BadSetting, match=f"{label}="):
        plan(**{label: value})


def test_a_pause_holds_until_its_end() -> None:
    pause = Pause("", NOW)
    assert pause.holds(NOW - timedelta(microseconds=1))
    assert not pause.holds(NOW)
    assert Pause().holds(NOW)
