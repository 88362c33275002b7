"""APScheduler 3: a scheduler with a thread pool in one process; no queue and no separate worker."""

import logging
import os
import time
from datetime import UTC, datetime

from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.jobstores.redis import RedisJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from job import PORT, noop, utc

KIND = "redis"
SETTINGS = "a pool of 10 threads (default), no misfire grace"
ON_KILL = "lost (taken from the store before it runs)"
WORKERS = {}
TIMER = ""

logging.disable(logging.WARNING)


def store():
    if KIND == "memory":
        return MemoryJobStore()
    if KIND == "sql":
        from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore

        return SQLAlchemyJobStore(url=f"sqlite:///{os.environ['BENCH_SQLITE']}")
    return RedisJobStore(host="127.0.0.1", port=PORT)


def open_(paused=False):
    defaults = {"misfire_grace_time": None, "max_instances": 1_000_000}
    scheduler = BackgroundScheduler(jobstores={"default": store()}, job_defaults=defaults, timezone="UTC")
    scheduler.start(paused=paused)
    return scheduler


def put_at(scheduler, due, a, b, s):
    scheduler.add_job(noop, "date", run_date=utc(due), args=(a, b, s))


def recurring(n):
    scheduler = open_(paused=True)
    now = datetime.now(UTC)
    for i in range(n):
        scheduler.add_job(noop, "cron", minute="*", args=(i, i, "x" * 20), id=f"c{i}", next_run_time=now)
    began = time.perf_counter()
    scheduler.state = 1
    scheduler._process_jobs()
    took = time.perf_counter() - began
    scheduler._executors["default"]._pool.shutdown(wait=True)
    return {"rate": n / took}
