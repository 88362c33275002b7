"""A caller: carries calls out, step by step, for synchronous and for async code."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar, cast

from attrs import evolve, frozen

from chronoq.api.handle import JobHandle, ending_of
from chronoq.api.task import Task
from chronoq.app.calls import Ask, Call, Here, HereContext, Talk, Wait, arun_here, run_here
from chronoq.app.options import JobOptions
from chronoq.domain.calling import Policy, Terms
from chronoq.domain.errors import BackendError, BadCall, BadSetting, ResultTimeout
from chronoq.domain.job import Ending, Progress

if TYPE_CHECKING:
    from chronoq.api.scheduler import Scheduler

P = ParamSpec("P")
R = TypeVar("R")

OnProgress: TypeAlias = Callable[[Progress], object] | None

LOOK = 0.25
"""So many seconds between two looks at the progress of a job."""


@frozen
class Caller:
    """Calls tasks on the same terms. All arguments are the task's, whatever their names."""

    app: "Scheduler"
    terms: Terms
    on_progress: OnProgress = None

    def call(self, task: Task[P, Any, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """What `task` gives for these arguments. Errors: those of `app.call`."""
        call = self._call(task, args, kwargs)
        if call.task.is_async and _in_loop() and self.terms.policy is not Policy.REMOTE:
            raise BadCall(
                f"{task.name} is a coroutine, and an event loop runs here. Use `await app.acall(...)`."
            )
        return cast("R", self._converse(call, call.talk()))

    async def acall(self, task: Task[P, Any, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """`call`, for async code; it never blocks the event loop."""
        call = self._call(task, args, kwargs)
        return cast("R", await self._aconverse(call, call.talk()))

    def _call(self, task: Task[..., Any, Any], args: Any, kwargs: Any) -> Call:
        if not isinstance(task, Task):
            raise BadCall(f"A call needs a task, and {task!r} is none. Register it with @app.task.")
        app, given = self.app, task.given
        if "at" in given or "delay" in given:
            raise BadCall(
                f"A call of {task.name} waits for its answer, so it is for now. Enqueue it for later."
            )
        if not given.keys() & {"retries", "backoff"}:
            given = JobOptions(**{**given, "retries": 0})  # who asks hears of the first error
        settings, now = app.configured.settings, datetime.now(UTC)  # what runs here goes by the clock of here
        job = app.declared.job(task.definition, args, kwargs, given, settings=settings, now=now)
        engine = app.declared.engines.get(job.id.queue)
        if engine and not engine.follow and self.terms.policy is not Policy.LOCAL:
            raise BadSetting(
                f"Queue {job.id.queue!r} is relayed and not followed, so no answer comes from there. "
                "Declare its relay with follow=True, or call with policy='local'."
            )
        job = evolve(job, options=self.terms.treat(job.options))
        return Call(task.definition, job, self.terms, "id" in given, lambda: app.backend, lambda: app.client)

    # the two faces: each carries out the steps of the same conversation

    def _converse(self, call: Call, talk: Talk) -> Any:
        answer: Any = None
        error: BaseException | None = None
        while True:
            try:
                step = talk.send(answer) if error is None else talk.throw(error)
            except StopIteration as end:
                return end.value
            try:
                answer, error = self._carry_out(call, step), None
            except BaseException as caught:
                error = caught

    def _carry_out(self, call: Call, step: Ask | Wait | Here) -> Any:
        match step:
            case Ask(verb):
                return verb()
            case Wait(limit):
                return self._wait(call, limit)
            case Here():
                return run_here(call.task, HereContext(call.job, self.on_progress), *self._limits(call))

    async def _aconverse(self, call: Call, talk: Talk) -> Any:
        answer: Any = None
        error: BaseException | None = None
        while True:
            try:
                step = talk.send(answer) if error is None else talk.throw(error)
            except StopIteration as end:
                return end.value
            try:
                answer, error = await self._acarry_out(call, step), None
            except BaseException as caught:
                error = caught

    async def _acarry_out(self, call: Call, step: Ask | Wait | Here) -> Any:
        match step:
            case Ask(verb):
                asked = asyncio.ensure_future(self.app.off_loop(verb))
                try:
                    return await asyncio.shield(asked)
                except asyncio.CancelledError:
                    await asyncio.wait([asked])  # first it has to be known what has become of it
                    _ = asked.cancelled() or asked.exception()
                    raise
            case Wait(limit):
                return await self._await(call, limit)
            case Here():
                return await self._ahere(call)

    def _limits(self, call: Call) -> tuple[bytes, int]:
        return call.job.payload, self.app.configured.settings.max_payload

    async def _ahere(self, call: Call) -> Any:
        tell, loop = self.on_progress, asyncio.get_running_loop()
        if call.task.is_async:
            return await arun_here(call.task, HereContext(call.job, tell), *self._limits(call))
        later = tell and (lambda progress: loop.call_soon_threadsafe(tell, progress))
        context = HereContext(call.job, later)
        try:
            return await asyncio.to_thread(run_here, call.task, context, *self._limits(call))
        except asyncio.CancelledError:
            context.ask_to_stop()  # a thread cannot be stopped from outside
            raise

    def _wait(self, call: Call, limit: timedelta | None) -> Ending:
        if self.on_progress is None:
            return self.app.client.wait(call.job.id, timeout=limit)
        told, until = None, None if limit is None else monotonic() + limit.total_seconds()
        while True:
            try:
                return self.app.client.wait(call.job.id, timeout=_turn(until))
            except (ResultTimeout, BackendError):
                if until is not None and monotonic() >= until:
                    raise
            told = self._tell(told, self._progress(call))

    async def _await(self, call: Call, limit: timedelta | None) -> Ending:
        if self.on_progress is None:
            return await ending_of(self.app, call.job.id, limit)
        told, until = None, None if limit is None else monotonic() + limit.total_seconds()
        while True:
            try:
                return await ending_of(self.app, call.job.id, _turn(until))
            except (ResultTimeout, BackendError):
                if until is not None and monotonic() >= until:
                    raise
            told = self._tell(told, await self.app.off_loop(self._progress, call))

    def _progress(self, call: Call) -> Progress | None:
        try:
            return JobHandle[Any](self.app, call.job.id).progress()
        except BackendError:
            return None

    def _tell(self, told: Progress | None, new: Progress | None) -> Progress | None:
        if new is not None and new != told and self.on_progress:
            self.on_progress(new)
        return new or told


def _turn(until: float | None) -> timedelta:
    """How long to wait before the next look at the progress."""
    return timedelta(seconds=LOOK if until is None else max(0.0, min(LOOK, until - monotonic())))


def _in_loop() -> bool:
    return asyncio._get_running_loop() is not None
