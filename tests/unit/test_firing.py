"""What a due schedule does at a moment."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from chronoq.domain.errors import Invalid
from chronoq.domain.firing import (
    AT_ONCE,
    _after,
    _before,
    fire,
    following,
    latest,
    minted,
    previous,
    set_aside,
)
from chronoq.domain.identity import ScheduleId
from chronoq.domain.job import Pause
from chronoq.domain.rhythm import Rhythm, cron, every, once, union
from chronoq.domain.schedule import Due, Firing, Happened, Outcome, Overlap, Policy, Schedule, Stored
from tests.unit.made import DAY, HOUR, MINUTE, NOW, S, cursor, minutes, nominals, plan, saved, step

YEAR = 365 * DAY


def told(firing: Firing) -> list[tuple[datetime, Happened]]:
    return [(one.nominal, one.what) for one in firing.outcomes]


# one nominal time


def test_a_due_time_makes_one_job_under_a_key_that_names_it() -> None:
    firing, after = step(saved(plan()), NOW + MINUTE)
    (job,) = firing.jobs
    assert job.id.key == minted("tick", NOW + MINUTE) == f"tick@{int((NOW + MINUTE).timestamp() * 1000)}"
    assert job.due == NOW + MINUTE
    assert job.enqueued_at == NOW + MINUTE
    assert after.cursor == cursor(NOW + 2 * MINUTE, since=NOW, last=NOW + MINUTE, fires=1)
    assert told(firing) == [(NOW + MINUTE, Happened.FIRED)]


def test_firing_the_same_time_twice_makes_the_same_job() -> None:
    stored = saved(plan(jitter=10 * S))
    first, second = (fire(Due(stored), now=NOW + MINUTE + late * S) for late in (0, 3))
    assert [job.id for job in first.jobs] == [job.id for job in second.jobs]
    assert [job.due for job in first.jobs] == [job.due for job in second.jobs]


def test_nothing_happens_before_the_due_time() -> None:
    firing, after = step(saved(plan()), NOW + MINUTE - timedelta(microseconds=1))
    assert not firing.jobs
    assert not firing.outcomes
    assert after == saved(plan())


def test_the_data_interval_reaches_from_the_time_before_to_its_own() -> None:
    first, stored = step(saved(plan()), NOW + MINUTE)
    second, _ = step(stored, NOW + 2 * MINUTE)
    spans = [
        (job.origin.start, job.origin.end) for firing in (first, second) for job in firing.jobs if job.origin
    ]
    assert spans == [(NOW, NOW + MINUTE), (NOW + MINUTE, NOW + 2 * MINUTE)]


def test_a_time_within_the_grace_is_late_but_not_missed() -> None:
    firing, _ = step(saved(plan(catch_up="skip")), NOW + MINUTE + 5 * S - timedelta(microseconds=1))
    assert nominals(firing) == minutes(1)


# catching up


def test_skip_makes_nothing_of_what_was_missed() -> None:
    firing, after = step(saved(plan(catch_up="skip")), NOW + 10.5 * MINUTE)
    assert not firing.jobs
    assert firing.outcomes == (
        Outcome(NOW + MINUTE, Happened.MISSED, NOW + 10.5 * MINUTE, last=NOW + 10 * MINUTE, count=None),
    )
    assert after.cursor.next == NOW + 11 * MINUTE


def test_latest_makes_one_job_of_all_that_was_missed() -> None:
    firing, after = step(saved(plan()), NOW + 10.5 * MINUTE)
    assert nominals(firing) == minutes(10)
    assert told(firing) == [(NOW + MINUTE, Happened.MISSED), (NOW + 10 * MINUTE, Happened.FIRED)]
    assert firing.outcomes[0].last == NOW + 9 * MINUTE
    assert after.cursor.next == NOW + 11 * MINUTE


def test_a_number_makes_so_many_at_most_the_oldest_first() -> None:
    firing, _ = step(saved(plan(catch_up=3, overlap=Overlap.ALLOW)), NOW + 10.5 * MINUTE)
    assert nominals(firing) == minutes(8, 9, 10)
    firing, _ = step(saved(plan(catch_up=30, overlap=Overlap.ALLOW)), NOW + 10.5 * MINUTE)
    assert nominals(firing) == minutes(*range(1, 11))
    assert told(firing)[0] == (NOW + MINUTE, Happened.FIRED)


def test_what_lies_before_the_window_is_not_caught_up() -> None:
    firing, _ = step(saved(plan(catch_up=30, window=3 * MINUTE, overlap=Overlap.ALLOW)), NOW + 10.5 * MINUTE)
    assert nominals(firing) == minutes(8, 9, 10)


def test_a_missed_time_older_than_the_window_is_dropped_even_by_latest() -> None:
    firing, after = step(saved(plan(every("1d"))), NOW + DAY + 23 * HOUR)
    assert nominals(firing) == [NOW + DAY]
    firing, after = step(saved(plan(every("1d"), window=HOUR)), NOW + DAY + 2 * HOUR)
    assert not firing.jobs
    assert after.cursor.next == NOW + 2 * DAY


def test_what_is_within_the_grace_fires_beside_what_is_caught_up() -> None:
    firing, _ = step(saved(plan(overlap=Overlap.ALLOW)), NOW + 10 * MINUTE + 2 * S)
    assert nominals(firing) == minutes(9, 10)


@pytest.mark.parametrize("catch_up", ["skip", "latest", 5])
@pytest.mark.parametrize("outage", [MINUTE, YEAR])
def test_a_years_outage_of_a_schedule_that_fires_each_second_costs_as_much_as_a_minutes(
    catch_up: str | int, outage: timedelta
) -> None:
    counted = Counted(every("1s", anchor=NOW))
    stored = saved(plan(counted, catch_up=catch_up, window=2 * YEAR, overlap="allow"))
    counted.asked = 0
    firing = fire(Due(stored), now=NOW + outage)
    assert len(firing.jobs) <= 10
    assert counted.asked < 1_500


class Counted(Rhythm):
    """A rhythm that counts how often it is asked."""

    def __init__(self, rhythm: Rhythm) -> None:
        self.rhythm = rhythm
        self.asked = 0

    def spec(self) -> dict[str, object]:
        return self.rhythm.spec()

    def describe(self) -> str:
        return self.rhythm.describe()

    def _next(self, moment: datetime) -> datetime | None:
        self.asked += 1
        return self.rhythm.next_after(moment)


def test_one_step_handles_a_bounded_number_of_times_and_the_next_goes_on() -> None:
    stored = saved(plan(every("1s"), catch_up=250, overlap="allow"))
    made = []
    for _ in range(3):
        firing, stored = step(stored, NOW + 300 * S)
        assert len(firing.jobs) <= AT_ONCE
        made += nominals(firing)
    assert made == [NOW + second * S for second in range(46, 301)]


moments = st.integers(0, 5_000).map(lambda seconds: NOW + seconds * S)


def sparse(gaps: list[int]) -> Callable[[datetime], datetime | None]:
    times = [NOW + sum(gaps[: place + 1]) * S for place in range(len(gaps))]
    return lambda moment: next((time for time in times if time > moment), None)


@given(st.lists(st.integers(1, 400), max_size=30), st.integers(1, 6), moments, moments)
def test_the_latest_times_are_those_that_a_plain_walk_finds(
    gaps: list[int], many: int, after: datetime, until: datetime
) -> None:
    walk = sparse(gaps)
    found, moment = [], walk(after)
    while moment is not None and moment <= until:
        found.append(moment)
        moment = walk(moment)
    assert latest(walk, many, after=after, until=until) == found[-many:]


# overlap


def test_allow_fires_beside_a_live_run() -> None:
    firing, _ = step(saved(plan(overlap=Overlap.ALLOW)), NOW + MINUTE, live=3)
    assert nominals(firing) == minutes(1)


def test_skip_leaves_the_time_out_while_a_run_is_live() -> None:
    firing, after = step(saved(plan(overlap=Overlap.SKIP)), NOW + MINUTE, live=1)
    assert told(firing) == [(NOW + MINUTE, Happened.OVERLAP)]
    assert not firing.jobs
    assert after.cursor.next == NOW + 2 * MINUTE
    assert after.cursor.fires == 0


def test_skip_counts_the_run_that_the_same_step_made() -> None:
    firing, _ = step(saved(plan(every("2s"), overlap=Overlap.SKIP)), NOW + 4 * S)
    assert told(firing) == [(NOW + 2 * S, Happened.FIRED), (NOW + 4 * S, Happened.OVERLAP)]


@pytest.mark.parametrize("overlap", [Overlap.QUEUE_ONE, Overlap.QUEUE_ALL, Overlap.CANCEL_RUNNING])
def test_a_time_that_has_to_wait_for_a_run_is_held_and_stays_pending(overlap: Overlap) -> None:
    firing, after = step(saved(plan(overlap=overlap)), NOW + MINUTE, live=1)
    assert not firing.jobs
    assert not firing.outcomes
    assert after.cursor.held
    assert after.cursor.next == NOW + MINUTE
    assert after.cursor.wake is None


def test_queue_one_fires_the_held_time_and_leaves_out_those_since() -> None:
    _, held = step(saved(plan(overlap=Overlap.QUEUE_ONE)), NOW + MINUTE, live=1)
    firing, after = step(held, NOW + 10.5 * MINUTE)
    assert nominals(firing) == minutes(1)
    assert told(firing) == [(NOW + MINUTE, Happened.FIRED), (NOW + 2 * MINUTE, Happened.OVERLAP)]
    assert not after.cursor.held
    assert after.cursor.next == NOW + 11 * MINUTE


def test_queue_one_that_is_freed_before_the_next_time_leaves_nothing_out() -> None:
    _, held = step(saved(plan(overlap=Overlap.QUEUE_ONE)), NOW + MINUTE, live=1)
    firing, after = step(held, NOW + 1.5 * MINUTE)
    assert told(firing) == [(NOW + MINUTE, Happened.FIRED)]
    assert after.cursor.next == NOW + 2 * MINUTE


def test_queue_all_makes_up_for_every_time_one_run_after_the_other() -> None:
    _, stored = step(saved(plan(overlap=Overlap.QUEUE_ALL)), NOW + MINUTE, live=1)
    made = []
    for _ in range(3):
        firing, stored = step(stored, NOW + 3.5 * MINUTE)
        made += nominals(firing)
        assert len(firing.jobs) == 1
    assert made == minutes(1, 2, 3)
    assert not stored.cursor.held
    assert stored.cursor.next == NOW + 4 * MINUTE


def test_a_held_time_is_not_missed_however_long_it_was_held() -> None:
    for overlap in (Overlap.QUEUE_ONE, Overlap.QUEUE_ALL):
        _, held = step(saved(plan(overlap=overlap, catch_up="skip")), NOW + MINUTE, live=1)
        firing, _ = step(held, NOW + 30 * DAY)
        assert nominals(firing) == minutes(1)


def test_cancel_running_asks_the_run_to_stop_once_and_then_waits_for_it() -> None:
    first, held = step(saved(plan(overlap=Overlap.CANCEL_RUNNING)), NOW + MINUTE, live=1)
    assert first.stop
    again, held = step(held, NOW + MINUTE + S, live=1)
    assert not again.stop
    released, _ = step(held, NOW + MINUTE + 2 * S)
    assert nominals(released) == minutes(1)
    assert not released.stop


def test_no_other_policy_stops_a_run() -> None:
    for overlap in set(Overlap) - {Overlap.CANCEL_RUNNING}:
        assert not step(saved(plan(overlap=overlap)), NOW + MINUTE, live=1)[0].stop


# limits


def test_after_the_last_allowed_fire_there_is_no_next_one() -> None:
    stored = saved(plan(max_fires=2))
    for number in (1, 2):
        firing, stored = step(stored, NOW + number * MINUTE)
        assert len(firing.jobs) == 1
    assert stored.cursor.next is None
    assert stored.cursor.fires == 2


def test_times_that_were_skipped_do_not_count_as_fires() -> None:
    _, stored = step(saved(plan(max_fires=1)), NOW + MINUTE, live=1)
    firing, stored = step(stored, NOW + 2 * MINUTE)
    assert nominals(firing) == minutes(2)
    assert stored.cursor.next is None


def test_a_held_time_can_be_the_last_allowed_fire() -> None:
    _, held = step(saved(plan(overlap=Overlap.QUEUE_ONE, max_fires=1)), NOW + MINUTE, live=1)
    _, after = step(held, NOW + 5 * MINUTE)
    assert after.cursor.next is None
    assert after.cursor.fires == 1


def test_a_step_never_fires_more_than_is_allowed() -> None:
    firing, _ = step(saved(plan(every("1s"), catch_up=50, max_fires=3, overlap="allow")), NOW + 40 * S)
    assert len(firing.jobs) == 3


def test_the_last_time_of_a_window_fires_and_ends_it() -> None:
    firing, after = step(saved(plan(ends_at=NOW + MINUTE)), NOW + MINUTE)
    assert nominals(firing) == minutes(1)
    assert after.cursor.next is None


def test_once_fires_once() -> None:
    firing, after = step(saved(plan(once(NOW + HOUR))), NOW + HOUR)
    assert nominals(firing) == [NOW + HOUR]
    assert after.cursor.next is None


# jitter and spread


def test_jitter_delays_each_run_by_another_part_of_it_and_never_the_nominal_time() -> None:
    stored, shifts = saved(plan(jitter=50 * S)), []
    for number in range(1, 30):
        firing, stored = step(stored, NOW + number * MINUTE)
        (job,) = firing.jobs
        assert job.origin is not None
        shifts.append(job.due - job.origin.nominal)
    assert all(timedelta(0) <= shift < 50 * S for shift in shifts)
    assert len(set(shifts)) == len(shifts)


def test_spread_delays_every_run_of_a_schedule_by_the_same_part() -> None:
    stored, shifts = saved(plan(spread=50 * S)), set()
    for number in range(1, 10):
        firing, stored = step(stored, NOW + number * MINUTE)
        shifts.add(firing.jobs[0].due - (NOW + number * MINUTE))
    assert len(shifts) == 1
    other = saved(evolve(plan(spread=50 * S), id=evolve(plan().id, key="other")))
    assert step(other, NOW + MINUTE)[0].jobs[0].due - (NOW + MINUTE) not in shifts


def test_a_shift_is_the_same_in_every_process_and_version() -> None:
    firing, _ = step(saved(plan(jitter=50 * S)), NOW + MINUTE)
    assert firing.jobs[0].due == datetime.fromisoformat("2026-03-02T12:01:01.169141+00:00")


@given(st.integers(1, 90_000), st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_shift_reaches_the_next_fire(interval: int, jitter: int, spread: int) -> None:
    ms = timedelta(milliseconds=1)
    stored = saved(plan(every(interval * ms), jitter=jitter * ms, spread=spread * ms))
    first = NOW + interval * ms
    (job, *_) = step(stored, first)[0].jobs
    assert first <= job.due < first + interval * ms


# pauses and trouble


def paused(until: datetime | None, **policy: object) -> Stored:
    stored = saved(plan(**policy))
    return evolve(stored, cursor=evolve(stored.cursor, pause=Pause("lunch", until)))


def test_a_pause_with_an_end_leaves_out_what_passed_and_goes_on() -> None:
    firing, after = step(paused(NOW + 5.5 * MINUTE), NOW + 5.5 * MINUTE)
    assert not firing.jobs
    assert firing.outcomes == (
        Outcome(NOW + MINUTE, Happened.PAUSED, NOW + 5.5 * MINUTE, last=NOW + 5 * MINUTE, count=None),
    )
    assert after.cursor.pause is None
    assert after.cursor.next == NOW + 6 * MINUTE


def test_what_was_missed_after_the_pause_had_ended_is_caught_up() -> None:
    firing, after = step(paused(NOW + 5.5 * MINUTE), NOW + 9.5 * MINUTE)
    assert told(firing) == [
        (NOW + MINUTE, Happened.PAUSED),
        (NOW + 6 * MINUTE, Happened.MISSED),
        (NOW + 9 * MINUTE, Happened.FIRED),
    ]
    assert after.cursor.next == NOW + 10 * MINUTE


def test_a_pause_that_covered_no_time_leaves_nothing_out() -> None:
    firing, after = step(paused(NOW + 30 * S), NOW + 30 * S)
    assert not firing.outcomes
    assert after.cursor == saved(plan()).cursor


def test_a_schedule_that_failed_too_often_in_a_row_is_set_aside_with_a_note() -> None:
    stored = saved(plan(pause_after=3))
    assert step(stored, NOW + MINUTE, failures=2)[0].jobs
    firing, after = step(stored, NOW + MINUTE, failures=3)
    assert not firing.jobs
    assert after.cursor.pause == Pause("paused after 3 failures in a row")
    assert after.cursor.wake is None
    assert told(firing) == [(NOW + MINUTE, Happened.SET_ASIDE)]


def test_a_schedule_that_cannot_be_read_is_set_aside_with_the_reason() -> None:
    stored = Stored(plan().id, cursor(NOW), None, "unknown rhythm 'moon'")
    firing = fire(Due(stored), now=NOW)
    assert firing.cursor.pause == Pause("unknown rhythm 'moon'")
    assert firing.outcomes[0].note == "unknown rhythm 'moon'"


def test_setting_aside_ends_being_held() -> None:
    stored = evolve(saved(plan()), cursor=cursor(NOW, held=True))
    assert not set_aside(stored, "broken", now=NOW).cursor.held


# laws

rhythms = st.sampled_from(
    [
        every("1s"),
        every("7s"),
        every("1m"),
        cron("*/5 * * * *"),
        cron("30 2 * * *", tz="Europe/Berlin"),
        union(every("11s"), cron("* * * * *")),
    ]
)
policies = st.fixed_dictionaries(
    {
        "catch_up": st.sampled_from(["skip", "latest", 1, 3]),
        "overlap": st.sampled_from(list(Overlap)),
        "window": st.sampled_from([MINUTE, DAY]),
        "max_fires": st.sampled_from([None, 5]),
    }
)
steps = st.lists(st.tuples(st.integers(0, 400_000), st.integers(0, 2)), max_size=20)


@given(rhythms, policies, steps)
def test_each_nominal_time_has_one_fate_and_they_follow_in_order(
    rhythm: Rhythm, policy: dict[str, object], moves: list[tuple[int, int]]
) -> None:
    """S1, S3, S4, S5: whatever the pauses between the steps and the runs that are live."""
    schedule = plan(rhythm, **policy)
    stored, now, fired = saved(schedule), NOW, 0
    decided: list[Outcome] = []
    for pause, live in moves:
        now += pause * timedelta(milliseconds=97)
        firing, after = step(stored, now, live=live)
        assert nominals(firing) == [one.nominal for one in firing.outcomes if one.what is Happened.FIRED]
        assert (
            after.cursor.next is None
            or after.cursor.next > now
            or after.cursor.held
            or len(firing.jobs) == AT_ONCE
        )
        assert (
            after.cursor.next is None or stored.cursor.next is None or after.cursor.next >= stored.cursor.next
        )
        fired += len(firing.jobs)
        decided += firing.outcomes
        stored = after
    spans = [(one.nominal, one.last or one.nominal) for one in decided]
    assert all(start <= end for start, end in spans)
    assert all(before[1] < after[0] for before, after in pairwise(spans))
    assert stored.cursor.fires == fired <= (policy["max_fires"] or 10**9)
    begin = [schedule.next_after(NOW, since=NOW), *(schedule.next_after(end, since=NOW) for _, end in spans)]
    assert [start for start, _ in spans] == begin[: len(spans)]


def test_an_error_of_the_rhythm_is_not_swallowed_here() -> None:
    class Broken(Counted):
        def _next(self, moment: datetime) -> datetime | None:
            raise Invalid("broken")

    broken = evolve(saved(plan()), schedule=plan(Broken(every("1s"))))
    with pytest.raises(Invalid):
        fire(Due(broken), now=NOW + MINUTE)


def test_equal_rhythms_share_the_way_back_and_others_do_not() -> None:
    """The start of the first data interval is looked for once, however many schedules fire alike."""
    before = _before.cache_info().misses
    for key in ("a", "b", "c"):
        one = Schedule(ScheduleId("q", key), cron("0 9 * * 3"), "t", b"[[],{}]")
        assert previous(one.walk(since=NOW), NOW, or_else=NOW) == previous(
            cron("0 9 * * 3").next_after, NOW, or_else=NOW
        )
    later = evolve(one, policy=Policy(starts_at=NOW - HOUR))
    assert previous(later.walk(since=NOW), NOW, or_else=NOW) == NOW
    seeded = [evolve(one, id=ScheduleId("q", key), rhythm=cron("H H * * 3")) for key in ("a", "b")]
    assert len({previous(each.walk(since=NOW), NOW, or_else=NOW) for each in seeded}) == 2
    assert _before.cache_info().misses - before <= 1 + 3 + 1 + 2


def test_equal_rhythms_share_the_next_time_and_others_do_not() -> None:
    """One walk over the calendar for all schedules on an expression."""
    before = _after.cache_info().misses
    for key in ("a", "b", "c"):
        one = Schedule(ScheduleId("q", key), cron("7 9 * * 3"), "t", b"[[],{}]")
        assert following(one.walk(since=NOW), NOW) == cron("7 9 * * 3").next_after(NOW)
    assert _after.cache_info().misses - before == 1
    other = evolve(one, rhythm=cron("8 9 * * 3"))
    assert following(other.walk(since=NOW), NOW) == cron("8 9 * * 3").next_after(NOW)
    assert _after.cache_info().misses - before == 2


@pytest.mark.parametrize(
    "text", ["0 0 31 * *", "*/5 9-17 * * 1-5", "0 9 28-31 2,3 *", "0 0 29 2 *", "30 * * * *", "0 0 1 1 0"]
)
def test_the_way_back_ends_at_the_time_before_however_uneven_the_times_are(text: str) -> None:
    walk = cron(text).next_after
    times = list(cron(text).fires(NOW, count=120))
    assert all(previous(walk, after, or_else=NOW) == before for before, after in pairwise(times))


def test_the_way_back_is_found_however_far_away_the_next_time_is() -> None:
    far = once(datetime(9000, 1, 1, tzinfo=UTC))
    for before in (NOW - HOUR, NOW - 400 * HOUR):
        walk = union(once(before), once(NOW), far).next_after
        assert previous(walk, NOW, or_else=far.at) == before
    assert previous(union(once(NOW), far).next_after, NOW, or_else=NOW) == NOW


def test_a_rhythm_without_a_hash_is_walked_all_the_same() -> None:
    class Listed(list):  # type: ignore[type-arg]
        def __call__(self, moment: datetime) -> datetime | None:
            return next((one for one in self if one > moment), None)

    assert previous(Listed([NOW - HOUR, NOW]), NOW, or_else=NOW) == NOW - HOUR  # type: ignore[arg-type]
