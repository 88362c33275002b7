"""huey on SQLite with fsync=False: the system alone decides when something comes to the disk."""

import os

os.environ["BENCH_SQLITE_FSYNC"] = "no"

from subjects import huey_sqlite
from subjects.huey_sqlite import JOBS, ON_KILL, TIMER, open_, put, put_at  # noqa: F401

SETTINGS = (
    "SqliteHuey, -k thread -w 1, --quiet, timeout=60, fsync=False: WAL, synchronous=OFF "
    "(a power failure may break the file)"
)
WORKERS = {
    label: lambda n, argv=argv: [["env", "BENCH_SQLITE_FSYNC=no", *one] for one in argv(n)]
    for label, argv in huey_sqlite.WORKERS.items()
}
