"""APScheduler 3 on SQLite through SQLAlchemy."""

import os

from job import FILE
from subjects import apscheduler
from subjects.apscheduler import ON_KILL, SETTINGS, TIMER, WORKERS, open_, put_at, recurring  # noqa: F401

os.environ["BENCH_SQLITE"] = FILE
apscheduler.KIND = "sql"
