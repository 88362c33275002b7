"""A call, from question to answer: a conversation in steps, which a synchronous and an asynchronous face carry out."""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from datetime import datetime, timedelta
from typing import Any

from attrs import evolve, frozen

from chronoq.app.client import Client
from chronoq.app.context import Context
from chronoq.app.endings import outcome
from chronoq.app.payload import result_bytes
from chronoq.app.runner import failure_of
from chronoq.app.tasks import TaskDef
from chronoq.domain.calling import Begun, Policy, Terms, begun
from chronoq.domain.errors import (
    BackendError,
    BadArgument,
    CallTimeout,
    JobFailed,
    NotHere,
    NotStorable,
    QueueFull,
    ResultTimeout,
    TooLarge,
    Unknown,
)
from chronoq.domain.job import Claim, Ending, Job, Progress, State
from chronoq.domain.lease import listened
from chronoq.domain.ports import Backend, Cancel, Submitted
from chronoq.domain.time import ZERO, brief


@frozen
class Ask:
    """A step: ask the backend. Short; once it was begun it is waited for, for what follows depends on its answer."""

    verb: Callable[[], Any]


@frozen
class Wait:
    """A step: wait until the job has ended. Errors: `ResultTimeout`, `BackendError`."""

    limit: timedelta | None


@frozen
class Here:
    """A step: run it in this process. Errors: `JobFailed`."""


Talk = Generator[Ask | Wait | Here, Any, Any]


_UNKNOWN = "Whether a worker has begun it is not known, so it was not run here. Look at what it has done."
_WHY: dict[Begun | None, tuple[str, bool | None]] = {
    Begun.NEVER: ("No worker has begun it, and none will. Is one there? See `chronoq workers list`.", False),
    Begun.RUNS: ("A worker has it, and was asked to stop, so it was not run here. Give it more time.", True),
    Begun.ONCE: (
        "A worker had it, and was lost or gave it back. Part of it may be done, so it was not run again.",
        True,
    ),
    Begun.OVER: (_UNKNOWN, None),
    None: (_UNKNOWN, None),
}
_NOT_OURS = ("It was asked before under that id, and goes on. Ask again later.", None)


@frozen
class Call:
    """One call. `named`: under an id of the caller's own, which others may ask by too."""

    task: TaskDef
    job: Job
    terms: Terms
    named: bool
    backend: Callable[[], Backend]
    client: Callable[[], Client]

    def talk(self) -> Talk:
        """The steps to take; each is answered, or its error thrown in, and the last returns the answer.

        It never runs twice: after an attempt of a worker it runs here only when it is known that none has begun.
        """
        if (yield from self._goes_away()):
            return (yield from self._away())
        try:
            return (yield Here())
        except JobFailed as failed:
            if self.terms.policy is not Policy.LOCAL_FIRST or not isinstance(failed.__cause__, NotHere):
                raise
        return (yield from self._away())

    def _goes_away(self) -> Generator[Ask, Any, bool]:
        """Whether a worker is asked first. What is known under the caller's own id is asked for, not run again."""
        policy = self.terms.policy
        if policy is Policy.LOCAL or not (self.named or policy.asks_who_listens):
            return policy.goes_away(listened=False)
        try:
            known, there = yield Ask(self._look)
        except BackendError:
            if policy is Policy.REMOTE_FIRST:  # nothing was asked of anybody
                return False
            raise
        return known or policy.goes_away(listened=there)

    def _away(self) -> Talk:
        """Have a worker run it; here after all, when it is known that none has begun it."""
        ours = yield from self._send()
        ending = None if ours is None else (yield from self._answer(ours=ours))
        if ending is None:
            return (yield Here())
        if ours and self.terms.once:
            yield from self._told(ending)
        if ending.state is State.EXPIRED and self.job.options.expires == self.terms.timeout:
            raise self._late(Begun.OVER)
        return self.task.signature.read_result(outcome(ending) or b"null")

    def _send(self) -> Generator[Ask, Any, bool | None]:
        """Store the job. Whether it is this caller's alone; None: nothing was stored, and it may run here."""
        falls_back = self.terms.policy is Policy.REMOTE_FIRST
        try:
            return (yield Ask(self._submit))  # type: ignore[no-any-return]
        except (BackendError, QueueFull):
            if falls_back:
                return None
            raise
        except BaseException as error:  # it may have been stored
            lost = isinstance(error, Unknown)
            known = None if self.named else (yield from self._take_back(remember=lost))
            if falls_back and lost and known and known[0] is Begun.NEVER:
                return None
            raise

    def _answer(self, *, ours: bool) -> Generator[Ask | Wait, Any, Ending | None]:
        """How it ended; None: it was taken back before anybody began it, and may run here. Errors: `CallTimeout`."""
        try:
            return (yield Wait(self.terms.timeout))  # type: ignore[no-any-return]
        except (ResultTimeout, BackendError):
            pass
        except BaseException:  # nobody waits for it any more
            if ours:
                yield from self._take_back()
            raise
        found, ending = (ours and (yield from self._take_back())) or (None, None)
        if ending is not None or (found is Begun.NEVER and self.terms.policy is Policy.REMOTE_FIRST):
            return ending
        raise self._late(found, ours=ours)

    def _take_back(
        self, *, remember: bool = False
    ) -> Generator[Ask, Any, tuple[Begun, Ending | None] | None]:
        """What is known of it after it was taken back, and how it ended if it has; None: there was no answer."""
        try:
            answer, ending = yield Ask(lambda: self._withdraw(remember=remember))
        except BackendError:
            return None
        return begun(answer), ending

    def _told(self, ending: Ending) -> Generator[Ask, Any, None]:
        """The answer is read: nothing of it has to stay."""
        queue, id = self.backend().queue, self.job.id
        verb = queue.purge if ending.state is State.DEAD else queue.forget
        with suppress(BackendError):  # it goes by itself then
            yield Ask(lambda: verb([id], now=self._now()))

    def _late(self, found: Begun | None, *, ours: bool = True) -> CallTimeout:
        """No answer in time, and what is known of the job."""
        why, started = _WHY[found] if ours else _NOT_OURS
        within = brief(self.terms.timeout or ZERO)
        return CallTimeout(
            f"No answer from {self.task.name!r} within {within} (job {self.job.id}). {why}",
            id=str(self.job.id),
            started=started,
        )

    # what the backend is asked

    def _now(self) -> datetime:
        return self.backend().clock.now()

    def _look(self) -> tuple[bool, bool]:
        """Whether something is known under its id, and whether a worker listens for it."""
        backend, id, now = self.backend(), self.job.id, self._now()
        known = self.named and backend.queue.get([id], now=now)[0] is not None
        return known, listened(backend.life.roll(now=now), task=self.task.name, queue=id.queue)

    def _submit(self) -> bool:
        """Whether the job is this caller's alone: with an id of the caller's own it may have been there before."""
        now = self._now()
        answer = self.client().submit(evolve(self.job, due=now, enqueued_at=now))
        return not self.named or answer is Submitted.ACCEPTED

    def _withdraw(self, *, remember: bool) -> tuple[Cancel, Ending | None]:
        """Take it back. What has not begun leaves nothing; what runs is asked to stop.

        `remember`: its submission may be on its way once more, and must be recognised.
        """
        queue, ids, now = self.backend().queue, [self.job.id], self._now()
        answer = queue.cancel(ids, now=now)[0]
        ending = queue.endings(ids, now=now)[0] if answer is Cancel.GONE else None
        read = self.terms.once and ending is not None and ending.state is not State.DEAD
        if not remember and (read or answer in (Cancel.CANCELLED, Cancel.STOPPED)):
            with suppress(BackendError):
                queue.forget(ids, now=now)
        return answer, ending


class HereContext(Context):
    """The context of a run in the caller's own process. `tell` hears of its progress at once."""

    __slots__ = ("_tell",)

    def __init__(self, job: Job, tell: Callable[[Progress], object] | None) -> None:
        super().__init__(Claim(job, 0, 1, "here", job.due))
        self._tell = tell

    def progress(self, done: float, total: float | None = None) -> None:
        if self._tell is not None:
            self._tell(Progress(done, total))


def run_here(task: TaskDef, context: HereContext, payload: bytes, limit: int) -> Any:
    """Run it in this thread, on what a worker would get, for what a worker would give. Errors: `JobFailed`."""

    def inside() -> Any:
        called = task.call(context, call)
        return asyncio.run(called) if task.is_async else called

    with as_job_failed():
        call = task.signature.decode(payload)
        value = copy_context().run(inside)
        return task.signature.read_result(result_bytes(value, task=task.name, limit=limit))


async def arun_here(task: TaskDef, context: HereContext, payload: bytes, limit: int) -> Any:
    """`run_here` for coroutines, in the event loop that runs."""
    with as_job_failed():
        call = task.signature.decode(payload)
        own = copy_context()
        called = own.run(task.call, context, call)
        value, left = await asyncio.get_running_loop().create_task(_staying(called), context=own)
        if left is not None:
            raise left
        return task.signature.read_result(result_bytes(value, task=task.name, limit=limit))


async def _staying(called: Awaitable[Any]) -> tuple[Any, SystemExit | None]:
    """In a loop's own task a SystemExit would end the loop."""
    try:
        return await called, None
    except SystemExit as error:
        return None, error


@contextmanager
def as_job_failed() -> Iterator[None]:
    """An error of the task is the same error wherever it ran; the original is its cause when it was here."""
    try:
        yield
    except (BadArgument, NotStorable, TooLarge) as error:
        raise JobFailed(type(error).__name__, str(error)) from error
    except (Exception, SystemExit) as error:  # as in a worker, it ends the task, not the program
        failure = failure_of(error)
        raise JobFailed(failure.type, failure.message, failure.traceback) from error
