"""chronoq itself: plain functions in warm child processes, one worker process with the defaults."""

import os
import sys

from job import QUEUE, URL, noop
from subjects import chronoq_threads
from subjects.chronoq_threads import close, open_, put, put_many  # noqa: F401

WORKER = [sys.executable, "-m", "chronoq", "worker", "--app", "subjects.chronoq_processes:app", "--quiet"]

JOBS = 20_000
SETTINGS = "defaults: 8 slots, each a child process; else as chronoq_threads"
ON_KILL = chronoq_threads.ON_KILL
WORKERS = {"processes": lambda n: [[*WORKER, "--queues", QUEUE]] * n}

app, task = chronoq_threads.application(os.environ.get("BENCH_CHRONOQ") or URL, noop, executor="process")
chronoq_threads.app, chronoq_threads.task = app, task
