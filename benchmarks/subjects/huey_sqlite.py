"""huey on SQLite, one thread: the file takes one writer at a time."""

from subjects import huey
from subjects.huey import huey as app  # noqa: F401 - the consumer looks it up
from subjects.huey import open_, put, put_at  # noqa: F401

JOBS = 4000
SETTINGS = "SqliteHuey, -k thread -w 1, defaults"
ON_KILL = huey.ON_KILL
WORKERS = {"-k thread -w 1": lambda n: [["env", *huey.BASE, "-w", "1"]] * n}
TIMER = "-k thread -w 1"
