"""chronoq: accepts work now and runs it at the right moment, once, on whichever machine is free.

The names below are imported when they are first used, so that the command line starts fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chronoq.api.handle import JobHandle
    from chronoq.api.scheduler import VERSION as __version__  # noqa: N811 - the dunder is the public name
    from chronoq.api.scheduler import Scheduler
    from chronoq.api.task import Task
    from chronoq.app.context import Context, current_job
    from chronoq.app.declared import Queue
    from chronoq.domain import errors
    from chronoq.domain.calendar import Calendar
    from chronoq.domain.job import Priority
    from chronoq.domain.retry import RetryPolicy
    from chronoq.domain.rhythm import cron, every, once, rrule, union

__all__ = [
    "Calendar",
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

_HOMES = {
    "Calendar": "domain.calendar",
    "Context": "app.context",
    "JobHandle": "api.handle",
    "Priority": "domain.job",
    "Queue": "app.declared",
    "RetryPolicy": "domain.retry",
    "Scheduler": "api.scheduler",
    "Task": "api.task",
    "cron": "domain.rhythm",
    "current_job": "app.context",
    "every": "domain.rhythm",
    "once": "domain.rhythm",
    "rrule": "domain.rhythm",
    "union": "domain.rhythm",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"chronoq.{_HOMES[name]}"), name)
    elif name == "errors":
        value = import_module("chronoq.domain.errors")
    elif name == "__version__":
        value = import_module("chronoq.api.scheduler").VERSION
    else:
        raise AttributeError(f"module 'chronoq' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
