"""rq-scheduler's face: `from chronoq.compat.rq_scheduler import Scheduler`."""

from chronoq.compat.rq_scheduler.job import Job
from chronoq.compat.rq_scheduler.scheduler import Scheduler

__all__ = ["Job", "Scheduler"]
