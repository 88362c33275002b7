"""Commands on a real server: what they print, and their exit codes."""

from __future__ import annotations

import json
import re
import shlex
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chronoq import Scheduler
from chronoq.cli.main import run
from chronoq.domain.retry import Failure
from chronoq.domain.verdict import Dead
from tests.integration.test_cli_processes import TASKS


class Cli:
    """Runs commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.err = ""

    def __call__(self, *args: str, code: int = 0) -> str:
        """What a command prints, after it has ended with `code`; its errors are in `err`."""
        self.capsys.readouterr()
        found = run(args)
        out, self.err = self.capsys.readouterr()
        assert found == code, self.err
        return out.strip()

    def json(self, *args: str) -> Any:
        return json.loads(self(*args, "-o", "json"))


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis_url: str
) -> Cli:
    (tmp_path / "cli_jobs.py").write_text(TASKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("CHRONOQ_URL", redis_url)
    monkeypatch.setenv("CHRONOQ_APP", "cli_jobs:app")
    monkeypatch.delitem(sys.modules, "cli_jobs", raising=False)
    return Cli(capsys)


def kill(cli: Cli, *keys: str) -> None:
    """Enqueue jobs under these keys, and let each fail for good."""
    for key in keys:
        cli("enqueue", "slow", "1", "--id", key)
    backend = Scheduler(allow_dynamic_queues=True).backend
    now = backend.clock.now()
    wants, lease = [("default", len(keys))], timedelta(seconds=30)
    claims = backend.queue.claim(wants, worker="w", lease=lease, now=now).claims
    verdict = Dead(Failure("builtins.RuntimeError", "no way", "Traceback ..."))
    backend.queue.settle([(claim, verdict) for claim in claims], now=now)
    backend.close()


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["worker", "--url", "memory://"], 2, "Use 'dev --app cli_jobs:app'"),
        (["worker", "--queues", "emials"], 2, "error E17: .* Did you mean 'emails'"),
        (["worker", "--bursts"], 2, "No such option '?--bursts"),
        (["worker", "--concurrency", "0"], 2, "concurrency='0'"),
        (["worker", "--app", "cli_job:app"], 2, r"error E04: .* Near: cli_jobs\."),
        (["wroker"], 2, "Did you mean 'worker'"),
        (["jobs", "lst"], 2, "Did you mean 'list'"),
        (["stats", "--url", "redis://127.0.0.1:1/0"], 3, "error E01: Cannot reach"),
        (["stats", "--url", "redsi://h"], 2, "Did you mean 'redis'"),
        (["jobs", "show", "nope"], 4, "No job 'nope'"),
        (["schedules", "show", "nope"], 4, "No schedule 'nope'"),
        (["jobs", "list", "--queue", "nope"], 4, "Queue 'nope' has never held"),
        (["enqueue", "sned"], 4, "Did you mean|Tasks there"),
        (["enqueue", "send", '"x"'], 2, "error E09: .*Signature: send"),
        (["enqueue", "send", "x", '"y"'], 2, "argument 1 is not JSON: x. A string needs its quotes: '\"x\"'"),
        (["enqueue", "slow", "1", "--delay", "5 mins ago"], 2, "error E18"),
        (["enqueue", "slow", "1", "--at", "2030-01-01T09:00"], 2, "error E16"),
        (["enqueue", "slow", "1", "--queue", "emials"], 2, "error E17"),
        (["enqueue", "slow", "1", "--kwarg", "x"], 2, "not of the form name=JSON"),
        (["healthcheck", "--worker"], 1, "no worker is alive"),
        (["explain", "0 25 * * *"], 2, "error E13: .*\n.*\n +\\^"),
        (["explain", "0 9 31 2 *"], 2, "error E14"),
        (["explain", "0 9 * * *", "--tz", "Europe/Berln"], 2, "error E15"),
    ],
)
def test_a_mistake_is_told_with_its_exit_code_and_without_a_traceback(
    cli: Cli, args: list[str], code: int, says: str
) -> None:
    cli(*args, code=code)

    assert re.search(says, cli.err), cli.err
    assert "Traceback" not in cli.err


def test_vv_shows_the_traceback(cli: Cli) -> None:
    cli("enqueue", "-vv", "slow", "1", "--delay", "x", code=2)
    assert "Traceback" in cli.err


def test_global_options_may_stand_before_and_after_the_command(cli: Cli) -> None:
    assert json.loads(cli("-o", "json", "queues", "list")) == cli.json("queues", "list")
    assert cli("jobs", "-o", "jsonl", "list") == ""


def test_jobs_are_listed_page_by_page(cli: Cli) -> None:
    ids = {cli("enqueue", "slow", "1") for _ in range(3)} | {cli("enqueue", "slow", "1", "--delay", "1h")}

    seen, mark = [], ""
    for _ in range(10):
        seen += [one["id"] for one in cli.json("jobs", "list", "--limit", "2", "--mark", mark)]
        if "--mark" not in cli.err:
            break
        mark = shlex.split(cli.err)[-1]
    assert (len(seen), set(seen)) == (4, ids)
    assert {one["state"] for one in cli.json("jobs", "list", "--state", "delayed")} == {"delayed"}


def test_a_job_is_shown_with_what_was_asked_of_it(cli: Cli) -> None:
    cli("enqueue", "pair", "1", "-k", "right=2", "--id", "sum", "--priority", "high", "--delay", "1h")

    shown = cli.json("jobs", "show", "default:sum")
    assert (shown["task"], shown["state"], shown["priority"]) == ("cli_jobs.pair", "delayed", "high")
    assert (shown["args"], shown["kwargs"]) == ([1], {"right": 2})
    assert 'kwargs       {"right":2}' in cli("jobs", "show", "sum")


def test_without_an_application_a_plain_name_will_do(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHRONOQ_APP")

    assert cli("enqueue", "far.away", "1", "-k", "b=2", "--queue", "other", "--id", "x") == "other:x"
    assert cli.json("jobs", "show", "x")["kwargs"] == {"b": 2}


def test_the_beginning_of_an_id_will_do_while_only_one_has_it(cli: Cli) -> None:
    cli("enqueue", "slow", "1", "--id", "order-1")
    cli("enqueue", "slow", "1", "--id", "order-2", "--queue", "emails")

    assert cli.json("jobs", "show", "order-2")["id"] == "emails:order-2"
    assert cli.json("jobs", "show", "emails:ord")["id"] == "emails:order-2"
    cli("jobs", "show", "order", code=2)
    assert "names 2 jobs: default:order-1, emails:order-2" in cli.err


def test_a_waiting_job_is_cancelled_once(cli: Cli) -> None:
    cli("enqueue", "slow", "1", "--id", "a")

    assert cli("jobs", "cancel", "a") == "default:a cancelled: it will never start"
    cli("jobs", "cancel", "a", code=1)
    cli("jobs", "retry", "a", code=1)
    assert "is cancelled, not dead" in cli.err


def test_dead_letters_are_put_back_one_by_one_or_all_after_asking(cli: Cli) -> None:
    kill(cli, "a", "b", "c")

    assert [one["error"] for one in cli.json("dead", "list")] == ["builtins.RuntimeError: no way"] * 3
    assert "Traceback ..." in cli("dead", "show", "b")
    assert cli("jobs", "retry", "a") == "default:a is ready again"
    cli("dead", "requeue", "--all", code=2)
    assert "would requeue 2 dead letters of default" in cli.err
    cli("dead", "requeue", "--all", "--dry-run")
    assert len(cli.json("dead", "list")) == 2
    assert cli("dead", "requeue", "--all", "--yes") == "2 jobs ready again"
    assert cli.json("dead", "list") == []


def test_purged_dead_letters_are_gone(cli: Cli) -> None:
    kill(cli, "a", "b")

    cli("dead", "purge", "a", code=2)
    assert "Add --yes, or --dry-run" in cli.err
    assert cli("dead", "purge", "a", "--yes") == "1 dead letter removed"
    assert cli("dead", "purge", "--all", "--yes") == "1 dead letter removed"
    cli("dead", "show", "a", code=4)
    cli("dead", "purge", code=2)
    cli("dead", "purge", "--all")
    assert "No dead letters." in cli.err


def test_a_queue_is_paused_with_a_note_and_goes_on(cli: Cli) -> None:
    cli("queues", "pause", "emails", "--note", "provider is down", "--for", "5m")
    cli("enqueue", "send", '"a"', '"b"')

    row = next(one for one in cli.json("queues", "list") if one["queue"] == "emails")
    assert (row["ready"], row["pause_note"]) == (1, "provider is down")
    assert row["paused_until"] is not None
    assert cli("queues", "resume", "emails") == "emails goes on"
    assert cli("queues", "resume", "emails") == "emails was not paused"
    cli("queues", "pause", "emails", "--for", "5m", "--until", "2030-01-01T00:00+00:00", code=2)
    cli("queues", "pause", "emails", "--until", "2030-01-01", code=2)
    assert "error E16" in cli.err


def test_stats_count_everything(cli: Cli) -> None:
    cli("enqueue", "slow", "1")

    found = cli.json("stats")
    assert (found["jobs"]["ready"], found["workers"], found["schedulers"], found["leader"]) == (1, 0, 0, None)
    assert "1 ready" in cli("stats")
    assert cli("healthcheck") == "ok"
    assert cli.json("workers", "list") == []


def test_config_says_where_each_setting_came_from(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.chronoq]\ngrace = '5s'\nnamespace = 'file'\n")
    app = "Scheduler(lease='8s', grace='7s')"
    (tmp_path / "cli_jobs.py").write_text(f"from chronoq import Scheduler\napp = {app}\n")
    monkeypatch.setenv("CHRONOQ_GRACE", "6s")

    found = cli.json("config", "--url", "redis://u:secret@h/0")
    rows = {one["setting"]: (one["value"], one["from"]) for one in found}
    assert rows["url"] == ("redis://u:***@h/0", "a flag")
    assert rows["grace"] == (6.0, "CHRONOQ_GRACE")
    assert rows["lease"] == (8.0, "the program")
    assert rows["namespace"] == ("file", str(tmp_path / "pyproject.toml"))
    assert rows["concurrency"] == (8, "default")


def test_explain_says_when_it_fires_and_what_to_beware_of(cli: Cli) -> None:
    asked = ("explain", "30 2 1 * 1", "--tz", "Europe/Berlin", "--after", "2026-03-28T12:00", "--count", "2")

    found = cli.json(*asked)
    assert {key: found[key] for key in ("expression", "timezone", "description", "fires")} == {
        "expression": "30 2 1 * 1",
        "timezone": "Europe/Berlin",
        "description": "at 02:30 on day 1 or any Monday, Europe/Berlin",
        "fires": ["2026-03-30T02:30:00+02:00", "2026-04-01T02:30:00+02:00"],
    }
    assert found["warnings"][0].startswith("W6: ")
    drawn = cli(*asked)
    assert "Mon 2026-03-30T02:30:00+02:00   2026-03-30 00:30:00 UTC" in drawn
    assert "March 2026" in drawn
    assert "30•" in drawn
    assert cli.json("explain", "@every 90s", "--after", "2026-01-01T00:00", "--count", "1")["fires"] == [
        "2026-01-01T00:01:30+00:00"
    ]
