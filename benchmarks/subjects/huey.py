"""huey on Redis, four threads."""

import os
from datetime import UTC, datetime

from huey import RedisHuey, SqliteHuey, crontab
from job import PORT, QUEUE, beside, utc
from job import noop as run

FILE = os.environ.get("BENCH_SQLITE")
BASE = [beside("huey_consumer"), "subjects.huey.huey", "--quiet", "-k", "thread"]
JOBS = 8000
SETTINGS = "defaults: results on, blocking pop, scheduler interval 1 s"
ON_KILL = "lost (taken from the queue before it runs)"
WORKERS = {"-k thread -w 4": lambda n: [[*BASE, "-w", "4"]] * n}
TIMER = "-k thread -w 4"

# with its own 5 s of patience it gives up on a busy disk: "database is locked"
FSYNC = False if os.environ.get("BENCH_SQLITE_FSYNC") == "no" else None
huey = (
    SqliteHuey(QUEUE, filename=FILE, fsync=FSYNC, timeout=60)
    if FILE
    else RedisHuey(QUEUE, host="127.0.0.1", port=PORT)
)


@huey.task(name="noop")
def noop(a, b, s):
    run(a, b, s)


def open_():
    return noop


def put(task, a, b, s):
    task(a, b, s)


def put_at(task, due, a, b, s):
    task.schedule((a, b, s), eta=utc(due))


def recurring(n):
    """Periodic tasks live in the code of the consumer only."""
    import logging
    import time

    logging.disable(logging.INFO)
    for i in range(n):
        huey.periodic_task(crontab(), name=f"c{i}")(lambda: None)
    began = time.perf_counter()
    made = 0
    for task in huey.read_periodic(datetime.now(UTC).replace(tzinfo=None)):
        huey.enqueue(task)
        made += 1
    return {"rate": made / (time.perf_counter() - began)}
