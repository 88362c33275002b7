"""The command line's parts: fast help, the loader's refusals, the forms of log and output."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

import chronoq
from chronoq.api.scheduler import Scheduler
from chronoq.cli import load, logs
from chronoq.cli.main import LAZY, root, run
from chronoq.cli.out import plain, text
from chronoq.cli.process import Watch
from chronoq.domain.errors import ChronoqError
from chronoq.domain.lease import Kind
from chronoq.domain.rhythm import every

HEAVY = ("redis", "croniter", "cattrs", "rich", "asyncio", "attrs", "orjson", "chronoq.api", "chronoq.domain")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from chronoq.cli.main import run; run(['--help']);"
        f"print('loaded', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.splitlines()[-1] == "loaded []"


DECLARING = """
import sys
from chronoq import Scheduler, cron, every

app = Scheduler("redis://127.0.0.1:1/0", queues=["mail"])

@app.task(queue="mail")
def send(to: str) -> int: ...

@app.schedule(cron("0 9 * * 1-5", tz="Europe/Berlin"))
def report() -> None: ...

app.add_schedule("tick", send, every("10s"), args=["a"])
"""
RUNNING = """
import sys
from chronoq import Scheduler

with Scheduler() as app:
    assert app.add_task(abs, name="abs").enqueue(-3).result(timeout=60) == 3
"""
NOT_TO_DECLARE = (
    *("redis", "cattrs", "rich", "click", "dependency_injector", "asyncio", "concurrent.futures"),
    *("ssl", "importlib.metadata", "chronoq.container", "chronoq.domain.ports", "chronoq.app.worker"),
)
NOT_IN_MEMORY = ("redis", "sqlite3", "rich", "click", "chronoq.cli", "chronoq.adapters.redis")


@pytest.mark.parametrize(("program", "unwanted"), [(DECLARING, NOT_TO_DECLARE), (RUNNING, NOT_IN_MEMORY)])
def test_a_program_loads_what_it_uses_and_no_more(program: str, unwanted: tuple[str, ...]) -> None:
    code = f"{program}\nprint([name for name in {unwanted!r} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.splitlines()[-1] == "[]"


def test_the_package_gives_its_names_when_they_are_asked_for() -> None:
    assert all(getattr(chronoq, name) is not None for name in chronoq.__all__)
    assert chronoq.Scheduler is Scheduler
    assert {*chronoq.__all__} <= {*dir(chronoq)}
    with pytest.raises(AttributeError, match="no attribute 'Schedular'"):
        chronoq.Schedular  # noqa: B018


@pytest.mark.parametrize("name", LAZY)
def test_every_command_exists_and_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = root.get_command(click.Context(root), name)

    assert command is not None
    assert command.help
    assert run([name, "--help"]) == 0
    assert "Global options" in capsys.readouterr().out or isinstance(command, click.Group)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in [name for name in sys.modules if name.startswith("shop")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    (tmp_path / "shop.py").write_text(
        "from chronoq import Scheduler\napp = Scheduler()\nother = 5\ndef make():\n    return Scheduler()\n"
    )
    (tmp_path / "shop_broken.py").write_text("import no_such_thing\n")
    wrong = "cron('0 9 * * *', tz='Europe/Berln')"
    (tmp_path / "shop_cron.py").write_text(f"from chronoq import cron\n\n{wrong}\n")
    return tmp_path


def test_an_application_is_found_by_its_path(place: Path) -> None:
    assert isinstance(load.load("shop:app"), Scheduler)
    assert isinstance(load.load("shop:make", factory=True), Scheduler)


@pytest.mark.parametrize(
    ("path", "factory", "code", "says"),
    [
        ("shpo:app", False, "E04", r"No module 'shpo' for --app 'shpo:app'\. Searched .*\. Near: shop"),
        ("zzz:app", False, "E04", r"No module 'zzz' .* holds zzz\.py"),
        ("shop:ap", False, "E05", r"'shop' has no attribute 'ap'\. Scheduler objects there: app\."),
        ("shop:make", False, "E06", r"is a function, not a Scheduler\. For a factory add --factory\."),
        ("shop:other", False, "E06", r"shop:other is of type int, not a Scheduler\. .* there: app"),
        ("shop:other", True, "E06", r"of type int, not a function"),
        ("shop:app.queues.items", True, "E06", r"gave dict_items, not a Scheduler"),
        ("shop", False, "", r"not of the form module:attr.*--app shop:app"),
        ("./shop.py:app", False, "", r"file name.*--app shop:app"),
        ("shop_broken:app", False, "", r"cannot be imported: ModuleNotFoundError.*shop_broken\.py:1"),
        ("shop_cron:app", False, "E15", r"Did you mean 'Europe/Berlin'\? In.*shop_cron\.py:3"),
    ],
)
def test_a_path_that_leads_nowhere_is_told_what_is_there(
    place: Path, path: str, factory: bool, code: str, says: str
) -> None:
    with pytest.raises(ChronoqError, match=says) as refused:
        load.load(path, factory=factory)
    assert refused.value.code == code


def _record(message: str, *args: object) -> logging.LogRecord:
    made = logging.LogRecord("chronoq.jobs", logging.INFO, "runner.py", 1, message, args, None)
    made.created = datetime(2026, 11, 22, 9, 0, 0, 12_000, tzinfo=UTC).timestamp()
    return made


def test_a_log_line_has_the_time_and_its_columns_are_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    form = logs.TextFormatter()

    line = form.format(_record("▶ %s  %s  late %s", "report", "7f3a", "12ms"))
    assert line.endswith(".012 ▶ report        7f3a  late 12ms")
    minted = form.format(_record("✔ a.longer.name  abcdefghijklmnop  1.41s"))
    assert minted.endswith(".012 ✔ a.longer.name  abcdefgh  1.41s")
    assert form.format(_record("⚠ no scheduler seen")).endswith(".012 ⚠ no scheduler seen")


def test_a_log_line_as_json_has_fields() -> None:
    fields = json.loads(logs.JsonFormatter().format(_record("▶ %s  %s  late %s", "report", "7f3a", "12ms")))

    assert fields == {
        "time": "2026-11-22T09:00:00.012+00:00",
        "level": "info",
        "logger": "chronoq.jobs",
        "event": "started",
        "task": "report",
        "job": "7f3a",
        "detail": "late 12ms",
        "message": "▶ report  7f3a  late 12ms",
    }


def test_json_has_utc_and_seconds_where_people_see_local_time_and_short_durations() -> None:
    at = datetime(2026, 11, 22, 9, tzinfo=UTC)

    assert plain({"at": at, "for": timedelta(minutes=5), "kind": Kind.WORKER, "none": None}) == {
        "at": "2026-11-22T09:00:00+00:00",
        "for": 300.0,
        "kind": "worker",
        "none": None,
    }
    assert text(at) == at.astimezone().isoformat(timespec="seconds")
    assert (text(timedelta(minutes=5)), text(None), text(["a", "b"]), text([])) == ("5m", "-", "a, b", "-")


def test_a_worker_warns_once_when_schedules_are_stored_and_nobody_fires_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Scheduler()
    app.add_schedule("tick", app.add_task(len, name="tick", queue="default"), every("1h"), args=[[1]])
    watch = Watch(app.backend)
    start = app.backend.clock.now()
    caplog.set_level(logging.WARNING, "chronoq.cli")

    watch.step(start)
    watch.step(start + timedelta(seconds=61))
    assert caplog.messages == [], "no schedule is stored yet"

    app.apply()
    watch.step(start + timedelta(seconds=62))
    watch.step(start + timedelta(seconds=72))
    assert caplog.messages == ["⚠ no scheduler seen for 60s: schedules will not fire"]

    process = app.process(Kind.SCHEDULER)
    app.backend.life.birth(process, ttl=timedelta(seconds=20), now=start + timedelta(seconds=80))
    watch.step(start + timedelta(seconds=81))
    watch.step(start + timedelta(seconds=145))
    assert len(caplog.messages) == 2, "it went away again"


def test_nothing_is_asked_of_a_store_that_nobody_else_sees(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHRONOQ_URL", raising=False)
    monkeypatch.delenv("CHRONOQ_APP", raising=False)

    assert run(["jobs", "list"]) == 2
    assert "memory:// is private to each process" in capsys.readouterr().err
