"""The long-running commands as real processes: how they start, what they say, how they stop.

How they meet a signal in the middle of a job: `test_faults_stopping.py`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chronoq.cli.main import run
from tests.proc import chronoq
from tests.servers import Server, eventually

TASKS = """
import time
from pathlib import Path
from chronoq import Scheduler, every

app = Scheduler(queues=["emails"])

@app.task(queue="emails")
def send(to: str, subject: str) -> str:
    return f"{subject} to {to}"

@app.task
def slow(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"

@app.task
def pair(left: int, *, right: int) -> int:
    return left + right
"""

TICKING = (
    TASKS
    + """
@app.schedule(every("200ms"), overlap="allow")
def tick() -> None: ...
"""
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "jobs.py").write_text(TASKS)
    (tmp_path / "ticking.py").write_text(TICKING)
    return tmp_path


class Shell:
    """Commands on one backend, from one directory: those that run on as processes, with `env`; short ones here."""

    def __init__(self, place: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.place = place
        self.env = {"CHRONOQ_URL": url, "CHRONOQ_APP": "jobs:app", "TZ": "UTC"}
        self.capsys = capsys

    def __call__(self, *args: str, code: int = 0) -> str:
        """What the command says on standard output, once it has ended with `code`."""
        self.capsys.readouterr()
        found = run(args)
        out, err = self.capsys.readouterr()
        assert found == code, err
        return out.strip()


@pytest.fixture
def shell(
    place: Path, redis_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    shell = Shell(place, redis_url, capsys)
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    for name, value in shell.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, "jobs", raising=False)
    return shell


def test_a_job_goes_from_the_command_line_through_a_burst_to_its_result(shell: Shell) -> None:
    id = shell("enqueue", "send", '"Ada"', '"Hi"', "--id", "welcome")
    assert id == "emails:welcome"

    with chronoq("worker", "--burst", env=shell.env, cwd=shell.place) as worker:
        worker.wait_line(r"worker · .* · queues default, emails · 3 tasks · concurrency 8", within=30)
        worker.wait_line(r"▶ jobs\.send +welcome +late ", within=30)
        worker.wait_line(r"✔ jobs\.send +welcome +\d", within=30)
        assert worker.wait(30) == 0

    shown = json.loads(shell("jobs", "show", "wel", "-o", "json"))
    assert (shown["state"], shown["result"]) == ("done", "Hi to Ada")


def test_a_worker_waits_for_its_backend_with_few_words(
    place: Path, new_server: Callable[..., Server]
) -> None:
    server = new_server(tcp=True)
    server.kill()

    with chronoq("worker", env={"CHRONOQ_URL": server.url(), "CHRONOQ_APP": "jobs:app"}, cwd=place) as worker:
        worker.wait_line(r"E01 Cannot reach redis://.*connection refused.*Trying again", within=30)
        server.start()
        worker.wait_line("connected after", within=30)
        worker.sigterm()
        assert worker.wait(30) == 0
        assert sum("⚠" in line for line in worker.err) <= 5


def test_a_worker_logs_json(shell: Shell) -> None:
    shell("enqueue", "send", '"Ada"', '"Hi"', "--id", "welcome")

    with chronoq("worker", "--burst", "--log-format", "json", env=shell.env, cwd=shell.place) as worker:
        assert worker.wait(30) == 0
        lines = [json.loads(line) for line in worker.err]
    done = next(line for line in lines if line["event"] == "done")
    assert (done["task"], done["job"], done["level"]) == ("jobs.send", "welcome", "info")


def test_a_quiet_worker_says_nothing_when_all_is_well(shell: Shell) -> None:
    shell("enqueue", "send", '"Ada"', '"Hi"')

    with chronoq("worker", "--burst", "-q", env=shell.env, cwd=shell.place) as worker:
        assert worker.wait(30) == 0
        assert worker.err == []


def test_a_scheduler_stores_what_is_declared_and_one_without_app_goes_on_with_it(shell: Shell) -> None:
    with chronoq("scheduler", env={**shell.env, "CHRONOQ_APP": "ticking:app"}, cwd=shell.place) as first:
        first.wait_line("schedules: 1 created", within=30)
        first.wait_line("⏱ ticking.tick", within=30)
        assert shell("healthcheck", "--scheduler") == "ok"
        first.sigterm()
        assert first.wait(30) == 0

    with chronoq("scheduler", env={**shell.env, "CHRONOQ_APP": ""}, cwd=shell.place) as second:
        second.wait_line("leads", within=30)
        second.wait_line("⏱ ticking.tick", within=30)
        second.sigterm()
        assert second.wait(30) == 0

    listed = json.loads(shell("schedules", "list", "-o", "json"))
    assert len(listed) == 1
    found = (listed[0]["key"], listed[0]["rhythm"], listed[0]["state"])
    assert found == ("ticking.tick", "every 200ms", "active")
    assert listed[0]["fires"] >= 2
    shell("healthcheck", "--scheduler", code=1)


def test_ready_is_who_has_lately_worked_and_live_is_who_is_there(shell: Shell) -> None:
    shell("healthcheck", "--ready", code=1)
    shell("healthcheck", "--live", "--worker", code=1)
    with chronoq("worker", "--app", "jobs:app", env=shell.env, cwd=shell.place) as worker:
        eventually(lambda: json.loads(shell("workers", "list", "-o", "json")), within=30)
        assert shell("healthcheck", "--live", "--worker") == "ok"
        eventually(lambda: run(["healthcheck", "--ready", "--worker"]) == 0, within=30)
        shell("healthcheck", "--ready", "--scheduler", code=1)
        shell("healthcheck", "--ready", "--within", "1ms", code=1)  # nothing is that recent
        worker.sigterm()
        assert worker.wait(30) == 0
    shell("healthcheck", "--ready", code=1)


def test_a_server_that_is_away_makes_nobody_ready_and_kills_nobody(place: Path) -> None:
    url = f"unix://{place}/nobody-listens"
    for option, code in (("--ready", 3), ("--live", 0), ("--worker", 3)):
        assert run(["healthcheck", option, "--url", url]) == code
    with chronoq("healthcheck", "--ready", "--url", url, cwd=place) as probe:
        assert probe.wait(30) == 3


def test_dev_runs_schedules_in_memory_and_starts_anew_after_a_change(place: Path) -> None:
    with chronoq("dev", "--app", "ticking:app", cwd=place) as dev:
        dev.wait_line("✔ ticking.tick", within=30)
        (place / "ticking.py").write_text(TICKING.replace("tick()", "tock()"))
        dev.wait_line(r"ticking\.py changed: starting anew", within=30)
        dev.wait_line("✔ ticking.tock", within=30)
        (place / "ticking.py").write_text("def broken(:")
        dev.wait_line("SyntaxError", within=30)
        dev.wait_line("waiting for a change", within=30)
        (place / "ticking.py").write_text(TICKING.replace("tick()", "tuck()"))
        dev.wait_line("✔ ticking.tuck", within=30)
        dev.sigint()
        assert dev.wait(30) == 0


def test_the_demo_ends_by_itself_with_a_summary() -> None:
    nowhere = {"CHRONOQ_URL": "redis://127.0.0.1:1/0"}
    with chronoq("demo", "--for", "2500ms", env=nowhere) as demo:
        demo.wait_line("✔ heartbeat", within=30)
        assert demo.wait(30) == 0
        summary = r"^(\d+) runs? in .*: \d+ done, \d+ retried, \d+ dead · started .* late"
        said = demo.wait_line(summary, stream="out")
        assert int(said[1]) >= 2


def test_what_the_demo_and_dev_did_in_a_file_is_there_for_the_processes_that_follow(place: Path) -> None:
    """So the demo grows into a program, and `dev` into workers and schedulers, without a server."""
    url = "sqlite:///grown.db"
    with chronoq("demo", "--url", url, cwd=place) as demo:
        demo.wait_line("✔ heartbeat", within=30)
        demo.sigint()
        assert demo.wait(30) == 0
        demo.wait_line(f"What it left: python -m chronoq schedules list --url {url}")
    with chronoq("dev", "--app", "ticking:app", "--url", url, cwd=place) as dev:
        dev.wait_line("✔ ticking.tick", within=30)
        dev.sigint()
        assert dev.wait(30) == 0
    with chronoq("schedules", "list", "-o", "json", "--url", url, cwd=place) as schedules:
        assert schedules.wait(30) == 0
        names = {one["key"] for one in json.loads("\n".join(schedules.out))}
    assert {"heartbeat", "send_mail", "report", "backup", "ticking.tick"} <= names
    with chronoq("scheduler", "--app", "ticking:app", "--url", url, cwd=place) as scheduler:
        with chronoq("worker", "--app", "ticking:app", "--url", url, cwd=place) as worker:
            worker.wait_line("✔ ticking.tick", within=30)
            worker.sigterm()
            assert worker.wait(30) == 0
        scheduler.sigterm()
        assert scheduler.wait(30) == 0


def test_the_demo_ends_on_ctrl_c() -> None:
    with chronoq("demo", "-o", "json", "-q") as demo:
        eventually(lambda: os.path.exists(f"/proc/{demo.pid}") and _handles_sigint(demo.pid), within=30)
        demo.sigint()
        assert demo.wait(30) == 0
        assert demo.err == []
        assert json.loads("\n".join(demo.out))["dead"] == 0


def _handles_sigint(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) & 1 << (signal.SIGTERM - 1))
