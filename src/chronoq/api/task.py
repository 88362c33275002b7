"""A task: a function that can be called here, or enqueued to run elsewhere."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, Unpack, overload

from chronoq.api.handle import JobHandle
from chronoq.app.context import Context
from chronoq.app.making import Making
from chronoq.app.options import JobOptions
from chronoq.app.tasks import TaskDef
from chronoq.domain.job import Job

if TYPE_CHECKING:
    from chronoq.api.scheduler import Scheduler

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class Task(Generic[P, T, R]):
    """A registered function of parameters P. A direct call gives T, a job of it gives R."""

    __slots__ = ("_app", "_given", "definition", "making")

    def __init__(self, app: "Scheduler", definition: TaskDef, given: JobOptions | None = None) -> None:
        self._app = app
        self._given: JobOptions = given or {}
        self.definition = definition
        self.making = Making.of(definition, self._given)

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def given(self) -> JobOptions:
        """What `using` has added to the options of the task."""
        return self._given

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it here and now, without any queue."""
        return self._app.call_here(self.definition, args, kwargs)  # type: ignore[no-any-return]

    def using(self, **options: Unpack[JobOptions]) -> "Task[P, T, R]":
        """The same task with options for the jobs to come: `send.using(delay="5m").enqueue(...)`."""
        given: JobOptions = {**self._given, **options}
        self._app.declared.check_job_options(given)
        return Task(self._app, self.definition, given)

    def job(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """The job of this call, checked and encoded, for `app.enqueue_many`. Nothing is stored yet.

        Errors: `BadCall` (E09), `NotStorable` (E10), `TooLarge` (E12).
        """
        return self._app.make_job(self.making, args, kwargs)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Store a job of this call; it is accepted when this returns.

        Errors: those of `job`; `Conflict`, `QueueFull`; `Unknown` when the reply was lost;
        `BackendError` when nothing was stored.
        """
        job = self._app.make_job(self.making, args, kwargs)
        self._app.client.submit(job)
        return JobHandle(self._app, job.id, self.definition.signature.read_result)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """`enqueue`, for async code."""
        job = self._app.make_job(self.making, args, kwargs)
        await self._app.off_loop(self._app.client.submit, job)
        return JobHandle(self._app, job.id, self.definition.signature.read_result)

    def __repr__(self) -> str:
        return f"<Task {self.name}>"


class Decorator(Protocol):
    """What makes a task of a function: sync or async, with a leading `Context` or without."""

    @overload
    def __call__(
        self, fn: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> Task[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Context, P], R], /) -> Task[P, R, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Task[P, R, R]: ...
