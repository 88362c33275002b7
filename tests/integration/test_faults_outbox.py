"""Outboxes when processes are killed and servers fall: each job runs once by its id, and none is lost."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chronoq.outbox import Outbox
from tests.databases import Database, in_a_file, on_server
from tests.faults import SETTINGS, Stage, on_stage
from tests.faults_app import ROOT
from tests.postgres import Postgres, find_programs
from tests.proc import Process, python
from tests.servers import Server, eventually

LONG = os.environ.get("CHRONOQ_CHECK") == "1" or os.environ.get("CHRONOQ_LONG") == "1"
JOBS, KILLS = (20_000, 300) if LONG else (600, 15)


@pytest.fixture
def stage(valkey: Server, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    with on_stage(valkey, tmp_path) as stage:
        yield stage


def put(stage: Stage, database: Database, numbers: range) -> None:
    """Jobs that are numbered, in one transaction."""
    outbox = Outbox(stage.app)
    with database.transaction() as connection:
        outbox.create(connection)
        outbox.put_many(connection, [outbox.job(stage.task("work"), number) for number in numbers])


def relay(stage: Stage, database: Database, *args: str) -> Process:
    """`chronoq outbox relay` on that database, to be entered with `with`."""
    return stage.process("outbox", "relay", "--database", database.url, "--every", "50ms", *args)


def ran_once_each(stage: Stage, total: int) -> None:
    """By the ledger outside of the store, and by the store's own books."""
    eventually(lambda: stage.counts.done == total, 120)
    runs = Counter(fact.key for fact in stage.ledger.of("end"))
    assert len(runs) == total
    assert set(runs.values()) == {1}
    assert stage.counts.accepted == total


def test_jobs_of_an_application_that_dies_after_its_commit_are_delivered(
    stage: Stage, database: Database
) -> None:
    """F2: what was committed runs, what was not committed does not, and nothing else has to happen."""
    put(stage, database, range(0))
    script = (
        "import os, signal, sys\n"
        "from chronoq.outbox import Outbox\n"
        "from tests.faults import task_of\n"
        "from tests.faults_app import working\n"
        "from tests.relaying import opened\n"
        "app = working()\n"
        "outbox, connection = Outbox(app), opened(sys.argv[1])\n"
        "outbox.put(connection, task_of(app, 'work').using(id='committed'), 1)\n"
        "connection.commit()\n"
        "outbox.put(connection, task_of(app, 'work').using(id='open'), 2)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    env = {**SETTINGS, "CHRONOQ_URL": stage.server.url(), "FAULTS_FOLDER": str(stage.folder)}
    with python("-c", script, database.url, env=env, cwd=ROOT) as application:
        assert application.wait(30) == -9, application.err
    with relay(stage, database), stage.worker("-q"):
        ran_once_each(stage, 1)
    assert [fact.key for fact in stage.ledger.of("end")] == ["committed"]


def test_relays_that_are_killed_at_any_statement_lose_nothing_and_double_nothing(
    stage: Stage, database: Database
) -> None:
    """F2, Q4: also between the answer of the backend and the removal, while a worker ends jobs already"""
    put(stage, database, range(JOBS))
    seed = random.randrange(10**9)
    print("seed", seed)
    env = {**SETTINGS, "CHRONOQ_URL": stage.server.url(), "FAULTS_FOLDER": str(stage.folder)}
    with (
        python("-m", "tests.relaying", database.url, str(KILLS), str(seed), env=env, cwd=ROOT) as dying,
        stage.worker("-q"),
    ):
        dying.wait_line("over", within=300)
        assert dying.wait(10) == 0, dying.err
        assert dying.out.count("died") >= min(KILLS, 10)
        with relay(stage, database, "--burst") as last:
            assert last.wait(60) == 0, last.err
        assert database.waiting() == 0
        ran_once_each(stage, JOBS)
    assert database.refused() == []


def test_relays_side_by_side_share_the_work(stage: Stage, database: Database) -> None:
    put(stage, database, range(JOBS))
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(relay(stage, database))
        stack.enter_context(stage.worker("-q"))
        ran_once_each(stage, JOBS)
        eventually(lambda: database.waiting() == 0)


def test_while_the_backend_is_down_the_outbox_grows_and_afterwards_it_drains(
    new_server: Callable[..., Server], tmp_path: Path
) -> None:
    server, database = new_server("valkey-9.1", aof=True), in_a_file(str(tmp_path / "app.db"))
    with on_stage(server, tmp_path) as stage:
        put(stage, database, range(10))
        with relay(stage, database) as process, stage.worker("-q"):
            ran_once_each(stage, 10)
            server.kill()
            put(stage, database, range(10, 500))
            process.wait_line("Trying again, with growing pauses", within=30)
            assert database.waiting() == 490
            server.start()
            process.wait_line("the outbox is delivered again after", within=60)
            ran_once_each(stage, 500)
            eventually(lambda: database.waiting() == 0)
            process.sigterm()
            assert process.wait(20) == 0, process.err
            trying = [line for line in process.err if "Trying again" in line]
            assert len(trying) == 1, "one line for one outage"


def test_a_relay_outlasts_a_crash_of_its_database(stage: Stage) -> None:
    if find_programs() is None:
        pytest.skip("no PostgreSQL server on this machine, neither on PATH nor in /usr/lib/postgresql")
    with Postgres() as server:
        database = on_server(server)
        put(stage, database, range(10))
        with relay(stage, database) as process, stage.worker("-q"):
            ran_once_each(stage, 10)
            server.crash()
            process.wait_line("outbox's database does not .*Trying again, with growing pauses", within=30)
            server.start()
            put(stage, database, range(10, 30))
            ran_once_each(stage, 30)
            process.wait_line("the outbox is delivered again after", within=30)
            eventually(lambda: database.waiting() == 0)
