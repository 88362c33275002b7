"""Ask and answer with real worker processes: who listens, and one that is killed while it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chronoq.cli.main import run
from tests.faults import Stage, on_stage
from tests.proc import chronoq
from tests.servers import Server, eventually

NewServer = Callable[..., Server]

APP = """
from chronoq import Scheduler

app = Scheduler(queues=["heavy", "light"])

@app.task(queue="heavy", name="render")
def render() -> str: ...

@app.task(queue="light", name="greet")
def greet() -> str: ...
"""


@pytest.fixture
def stage(new_server: NewServer, tmp_path: Path) -> Iterator[Stage]:
    with on_stage(new_server(), tmp_path) as stage:
        yield stage


def test_a_worker_killed_while_it_answers_is_followed_by_another(stage: Stage) -> None:
    app, wait = stage.app, stage.task("wait")
    with ThreadPoolExecutor(1) as pool, stage.worker() as first:
        eventually(lambda: app.has_listener(wait), within=30)
        answered = pool.submit(lambda: app.call(wait, "gate", policy="remote_first", timeout="1m"))
        eventually(lambda: stage.ledger.count("start") == 1, within=30)
        first.sigkill()
        with stage.worker():
            eventually(lambda: stage.ledger.count("start") == 2, within=30)
            stage.open("gate")
            assert answered.result(30) > 1  # the token of a later claim
    assert stage.ledger.count("start") == 2


def test_listen_shows_who_is_there_for_which_task(
    tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "listeners.py").write_text(APP)
    monkeypatch.chdir(tmp_path)

    def said(*words: str) -> str:
        code = run(["--app", "listeners:app", "--url", redis_url, *words])
        told = capsys.readouterr()
        assert (code, told.err) == (0, ""), told
        return told.out

    env = {"CHRONOQ_URL": redis_url}
    with chronoq("worker", "--app", "listeners:app", "--listen", "render", cwd=tmp_path, env=env) as worker:
        worker.wait_line("queues heavy.*listens to render", within=30)
        found = ("workers", "list", "-o", "json", "--listen")
        (row,) = eventually(lambda: json.loads(said(*found, "render")), within=30)
        assert (row["tasks"], row["queues"]) == (["render"], ["heavy"])
        assert json.loads(said(*found, "greet")) == []
        assert "render" in said("workers", "list")
        worker.sigterm()
        assert worker.wait(20) == 0
    assert run(["--app", "listeners:app", "--url", redis_url, "worker", "--listen", "rendr"]) == 2
    assert "Did you mean 'render'?" in capsys.readouterr().err
