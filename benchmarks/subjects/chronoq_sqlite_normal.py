"""chronoq itself, in a file, with synchronous=NORMAL: it is synced now and then."""

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

SETTINGS = (
    "WAL, synchronous=NORMAL: a power failure takes the last moments, not the file; else as chronoq_sqlite"
)
