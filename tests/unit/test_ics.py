from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from chronoq.adapters.ics import read_calendar
from chronoq.domain.errors import Invalid
from chronoq.domain.rhythm import cron, rhythm_from

HOLIDAYS = """BEGIN:VCALENDAR
BEGIN:VEVENT
SUMMARY:Christmas, whole
  days folded over lines
DTSTART;VALUE=DATE:20261225
DTEND;VALUE=DATE:20261227
END:VEVENT
BEGIN:VEVENT
SUMMARY:New Year
DTSTART;VALUE=DATE:20200101
RRULE:FREQ=YEARLY;COUNT=10
EXDATE;VALUE=DATE:20280101
END:VEVENT
BEGIN:VEVENT
DTSTART;TZID=Europe/Berlin:20261124T083000
DURATION:PT1H30M
END:VEVENT
BEGIN:VEVENT
STATUS:CANCELLED
DTSTART;VALUE=DATE:20261123
END:VEVENT
END:VCALENDAR
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "days.ics"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def nine(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 9, tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)


def test_a_rhythm_leaves_the_events_of_a_file_out(write) -> None:
    rhythm = cron("0 9 * * *", tz="Europe/Berlin").excluding(
        read_calendar(write(HOLIDAYS), tz="Europe/Berlin")
    )
    found = list(rhythm.fires(nine(2026, 11, 22), until=nine(2026, 11, 26)))
    assert found == [nine(2026, 11, 23), nine(2026, 11, 25), nine(2026, 11, 26)]
    found = list(rhythm.fires(nine(2026, 12, 23), until=nine(2027, 1, 2)))
    assert found == [nine(2026, 12, day) for day in (24, 27, 28, 29, 30, 31)] + [nine(2027, 1, 2)]


def test_an_excluded_date_of_a_rule_is_not_left_out(write) -> None:
    rhythm = cron("0 9 1 1 *", tz="Europe/Berlin").excluding(
        read_calendar(write(HOLIDAYS), tz="Europe/Berlin")
    )
    assert rhythm.next_after(nine(2026, 1, 1)) == nine(2028, 1, 1)


def test_such_a_calendar_can_be_stored(write) -> None:
    rhythm = cron("0 9 * * *").excluding(read_calendar(write(HOLIDAYS)))
    assert rhythm_from(rhythm.spec()) == rhythm


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello", "holds no events"),
        ("BEGIN:VEVENT\nDTSTART:2026\nEND:VEVENT", "line 1"),
        ("BEGIN:VEVENT\nSUMMARY:none\nEND:VEVENT", "DTSTART"),
        ("BEGIN:VEVENT\nDTSTART:20260101T090000Z\nDTEND:20260101T080000Z\nEND:VEVENT", "no length"),
        ("BEGIN:VEVENT\nDTSTART:20260101T090000Z\nDURATION:long\nEND:VEVENT", "DURATION"),
        ("BEGIN:VEVENT\nDTSTART;TZID=Mars/Base:20260101T090000\nDURATION:PT1H\nEND:VEVENT", "Mars/Base"),
        ("BEGIN:VEVENT\nDTSTART:20260101T090000Z\nDURATION:PT1S\nRRULE:FREQ=MINUTELY\nEND:VEVENT", "5000"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(write, text: str, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        read_calendar(write(text))
