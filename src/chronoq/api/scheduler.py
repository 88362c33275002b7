"""The Scheduler: what an application embeds."""

import asyncio
import base64
import os
import platform
import random
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property, partial
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack, overload

from attrs import evolve, field, frozen

from chronoq.api.handle import JobHandle
from chronoq.api.task import Decorator, Task
from chronoq.app.client import Client
from chronoq.app.context import Context
from chronoq.app.options import (
    JobOptions,
    ScheduleOptions,
    TaskOptions,
    check,
    policy,
    treated,
)
from chronoq.app.scheduler import SchedulerService
from chronoq.app.tasks import Registry, TaskDef, default_name
from chronoq.app.worker import Worker
from chronoq.config import Configured, configure
from chronoq.container import Container
from chronoq.domain.errors import BadCall, BatchError, BadSetting, UnknownQueue, near
from chronoq.domain.identity import JobId, ScheduleId, name
from chronoq.domain.job import Claim, Job, Options
from chronoq.domain.lease import Kind, Process
from chronoq.domain.ports import Backend
from chronoq.domain.rhythm import Rhythm
from chronoq.domain.schedule import Put, Schedule
from chronoq.domain.time import aware, duration, up_to_ms

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")

VERSION = "0.1.0"
_TASK = frozenset(TaskOptions.__annotations__)
_JOB = frozenset(JobOptions.__annotations__)
_SCHEDULE = frozenset(ScheduleOptions.__annotations__)


@frozen
class Queue:
    """A declared queue. `max_length`: live jobs that it may hold; a submission beyond is `QueueFull`."""

    name: str = field(converter=partial(name, what="queue"))
    max_length: int | None = None


class Scheduler:
    """An application's tasks, schedules and jobs on one backend.

    `url` picks the backend by its scheme (`memory://` by default). `queues` are declared here;
    `default` always is. Further keywords are settings: see `chronoq.config.Settings`.
    `with app:` and `async with app:` run a scheduler and a worker inside this process.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        queues: Iterable[str | Queue] = (),
        allow_dynamic_queues: bool = False,
        **settings: Any,
    ) -> None:
        declared = [Queue("default"), *(q if isinstance(q, Queue) else Queue(q) for q in queues)]
        self._code = {"url": url, **settings}
        self._configured = configure(code=self._code)
        self.queues: dict[str, Queue] = {queue.name: queue for queue in declared}
        self.allow_dynamic_queues = allow_dynamic_queues
        self.schedules: dict[str, Schedule] = {}
        self.container = Container(
            settings=self._configured.settings,
            room={q.name: q.max_length for q in declared if q.max_length is not None},
        )
        self._registry: Registry = self.container.registry()
        self._running: tuple[SchedulerService, Worker] | None = None

    # what it is made of

    @property
    def configured(self) -> Configured:
        """The settings in force, and where each came from."""
        return self._configured

    def reconfigure(self, **flags: Any) -> None:
        """Settings from the command line, above all others. Before first use of the backend."""
        self._configured = configure(flags=flags, code=self._code)
        self.container.settings.override(self._configured.settings)

    @property
    def backend(self) -> Backend:
        """The ports, opened at first use. Errors: `BackendError` when it does not answer."""
        backend: Backend = self.container.backend()
        return backend

    @property
    def client(self) -> Client:
        client: Client = self.container.client()
        return client

    @property
    def tasks(self) -> Registry:
        return self._registry

    # declaring

    @overload
    def task(
        self, fn: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> Task[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def task(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def task(self, fn: Callable[Concatenate[Context, P], R], /) -> Task[P, R, R]: ...
    @overload
    def task(self, fn: Callable[P, R], /) -> Task[P, R, R]: ...
    @overload
    def task(self, **options: Unpack[TaskOptions]) -> Decorator: ...
    def task(self, fn: Any = None, /, **options: Any) -> Any:
        """Register a function as a task; with or without options. It stays callable."""
        check(options, _TASK, where="task")
        return partial(self._add, options) if fn is None else self._add(options, fn)

    def add_task(self, fn: Callable[P, R], **options: Unpack[TaskOptions]) -> Task[P, R, R]:
        """Register a function that is not decorated."""
        check(options, _TASK, where="add_task")
        task: Task[P, R, R] = self._add(options, fn)
        return task

    def schedule(self, rhythm: Rhythm, **options: Unpack[ScheduleOptions]) -> Decorator:
        """Run the decorated function, or task, at this rhythm. The default id is the task's name."""
        check(options, _SCHEDULE, where="schedule")

        def decorate(fn: Any) -> Any:
            task = fn if isinstance(fn, Task) else self._add({k: v for k, v in options.items() if k in _TASK}, fn)
            self._declare(task.definition, rhythm, options)
            return task

        return decorate

    def add_schedule(
        self, id: str, task: "Task[..., Any, Any]", rhythm: Rhythm, **options: Unpack[ScheduleOptions]
    ) -> None:
        """Declare a schedule of a registered task."""
        check(options, _SCHEDULE - {"id", "name"}, where="add_schedule")
        self._declare(task.definition, rhythm, {**options, "id": id})

    def _add(self, options: TaskOptions | dict[str, Any], fn: Callable[..., Any]) -> Any:
        queue = self.queue_name(options.get("queue", "default"))
        label = options.get("name")
        task = TaskDef(
            name(label, what="task name") if label else default_name(fn), fn, queue, treated(Options(), options)
        )
        self._registry.add(task)
        return Task(self, task)

    def _declare(self, task: TaskDef, rhythm: Rhythm, options: ScheduleOptions) -> None:
        id = name(options.get("id", task.name), what="schedule id")
        if not isinstance(rhythm, Rhythm):
            raise BadSetting(f"schedule {id!r}: {rhythm!r} is not a rhythm. Use every('10s'), cron('0 9 * * *'), once(at).")
        queue = self.queue_name(options.get("queue", task.queue))
        known = self.schedules.get(id)
        if known and (known.task, known.rhythm) != (task.name, rhythm):
            raise BadSetting(f"Two schedules are named {id!r}. Give one id=...")
        args, kwargs = options.get("args", ()), options.get("kwargs", {})
        try:
            payload = task.signature.encode(args, kwargs, limit=self.configured.settings.max_payload)
        except BadCall as error:
            raise BadCall(f"Schedule {id!r}: {error} Give args= or kwargs=.") from None
        treatment = evolve(treated(task.options, options), remember=self.configured.settings.remember)
        self.schedules[id] = Schedule(ScheduleId(queue, id), rhythm, task.name, payload, policy(options), treatment)

    def queue_name(self, queue: str) -> str:
        """`queue`, if it is declared. Errors: `UnknownQueue` (E17)."""
        if queue in self.queues or self.allow_dynamic_queues:
            return name(queue, what="queue")
        raise UnknownQueue(
            f"Queue {queue!r} is not declared. Declared: {', '.join(self.queues)}.{near(queue, self.queues)}"
        )

    # jobs

    def check_job_options(self, options: JobOptions) -> None:
        check(options, _JOB, where="using")
        if "queue" in options:
            self.queue_name(options["queue"])
        if "id" in options:
            name(options["id"], what="id")
        if "at" in options:
            if "delay" in options:
                raise BadSetting("using(at=..., delay=...): give one of the two")
            aware(options["at"])
        if "delay" in options:
            duration(options["delay"])
        treated(Options(), options)

    def make_job(self, task: TaskDef, args: Sequence[Any], kwargs: dict[str, Any], given: JobOptions) -> Job:
        """The job of a call: checked, encoded, stamped with the backend's time."""
        settings = self._configured.settings
        payload = task.signature.encode(args, kwargs, limit=settings.max_payload)
        now = due = self.backend.clock.now()
        options, key, queue = task.options, given.get("id"), task.queue
        if given:
            options = treated(options, given)
            queue = given.get("queue", queue)
            if key is not None:
                options = evolve(options, remember=settings.remember)
            if "at" in given:
                due = aware(given["at"])
            elif "delay" in given:
                due = now + duration(given["delay"])
            due = up_to_ms(due)
        return Job(JobId(queue, key or new_key()), task.name, payload, due, now, options)

    def enqueue_many(self, jobs: Sequence[Job]) -> list[JobHandle[Any]]:
        """Store many jobs, a round trip per few hundred; handles in order.

        All are tried. Errors: `BatchError`, whose `answers` hold a handle or an error for each.
        """
        refused = self.client.submit_many(jobs)
        handles = [self._handle(job) for job in jobs]
        bad = [error for error in refused if error is not None]
        if bad:
            answers = [error or handle for error, handle in zip(refused, handles, strict=True)]
            raise BatchError(
                f"{len(bad)} of {len(jobs)} jobs were not enqueued; the first because: {bad[0]}", answers=answers
            )
        return handles

    async def aenqueue_many(self, jobs: Sequence[Job]) -> list[JobHandle[Any]]:
        """`enqueue_many`, for async code."""
        return await self.off_loop(self.enqueue_many, jobs)

    def job(self, id: str) -> JobHandle[Any]:
        """A handle on the job with that id: `queue:key`, or the key alone for the default queue."""
        job_id = JobId.parse(id) if ":" in id else JobId("default", id)
        return JobHandle(self, job_id)

    def _handle(self, job: Job) -> JobHandle[Any]:
        task = self._registry.find(job.task)
        return JobHandle(self, job.id, task.signature.read_result) if task else JobHandle(self, job.id)

    def call_here(self, task: TaskDef, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run a task's function in this thread, with a context of its own where it takes one."""
        if not task.signature.takes_context:
            return task.fn(*args, **kwargs)
        now = self.backend.clock.now()
        job = Job(JobId(task.queue, new_key()), task.name, b"[[],{}]", now, now, task.options)
        return task.fn(Context(Claim(job, 0, 1, "here", now)), *args, **kwargs)

    # schedules

    def apply(self) -> dict[str, Put]:
        """Store the schedules declared in code; an unchanged one keeps its due time."""
        return {id: self.client.save(schedule) for id, schedule in self.schedules.items()}

    # running

    def process(self, kind: Kind, queues: Sequence[str] = ()) -> Process:
        """How a scheduler or worker of this application introduces itself."""
        host = platform.node() or "localhost"
        return Process(
            id=f"{host}-{os.getpid()}-{random.getrandbits(24):06x}",
            kind=kind,
            host=host,
            pid=os.getpid(),
            started_at=self.backend.clock.now(),
            version=VERSION,
            queues=tuple(queues or self.queues),
            tasks=tuple(sorted(self._registry.tasks)) if kind is Kind.WORKER else (),
            concurrency=self._configured.settings.concurrency if kind is Kind.WORKER else 0,
        )

    def worker(self, queues: Sequence[str] = (), *, loop: asyncio.AbstractEventLoop | None = None) -> Worker:
        """A worker for these queues, or all declared ones; not started."""
        process = self.process(Kind.WORKER, queues)
        worker: Worker = self.container.worker(process=process, queues=process.queues, loop=loop)
        return worker

    def scheduler(self) -> SchedulerService:
        """A scheduler for all queues; not started."""
        service: SchedulerService = self.container.scheduler(process=self.process(Kind.SCHEDULER))
        return service

    def start(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Run a scheduler and a worker inside this process, after storing the declared schedules."""
        if self._running is not None:
            raise BadSetting("This Scheduler is running already. Stop it first, or leave its `with` block.")
        self.apply()
        scheduler, worker = self.scheduler(), self.worker(loop=loop)
        self._running = (scheduler, worker)
        worker.start()
        scheduler.start()

    def stop(self) -> bool:
        """Stop what `start` began: finish within the grace period, give back the rest. Whether all was finished."""
        if self._running is None:
            return True
        (scheduler, worker), self._running = self._running, None
        scheduler.stop()
        return worker.stop()

    def close(self) -> None:
        """Give back connections and threads. The application can be used again: it opens them anew."""
        self.stop()
        self.client.close()
        self.backend.close()
        self.container.client.reset()
        self.container.backend.reset()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await self.off_loop(partial(self.start, loop=asyncio.get_running_loop()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.off_loop(self.stop)

    # the async face

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=8, thread_name_prefix="chronoq-client")

    async def off_loop(self, what: Callable[..., A], *args: Any) -> A:
        """Run a synchronous verb on the small pool of this application's async face."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(what, *args))


def new_key() -> str:
    """A fresh key: 80 random bits in 16 characters."""
    return base64.b32encode(os.urandom(10)).decode().lower()
