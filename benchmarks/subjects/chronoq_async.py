"""chronoq itself: coroutines on one event loop."""

import os
import sys

from job import QUEUE, URL, anoop
from subjects import chronoq_threads
from subjects.chronoq_threads import close, open_, put, put_at, put_many, put_many_at  # noqa: F401

WORKER = [sys.executable, "-m", "chronoq", "worker", "--app", "subjects.chronoq_async:app", "--quiet"]

JOBS = 60_000
SETTINGS = (
    "concurrency 100; leases, fenced settlements, retries and results on; --quiet: no line for each job"
)
ON_KILL = chronoq_threads.ON_KILL
WORKERS = {"async": lambda n: [[*WORKER, "--concurrency", "100", "--queues", QUEUE]] * n}

app, task = chronoq_threads.application(os.environ.get("BENCH_CHRONOQ") or URL, anoop)
chronoq_threads.app, chronoq_threads.task = app, task
