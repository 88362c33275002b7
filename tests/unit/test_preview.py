"""The load ahead: what is counted, what is estimated, and where the crowd is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

import pytest
from attrs import evolve

from chronoq.domain.errors import Invalid
from chronoq.domain.identity import ScheduleId
from chronoq.domain.job import Pause
from chronoq.domain.preview import MOST, MOST_SLOTS, Preview, coming, preview
from chronoq.domain.rhythm import Rhythm, cron, every, once
from chronoq.domain.schedule import Policy, Schedule, Stored, planned

START = datetime(2026, 11, 22, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)


def stored(id: str, rhythm: Rhythm, *, pause: Pause | None = None, fires: int = 0, **policy: Any) -> Stored:
    """A schedule that was saved at START."""
    schedule = Schedule(ScheduleId("default", id), rhythm, "task", b"[[],{}]", Policy(**policy))
    cursor = planned(None, schedule, now=START)[1]
    return Stored(schedule.id, evolve(cursor, pause=pause, fires=fires), schedule)


def seen(*schedules: Stored, hours: int = 24, now: datetime = START, slot: timedelta = HOUR) -> Preview:
    return preview(schedules, start=START, now=now, end=START + hours * HOUR, slot=slot)


def in_time(moment: datetime) -> bool:
    return moment < START + 24 * HOUR


def test_fires_are_counted_in_their_slots_and_summed() -> None:
    found = seen(stored("a", cron("*/15 * * * *")), stored("b", cron("30 8 * * *")), hours=4)

    assert [line.fires for line in found.lines] == [(3, 4, 4, 4), (0, 0, 1, 0)]
    assert found.total == (3, 4, 5, 4), "the first is at 06:15, for what is saved at 06:00 fires after that"


def test_the_last_slot_may_be_a_part() -> None:
    found = seen(stored("a", cron("*/15 * * * *")), hours=1, slot=timedelta(minutes=40))
    assert found.total == (2, 1)


def test_what_is_over_by_now_is_not_counted() -> None:
    found = seen(stored("a", cron("*/15 * * * *")), hours=2, now=START + timedelta(minutes=30))
    assert found.total == (2, 4)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 23),
        ({"pause": Pause()}, 0),
        ({"pause": Pause(until=START + 20 * HOUR)}, 3),
        ({"ends_at": START + 3 * HOUR}, 3),
        ({"starts_at": START + 22 * HOUR}, 2),
        ({"max_fires": 10, "fires": 3}, 7),
        ({"max_fires": 10, "fires": 10}, 0),
    ],
)
def test_pause_window_and_count_leave_fires_out(options: dict[str, Any], count: int) -> None:
    one = stored("a", cron("0 * * * *"), **options)
    assert sum(seen(one, hours=24).total) == len(list(takewhile(in_time, coming(one, after=START)))) == count


def test_a_schedule_without_a_time_left_or_without_a_record_has_none() -> None:
    over = stored("over", once(START - HOUR))
    broken = evolve(stored("a", cron("0 * * * *")), schedule=None, defect="odd")

    found = seen(over, broken)
    assert (sum(found.total), found.busiest) == (0, None)


def test_the_busiest_instant_is_the_first_with_the_most_schedules() -> None:
    crowd = [stored(f"c{number}", cron("0 9 * * *")) for number in range(3)]
    found = seen(*crowd, stored("h", cron("0 * * * *")), stored("x", cron("30 7 * * *")), hours=48)

    assert found.busiest is not None
    assert found.busiest.at == START + 3 * HOUR
    assert [one.id.key for one in found.busiest.members] == ["c0", "c1", "c2", "h"]
    assert found.busiest.times == 2


def test_schedules_meet_within_a_second() -> None:
    early = stored("early", once(START + timedelta(milliseconds=100)))
    late = stored("late", once(START + timedelta(milliseconds=900)))

    found = seen(early, late)
    assert found.busiest is not None
    assert len(found.busiest.members) == 2


def test_those_that_are_spread_are_no_part_of_the_crowd() -> None:
    nine = cron("0 9 * * *")
    apart = [stored("j", nine, jitter=HOUR), stored("s", nine, spread=HOUR)]

    found = seen(stored("a", nine), *apart)
    assert found.busiest is not None
    assert [one.id.key for one in found.busiest.members] == ["a"]
    assert sum(found.total) == 3, "they fire all the same"
    assert seen(*apart).busiest is None


def test_h_is_another_minute_for_each() -> None:
    found = seen(*(stored(f"h{number}", cron("H 9 * * *")) for number in range(10)))
    assert found.busiest is not None
    assert len(found.busiest.members) < 5


def test_an_interval_is_counted_to_the_last_fire() -> None:
    (line,) = seen(stored("a", every("1s"))).lines
    assert (line.fires[1], sum(line.fires), line.estimated) == (3600, 24 * 3600 - 1, False)


def test_a_cron_that_fires_too_often_is_estimated_hour_by_hour() -> None:
    (line,) = seen(stored("a", cron("* * 9-16 * * *"))).lines
    assert line.estimated
    assert sum(line.fires) == 8 * 3600 > MOST
    assert [count for count in line.fires if count] == [3600] * 8


def test_an_estimate_is_near_the_truth_for_slots_of_any_length() -> None:
    (line,) = seen(stored("a", cron("*/7 * * * * *")), slot=timedelta(minutes=25)).lines
    truth = 24 * 60 * 9
    assert line.estimated
    assert abs(sum(line.fires) - truth) < truth / 20


def test_too_many_slots_are_refused() -> None:
    with pytest.raises(Invalid, match=f"at most {MOST_SLOTS} slots"):
        seen(slot=timedelta(milliseconds=1))
    with pytest.raises(Invalid):
        seen(slot=timedelta(0))


def test_nothing_is_a_preview_too() -> None:
    assert (seen(hours=2).total, seen(hours=2).busiest) == ((0, 0), None)
