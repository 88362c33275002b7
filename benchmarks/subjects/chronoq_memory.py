"""chronoq itself, in the memory of one process, which puts the jobs and runs them."""

import os
from functools import cache

os.environ["BENCH_CHRONOQ"] = "memory://"

from subjects import chronoq_threads
from subjects.chronoq_threads import app, close, open_, put, put_at, put_many  # noqa: F401

SETTINGS = "a worker with the defaults in the same process, started before jobs with a time are put"
ON_KILL = "lost (all is in the memory of the process)"
WORKERS = {}
TIMER = ""

recurring_memory = chronoq_threads.recurring


def put_many_at(task, items):
    begin()
    chronoq_threads.put_many_at(task, items)


@cache
def begin():
    app.start()
