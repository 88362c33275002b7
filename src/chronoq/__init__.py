"""chronoq: accepts work now and runs it at the right moment, once, on whichever machine is free."""

from chronoq.api.handle import JobHandle
from chronoq.api.scheduler import VERSION as __version__
from chronoq.api.scheduler import Queue, Scheduler
from chronoq.api.task import Task
from chronoq.app.context import Context, current_job
from chronoq.domain import errors
from chronoq.domain.job import Priority
from chronoq.domain.retry import RetryPolicy
from chronoq.domain.rhythm import cron, every, once, rrule, union

__all__ = [
    "Context",
    "JobHandle",
    "Priority",
    "Queue",
    "RetryPolicy",
    "Scheduler",
    "Task",
    "__version__",
    "cron",
    "current_job",
    "errors",
    "every",
    "once",
    "rrule",
    "union",
]
