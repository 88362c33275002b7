"""chronoq itself, in a file, with synchronous=NORMAL: as little waits for the disk as with the others."""

import os

os.environ["BENCH_SQLITE_OPTIONS"] = "?synchronous=normal"

from subjects.chronoq_sqlite import (  # noqa: F401 - it asks the environment
    JOBS,
    ON_KILL,
    TIMER,
    WORKERS,
    app,
    close,
    open_,
    put,
    put_at,
    put_many,
    put_many_at,
    recurring,
)

SETTINGS = "defaults, synchronous=normal: what a crash of the machine loses is the last moment"
