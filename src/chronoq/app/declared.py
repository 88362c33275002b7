"""What an application declares: its queues, tasks and schedules; and the jobs that calls become."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen
from attrs.converters import optional

from chronoq.app.keys import Mint
from chronoq.app.making import Making
from chronoq.app.options import JobOptions, ScheduleOptions, TaskOptions, check, policy, treated
from chronoq.app.tasks import Registry, TaskDef, default_name
from chronoq.config import Settings
from chronoq.domain import shards
from chronoq.domain.errors import BadCall, BadSetting, UnknownQueue, near
from chronoq.domain.identity import ScheduleId, name
from chronoq.domain.job import DEFAULTS, Job
from chronoq.domain.rhythm_base import Rhythm
from chronoq.domain.schedule import Schedule

if TYPE_CHECKING:
    from chronoq.app.relay import Engine

TASK_OPTIONS = frozenset(TaskOptions.__annotations__)
JOB_OPTIONS = frozenset(JobOptions.__annotations__)
SCHEDULE_OPTIONS = frozenset(ScheduleOptions.__annotations__)


def _queue_name(value: str) -> str:
    return name(value, what="queue")


@frozen
class Queue:
    """A declared queue.

    `max_length`: live jobs that it may hold; a submission beyond is `QueueFull`. `shards`: parts into which
    a very busy one is divided, so that a cluster can spread it; None: as the store remembers it. `relay`:
    another engine, which runs its jobs instead of workers of ours.
    """

    name: str = field(converter=_queue_name)
    max_length: int | None = None
    shards: int | None = field(default=None, converter=optional(shards.count))
    relay: Engine | None = None

    def __attrs_post_init__(self) -> None:
        if self.relay is not None and (self.shards or 1) > 1:
            raise BadSetting(
                f"Queue {self.name!r}: what is relayed cannot be divided. Give shards= or relay=, not both."
            )


def check_rhythm(rhythm: object) -> None:
    """Errors: `BadSetting` for what is no rhythm."""
    if not isinstance(rhythm, Rhythm):
        raise BadSetting(
            f"A schedule needs a rhythm, and {rhythm!r} is none. Use every('10s'), cron('0 9 * * *') or once(at)."
        )


def executor_of(task: str, fn: Callable[..., Any], options: TaskOptions) -> str:
    """Where a task runs. Errors: `BadSetting` for what is no place, or for a function that cannot get there."""
    executor: str = options.get("executor", "thread")
    if executor not in ("thread", "process"):
        raise BadSetting(f"executor={executor!r} (task {task!r}): choose thread or process.")
    if executor == "process" and "<" in getattr(fn, "__qualname__", "<"):
        raise BadSetting(
            f"Task {task!r} cannot run in a process: a child process imports a function by its name, and this "
            "one has none outside of its scope. Move it to the top of a module."
        )
    return executor


@define
class Declared:
    """The declarations of one application. Whatever does not fit is refused here, before anything is stored."""

    queues: dict[str, Queue]
    registry: Registry
    dynamic: bool = False
    schedules: dict[str, Schedule] = field(factory=dict)
    key: Callable[[], str] = field(factory=lambda: Mint().key)
    """What names a job that was given no id."""

    def queue(self, queue: str) -> str:
        """`queue`, if it is declared. Errors: `BadName`, `UnknownQueue` (E17)."""
        if name(queue, what="queue") in self.queues or self.dynamic:
            return queue
        raise UnknownQueue(
            f"Queue {queue!r} is not declared. Declared: {', '.join(self.queues)}.{near(queue, self.queues)}"
        )

    @property
    def engines(self) -> dict[str, Engine]:
        """The queues whose jobs other engines run."""
        return {name: queue.relay for name, queue in self.queues.items() if queue.relay is not None}

    @property
    def own_queues(self) -> list[str]:
        """The declared queues that workers of ours serve."""
        return [name for name in self.queues if name not in self.engines]

    def served(self, queues: Sequence[str] = (), tasks: Sequence[str] = ()) -> list[str]:
        """What a worker serves that was told these queues, or to listen to these tasks; else all that are ours.

        Errors: `UnknownQueue`; `BadSetting` for a queue that is relayed, or where other tasks live too: a worker
        takes jobs by queue, so it could not leave those of the others alone.
        """
        homes = {task.name: task.queue for task in self.registry}
        if unknown := next((one for one in tasks if one not in homes), None):
            raise BadSetting(f"There is no task {unknown!r} to listen to.{self.registry.hint(unknown)}")
        told = [*map(self.queue, queues)] or [homes[one] for one in tasks] or self.own_queues
        served = list(dict.fromkeys(told))
        if not served or not self.engines.keys().isdisjoint(served):
            raise BadSetting(
                f"A worker cannot serve {', '.join(served) or 'this application'}: jobs of "
                f"{', '.join(self.engines)} go to another engine. Run `chronoq relay` for them."
            )
        other = next((one for one in homes if one not in tasks and homes[one] in served), None)
        if tasks and other:
            raise BadSetting(
                f"A worker takes jobs by queue, and task {other!r} lives on {homes[other]!r} too. Listen to it "
                "as well, or give those that you listen to a queue of their own: @app.task(queue=...)."
            )
        return served

    def relayed(self, queues: Sequence[str] = ()) -> list[str]:
        """These queues, or all that are relayed. Errors: `UnknownQueue`; `BadSetting` for one that is not."""
        chosen = [*map(self.queue, queues)] or list(self.engines)
        others = [name for name in chosen if name not in self.engines]
        if others or not chosen:
            raise BadSetting(
                f"{', '.join(others) + ' is not' if chosen else 'No queue is'} relayed. "
                "Declare it with an engine: Queue('mail', relay=RqRelay())."
            )
        return chosen

    def task(self, fn: Callable[..., Any], options: TaskOptions) -> TaskDef:
        """Register a function."""
        if not callable(fn):
            raise BadCall(f"{fn!r} is not a function, so it cannot be a task.")
        queue, label = self.queue(options.get("queue", "default")), options.get("name")
        known = name(label, what="task name") if label else default_name(fn)
        task = TaskDef(known, fn, queue, treated(DEFAULTS, options), executor_of(known, fn, options))
        self.registry.add(task)
        return task

    def schedule(
        self, task: TaskDef, rhythm: Rhythm, options: ScheduleOptions, settings: Settings
    ) -> Schedule:
        """Declare a schedule of a task."""
        schedule = self.make_schedule(task, rhythm, options, settings)
        known = self.schedules.get(schedule.id.key)
        if known and known != schedule:
            raise BadSetting(f"Two schedules are named {schedule.id.key!r}. Give one id=...")
        self.schedules[schedule.id.key] = schedule
        return schedule

    def make_schedule(
        self, task: TaskDef, rhythm: Rhythm, options: ScheduleOptions, settings: Settings
    ) -> Schedule:
        """The schedule of these options. The default id is the task's name."""
        id = name(options.get("id", task.name), what="schedule id")
        check_rhythm(rhythm)
        args, kwargs = options.get("args", ()), options.get("kwargs", {})
        try:
            payload = task.signature.encode(args, kwargs, limit=settings.max_payload)
        except BadCall as error:
            raise BadCall(f"Schedule {id!r}: {error} Give args= or kwargs=.") from None
        treatment = evolve(treated(task.options, options), remember=settings.remember)
        queue = self.queue(options.get("queue", task.queue))
        return Schedule(ScheduleId(queue, id), rhythm, task.name, payload, policy(options), treatment)

    def check_job_options(self, options: JobOptions) -> None:
        """Refuse names that no job can be given. The values of the others are read by `Making`."""
        check(options, JOB_OPTIONS, where="using")
        if "queue" in options:
            self.queue(options["queue"])
        if "id" in options:
            name(options["id"], what="id")
        if "at" in options and "delay" in options:
            raise BadSetting("using(at=..., delay=...): give one of the two")

    def job(
        self,
        task: TaskDef,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        given: JobOptions,
        *,
        settings: Settings,
        now: datetime,
    ) -> Job:
        """The job of a single call under these options."""
        return Making.of(task, given).job(args, kwargs, key=self.key, settings=settings, now=now)
