"""APScheduler 3 on SQLite through SQLAlchemy."""

import os

from apscheduler.schedulers.base import STATE_RUNNING
from job import FILE, noop
from subjects import apscheduler
from subjects.apscheduler import ON_KILL, TIMER, WORKERS, open_, put_at, recurring  # noqa: F401

os.environ["BENCH_SQLITE"] = FILE
apscheduler.KIND = "sql"
SETTINGS = (
    f"{apscheduler.SETTINGS}; SQLAlchemyJobStore, defaults: SQLite's own rollback journal with synchronous=FULL "
    "(each commit is synced)"
)


def put(scheduler, a, b, s):
    """Storing is what is measured: as with the others, nothing runs meanwhile."""
    if scheduler.state == STATE_RUNNING:
        scheduler.pause()
    scheduler.add_job(noop, args=(a, b, s))
