"""Ask and answer: call a task wherever it can run, and wait for what it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeAlias, TypeVar, cast, overload

from chronoq.api.task import Task
from chronoq.app.options import terms
from chronoq.domain.errors import BadCall, BadSetting
from chronoq.domain.lease import listened
from chronoq.domain.time import Duration

if TYPE_CHECKING:
    from chronoq.api.caller import Caller, OnProgress
    from chronoq.api.scheduler import Scheduler
    from chronoq.domain.calling import Policy

P = ParamSpec("P")
R = TypeVar("R")

Where: TypeAlias = "Literal['auto', 'local', 'remote', 'local_first', 'remote_first'] | Policy"

PATIENCE = "5m"

_UNSET: Any = object()
_OPTIONS = ("policy", "timeout", "once", "on_progress")


class Calls:
    """The verbs of ask and answer, as a Scheduler has them."""

    def calling(
        self,
        *,
        policy: Where = "auto",
        timeout: Duration | None = PATIENCE,
        once: bool = True,
        on_progress: OnProgress = None,
    ) -> Caller:
        """A caller on these terms: `app.calling(timeout="5s").call(send, "a")`. See `call`."""
        from chronoq.api.caller import Caller

        if not (on_progress is None or callable(on_progress)):
            raise BadSetting(f"on_progress={on_progress!r}: give a function of one argument.")
        return Caller(cast("Scheduler", self), terms(policy, timeout, once), on_progress)

    @overload
    def call(self, task: Task[P, Any, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def call(
        self,
        task: Task[..., Any, R],
        /,
        *args: Any,
        policy: Where,
        timeout: Duration | None = ...,
        once: bool = ...,
        on_progress: OnProgress = ...,
        **kwargs: Any,
    ) -> R: ...
    @overload
    def call(
        self,
        task: Task[..., Any, R],
        /,
        *args: Any,
        timeout: Duration | None,
        once: bool = ...,
        on_progress: OnProgress = ...,
        **kwargs: Any,
    ) -> R: ...
    @overload
    def call(
        self, task: Task[..., Any, R], /, *args: Any, once: bool, on_progress: OnProgress = ..., **kwargs: Any
    ) -> R: ...
    @overload
    def call(self, task: Task[..., Any, R], /, *args: Any, on_progress: OnProgress, **kwargs: Any) -> R: ...
    def call(
        self,
        task: Task[..., Any, Any],
        /,
        *args: Any,
        policy: Any = _UNSET,
        timeout: Any = _UNSET,
        once: Any = _UNSET,
        on_progress: Any = _UNSET,
        **kwargs: Any,
    ) -> Any:
        """Have `task` run, by a worker or here, once, and return what it gives.

        `policy`: `auto` (by a worker when one listens, else here), `local`, `remote`, `local_first`,
        `remote_first`. `timeout` bounds the wait for a worker. `once`: the answer is removed when it was
        read; else it is kept for `result_ttl`. `on_progress` is called with each `Progress` that is seen.

        Errors: `JobFailed` for an error of the task, wherever it ran; `CallTimeout`; `JobCancelled`;
        those of `enqueue`.
        """
        return self._caller(task, policy, timeout, once, on_progress).call(task, *args, **kwargs)

    @overload
    async def acall(self, task: Task[P, Any, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    async def acall(
        self,
        task: Task[..., Any, R],
        /,
        *args: Any,
        policy: Where,
        timeout: Duration | None = ...,
        once: bool = ...,
        on_progress: OnProgress = ...,
        **kwargs: Any,
    ) -> R: ...
    @overload
    async def acall(
        self,
        task: Task[..., Any, R],
        /,
        *args: Any,
        timeout: Duration | None,
        once: bool = ...,
        on_progress: OnProgress = ...,
        **kwargs: Any,
    ) -> R: ...
    @overload
    async def acall(
        self, task: Task[..., Any, R], /, *args: Any, once: bool, on_progress: OnProgress = ..., **kwargs: Any
    ) -> R: ...
    @overload
    async def acall(
        self, task: Task[..., Any, R], /, *args: Any, on_progress: OnProgress, **kwargs: Any
    ) -> R: ...
    async def acall(
        self,
        task: Task[..., Any, Any],
        /,
        *args: Any,
        policy: Any = _UNSET,
        timeout: Any = _UNSET,
        once: Any = _UNSET,
        on_progress: Any = _UNSET,
        **kwargs: Any,
    ) -> Any:
        """`call`, for async code. When it is cancelled, so is what it asked for."""
        return await self._caller(task, policy, timeout, once, on_progress).acall(task, *args, **kwargs)

    def _caller(self, task: Any, *options: Any) -> Caller:
        given = {name: one for name, one in zip(_OPTIONS, options, strict=True) if one is not _UNSET}
        own = task.definition.signature.parameters.parameters if isinstance(task, Task) else {}
        if both := sorted(given.keys() & own.keys()):
            raise BadCall(
                f"{both[0]!r} is an option of the call and a parameter of {task.name}, so it is not clear which "
                f"is meant. Give options first: app.calling({both[0]}=...).call(task, ...)."
            )
        return self.calling(**given)

    def has_listener(self, task: Task[..., Any, Any]) -> bool:
        """Whether a worker is alive that takes this task, also while it is busy."""
        app = cast("Scheduler", self)
        if not isinstance(task, Task):
            raise BadCall(f"A listener needs a task, and {task!r} is none. Register it with @app.task.")
        backend, queue = app.backend, task.given.get("queue", task.definition.queue)
        return listened(backend.life.roll(now=backend.clock.now()), task=task.name, queue=queue)

    async def ahas_listener(self, task: Task[..., Any, Any]) -> bool:
        return await cast("Scheduler", self).off_loop(self.has_listener, task)
