"""The Scheduler: what an application embeds.

A program that declares tasks and exits, or enqueues one job, should start at once. So what only a running
application needs (the wiring, workers, event loops) is imported where it is first asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, Unpack, overload

from chronoq.api.calls import Calls
from chronoq.api.handle import JobHandle
from chronoq.api.task import Decorator, Task
from chronoq.app.context import Context
from chronoq.app.declared import SCHEDULE_OPTIONS, TASK_OPTIONS, Declared, Queue, check_rhythm
from chronoq.app.keys import host_name, new_key, new_process_id
from chronoq.app.options import PlanOptions, ScheduleOptions, TaskOptions, check
from chronoq.app.payload import decoded
from chronoq.app.tasks import Registry, TaskDef
from chronoq.config import Configured, configure
from chronoq.domain.errors import BadCall, BadSetting, BatchError, Unknown
from chronoq.domain.identity import JobId
from chronoq.domain.job import Claim, Job
from chronoq.domain.lease import Kind, Process

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor
    from types import TracebackType

    from chronoq.api.control import ScheduleHandle
    from chronoq.app.client import Client
    from chronoq.app.deliverer import RelayService
    from chronoq.app.making import Making
    from chronoq.app.scheduler import SchedulerService
    from chronoq.app.schedules import Change, Schedules
    from chronoq.app.worker import Worker
    from chronoq.container import Container
    from chronoq.domain.ports import Backend
    from chronoq.domain.rhythm_base import Rhythm
    from chronoq.domain.schedule import Put
    from chronoq.domain.why import Answer

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")

VERSION = "0.1.0"


class Scheduler(Calls):
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
        if isinstance(queues, str):
            raise BadSetting(f"queues={queues!r} is one text. Give a list: queues=[{queues!r}].")
        declared = [Queue("default"), *(q if isinstance(q, Queue) else Queue(q) for q in queues)]
        self._code = {"url": url, **settings}
        self._configured = configure(code=self._code)
        self.declared = Declared({q.name: q for q in declared}, Registry(), allow_dynamic_queues)
        self._running: list[SchedulerService | RelayService | Worker] | None = None
        self._opened = False

    # what it is made of

    @cached_property
    def container(self) -> Container:
        """The wiring, with points to override."""
        from chronoq.container import Container

        queues = self.declared.queues.values()
        return Container(
            settings=self._configured.settings,
            registry=self.declared.registry,
            room={queue.name: queue.max_length for queue in queues if queue.max_length is not None},
            shards={queue.name: queue.shards for queue in queues if queue.shards is not None},
        )

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
        self._opened = True
        return backend

    @property
    def client(self) -> Client:
        client: Client = self.container.client()
        self._opened = True
        return client

    @property
    def stored(self) -> Schedules:
        """What can be done with stored schedules, declared here or not."""
        stored: Schedules = self.container.schedules()
        self._opened = True
        return stored

    @property
    def tasks(self) -> Registry:
        return self.declared.registry

    @property
    def queues(self) -> dict[str, Queue]:
        return self.declared.queues

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
    def task(self, fn: Any = None, /, **options: Any) -> Any:  # type: ignore[misc]  # mypy cannot match Unpack with Any
        """Register a function as a task; with or without options. It stays callable."""
        check(options, TASK_OPTIONS, where="task")
        add = partial(self._add, options=TaskOptions(**options))  # type: ignore[typeddict-item]
        return add if fn is None else add(fn)

    @overload
    def add_task(
        self, fn: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /, **options: Unpack[TaskOptions]
    ) -> Task[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def add_task(
        self, fn: Callable[P, Coroutine[Any, Any, R]], /, **options: Unpack[TaskOptions]
    ) -> Task[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def add_task(
        self, fn: Callable[Concatenate[Context, P], R], /, **options: Unpack[TaskOptions]
    ) -> Task[P, R, R]: ...
    @overload
    def add_task(self, fn: Callable[P, R], /, **options: Unpack[TaskOptions]) -> Task[P, R, R]: ...
    def add_task(self, fn: Any, /, **options: Unpack[TaskOptions]) -> Any:
        """Register a function that is not decorated."""
        check(options, TASK_OPTIONS, where="add_task")
        return self._add(fn, options)

    def schedule(self, rhythm: Rhythm, **options: Unpack[ScheduleOptions]) -> Decorator:
        """Run the decorated function, or task, at this rhythm. The default id is the task's name."""
        check_rhythm(rhythm)
        check(options, SCHEDULE_OPTIONS, where="schedule")

        def decorate(fn: Any) -> Any:
            own = {key: value for key, value in options.items() if key in TASK_OPTIONS}
            task = fn if isinstance(fn, Task) else self._add(fn, TaskOptions(**own))  # type: ignore[typeddict-item]
            self.declared.schedule(task.definition, rhythm, options, self._configured.settings)
            return task

        return decorate

    def add_schedule(
        self,
        id: str,
        task: Task[..., Any, Any] | Callable[..., Any],
        rhythm: Rhythm,
        **options: Unpack[PlanOptions],
    ) -> None:
        """Declare a schedule of a task, or of a function, which becomes one; stored when the application starts."""
        definition = (task if isinstance(task, Task) else self._add(task, {})).definition
        self.declared.schedule(definition, rhythm, self._own(id, options), self._configured.settings)

    def put_schedule(
        self, id: str, task: Task[..., Any, Any], rhythm: Rhythm, **options: Unpack[PlanOptions]
    ) -> Put:
        """Store a schedule now: created, updated or unchanged. An unchanged one keeps its due time."""
        settings = self._configured.settings
        return self.stored.save(
            self.declared.make_schedule(task.definition, rhythm, self._own(id, options), settings)
        )

    async def aput_schedule(
        self, id: str, task: Task[..., Any, Any], rhythm: Rhythm, **options: Unpack[PlanOptions]
    ) -> Put:
        """`put_schedule`, for async code."""
        return await self.off_loop(partial(self.put_schedule, id, task, rhythm, **options))

    def _own(self, id: str, options: PlanOptions) -> ScheduleOptions:
        check(options, SCHEDULE_OPTIONS - {"id", "name"}, where="a schedule")
        own: ScheduleOptions = {"id": id}
        own.update(options)  # type: ignore[typeddict-item]  # what it lacks is optional
        return own

    def _add(self, fn: Any, options: TaskOptions) -> Task[..., Any, Any]:
        return Task(self, self.declared.task(fn, options))

    # jobs

    def make_job(self, making: Making, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Job:
        """The job of a call: checked, encoded, stamped with the backend's time."""
        now, settings = self.backend.clock.now(), self._configured.settings
        return making.job(args, kwargs, key=self.declared.key, settings=settings, now=now)

    def enqueue_many(self, jobs: Iterable[Job]) -> list[JobHandle[Any]]:
        """Store many jobs, a round trip per thousand; handles in order.

        All are tried, until the backend does not answer. Errors: `BatchError`, whose `answers` hold
        a handle or an error for each.
        """
        from chronoq.app.client import CHUNK

        jobs = list(jobs)
        for job in jobs:
            if not isinstance(job, Job):
                raise BadCall(
                    f"enqueue_many() takes jobs, not {job!r}. Make one with task.job(...). Nothing was enqueued."
                )
        making, handles = self._handles(jobs), list[JobHandle[Any]]()
        refused = self.client.submit_many(jobs, meanwhile=lambda: handles.extend(islice(making, CHUNK)))
        handles.extend(making)  # those for which there was no meanwhile
        bad = [error for error in refused if error is not None]
        if bad:
            answers = [error or handle for error, handle in zip(refused, handles, strict=True)]
            unknown = sum(isinstance(error, Unknown) for error in bad)
            counts = [f"{len(bad) - unknown} of {len(jobs)} jobs were not enqueued"] * (len(bad) > unknown)
            counts += [f"of {unknown} it is not known whether they were"] * (unknown > 0)
            raise BatchError(f"{', '.join(counts)}; the first because: {bad[0]}", answers=answers)
        return handles

    async def aenqueue_many(self, jobs: Iterable[Job]) -> list[JobHandle[Any]]:
        """`enqueue_many`, for async code."""
        return await self.off_loop(self.enqueue_many, jobs)

    def job(self, id: str) -> JobHandle[Any]:
        """A handle on the job with that id: `queue:key`, or the key alone for the default queue."""
        return JobHandle(self, JobId.parse(id) if ":" in id else JobId("default", id))

    def why(self, id: str) -> Answer | None:
        """Why that job is where it is, in a sentence; None when nothing is known of it."""
        handle, now = self.job(id), self.backend.clock.now()
        found = handle.info()
        if found is None:
            return None
        pause = self.backend.queue.counts([found.job.id.queue], now=now)[0].pause
        from chronoq.domain.why import why_job

        return why_job(found, pause=pause, roll=self.backend.life.roll(now=now), now=now)

    async def awhy(self, id: str) -> Answer | None:
        return await self.off_loop(self.why, id)

    def _handles(self, jobs: Sequence[Job]) -> Iterator[JobHandle[Any]]:
        tasks = {name: self.tasks.find(name) for name in {job.task for job in jobs}}
        reads = {name: task.signature.read_result if task else decoded for name, task in tasks.items()}
        return (JobHandle(self, job.id, reads[job.task]) for job in jobs)

    def call_here(self, task: TaskDef, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run a task's function in this thread, with a context of its own where it takes one."""
        if not task.signature.takes_context:
            return task.fn(*args, **kwargs)
        now = self.backend.clock.now()
        job = Job(JobId(task.queue, new_key()), task.name, b"[[],{}]", now, now, task.options)
        return task.fn(Context(Claim(job, 0, 1, "here", now)), *args, **kwargs)

    # schedules

    def stored_schedule(self, id: str) -> ScheduleHandle:
        """A handle on the stored schedule with that id: `queue:id`, or the id alone when one queue has it."""
        from chronoq.api.control import ScheduleHandle

        return ScheduleHandle(self, id)

    def plan(self) -> list[Change]:
        """What `apply` would do: create, update with what differs, leave; and the orphans, stored but not declared."""
        return self.stored.plan(list(self.declared.schedules.values()), list(self.queues))

    def apply(self, *, prune: bool = False) -> list[Change]:
        """Store the declared schedules; an unchanged one keeps its due time. `prune` removes the orphans."""
        return self.stored.apply(list(self.declared.schedules.values()), list(self.queues), prune=prune)

    # running

    def _refuse_eviction(self) -> None:
        from chronoq.app.doctor import refuse_eviction

        refuse_eviction(self.backend, self._configured.settings)

    def process(self, kind: Kind, queues: Sequence[str] = (), tasks: Sequence[str] = ()) -> Process:
        """How a scheduler or worker of this application introduces itself; a worker with all tasks by default."""
        works = kind is Kind.WORKER
        return Process(
            id=new_process_id(host_name()),
            kind=kind,
            host=host_name(),
            pid=os.getpid(),
            started_at=self.backend.clock.now(),
            version=VERSION,
            queues=tuple(queues or self.queues),
            tasks=tuple(sorted(tasks or (task.name for task in self.tasks))) if works else (),
            concurrency=self._configured.settings.concurrency if works else 0,
        )

    def worker(
        self,
        queues: Sequence[str] = (),
        *,
        listen: Sequence[str] = (),
        loop: asyncio.AbstractEventLoop | None = None,
        burst: bool = False,
    ) -> Worker:
        """A worker for these queues, or all declared ones that are not relayed; not started.

        `listen`: only for these tasks, by name, and so only for their queues. `burst`: it will be stopped as
        soon as it is idle.
        """
        self._refuse_eviction()
        served = self.declared.served(queues, listen)
        process = self.process(Kind.WORKER, served, listen)
        worker: Worker = self.container.worker(process=process, queues=process.queues, loop=loop, burst=burst)
        return worker

    @property
    def own_queues(self) -> list[str]:
        """The declared queues that workers of ours serve."""
        return self.declared.own_queues

    def relay(self, queues: Sequence[str] = ()) -> RelayService:
        """What hands the jobs of these queues, or of all relayed ones, over to their engines; not started."""
        self._refuse_eviction()
        engines, chosen = self.declared.engines, self.declared.relayed(queues)
        service: RelayService = self.container.relay(
            process=self.process(Kind.WORKER, chosen), engines={name: engines[name] for name in chosen}
        )
        return service

    def scheduler(self) -> SchedulerService:
        """A scheduler for all queues; not started."""
        self._refuse_eviction()
        service: SchedulerService = self.container.scheduler(process=self.process(Kind.SCHEDULER))
        return service

    def start(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Run a scheduler and a worker inside this process, after storing the declared schedules."""
        if self._running is not None:
            raise BadSetting("This Scheduler is running already. Stop it first, or leave its `with` block.")
        self.apply()
        scheduler = self.scheduler()
        scheduler.presence.on_return = self.apply
        parts: list[SchedulerService | RelayService | Worker] = [scheduler]
        parts += [self.relay()] if self.declared.engines else []
        parts += [self.worker(loop=loop)] if self.own_queues else []
        self._running = parts
        for part in reversed(parts):
            part.start()

    def stop(self) -> bool:
        """Stop what `start` began: finish within the grace period, give back the rest. Whether all was finished."""
        parts, self._running = self._running or [], None
        answers = [part.stop() for part in parts]
        return False not in answers

    def close(self) -> None:
        """Give back connections and threads. The application can be used again: it opens them anew."""
        self.stop()
        if not self._opened:
            return
        self.client.close()
        self.backend.close()
        self._opened = False
        for provider in (self.container.client, self.container.schedules, self.container.backend):
            provider.reset()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        import asyncio

        await self.off_loop(partial(self.start, loop=asyncio.get_running_loop()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.off_loop(self.stop)

    # the async face

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(max_workers=8, thread_name_prefix="chronoq-client")

    async def off_loop(self, what: Callable[..., A], *args: Any) -> A:
        """Run a synchronous verb on the small pool of this application's async face."""
        import asyncio

        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(what, *args))
