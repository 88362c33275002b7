"""chronoq itself: plain functions on threads, one worker process with the defaults."""

import os
import sys
import time
from datetime import UTC, datetime, timedelta

from job import QUEUE, URL, noop, utc

from chronoq import Scheduler, cron

WORKER = [
    sys.executable,
    "-m",
    "chronoq",
    "worker",
    "--app",
    "subjects.chronoq_threads:app",
    "--queues",
    QUEUE,
    "--quiet",
]
SERVICE = [sys.executable, "-m", "chronoq", "scheduler", "--app", "subjects.chronoq_threads:app"]

JOBS = 60_000
SETTINGS = (
    "defaults: 8 slots, leases, fenced settlements, retries and results on; --quiet: no line for each job"
)
ON_KILL = "again, when the lease has run out"
WORKERS = {"threads": lambda n: [WORKER] * n, "scheduler": lambda n: [SERVICE]}
TIMER = "threads"


def application(url, task, **settings):
    app = Scheduler(url, queues=[QUEUE])
    return app, app.add_task(task, name="noop", queue=QUEUE, **settings)


app, task = application(os.environ.get("BENCH_CHRONOQ") or URL, noop)


def open_():
    app.backend.queue.queues()
    return task


def put(task, a, b, s):
    task.enqueue(a, b, s)


def put_many(task, items):
    app.enqueue_many([task.job(*item) for item in items])


def put_at(task, due, a, b, s):
    task.using(at=utc(due)).enqueue(a, b, s)


def put_many_at(task, items):
    app.enqueue_many([task.using(at=utc(due)).job(*item) for due, item in items])


def close(task):
    app.close()


def promote(n):
    """`n` delayed jobs that are due, until all are ready, by the scheduler's own calls."""
    from chronoq.app.ticker import BATCH

    due = datetime.now(UTC) + timedelta(days=1)
    far, now = task.using(at=due), due + timedelta(minutes=1)
    app.enqueue_many([far.job(i, i, "x" * 20) for i in range(n)])
    queue = app.backend.queue
    began = time.perf_counter()
    while queue.promote([QUEUE], now=now, limit=BATCH)[0].moved:
        pass
    took = time.perf_counter() - began
    if queue.counts([QUEUE], now=now)[0].ready != n:
        sys.exit("not all were promoted")
    return {"rate": n / took}


def recurring(n):
    """`n` schedules on 100 expressions, all due at one instant, fired by the scheduler's own actor."""
    from chronoq.app.ticker import Ticker
    from chronoq.cli.process import collect_seldom
    from chronoq.domain.identity import ScheduleId
    from chronoq.domain.schedule import Cursor, Schedule

    start = datetime(2026, 11, 23, 8, 59, tzinfo=UTC)
    due = start + timedelta(minutes=1)
    rhythms = [cron(text) for text in expressions()]
    store = app.backend.store
    began = time.perf_counter()
    for number in range(n):
        schedule = Schedule(
            ScheduleId(QUEUE, f"s{number}"), rhythms[number % len(rhythms)], "noop", b"[[],{}]"
        )
        cursor = Cursor(1, schedule.next_after(start, since=start), start)
        store.put(schedule, cursor=cursor, expected=None, now=start)
    registered = time.perf_counter() - began
    collect_seldom()  # as `chronoq scheduler` does
    ticker = Ticker(app.backend.queue, store, app.backend.lock, "bench", timedelta(seconds=10))
    ticker.step(start)
    began, moment = time.perf_counter(), due
    while moment <= due:
        moment = ticker.step(due)
    took = time.perf_counter() - began
    made = app.backend.queue.counts([QUEUE], now=due)[0].accepted
    if made != n:
        sys.exit(f"{n} schedules made {made} jobs")
    return {"rate": n / took, "registered": n / registered}


def expressions():
    """A hundred expressions that all fire at 09:00 on that day."""
    found = [f"0 9 {day}-23 * *" for day in range(1, 24)]
    found += [f"0 {hour}-9 * * *" for hour in range(9)]
    found += [f"0 9,{hour} {day}-23 * *" for day in range(1, 12) for hour in range(10, 20)]
    return found[:100]
