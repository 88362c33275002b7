"""A move that is killed again and again, beside a real rqscheduler that goes on: each entry runs on one side."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from time import sleep

import pytest
from rq import Queue as RqQueue
from rq_scheduler import Scheduler as OldScheduler

from chronoq import Scheduler
from chronoq.migrate.source import ENTRIES, INSTANCE, LOCK, MOVING
from chronoq.relay.rq_entry import NAMESPACE
from tests.proc import Process, chronoq
from tests.servers import Server, eventually

ENTRIES_IN_ALL = 6000
KILLS = 6


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")
def test_no_entry_is_lost_or_run_on_both_sides(new_server: Callable[..., Server]) -> None:
    server, dice = new_server(), random.Random(1)
    client = server.client()
    old = OldScheduler("mail", connection=client)
    rq = (
        "-W",
        "ignore",
        "-m",
        "rq_scheduler.scripts.rqscheduler",
        "--url",
        server.url(),
        "-i",
        "0.1",
        "--quiet",
    )
    move = ("migrate", "rq-scheduler", "--url", server.url(), "--trust-pickle", "--retire", "--force", "-q")
    with Process(sys.executable, *rq):
        eventually(lambda: list(client.scan_iter(f"{INSTANCE}*")), within=30)
        start = datetime.now(UTC) + timedelta(seconds=5)
        for n in range(ENTRIES_IN_ALL):
            old.enqueue_at(start + timedelta(seconds=dice.random() * 60), "shop.send", n, job_id=f"n{n}")
        eventually(lambda: RqQueue("mail", connection=client).count, within=30)
        before = None
        for _ in range(KILLS):
            with chronoq(*move) as process:

                def at_work(last: bytes | None = before) -> bool:
                    held = client.get(LOCK) or b""
                    return held != last and held.startswith(b"chronoq-")  # type: ignore[union-attr, no-any-return]

                eventually(at_work, within=60)
                sleep(dice.random() * 0.1)  # somewhere in the middle: where, is what is diced for
                process.sigkill()
                before = client.get(LOCK)
        with chronoq(*move) as process:
            assert process.wait(120) == 0, process.err
    ran = RqQueue("mail", connection=client).job_ids
    with closing(Scheduler(server.url(), namespace=NAMESPACE, queues=["mail"])) as app:
        handles = {f"n{n}": app.job(f"mail:n{n}") for n in range(ENTRIES_IN_ALL)}
        here = [id for id, handle in handles.items() if handle.status() is not None]
    assert ran
    assert here
    assert sorted(ran + here) == sorted(handles)
    assert not client.exists(ENTRIES, MOVING)
