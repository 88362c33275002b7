"""From claim to verdict: resolve the task, read the arguments, call it, and make a value of what came out."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from datetime import datetime, timedelta
from typing import Any

from attrs import define

from chronoq.app.hands import Hands, Run
from chronoq.app.payload import result_bytes
from chronoq.app.signature import Call
from chronoq.app.tasks import Registry, TaskDef
from chronoq.domain import errors
from chronoq.domain.job import Claim
from chronoq.domain.ports import Clock
from chronoq.domain.retry import Failure
from chronoq.domain.time import ZERO, brief, duration, later
from chronoq.domain.verdict import (
    Cancelled,
    Dead,
    Done,
    Expired,
    Retry,
    Snooze,
    Verdict,
    after_failure,
    before_start,
    unknown_task,
)

log = logging.getLogger("chronoq.jobs")

_NOTHING = Done(b"null")

LAG = timedelta(seconds=5)
"""How far an event loop may be behind with a timeout of its own before it counts as blocked."""

LONGEST_MESSAGE = 2_000
LONGEST_TRACEBACK = 8_000


def failure_of(error: BaseException) -> Failure:
    """An exception as text: type, message, the end of its traceback, and the names of its bases."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    lineage = tuple(_dotted(kind) for kind in type(error).__mro__[1:-1])
    try:
        message = str(error)
    except Exception:  # it is the handler's class: it may do anything
        message = "its text cannot be made"
    return Failure(
        _dotted(type(error)),
        _storable(message[:LONGEST_MESSAGE]),
        _storable("".join(lines)[-LONGEST_TRACEBACK:]),
        lineage,
    )


def _storable(text: str) -> str:
    """The text without halves of characters, which no store takes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _dotted(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


@define
class Runner:
    """Runs claims. Its methods never raise: a handler's failure is a value."""

    registry: Registry
    hands: Hands
    clock: Clock
    chance: Callable[[], float]
    park_for: timedelta = timedelta(days=1)
    max_payload: int = 256_000
    watch: Callable[[], None] = lambda: None
    """Called when a run got a deadline that somebody has to watch."""

    def run(self, run: Run) -> bool:
        """Run a synchronous task here, and hand in the verdict."""
        started = self._start(run)
        if isinstance(started, tuple):
            task, call = started
            try:
                # what a handler sets in a context of its own ends with its run
                value = copy_context().run(task.call, run.context, call)
                verdict = self._normal(run, task, value)
            except BaseException as error:  # SystemExit in a handler ends the job, not the worker
                verdict = self._raised(run, error)
        else:
            verdict = started
        return self._report(run, verdict)

    async def arun(self, run: Run) -> bool:
        """Run a coroutine task here, within its timeout, and hand in the verdict."""
        started = self._start(run)
        if isinstance(started, tuple):
            task, call = started
            limit = run.claim.job.options.timeout
            try:
                coming = task.call(run.context, call)
                value = await (_within(limit, coming) if limit else coming)
                verdict = self._normal(run, task, value)
            except _Overrun:
                verdict = self._raised(run, _timeout(limit or ZERO))
            except BaseException as error:
                verdict = self._raised(run, error)
        else:
            verdict = started
        return self._report(run, verdict)

    def give_up(self, run: Run) -> bool:
        """A handler is past its timeout: its job fails, whatever its thread does later, or the loop it blocks.

        False: its verdict is in, or it has not begun: a child that had not come so far never will.
        """
        if run.on_thread and run.interrupt:
            run.interrupt()
            if run.started is None:
                return False
        limit = run.claim.job.options.timeout
        run.given_up = self._report(run, self._raised(run, _timeout(limit or ZERO)))
        return run.given_up

    def begin(self, run: Run) -> TaskDef | None:
        """The task of a run that starts elsewhere now; None: it may not, and its verdict is in."""
        if run not in self.hands.held:  # decided while it was on its way to another place
            return None
        found = self._allowed(run)
        if isinstance(found, tuple):
            self._begun(run, found[1])
            return found[0]
        self._report(run, found)
        return None

    def failed(self, run: Run, failure: Failure) -> Verdict:
        """What follows from a failure of its handler, by its retry policy."""
        return after_failure(run.claim, failure, now=self.clock.now(), chance=self.chance())

    def end(self, run: Run, verdict: Verdict) -> bool:
        """Hand in the verdict of a run that went on elsewhere. False: somebody else has decided before."""
        return self._report(run, verdict)

    def _start(self, run: Run) -> tuple[TaskDef, Call] | Verdict:
        found = self._allowed(run)
        if not isinstance(found, tuple):
            return found
        task, now = found
        try:
            call = task.signature.decode(run.claim.job.payload, limit=self.max_payload)
        except errors.BadArgument as error:
            return Dead(Failure("BadArgument", str(error)))
        self._begun(run, now)
        return task, call

    def _allowed(self, run: Run) -> tuple[TaskDef, datetime] | Verdict:
        """The task and the moment of its start, or why it does not start."""
        claim = run.claim
        limit = claim.job.options.timeout
        now = self.clock.now() if run.started is None or limit is not None else run.started
        if run.stopping:
            return Cancelled()
        # this process stood still: it is somebody else's job by now
        if run.until <= now and self.hands.drop(run):
            log.warning("⚠ %s  %s  not started: its lease had run out", claim.job.task, claim.id.key)
            return Cancelled()
        if verdict := before_start(claim, now=now):
            return verdict
        task = self.registry.find(claim.job.task)
        if task is None:
            hint = self.registry.hint(claim.job.task)
            return unknown_task(claim, now=now, park_for=self.park_for, hint=hint)
        return task, now

    def _begun(self, run: Run, now: datetime) -> None:
        claim, limit = run.claim, run.claim.job.options.timeout
        run.started = now
        if log.isEnabledFor(logging.INFO):
            # a later attempt waited for its backoff: it is not late by that
            late = (
                f"late {brief(max(ZERO, now - claim.job.due))}"
                if claim.token == 1
                else f"attempt {claim.attempt}"
            )
            log.info("▶ %s  %s  %s", claim.job.task, claim.id.key, late)
        if limit is not None:
            run.deadline = later(now, limit + (ZERO if run.on_thread else LAG))
            if run.on_thread:
                self.watch()

    def _normal(self, run: Run, task: TaskDef, value: Any) -> Verdict:
        if run.stopping:
            return Cancelled()
        if run.claim.job.options.result_ttl <= ZERO:
            return Done()
        if value is None:
            return _NOTHING
        try:
            return Done(result_bytes(value, task=task.name, limit=self.max_payload))
        except (errors.NotStorable, errors.TooLarge) as error:
            return Dead(Failure(type(error).__name__, str(error)))

    def _raised(self, run: Run, error: BaseException) -> Verdict:
        if run.stopping:
            return Cancelled()
        now = self.clock.now()
        if isinstance(error, errors.Snooze):
            try:
                return Snooze(later(now, duration(error.delay)), error.reason)  # type: ignore[arg-type]
            except errors.BadDuration as bad:
                error = bad
        return after_failure(run.claim, failure_of(error), now=now, chance=self.chance())

    def _report(self, run: Run, verdict: Verdict) -> bool:
        run.ended = now = self.clock.now()
        if not self.hands.finish(run, verdict, now=now):
            return False
        if isinstance(verdict, (Retry, Dead)):
            self.hands.failed += 1
        else:
            self.hands.done += 1
        level = logging.INFO if isinstance(verdict, Done) else logging.WARNING
        if log.isEnabledFor(level):
            log.log(level, "%s", line(run.claim, verdict, now - (run.started or now), now=now))
        return True


class _Overrun(BaseException):
    """The time of a coroutine was over. No error of a handler's is one."""


async def _within(limit: timedelta, called: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(limit.total_seconds()) as bound:
            return await called
    except TimeoutError:
        if bound.expired():
            raise _Overrun from None
        raise


def _timeout(limit: timedelta) -> errors.JobTimeout:
    return errors.JobTimeout(f"the job ran longer than its timeout of {brief(limit)}")


def line(claim: Claim, verdict: Verdict, took: timedelta, *, now: datetime) -> str:
    """How an attempt ended, in one line; arguments never."""
    head = f"{claim.job.task}  {claim.id.key}"
    match verdict:
        case Done():
            return f"✔ {head}  {brief(took)}"
        case Retry(at, failure):
            left = f"retry {claim.attempt} of {claim.job.options.retry.retries} in {brief(at - now)}"
            return f"✖ {head}  {_short(failure)} · {left}"
        case Snooze(at, reason):
            return f"⏾ {head}  {reason or 'snoozed'} · again in {brief(at - now)}"
        case Dead(failure):
            return f"✖ {head}  {_short(failure)} · given up, in the dead letters"
        case Cancelled():
            return f"⊘ {head}  cancelled after {brief(took)}"
        case Expired():
            return f"⊘ {head}  expired before it started"


def _short(failure: Failure) -> str:
    first = failure.message.partition("\n")[0]
    return f"{failure.type.rpartition('.')[2]}: {first[:200]}" if first else failure.type.rpartition(".")[2]
