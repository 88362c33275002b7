"""`schedules plan`, `apply` and `preview`, and `why`, on a real server."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.shop import CHANGED, RANGE, SHOP, answer
from tests.integration.test_cli_commands import Cli

pytest_plugins = ["tests.integration.shop"]


def test_a_plan_says_what_would_change_field_by_field(cli: Cli, declare: Callable[[str], None]) -> None:
    declare(CHANGED)
    rows = {row["id"]: row for row in cli.json("schedules", "plan")}

    assert {id: row["change"] for id, row in rows.items()} == {
        "default:weekly": "create",
        "default:nightly": "update",
        "default:tick": "unchanged",
        "default:hourly": "orphan",
    }
    assert rows["default:nightly"]["fields"] == [
        {"field": "rhythm.dst_gap", "old": "fire", "new": "skip"},
        {"field": "args", "old": None, "new": ["boss"]},
        {"field": "overlap", "old": "skip", "new": "allow"},
        {"field": "retries", "old": 3, "new": 7},
    ]
    drawn = cli("schedules", "plan")
    assert "~ update     default:nightly\n" in drawn
    assert "overlap: skip -> allow\n" in drawn
    assert "1 to create, 1 to update, 1 orphan, 1 unchanged." in cli.err
    assert "weekly" not in cli("schedules", "list"), "a plan changes nothing"


def test_apply_stores_and_prunes_only_when_asked(
    cli: Cli, declare: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def changes(*args: str) -> dict[str, str]:
        return {row["id"].partition(":")[2]: row["change"] for row in cli.json("schedules", "apply", *args)}

    due = cli.json("schedules", "show", "tick")["next"]
    declare(CHANGED)
    cli("schedules", "apply", "--prune", "--dry-run")
    assert "store these and remove 1 orphan" in cli.err
    assert changes() == {"weekly": "created", "nightly": "updated", "tick": "unchanged", "hourly": "orphan"}
    assert cli.json("schedules", "show", "tick")["next"] == due

    cli("schedules", "apply", "--prune", code=2)
    assert "remove 1 orphan with its ledger: default:hourly" in cli.err
    answer(monkeypatch, "n")
    cli("schedules", "apply", "--prune", code=1)
    cli("schedules", "show", "hourly")
    assert changes("--prune", "--yes")["hourly"] == "removed"
    cli("schedules", "show", "hourly", code=4)
    assert set(changes("--prune").values()) == {"unchanged"}


def test_many_that_are_unchanged_are_only_counted(bare: Cli, declare: Callable[[str], None]) -> None:
    declare(SHOP + 'for n in range(20): app.add_schedule(f"s{n}", send, every("1h"))\n')
    assert len(bare("schedules", "apply").splitlines()) == 23
    assert bare("schedules", "plan") == "= unchanged  23 schedules; -v names them"
    assert len(bare("schedules", "plan", "-v").splitlines()) == 23


def test_plan_and_apply_need_an_application(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHRONOQ_APP")
    for command in ("plan", "apply"):
        cli("schedules", command, code=2)
        assert "Give --app" in cli.err
    assert len(cli.json("schedules", "preview")["schedules"]) == 3, "a preview needs none"


def test_a_preview_draws_the_load_and_points_out_the_herd(bare: Cli, declare: Callable[[str], None]) -> None:
    declare(SHOP + 'for n in range(17): app.add_schedule(f"daily-{n}", send, cron("0 9 * * *"))\n')
    drawn = bare("schedules", "preview")
    assert "as if they were stored now" in bare.err
    assert "busiest: 09:00:00 UTC with 18 of 20 schedules; spread them with jitter= or H" in drawn
    assert max(map(len, drawn.splitlines())) <= 100

    bare("schedules", "apply")
    found = bare.json("schedules", "preview", "--hours", "48", "--slot", "2h", "--tz", "Europe/Berlin")
    assert "as if" not in bare.err
    assert datetime.fromisoformat(found["to"]) > datetime.now(UTC) + timedelta(hours=47, minutes=59)
    assert (len(found["schedules"]), len(found["sum"]), found["slot"]) == (20, 25, 7200.0)
    assert found["total"] == sum(found["sum"]) == sum(one["total"] for one in found["schedules"])
    assert (found["busiest"]["schedules"], found["busiest"]["of"], found["busiest"]["times"]) == (18, 20, 2)
    few = bare("schedules", "preview", "--limit", "2").splitlines()
    assert [line.split("  ")[0] for line in few[1:5]] == [
        "default:hourly",
        "default:daily-0",
        "18 more",
        "sum",
    ]


def test_a_preview_of_a_paused_schedule_says_so(cli: Cli) -> None:
    cli("schedules", "pause", "hourly")
    assert re.search(r"default:hourly \(paused\) +·+ +0 +0", cli("schedules", "preview"))


def test_a_preview_of_nothing_is_empty(bare: Cli, declare: Callable[[str], None]) -> None:
    declare("from chronoq import Scheduler\napp = Scheduler()\n")
    assert (bare("schedules", "preview"), bare.err) == ("", "No schedules.\n")
    assert bare.json("schedules", "preview")["busiest"] is None


def test_why_answers_for_a_time_of_a_schedule(cli: Cli) -> None:
    assert cli.json("why", "nightly")["because"] == "not due yet"
    asked = ("why", "nightly", "--tz", "Europe/Berlin", "--at")
    assert cli.json(*asked, "2026-03-01T02:30")["because"] == "not saved yet"
    assert cli.json(*asked, "2090-03-01T02:31") == {
        "because": "no nominal time",
        "says": "'nightly' has no nominal time at 2090-03-01T01:31:00+00:00. "
        "The next time after it is 2090-03-02T01:30:00+00:00.",
    }
    cli("schedules", "backfill", "nightly", *RANGE, "--yes")
    assert cli.json(*asked, "2026-03-01T02:30")["because"] == "backfill"
    cli("schedules", "pause", "nightly", "--note", "stock taking")
    assert "'nightly' is paused (stock taking)" in cli("why", "nightly")


def test_why_answers_for_a_job(cli: Cli) -> None:
    cli("enqueue", "send", "--id", "letter")
    assert cli.json("why", "letter") == {
        "because": "no worker listens",
        "says": "It is ready, but no worker listens on queue 'default'. Start one, or its relay.",
    }
    assert cli.json("why", "let")["because"] == "no worker listens"


def test_why_asks_which_one_is_meant_when_an_id_is_both(cli: Cli) -> None:
    cli("schedules", "trigger", "nightly")
    assert cli.json("why", "nightly")["because"] == "not due yet", "the whole id comes first"

    cli("enqueue", "send", "--id", "nightly")
    cli("why", "nightly", code=2)
    assert "names a job and a schedule. Say which: --job or --schedule." in cli.err
    assert cli.json("why", "nightly", "--job")["because"] == "no worker listens"
    assert cli.json("why", "nightly", "--schedule")["because"] == "not due yet"
    assert cli.json("why", "nightly", "--at", "2090-01-01")["because"] == "no nominal time"
    cli("why", "nightl", code=2)
