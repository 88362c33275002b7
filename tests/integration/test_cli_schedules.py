"""Acting on schedules on a real server: what the commands print, what they change, their exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep

import pytest

from tests.integration.shop import RANGE, SHOP, answer
from tests.integration.test_cli_commands import Cli
from tests.proc import chronoq

pytest_plugins = ["tests.integration.shop"]


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["schedules", "pause", "nigthly"], 4, "No schedule 'nigthly'. Did you mean 'nightly'"),
        (["schedules", "resume", "nope"], 4, "No schedule 'nope'"),
        (["schedules", "trigger", "nope"], 4, "No schedule 'nope'"),
        (["schedules", "next", "nope"], 4, "No schedule 'nope'"),
        (["schedules", "remove", "nope", "--yes"], 4, "No schedule 'nope'"),
        (
            ["schedules", "remove", "night", "--yes"],
            4,
            "exactly the id 'night'. Did you mean 'default:nightly'",
        ),
        (["schedules", "backfill", "nope", "--from", "2026-01-01", "--to", "2026-01-02"], 4, "No schedule"),
        (["schedules", "pause", "nightly", "--for", "1h", "--until", "2030-01-01"], 2, "not both"),
        (["schedules", "pause", "nightly", "--for", "5 mins"], 2, "error E18"),
        (["schedules", "pause", "nightly", "--until", "2020-01-01"], 2, "is past"),
        (["schedules", "pause", "nightly", "--until", "soon"], 2, "'soon' is not a moment"),
        (["schedules", "pause", "nightly", "--until", "2090-01-01", "--tz", "Mars"], 2, "error E15"),
        (["schedules", "backfill", "nightly", "--from", "2026-01-02", "--to", "2026-01-01"], 2, "not after"),
        (["schedules", "backfill", "nightly", "--from", "2026-01-01"], 2, "--to"),
        (["schedules", "remove", "nightly"], 2, "Add --yes, or --dry-run"),
        (["schedules", "backfill", "nightly", *RANGE], 2, "Add --yes, or --dry-run"),
        (["schedules", "preview", "--slot", "1ms"], 2, "too short"),
        (
            ["schedules", "preview", "--url", "memory://", "--slot", "1s", "--hours", "99"],
            2,
            "at most 10000 slots",
        ),
        (["why", "nope"], 4, "No job and no schedule 'nope'"),
        (["why", "nigthly"], 4, "Did you mean 'nightly'"),
        (["why", "nightly", "--job", "--at", "2026-01-01"], 2, "--at is about a schedule"),
    ],
)
def test_a_mistake_is_told_with_its_exit_code(cli: Cli, args: list[str], code: int, says: str) -> None:
    cli(*args, code=code)
    assert re.search(says, cli.err), cli.err


def test_a_schedule_is_paused_with_a_note_and_goes_on(cli: Cli) -> None:
    paused = cli.json("schedules", "pause", "nightly", "--note", "stock taking", "--for", "2h")
    assert (paused["id"], paused["paused"], paused["note"]) == ("default:nightly", True, "stock taking")

    shown = cli.json("schedules", "show", "nightly")
    assert (shown["state"], shown["pause_note"], shown["paused_until"]) == (
        "paused",
        "stock taking",
        paused["until"],
    )
    assert re.search(r"pause note +stock taking", cli("schedules", "show", "nightly"))

    assert cli.json("schedules", "resume", "nightly")["was"] is True
    assert "was not paused" in cli("schedules", "resume", "nightly")
    assert cli.json("schedules", "show", "nightly")["state"] == "active"


def test_the_end_of_a_pause_is_read_in_the_zone_that_was_given(cli: Cli) -> None:
    def until(*args: str) -> object:
        return cli.json("schedules", "pause", "nightly", "--until", *args)["until"]

    assert until("2090-01-01T09:00") == "2090-01-01T09:00:00+00:00"
    assert until("2090-01-01T09:00", "--tz", "Asia/Tokyo") == "2090-01-01T00:00:00+00:00"
    assert until("2090-01-01T09:00-01:00", "--tz", "Asia/Tokyo") == "2090-01-01T10:00:00+00:00"


def test_what_a_pause_left_out_is_made_up_for_when_asked(bare: Cli, declare: Callable[[str], None]) -> None:
    declare(SHOP + 'app.add_schedule("fast", send, every("50ms"))\n')
    bare("schedules", "apply")
    pending = bare.json("schedules", "show", "fast")["next"]
    sleep(0.1)

    bare("schedules", "pause", "fast")
    assert bare.json("schedules", "resume", "fast", "--catch-up")["next"] == pending
    bare("schedules", "pause", "fast")
    assert bare.json("schedules", "resume", "fast")["next"] > pending
    assert bare.json("schedules", "show", "fast")["ledger"][0]["what"] == "paused"
    assert re.search(r"ledger +\S+ +paused +up to ", bare("schedules", "show", "fast"))


def test_a_triggered_schedule_makes_one_job_and_keeps_its_rhythm(cli: Cli) -> None:
    before = cli.json("schedules", "show", "nightly")["next"]
    job = cli.json("schedules", "trigger", "nightly")["job"]

    assert cli.json("jobs", "show", job)["schedule"] == "nightly"
    shown = cli.json("schedules", "show", "nightly")
    assert (shown["next"], shown["running"]) == (before, [job])
    assert shown["ledger"][0]["what"] == "manual"
    assert re.search(r"ledger +\S+ +manual +nightly@", cli("schedules", "show", "nightly"))
    assert cli.json("schedules", "show", "nightly", "--ledger", "0")["ledger"] == []


def test_a_backfill_shows_what_it_would_make_and_asks(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("schedules", "backfill", "nightly", *RANGE)
    dry = cli(*asked, "--dry-run")
    assert dry.splitlines() == [
        "default:nightly: 3 data intervals to make up",
        "  2026-02-28T02:30:00+01:00 up to 2026-03-01T02:30:00+01:00",
        "  2026-03-01T02:30:00+01:00 up to 2026-03-02T02:30:00+01:00",
        "  2026-03-02T02:30:00+01:00 up to 2026-03-03T02:30:00+01:00",
    ]
    assert "Would make 3 low-priority jobs. Nothing was changed." in cli.err

    cli(*asked, code=2)
    answer(monkeypatch, "n")
    cli(*asked, code=1)
    assert "This will make 3 low-priority jobs" in cli.err
    assert cli.json("jobs", "list") == []

    answer(monkeypatch, "y")
    assert cli(*asked).splitlines()[-1] == "3 jobs made"
    jobs = cli.json("jobs", "list")
    assert {(one["priority"], one["schedule"]) for one in jobs} == {("low", "nightly")}
    assert len(jobs) == 3


def test_a_backfill_is_taken_up_again_and_made_again_only_when_asked(cli: Cli) -> None:
    asked = ("schedules", "backfill", "nightly", *RANGE, "--yes")
    made = cli.json(*asked, "--name", "march")
    assert (made["count"], made["made"]) == (3, True)
    assert made["intervals"][0] == {"start": "2026-02-28T01:30:00+00:00", "end": "2026-03-01T01:30:00+00:00"}

    assert cli.json(*asked, "--name", "march")["count"] == 0
    assert "nothing to make up" in cli(*asked, "--name", "march", "--again")
    assert cli.json(*asked, "--name", "once-more")["count"] == 3


def test_a_backfill_beyond_its_limit_is_refused(cli: Cli) -> None:
    cli("schedules", "backfill", "nightly", *RANGE, "--limit", "2", "--yes", code=2)
    assert "more than 2 jobs" in cli.err


def test_a_backfill_of_many_names_the_first_and_the_last(cli: Cli) -> None:
    asked = ("--from", "2026-01-01", "--to", "2026-01-31", "--dry-run")
    lines = cli("schedules", "backfill", "nightly", *asked).splitlines()
    assert (len(lines), lines[-2]) == (11, "  ... 21 more ...")
    assert json.loads(cli("schedules", "backfill", "nightly", *asked, "-o", "jsonl"))["count"] == 30

    soon = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}"
    cli("schedules", "backfill", "nightly", "--from", "2026-01-01", "--to", soon, "--dry-run")
    assert re.search(r"[12] of them for times to come", cli.err)


def test_the_coming_times_are_shown_in_the_schedules_own_zone(cli: Cli) -> None:
    rows = cli.json("schedules", "next", "nightly", "--count", "3")
    assert [row["local"][10:19] for row in rows] == ["T02:30:00"] * 3
    assert [datetime.fromisoformat(row["local"]) for row in rows] == [
        datetime.fromisoformat(row["utc"]) for row in rows
    ]
    assert rows[0]["utc"] == cli.json("schedules", "show", "nightly")["next"]
    tokyo = cli.json("schedules", "next", "nightly", "--tz", "Asia/Tokyo", "--count", "1")
    assert tokyo[0]["local"].endswith("+09:00")
    assert len(cli("schedules", "next", "hourly", "-o", "jsonl").splitlines()) == 5


def test_no_more_times_come_than_a_schedule_may_fire_or_than_its_pause_lets_through(cli: Cli) -> None:
    assert len(cli.json("schedules", "next", "tick")) == 3
    end = datetime.now(UTC) + timedelta(days=1, hours=12)
    cli("schedules", "pause", "tick", "--until", end.isoformat())
    assert [row["remark"] for row in cli.json("schedules", "next", "tick")] == ["paused", "", ""]


def test_a_removed_schedule_is_gone(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("schedules", "remove", "nightly", "--dry-run")
    answer(monkeypatch, "n")
    cli("schedules", "remove", "nightly", code=1)
    assert cli("schedules", "remove", "default:nightly", "--yes") == "default:nightly is removed"
    assert "still declared in code" in cli.err
    cli("schedules", "show", "nightly", code=4)


def test_a_real_process_ends_with_its_code(cli: Cli, redis_url: str, tmp_path: Path) -> None:
    def ended(*args: str, url: str = redis_url) -> tuple[int, str]:
        env = {"CHRONOQ_URL": url, "CHRONOQ_APP": "shop:app"}
        with chronoq(*args, env=env, cwd=tmp_path) as process:
            return process.wait(30), "\n".join([*process.out, *process.err])

    assert ended("schedules", "plan")[0] == 0
    assert ended("why", "nightly", url="redis://127.0.0.1:1/0")[0] == 3
    code, said = ended("why", "nope")
    assert (code, "Traceback" in said) == (4, False)
