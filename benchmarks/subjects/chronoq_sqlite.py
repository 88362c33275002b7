"""chronoq itself, in a file: plain functions on threads, every commit synced to the disk: WAL, synchronous=FULL."""

import os
import sys

from job import FILE

OPTIONS = os.environ.get("BENCH_SQLITE_OPTIONS", "")
URL = os.environ["BENCH_CHRONOQ"] = f"sqlite:///{FILE}{OPTIONS}"

from subjects import chronoq_threads  # noqa: E402 - it asks the environment
from subjects.chronoq_threads import (  # noqa: E402, F401
    app,
    close,
    open_,
    put,
    put_at,
    put_many,
    put_many_at,
    recurring,
)

BASE = ["env", f"BENCH_SQLITE_OPTIONS={OPTIONS}", sys.executable, "-m", "chronoq"]
APP = ["--app", "subjects.chronoq_sqlite:app"]

JOBS = 20_000
SETTINGS = (
    "defaults: WAL, synchronous=FULL (each commit is synced); 8 slots, leases, fenced settlements, retries and "
    "results on; --quiet: no line for each job"
)
ON_KILL = chronoq_threads.ON_KILL
WORKERS = {
    "threads": lambda n: [[*BASE, "worker", *APP, "--queues", chronoq_threads.QUEUE, "--quiet"]] * n,
    "scheduler": lambda n: [[*BASE, "scheduler", *APP]],
}
TIMER = "threads"
