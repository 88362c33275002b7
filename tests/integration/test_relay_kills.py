"""Whoever delivers is killed at any moment: every job is in RQ once, and every nominal time has one."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

from chronoq.domain.identity import ScheduleId
from chronoq.domain.time import to_ms
from chronoq.relay.rq import rq_job_id
from tests import relay_kills
from tests.faults_app import ROOT
from tests.proc import python
from tests.servers import Server, eventually

RQ = "from rq.cli import main; main()"
KILLS, FIRES = (500, 150) if os.environ.get("CHRONOQ_LONG") == "1" else (40, 70)


def test_each_job_is_delivered_once_however_often_schedulers_and_relays_are_killed(
    new_server: Callable[..., Server],
) -> None:
    server, seed = new_server(), random.randrange(1 << 30)
    app = relay_kills.declare(server.url(), FIRES)
    expected = relay_kills.submit(app)
    client = server.client()

    def ran() -> list[str]:
        return [id.decode() for id in client.lrange("ran", 0, -1)]  # type: ignore[union-attr]

    def settled() -> bool:
        counts = app.backend.queue.counts(["mail", "checked"], now=app.backend.clock.now())
        return sum(one.done for one in counts) >= all

    all = len(expected) + len(relay_kills.SCHEDULES) * FIRES
    rq = (
        "-c",
        "from rq.cli import main; main()",
        "worker",
        "mail",
        "checked",
        "--url",
        server.url(),
        "-w",
        "rq.SimpleWorker",
        "-q",
    )
    with python(*rq, cwd=ROOT):
        with python("-m", "tests.relay_kills", server.url(), str(KILLS), str(seed), cwd=ROOT) as killer:
            assert killer.wait(within=600) == 0, f"seed {seed}"
        scheduler, relay = app.scheduler(), app.relay()
        scheduler.start()
        relay.start()
        eventually(lambda: len(ran()) >= all, within=90)
        eventually(settled, within=90)
        relay.stop()
        scheduler.stop()
    doubled = {id: times for id, times in Counter(ran()).items() if times > 1}
    assert not doubled, f"seed {seed}"
    for name, queue in zip(relay_kills.SCHEDULES, ("mail", "mail", "checked"), strict=True):
        ledger = app.backend.store.ledger(ScheduleId(queue, name), limit=1000)
        fired = sorted(outcome.nominal for outcome in ledger)
        assert len(fired) == FIRES, f"seed {seed}"
        assert {b - a for a, b in pairwise(fired)} == {timedelta(milliseconds=100)}
        expected += [f"{queue}:{name}@{to_ms(nominal)}" for nominal in fired]
    assert sorted(ran()) == sorted(map(rq_job_id, expected)), f"seed {seed}"
    app.close()
