"""A handle on one job: ask how it is, wait for its result, cancel it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from chronoq.app.endings import ended, outcome
from chronoq.app.payload import decoded
from chronoq.domain.errors import ResultTimeout
from chronoq.domain.identity import JobId
from chronoq.domain.job import Ending, Progress, Snapshot, State
from chronoq.domain.time import Duration, brief, duration

if TYPE_CHECKING:
    import asyncio

    from chronoq.api.scheduler import Scheduler
    from chronoq.domain.ports import Cancel

R = TypeVar("R", covariant=True)


class JobHandle(Generic[R]):
    """One job, by its id. Each verb has an `a` twin for async code, which never blocks the event loop."""

    __slots__ = ("_app", "_read", "job_id")

    def __init__(self, app: Scheduler, job_id: JobId, read: Callable[[bytes], R] = decoded) -> None:
        self._app = app
        self._read = read
        self.job_id = job_id

    @property
    def id(self) -> str:
        """`queue:key`."""
        return str(self.job_id)

    def result(self, timeout: Duration | None = None) -> R:
        """Wait for the result, for ever by default.

        Errors: `JobFailed` (in the dead letters; its type, message and traceback), `JobCancelled`,
        `JobExpired`, `ResultTimeout`, `ResultGone`.
        """
        limit = None if timeout is None else duration(timeout)
        return self._value(self._app.client.wait(self.job_id, timeout=limit))

    async def aresult(self, timeout: Duration | None = None) -> R:
        """`result`, for async code."""
        limit = None if timeout is None else duration(timeout)
        return self._value(await ending_of(self._app, self.job_id, limit))

    def status(self) -> State | None:
        """Where it is: delayed, ready, running, dead, done, cancelled, expired; None when it is not known."""
        return self._app.client.state(self.job_id)

    async def astatus(self) -> State | None:
        return await self._app.off_loop(self.status)

    def info(self) -> Snapshot | None:
        """All that is known of it."""
        backend = self._app.backend
        return backend.queue.get([self.job_id], now=backend.clock.now())[0]

    async def ainfo(self) -> Snapshot | None:
        return await self._app.off_loop(self.info)

    def progress(self) -> Progress | None:
        """What its handler said last of how far it is."""
        snapshot = self.info()
        return snapshot.progress if snapshot else None

    async def aprogress(self) -> Progress | None:
        return await self._app.off_loop(self.progress)

    def cancel(self) -> Cancel:
        """CANCELLED: it never started and never will. STOPPED: it waited for another attempt, and will not start again.

        ASKED: it runs and was asked to stop. GONE: neither.
        """
        backend = self._app.backend
        return backend.queue.cancel([self.job_id], now=backend.clock.now())[0]

    async def acancel(self) -> Cancel:
        return await self._app.off_loop(self.cancel)

    def _value(self, ending: Ending) -> R:
        return self._read(outcome(ending) or b"null")

    def __repr__(self) -> str:
        return f"<JobHandle {self.id}>"


async def ending_of(app: Scheduler, id: JobId, limit: timedelta | None) -> Ending:
    """How the job ended, for async code. Errors: those of `Client.wait`."""
    import asyncio  # here: who has no loop need not load what makes one

    loop = asyncio.get_running_loop()
    future: asyncio.Future[Ending | None] = loop.create_future()

    def arrive(ending: Ending | None) -> None:
        if not future.done():
            future.set_result(ending)

    def tell(ending: Ending | None) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(arrive, ending)

    stops: list[Callable[[], None]] = []
    over = False

    def begin() -> None:
        stops.append(app.client.listener.wait(id, tell))
        if over:  # cancelled meanwhile
            stops[0]()

    try:
        await app.off_loop(begin)
        ending = await asyncio.wait_for(future, None if limit is None else limit.total_seconds())
    except TimeoutError:
        raise app.client.listener.trouble or _late(id, limit) from None
    finally:
        over = True
        for stop in stops:
            stop()
    return ended(id, ending)


def _late(id: JobId, limit: timedelta | None) -> ResultTimeout:
    return ResultTimeout(
        f"Job {id} has not ended within {brief(limit or timedelta(0))}. It goes on; ask again later."
    )
