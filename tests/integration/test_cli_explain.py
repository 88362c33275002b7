"""`explain` on everything that other cron libraries agree on, and what it draws."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from chronoq.cli.main import run
from tests.proc import chronoq
from tests.unit.test_cron_vectors import rows

EXPLAINED = {"expression", "timezone", "description", "fires", "warnings"}


class Explain:
    """Runs `explain` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.err = ""

    def __call__(self, *args: str, code: int = 0) -> str:
        """What it prints, after it has ended with `code`; its errors are in `err`."""
        self.capsys.readouterr()
        found = run(["explain", *args])
        out, self.err = self.capsys.readouterr()
        assert found == code, self.err
        return out

    def json(self, *args: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self(*args, "-o", "json"))
        assert set(found) == EXPLAINED
        return found

    def line(self, start: str, *args: str) -> str:
        """The line of the drawing that begins with `start`."""
        return next(line.strip() for line in self(*args).splitlines() if line.strip().startswith(start))


@pytest.fixture
def explain(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Explain:
    monkeypatch.chdir(tmp_path)
    return Explain(capsys)


@pytest.mark.parametrize(
    ("expression", "tz", "after", "fires"),
    rows("cron_vectors.csv", "after", ["fire_1", "fire_2", "fire_3"])
    + rows("cron_dst_vectors.csv", "start_iso", [f"expected_{n}" for n in range(1, 5)]),
)
def test_it_tells_the_fires_that_other_libraries_tell(
    explain: Explain, expression: str, tz: str, after: str, fires: Sequence[str]
) -> None:
    asked = (expression, "--tz", tz, "--after", after, "--count", str(len(fires)))
    if fires == ["NONE"]:
        explain(*asked, "-o", "json", code=2)
        assert "error E14: " in explain.err
        return
    found = explain.json(*asked)
    moments = [datetime.fromisoformat(fire) for fire in found["fires"]]
    assert moments == [datetime.fromisoformat(fire) for fire in fires]
    assert (found["expression"], found["timezone"]) == (expression, tz)
    local = [moment.astimezone(ZoneInfo(tz)) for moment in moments]
    assert [one.utcoffset() for one in moments] == [one.utcoffset() for one in local]


@pytest.mark.parametrize(
    ("after", "first"),
    [
        ("2026-11-23T08:59:59.999999+01:00", "2026-11-23T09:00:00+01:00"),
        ("2026-11-23T09:00:00+01:00", "2026-11-24T09:00:00+01:00"),
        ("2026-11-23T09:00:00.000001+01:00", "2026-11-24T09:00:00+01:00"),
        ("2026-11-23T13:29:59.5+05:30", "2026-11-23T09:00:00+01:00"),
        ("2026-11-22T20:00:00-12:00", "2026-11-24T09:00:00+01:00"),
        ("2026-11-23T08:00:00Z", "2026-11-24T09:00:00+01:00"),
        ("2026-11-23T08:59:59", "2026-11-23T09:00:00+01:00"),
        ("2026-11-23", "2026-11-23T09:00:00+01:00"),
    ],
)
def test_it_looks_on_from_a_moment_strictly_with_any_offset(explain: Explain, after: str, first: str) -> None:
    found = explain.json("0 9 * * *", "--tz", "Europe/Berlin", "--after", after, "--count", "1")
    assert found["fires"] == [first]


def test_a_rhythm_with_no_fire_left_has_no_fires(explain: Explain) -> None:
    asked = ("0 0 9 1 1 * 2020", "--after", "2026-01-01T00:00")
    assert explain.json(*asked)["fires"] == []
    assert "no next fire" in explain(*asked)


@pytest.mark.parametrize("after", ["0001-01-01T00:00+00:00", "9999-12-31T23:59:59Z", "0001-01-01T00:00"])
def test_it_looks_on_from_the_ends_of_time(explain: Explain, after: str) -> None:
    count = len(explain.json("0 9 * * *", "--after", after, "--count", "1")["fires"])
    assert count == int(after.startswith("0"))
    explain("0 9 * * *", "--after", after)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["0 9 31 2 *"], "error E14: .*February has no day 31"),
        (["0 25 * * *"], "error E13: "),
        (["0 9 * * *", "--tz", "Europe/Berln"], "error E15: .*Did you mean 'Europe/Berlin'"),
        (["0 9 * * *", "--after", "soon"], "--after 'soon' is not a moment"),
        (["0 9 * * *", "--after", "9999-12-31T23:59:59-05:00"], "too far away"),
        (["0", "9", "a", "b", "1-5"], "put it in quotes"),
        (["0 9 * * *", "--count", "-1"], "--count"),
    ],
)
def test_a_mistake_is_refused(explain: Explain, args: list[str], says: str) -> None:
    explain(*args, "-o", "json", code=2)
    assert re.search(says, explain.err), explain.err


BERLIN = ("--tz", "Europe/Berlin", "--after", "2026-12-01")


@pytest.mark.parametrize(
    ("expression", "gap", "overlap"),
    [
        ("30 2 * * *", "02:30 fires at 03:00", "02:30 fires at the first pass only"),
        (
            "0,30 2 * * *",
            "02:00 and 02:30 fire at 03:00, once",
            "02:00 and 02:30 fire at the first pass only",
        ),
        ("30 2,3 * * *", "02:30 fires at 03:00", "02:30 fires at the first pass only"),
        (
            "*/10 * * * *",
            "02:00, 02:10 ... 02:50 (6 times) do not fire, next at 03:00",
            "02:00, 02:10 ... 02:50 (6 times) fire in both passes, 1h apart",
        ),
        ("0 9 * * *", "nothing of this falls into it", "nothing of this falls into it"),
    ],
)
def test_the_coming_clock_changes_are_told_with_their_effect(
    explain: Explain, expression: str, gap: str, overlap: str
) -> None:
    drawn = explain(expression, *BERLIN)
    assert f"  Sun 2027-03-28: 02:00-03:00 does not exist; {gap}\n" in drawn
    assert f"  Sun 2027-10-31: 02:00-03:00 comes twice; {overlap}\n" in drawn
    assert "W3" not in drawn, "the clock changes say so already"


def test_a_day_that_does_not_exist_is_told(explain: Explain) -> None:
    asked = ("30 2 * * *", "--tz", "Pacific/Apia", "--after", "2011-10-01")
    assert explain.line("Fri 2011-12-30", *asked) == (
        "Fri 2011-12-30: 2011-12-30 00:00-2011-12-31 00:00 does not exist; "
        "02:30 does not fire, next at 2011-12-31 02:30"
    )


def test_half_an_hour_comes_twice_on_lord_howe(explain: Explain) -> None:
    asked = ("40 1 * * *", "--tz", "Australia/Lord_Howe", "--after", "2026-12-01")
    assert explain.line("Sun 2027-04-04", *asked) == (
        "Sun 2027-04-04: 01:30-02:00 comes twice; 01:40 fires at the first pass only"
    )


def test_a_zone_without_clock_changes_has_none(explain: Explain) -> None:
    assert explain.line("clock", "30 2 * * *") == "clock changes: none in UTC within a year"
    assert "does not notice" in explain.line("clock", "@every 90s", *BERLIN)


def test_the_fields_say_which_numbers_they_name(explain: Explain) -> None:
    assert explain.line("minute", "5/20 9-17 * * *").split() == ["minute", "5/20", "=", "5,", "25,", "45"]
    assert explain.line("hour", "5/20 9-17 * * *").endswith("= 9, 10, 11, 12, 13, 14, 15, 16, 17")
    assert explain.line("second", "* * * * * *").split() == ["second", "*"]


def test_day_or_weekday_is_pointed_out(explain: Explain) -> None:
    drawn = explain("0 9 1 * 1")
    assert "at 09:00 on day 1 or any Monday, UTC" in drawn
    assert "⚠ W6: " in drawn


def test_two_months_show_the_days_on_which_it_fires(explain: Explain) -> None:
    drawn = explain("0 9 15 * *", "--after", "2026-12-16T00:00").splitlines()
    head = next(number for number, line in enumerate(drawn) if "December 2026" in line)
    assert "January 2027" in drawn[head]
    marked = [line for line in drawn[head:] if "•" in line]
    assert len(marked) == 1, "the 15th of December is over"
    assert "15•" in marked[0]


def test_a_real_process_prints_json_and_ends_with_its_code() -> None:
    with chronoq("explain", "30 2 * * *", *BERLIN, "--count", "2", "-o", "jsonl") as process:
        assert process.wait(30) == 0, process.err
        assert json.loads(process.out[0])["fires"] == [
            "2026-12-01T02:30:00+01:00",
            "2026-12-02T02:30:00+01:00",
        ]
    with chronoq("explain", "0 9 31 2 *", "-o", "json") as process:
        assert process.wait(30) == 2
        assert (process.out, process.err[0][:10]) == ([], "error E14:")
