"""huey on SQLite, one thread: the file takes one writer at a time."""

import os

from job import FILE

os.environ["BENCH_SQLITE"] = FILE

from subjects import huey
from subjects.huey import open_, put, put_at  # noqa: F401

JOBS = 4000
SETTINGS = (
    "SqliteHuey, -k thread -w 1, --quiet, timeout=60, else the defaults: WAL, and fsync=None, "
    "which leaves SQLite's own synchronous=FULL (each commit is synced)"
)
ON_KILL = huey.ON_KILL
WORKERS = {"-k thread -w 1": lambda n: [["env", f"BENCH_SQLITE={FILE}", *huey.BASE, "-w", "1"]] * n}
TIMER = "-k thread -w 1"
