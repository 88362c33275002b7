"""chronoq deciding when, RQ deciding who: due jobs and schedules go into an RQ queue, in the same database."""

import sys
import time
from datetime import UTC, datetime, timedelta

from job import QUEUE, URL, beside, noop, utc
from redis import Redis

from chronoq import Queue, Scheduler, cron
from chronoq.relay.rq import RqRelay

APP = ["--app", "subjects.chronoq_rq:app"]
WORKER = [beside("rq"), "worker", "--url", URL, "--quiet", "-w", "rq.worker.SimpleWorker", QUEUE]

SETTINGS = "defaults: one scheduler, one relay; delivery and settlement in one transaction; SimpleWorker"
ON_KILL = "delivered once; in RQ's hands as rq"
WORKERS = {
    "defaults": lambda n: [
        [sys.executable, "-m", "chronoq", "--quiet", "scheduler", *APP],
        [sys.executable, "-m", "chronoq", "--quiet", "relay", *APP],
        WORKER,
    ]
}
TIMER = "defaults"
AS_INSTALLED = "defaults"

app = Scheduler(URL, queues=[Queue(QUEUE, relay=RqRelay())])
task = app.add_task(noop, name="noop", queue=QUEUE)


def open_():
    app.backend.queue.queues()
    return task


def put_at(task, due, a, b, s):
    task.using(at=utc(due)).enqueue(a, b, s)


def put_many_at(task, items):
    app.enqueue_many([task.using(at=utc(due)).job(*item) for due, item in items])


def close(task):
    app.close()


def relay_due(n):
    """`n` jobs that are due, until the last one is in RQ's queue."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    app.enqueue_many([task.using(at=past).job(i, i, "x" * 20) for i in range(n)])
    return delivered(n, time.perf_counter())


def relay_cron(n):
    """`n` cron schedules that are due, until the last one's job is in RQ's queue."""
    from chronoq.app.ticker import Ticker
    from chronoq.domain.identity import ScheduleId
    from chronoq.domain.schedule import Cursor, Overlap, Policy, Schedule

    due = datetime.now(UTC).replace(second=0, microsecond=0)
    start, policy = (
        due - timedelta(minutes=1),
        Policy(overlap=Overlap.ALLOW),
    )  # the other does not look either
    for i in range(n):
        schedule = Schedule(
            ScheduleId(QUEUE, f"c{i}"),
            cron("* * * * *"),
            "noop",
            b'[[%d,%d,"xxxxxxxxxxxxxxxxxxxx"],{}]' % (i, i),
            policy=policy,
        )
        app.backend.store.put(schedule, cursor=Cursor(1, due, start), expected=None, now=start)
    ticker = Ticker(app.backend.queue, app.backend.store, app.backend.lock, "bench", timedelta(seconds=10))
    ticker.step(start)
    began, moment = time.perf_counter(), due
    while moment <= due:
        moment = ticker.step(due)
    return delivered(n, began)


def delivered(n, began):
    service = app.relay()
    moment = now = app.backend.clock.now()
    while moment <= now:
        now = app.backend.clock.now()
        moment = service.deliverer.step(now)
    took = time.perf_counter() - began
    made = Redis.from_url(URL).llen(f"rq:queue:{QUEUE}")
    if made != n:
        sys.exit(f"of {n} jobs {made} came to RQ")
    return {"rate": n / took}
