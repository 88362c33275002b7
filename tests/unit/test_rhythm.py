"""Rhythms: what they promise, apart from the syntax of cron."""

import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from chronoq.domain.calendar import Calendar
from chronoq.domain.cautions import cautions
from chronoq.domain.errors import BadDuration, BadExpression, Invalid, NaiveDatetime
from chronoq.domain.rhythm import Rhythm, cron, every, once, rhythm_from, rrule, union

NOW = datetime(2026, 11, 23, tzinfo=UTC)
BERLIN = "Europe/Berlin"
TICK = timedelta(microseconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def local(rhythm: Rhythm, after: str, count: int, tz: str) -> list[str]:
    fires = rhythm.fires(at(after), count=count)
    return [fire.astimezone(ZoneInfo(tz)).isoformat() for fire in fires]


# --- every rhythm ---------------------------------------------------------------------------------

SAMPLES = [
    once(NOW + timedelta(days=1)),
    every("90s", anchor=NOW - timedelta(days=3)),
    cron("*/7 9-17 * * MON-FRI", tz=BERLIN, dst_gap="skip", dst_overlap="both", day_match="and"),
    cron("H H(0-5) * * *", seed="a"),
    rrule("DTSTART:20260105T090000\nRRULE:FREQ=WEEKLY;BYDAY=MO,FR", tz=BERLIN),
    union(cron("0 9 * * *"), every("7h", anchor=NOW), union(once(NOW))),
    cron("0 9 * * *").excluding(Calendar.weekdays("sat", "sun", tz=BERLIN)),
    every("1h", anchor=NOW).excluding(Calendar.dates(date(2026, 11, 24), date(2026, 12, 24))),
    every("1h", anchor=NOW).excluding(Calendar.ranges((NOW, NOW + timedelta(hours=5)))),
    cron("0 9 * * *").excluding(Calendar.rhythm(cron("0 0 1 * *"), tz=BERLIN)),
]


@pytest.mark.parametrize("rhythm", SAMPLES, ids=lambda rhythm: rhythm.describe())
def test_its_fires_increase_and_are_in_utc(rhythm: Rhythm) -> None:
    fires = list(rhythm.fires(NOW, count=50))
    assert fires
    assert all(fire > NOW for fire in fires)
    assert all(earlier < later for earlier, later in pairwise(fires))
    assert all(fire.tzinfo is UTC for fire in fires)


@pytest.mark.parametrize("rhythm", SAMPLES, ids=lambda rhythm: rhythm.describe())
def test_its_spec_is_json_and_makes_an_equal_rhythm(rhythm: Rhythm) -> None:
    spec = json.loads(json.dumps(rhythm.spec()))
    assert rhythm_from(spec) == rhythm
    assert hash(rhythm_from(spec)) == hash(rhythm)
    assert rhythm_from(spec).next_after(NOW) == rhythm.next_after(NOW)


@pytest.mark.parametrize("rhythm", SAMPLES, ids=lambda rhythm: rhythm.describe())
def test_what_is_closed_stays_as_it_is_when_it_is_bound(rhythm: Rhythm) -> None:
    assert rhythm.bind(seed="other", anchor=NOW + timedelta(days=9)) == rhythm


def test_a_naive_moment_is_refused() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - what is tested
    for ask in (
        lambda: every("1s", anchor=NOW).next_after(naive),
        lambda: cron("* * * * *").fires(naive),
        lambda: cron("* * * * *").fires(NOW, until=naive),
        lambda: once(naive),
        lambda: every("1s", anchor=naive),
        lambda: every("1s").bind(seed="", anchor=naive),
    ):
        with pytest.raises(NaiveDatetime):
            ask()


def test_fires_end_with_count_and_with_until() -> None:
    hourly = cron("0 * * * *")
    assert list(hourly.fires(NOW, count=0)) == []
    assert list(hourly.fires(NOW, until=NOW + timedelta(hours=2))) == [
        NOW + timedelta(hours=1),
        NOW + timedelta(hours=2),
    ]
    assert len(list(hourly.fires(NOW, count=3, until=NOW + timedelta(days=1)))) == 3


@pytest.mark.parametrize(
    "spec", [{}, {"kind": "lunar"}, {"kind": "once"}, {"kind": "cron", "expr": "* * * * *"}, 5]
)
def test_an_unknown_spec_is_refused(spec: object) -> None:
    with pytest.raises(Invalid, match="This is no rhythm"):
        rhythm_from(spec)  # type: ignore[arg-type]


def test_an_unknown_calendar_is_refused() -> None:
    spec = {"kind": "excluding", "rhythm": once(NOW).spec(), "calendar": {"kind": "lunar"}}
    with pytest.raises(Invalid, match="This is no calendar"):
        rhythm_from(spec)


# --- once and every -------------------------------------------------------------------------------


def test_once_fires_once() -> None:
    assert list(once(NOW).fires(NOW - TICK)) == [NOW]
    assert once(NOW).next_after(NOW) is None


def test_an_interval_fires_first_one_interval_after_its_anchor() -> None:
    rhythm = every("10s", anchor=NOW)
    assert rhythm.next_after(NOW - timedelta(days=1)) == NOW + timedelta(seconds=10)
    assert rhythm.next_after(NOW + timedelta(seconds=10) - TICK) == NOW + timedelta(seconds=10)
    assert rhythm.next_after(NOW + timedelta(seconds=10)) == NOW + timedelta(seconds=20)


def test_an_interval_does_not_drift_across_a_clock_change() -> None:
    rhythm = every("24h", anchor=at("2026-03-28T09:00:00+01:00"))
    assert local(rhythm, "2026-03-28T09:00:00+01:00", 2, BERLIN) == [
        "2026-03-29T10:00:00+02:00",
        "2026-03-30T10:00:00+02:00",
    ]


def test_an_interval_without_an_anchor_has_no_next_time_until_it_is_bound() -> None:
    with pytest.raises(Invalid, match="every 10s has no anchor yet"):
        every("10s").next_after(NOW)
    assert every("10s").bind(seed="", anchor=NOW).next_after(NOW) == NOW + timedelta(seconds=10)


@pytest.mark.parametrize(
    "interval", [0, "0s", timedelta(microseconds=999), timedelta(microseconds=1500), "-1s"]
)
def test_an_interval_is_a_whole_number_of_milliseconds(interval: object) -> None:
    with pytest.raises(BadDuration):
        every(interval)  # type: ignore[arg-type]


def test_an_interval_past_the_end_of_time_is_no_fire() -> None:
    assert every("1d", anchor=NOW).next_after(datetime.max.replace(tzinfo=UTC)) is None


# --- cron: the wall clock -------------------------------------------------------------------------


def test_a_fixed_time_in_a_gap_fires_once_at_its_end() -> None:
    rhythm = cron("10,20,30 2 * * *", tz=BERLIN)
    assert local(rhythm, "2026-03-28T03:00:00+01:00", 2, BERLIN) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:10:00+02:00",
    ]


def test_a_fixed_time_at_the_end_of_a_gap_fires_once_with_the_missing_one() -> None:
    rhythm = cron("0 2,3 * * *", tz=BERLIN)
    assert local(rhythm, "2026-03-29T00:00:00+01:00", 2, BERLIN) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:00:00+02:00",
    ]


def test_a_fixed_time_in_a_gap_can_be_skipped() -> None:
    rhythm = cron("30 2 * * *", tz=BERLIN, dst_gap="skip")
    assert local(rhythm, "2026-03-28T03:00:00+01:00", 1, BERLIN) == ["2026-03-30T02:30:00+02:00"]


def test_a_time_that_is_not_fixed_does_not_fire_in_a_gap() -> None:
    rhythm = cron("*/30 2 * * *", tz=BERLIN)
    assert local(rhythm, "2026-03-28T03:00:00+01:00", 1, BERLIN) == ["2026-03-30T02:00:00+02:00"]


def test_a_day_that_a_zone_left_out_has_no_fires() -> None:
    rhythm = cron("0 9 * * *", tz="Pacific/Apia")
    assert local(rhythm, "2011-12-29T00:00:00-10:00", 2, "Pacific/Apia") == [
        "2011-12-29T09:00:00-10:00",
        "2011-12-31T09:00:00+14:00",
    ]


def test_a_gap_of_three_hours_still_fires() -> None:
    casey = "Antarctica/Casey"  # on 2016-10-22 at 00:00 the clock went to 03:00
    rhythm = cron("0 2 * * *", tz=casey)
    assert local(rhythm, "2016-10-21T12:00:00+08:00", 1, casey) == ["2016-10-22T03:00:00+11:00"]


def test_a_fixed_time_that_comes_twice_fires_at_the_first_pass() -> None:
    rhythm = cron("30 2 * * *", tz=BERLIN)
    expected = ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
    assert local(rhythm, "2026-10-25T00:00:00+02:00", 2, BERLIN) == expected
    assert local(rhythm, "2026-10-25T02:10:00+01:00", 1, BERLIN) == expected[1:]


def test_a_fixed_time_that_comes_twice_can_fire_both_times() -> None:
    rhythm = cron("30 2 * * *", tz=BERLIN, dst_overlap="both")
    assert local(rhythm, "2026-10-25T00:00:00+02:00", 3, BERLIN) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-26T02:30:00+01:00",
    ]


def test_a_time_that_is_not_fixed_follows_real_time_through_both_passes() -> None:
    rhythm = cron("*/30 * * * *", tz=BERLIN)
    assert local(rhythm, "2026-10-25T02:10:00+02:00", 5, BERLIN) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-25T03:00:00+01:00",
        "2026-10-25T03:30:00+01:00",
    ]


def test_the_29th_of_february_on_a_monday_is_found_a_century_away() -> None:
    rhythm = cron("0 0 29 2 1", day_match="and")
    assert rhythm.next_after(at("2072-03-01T00:00:00+00:00")) == at("2112-02-29T00:00:00+00:00")


def test_the_nearest_workday_never_leaves_its_month() -> None:
    assert cron("0 0 1W 8 ?").next_after(at("2026-07-01T00:00:00+00:00")) == at("2026-08-03T00:00:00+00:00")
    assert cron("0 0 31W 5 ?").next_after(at("2026-05-01T00:00:00+00:00")) == at("2026-05-29T00:00:00+00:00")


def test_years_that_have_passed_leave_no_fire() -> None:
    assert cron("0 0 0 1 1 ? 2020").next_after(NOW) is None


def test_nothing_fires_before_1970() -> None:
    assert cron("0 0 * * *").next_after(datetime.min.replace(tzinfo=UTC)) == at("1970-01-01T00:00:00+00:00")


# --- cron: H, @every, words -----------------------------------------------------------------------


def test_a_spread_time_has_no_next_time_until_it_has_a_seed() -> None:
    with pytest.raises(Invalid, match="uses H without a seed"):
        cron("H H * * *").next_after(NOW)


def test_a_seed_chooses_the_same_time_on_every_machine() -> None:
    rhythm = cron("H H * * *").bind(seed="emails/report", anchor=NOW)
    assert rhythm == cron("H H * * *", seed="emails/report")
    assert [f"{fire:%d %H:%M}" for fire in rhythm.fires(NOW, count=2)] == ["23 09:48", "24 09:48"]


def test_seeds_spread_over_the_whole_hour() -> None:
    minutes = {cron("H * * * *", seed=str(n)).next_after(NOW).minute for n in range(1_000)}  # type: ignore[union-attr]
    assert minutes == set(range(60))


def test_only_an_h_takes_the_seed() -> None:
    assert cron("0 9 * MAR THU").bind(seed="x", anchor=NOW) == cron("0 9 * MAR THU")


def test_at_every_is_an_interval() -> None:
    assert cron("@every 1m30s", tz=BERLIN) == every("90s")


# --- rrule ----------------------------------------------------------------------------------------


def test_a_recurrence_keeps_its_wall_time_and_its_end() -> None:
    rhythm = rrule("DTSTART:20260327T090000 RRULE:FREQ=DAILY;UNTIL=20260330T070000Z", tz=BERLIN)
    assert local(rhythm, "2026-01-01T00:00:00+00:00", 9, BERLIN) == [
        "2026-03-27T09:00:00+01:00",
        "2026-03-28T09:00:00+01:00",
        "2026-03-29T09:00:00+02:00",
        "2026-03-30T09:00:00+02:00",
    ]


def test_a_daily_recurrence_in_a_gap_fires_at_its_end() -> None:
    rhythm = rrule("DTSTART:20200101T023000 RRULE:FREQ=DAILY", tz=BERLIN)
    assert local(rhythm, "2026-03-29T00:00:00+01:00", 1, BERLIN) == ["2026-03-29T03:00:00+02:00"]


def test_an_hourly_recurrence_follows_real_time() -> None:
    rhythm = rrule("DTSTART:20200101T003000 RRULE:FREQ=HOURLY", tz=BERLIN)
    assert local(rhythm, "2026-10-25T02:00:00+02:00", 3, BERLIN) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-25T03:30:00+01:00",
    ]


def test_a_recurrence_adds_and_leaves_out_dates() -> None:
    rhythm = rrule(
        "DTSTART:20260101T090000\nRRULE:FREQ=DAILY;COUNT=3\nRDATE:20260110T120000\n"
        "EXDATE:20260102T090000\nEXRULE:FREQ=DAILY;INTERVAL=2;COUNT=1"
    )
    assert list(rhythm.fires(at("2025-01-01T00:00:00+00:00"))) == [
        at("2026-01-03T09:00:00+00:00"),
        at("2026-01-10T12:00:00+00:00"),
    ]


def test_a_recurrence_without_a_start_begins_when_it_is_bound() -> None:
    rhythm = rrule("FREQ=DAILY;INTERVAL=2", tz=BERLIN)
    with pytest.raises(Invalid, match="has no DTSTART"):
        rhythm.next_after(NOW)
    assert rhythm.bind(seed="", anchor=NOW).next_after(NOW) == NOW + timedelta(days=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it has no RRULE and no RDATE"),
        ("nonsense", "is not a list of NAME=VALUE"),
        ("FREQ=SOMETIMES", "FREQ is SOMETIMES, allowed"),
        ("FREQ=DAILY;BYDAY=XX", "invalid 'BYDAY'"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL is 0, allowed 1-100000"),
        ("FREQ=DAILY;COUNT=99999", "COUNT is 99999, allowed 1-10000"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20270101", "COUNT and UNTIL exclude each other"),
        ("FREQ=DAILY;UNTIL=tomorrow", "'TOMORROW' is not a time like 20260105T090000"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "it can never fire: no year has such a day"),
        ("FREQ=DAILY;BYSETPOS=2", "BYSETPOS needs FREQ=WEEKLY"),
        ("FREQ=YEARLY;BYEASTER=0", "BYEASTER is not supported"),
        ("DTSTART;TZID=Europe/Berlin:20260101T090000 FREQ=DAILY", "Give the zone as tz="),
        ("DTSTART:20260101 DTSTART:20260102 FREQ=DAILY", "more than one DTSTART"),
        ("DTSTART:30000101 FREQ=DAILY", "DTSTART is in 3000, allowed 1900-2099"),
        ("DTSTART:20261301 FREQ=DAILY", "month must be in 1..12"),
        ("SUMMARY:x", "'SUMMARY' is not known"),
    ],
)
def test_a_recurrence_that_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadExpression, match="Bad rrule") as refusal:
        rrule(text)
    assert message in str(refusal.value)


# --- union and calendars --------------------------------------------------------------------------


def test_a_union_fires_once_where_its_rhythms_coincide() -> None:
    rhythm = union(cron("0 */2 * * *"), cron("0 */3 * * *"), once(NOW))
    assert [fire.hour for fire in rhythm.fires(NOW, count=4)] == [2, 3, 4, 6]


def test_a_union_needs_a_rhythm() -> None:
    with pytest.raises(Invalid, match="at least one"):
        union()


def test_what_is_open_inside_is_closed_too() -> None:
    open_ended = union(every("1h"), cron("H 0 * * *")).excluding(Calendar.rhythm(every("36h")))
    bound = open_ended.bind(seed="s", anchor=NOW)
    assert bound == union(every("1h", anchor=NOW), cron("H 0 * * *", seed="s")).excluding(
        Calendar.rhythm(every("36h", anchor=NOW))
    )
    assert bound.next_after(NOW) is not None


def test_weekdays_are_those_of_the_calendars_zone() -> None:
    rhythm = cron("0 23 * * *").excluding(Calendar.weekdays("Saturday", "sun", tz=BERLIN))
    found = [f"{fire:%a}" for fire in rhythm.fires(NOW, count=5)]
    assert found == ["Mon", "Tue", "Wed", "Thu", "Sun"]


def test_dates_are_excluded_from_midnight_to_midnight() -> None:
    rhythm = every("6h", anchor=NOW).excluding(Calendar.dates(date(2026, 11, 24)))
    found = [f"{fire:%d %H}" for fire in rhythm.fires(NOW, count=5)]
    assert found == ["23 06", "23 12", "23 18", "25 00", "25 06"]


def test_a_range_of_moments_excludes_its_start_and_not_its_end() -> None:
    hours = [NOW + timedelta(hours=n) for n in range(6)]
    rhythm = every("1h", anchor=NOW).excluding(Calendar.ranges((hours[2], hours[4])))
    assert list(rhythm.fires(NOW, count=3)) == [hours[1], hours[4], hours[5]]


def test_a_range_of_dates_excludes_both_days() -> None:
    rhythm = cron("0 12 * * *", tz=BERLIN).excluding(
        Calendar.ranges((date(2026, 11, 24), date(2026, 11, 26)), tz=BERLIN)
    )
    assert [fire.day for fire in rhythm.fires(NOW, count=2)] == [23, 27]


def test_a_rhythm_excludes_the_days_on_which_it_fires() -> None:
    rhythm = cron("0 9 * * *").excluding(Calendar.rhythm(cron("0 18 * * 2,4")))
    assert [f"{fire:%a}" for fire in rhythm.fires(NOW, count=5)] == ["Mon", "Wed", "Fri", "Sat", "Sun"]


def test_a_calendar_that_covers_everything_leaves_no_fire() -> None:
    assert cron("0 9 * * *").excluding(Calendar.rhythm(cron("0 0 * * *"))).next_after(NOW) is None


def test_a_day_whose_midnight_comes_twice_is_left_out_whole() -> None:
    st_johns = "America/St_Johns"  # on 2006-10-29 at 00:01 the clock went back to 23:01
    rhythm = cron("*/30 * * * *", tz=st_johns).excluding(Calendar.dates(date(2006, 10, 28), tz=st_johns))
    found = local(rhythm, "2006-10-28T12:00:00-02:30", 2, st_johns)
    assert found == ["2006-10-29T00:00:00-02:30", "2006-10-29T00:00:00-03:30"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Calendar.dates(),
        lambda: Calendar.dates(NOW),
        lambda: Calendar.weekdays(),
        lambda: Calendar.weekdays("caturday"),
        lambda: Calendar.ranges(),
        lambda: Calendar.ranges((NOW, NOW)),
        lambda: Calendar.ranges((NOW, date(2027, 1, 1))),
    ],
)
def test_an_impossible_calendar_is_refused(make: object) -> None:
    with pytest.raises(Invalid):
        make()  # type: ignore[operator]


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rhythm", "words"),
    [
        (every("10s"), "every 10s"),
        (once(NOW), "once at 2026-11-23 00:00:00 UTC"),
        (cron("0 9 * * 1-5", tz=BERLIN), "at 09:00 on Monday to Friday, Europe/Berlin"),
        (cron("0 0 1 * 1"), "at 00:00 on day 1 or any Monday, UTC"),
        (cron("0 0 13 * FRI", day_match="and"), "at 00:00 on day 13, if it is Friday, UTC"),
        (cron("*/15 * * * *"), "every 15 minutes, UTC"),
        (cron("* * * * * *"), "every second, UTC"),
        (cron("5 * * * *"), "at minute 5 of every hour, UTC"),
        (cron("*/10 9-17 * * *"), "every 10 minutes of hour 9 to 17, UTC"),
        (cron("0 9,17 LW JAN,JUN *"), "at 09:00 and 17:00 on the last workday in January and June, UTC"),
        (cron("0 0 ? * FRIL,1#2"), "at 00:00 on the last Friday and the 2nd Monday, UTC"),
        (cron("0 0 0 15W 2 ? 2028"), "at 00:00 on the workday nearest to day 15 in February of 2028, UTC"),
        (cron("@daily"), "at 00:00, UTC"),
        (cron("0 9 * * *").excluding(Calendar.weekdays("sun")), "at 09:00, UTC, except Sunday"),
    ],
)
def test_it_is_described_in_short_english(rhythm: Rhythm, words: str) -> None:
    assert rhythm.describe() == words


def test_days_that_are_joined_by_or_are_a_caution() -> None:
    said = cautions(union(cron("0 9 1 * 1")))
    assert len(said) == 1
    assert said[0].startswith("W6: '0 9 1 * 1' names days of the month and weekdays, and fires when either")
    assert cautions(cron("0 9 1 * 1", day_match="and")) == []


def test_a_starred_step_in_a_day_field_is_a_caution() -> None:
    said = cautions(cron("0 9 */2 * *"))
    assert len(said) == 1
    assert "starred step in the day of month" in said[0]


def test_a_clock_change_within_the_year_is_a_caution() -> None:
    assert cautions(cron("30 2 * * *", tz=BERLIN), after=NOW) == [
        "W3: 02:30 does not exist on 2027-03-28 (Europe/Berlin): it fires at 03:00 instead.",
        "W3: 02:30 comes twice on 2027-10-31 (Europe/Berlin): it fires at the first.",
    ]
    assert cautions(cron("30 4 * * *", tz=BERLIN), after=NOW) == []
    assert cautions(cron("*/15 * * * *", tz=BERLIN), after=NOW) == []
