"""APScheduler 3 in the memory of its process."""

from subjects import apscheduler
from subjects.apscheduler import ON_KILL, SETTINGS, TIMER, WORKERS, open_, put_at, recurring  # noqa: F401

apscheduler.KIND = "memory"
recurring_memory = recurring
