"""rq: its own queue, SimpleWorker and Worker, its own scheduler."""

import time
from datetime import timedelta

from job import QUEUE, URL, beside, noop, utc
from redis import Redis
from rq import Queue

SIMPLE = [beside("rq"), "worker", "--url", URL, "--quiet", "-w", "rq.worker.SimpleWorker"]
FORK = [beside("rq"), "worker", "--url", URL, "--quiet"]
JOBS = 1500
SETTINGS = "defaults, --quiet"
ON_KILL = "marked failed; run again only with Retry"
WORKERS = {
    "SimpleWorker": lambda n: [[*SIMPLE, QUEUE]] * n,
    "Worker (a fork a job)": lambda n: [[*FORK, QUEUE]] * n,
    "SimpleWorker --with-scheduler": lambda n: [[*SIMPLE, "--with-scheduler", QUEUE]] * n,
}
TIMER = "SimpleWorker --with-scheduler"


def open_():
    return Queue(QUEUE, connection=Redis.from_url(URL))


def put(queue, a, b, s):
    queue.enqueue(noop, a, b, s)


def put_many(queue, items):
    queue.enqueue_many([Queue.prepare_data(noop, item) for item in items])


def put_at(queue, due, a, b, s):
    queue.enqueue_at(utc(due), noop, a, b, s)


def recurring(n):
    import logging

    from rq.cron import CronScheduler
    from rq.utils import now

    logging.disable(logging.INFO)
    scheduler = CronScheduler(connection=Redis.from_url(URL), logging_level="WARNING")
    for i in range(n):
        scheduler.register(noop, QUEUE, args=(i, i, "x" * 20), cron="* * * * *", name=f"c{i}")
    past = now() - timedelta(seconds=1)
    for one in scheduler.get_jobs():
        one.next_enqueue_time = past
    scheduler.register_birth()
    began = time.perf_counter()
    made = len(scheduler.enqueue_jobs())
    scheduler.save()
    return {"rate": made / (time.perf_counter() - began)}
