"""APScheduler 3 on SQLite through SQLAlchemy."""

from subjects import apscheduler
from subjects.apscheduler import ON_KILL, SETTINGS, TIMER, WORKERS, open_, put_at, recurring  # noqa: F401

apscheduler.KIND = "sql"
