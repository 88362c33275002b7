"""rq-scheduler: its own sorted set, the `rqscheduler` process, jobs run by rq's SimpleWorker."""

import time
from datetime import UTC, datetime

from job import QUEUE, URL, beside, noop
from redis import Redis
from rq_scheduler import Scheduler

WORKER = [beside("rq"), "worker", "--url", URL, "--quiet", "-w", "rq.worker.SimpleWorker", QUEUE]
SETTINGS = "rqscheduler -i 0.1 (the default is 60 s), SimpleWorker"
AS_INSTALLED = "-i 60, the default"
ON_KILL = "as rq; the scheduler moves a job in two steps"
RUN = [beside("rqscheduler"), "--url", URL, "--quiet"]
WORKERS = {"-i 0.1": lambda n: [[*RUN, "-i", "0.1"], WORKER], AS_INSTALLED: lambda n: [RUN, WORKER]}
TIMER = "-i 0.1"


def open_():
    return Scheduler(queue_name=QUEUE, connection=Redis.from_url(URL))


def put_at(scheduler, due, a, b, s):
    scheduler.enqueue_at(datetime.fromtimestamp(due, UTC).replace(tzinfo=None), noop, a, b, s)


def relay_due(n):
    """`n` jobs that are due, until the last one is in RQ's queue."""
    scheduler = open_()
    past = datetime.fromtimestamp(time.time() - 1, UTC).replace(tzinfo=None)
    for i in range(n):
        scheduler.enqueue_at(past, noop, i, i, "x" * 20)
    return moved(scheduler, n)


def promote(n):
    """As many as it moves in some seconds."""
    return relay_due(min(n, 10_000))


def recurring(n):
    scheduler = open_()
    for i in range(n):
        scheduler.cron("* * * * *", noop, args=(i, i, "x" * 20), id=f"c{i}")
    past = int(time.time()) - 1
    scheduler.connection.zadd(scheduler.scheduled_jobs_key, {f"c{i}": past for i in range(n)})
    return moved(scheduler, n)


relay_cron = recurring


def moved(scheduler, n):
    began = time.perf_counter()
    scheduler.enqueue_jobs()
    return {"rate": n / (time.perf_counter() - began)}
