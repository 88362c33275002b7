"""Jobs that are part of a transaction: written into a table of the application's own database, and delivered
from there to the backend by a relay, at least once, under ids that make a second delivery change nothing.
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from attrs import evolve

from chronoq.adapters import outbox as adapter
from chronoq.adapters.outbox import Connection
from chronoq.adapters.records import Records
from chronoq.adapters.system import SystemClock
from chronoq.api.scheduler import Scheduler
from chronoq.api.task import Task
from chronoq.app.courier import EVERY, Courier
from chronoq.app.loop import Loop, Trouble
from chronoq.domain.errors import BadCall
from chronoq.domain.identity import JobId
from chronoq.domain.job import Job
from chronoq.domain.ports import Clock, Opening
from chronoq.domain.time import Duration, duration

__all__ = ["Outbox", "Relay"]

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class Outbox:
    """Writes jobs of `app` on connections of the caller: psycopg, psycopg2 or the standard library's.

    It never begins, commits or rolls back, and never asks the backend, which may be away. A job is
    stamped with this machine's clock; one that is wanted at once is due at once, whatever that says.
    """

    def __init__(self, app: Scheduler, *, clock: Clock | None = None) -> None:
        self.app = app
        self._clock = clock or SystemClock()

    def create(self, connection: Connection) -> None:
        """Make the table, unless it exists. `ddl` is the same for a migration of your own."""
        adapter.create(connection)

    @staticmethod
    def ddl(dialect: str) -> tuple[str, ...]:
        """The statements that make the table. Errors: `BadSetting` for an unknown dialect."""
        return adapter.dialect(dialect).ddl

    def put(self, connection: Connection, task: Task[P, T, R], /, *args: P.args, **kwargs: P.kwargs) -> JobId:
        """Write a job of this call into the caller's transaction; the id that it will have.

        Errors: those of `task.job`, before anything is written; those of the driver.
        """
        return self.put_many(connection, [self.job(task, *args, **kwargs)])[0]

    def put_many(self, connection: Connection, jobs: Iterable[Job]) -> list[JobId]:
        """Write many jobs into the caller's transaction, in order: those of `job`, or of `task.job`."""
        jobs = [self._lasting(job) for job in jobs]
        adapter.put(connection, jobs, self.records)
        return [job.id for job in jobs]

    def job(self, task: Task[P, T, R], /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """The job of this call, checked and encoded, without a word to the backend."""
        known = self.app.tasks.find(task.name) if isinstance(task, Task) else None
        if known is None or known is not task.definition:
            raise BadCall(f"{task!r} is no task of this application. Nothing was written.")
        key, settings = self.app.declared.key, self.app.configured.settings
        return task.making.job(args, kwargs, key=key, settings=settings, now=self._clock.now())

    @property
    def records(self) -> Records:
        settings = self.app.configured.settings
        return Records.of(Opening(namespace=settings.namespace, signing=settings.signed))

    def _lasting(self, job: Job) -> Job:
        """Remembered when it has ended, so that a relay which delivers it again is told so."""
        if not isinstance(job, Job):
            raise BadCall(f"put_many() takes jobs, not {job!r}. Make one with outbox.job(task, ...).")
        remember = max(job.options.remember, self.app.configured.settings.remember)
        return evolve(job, options=evolve(job.options, remember=remember))


class Relay:
    """Delivers what an outbox holds, in a thread of its own: `with relay:`, or `start` and `stop`.

    `connect` opens a connection of the relay's own, or is the database's URL. Any number may run. It
    outlasts the backend and the database: it tries again, with growing pauses.
    """

    def __init__(
        self, outbox: Outbox, connect: Callable[[], Connection] | str, *, every: Duration = EVERY
    ) -> None:
        opener = adapter.connector(connect) if isinstance(connect, str) else connect
        self._table = adapter.OutboxTable(opener, outbox.records)
        self._courier = Courier(self._table, lambda: outbox.app.client, duration(every))
        self._trouble = Trouble(recovered="the outbox is delivered again")
        self.loop = Loop("outbox", self._courier, SystemClock(), self._trouble)

    def step(self, now: datetime) -> datetime:
        """Deliver one batch; when it wants to be called again. For who has a loop of their own."""
        return self._courier.step(now)

    def drain(self) -> None:
        """Deliver all that can be delivered now, in this thread. Errors: `BackendError`."""
        with closing(self._table):
            while True:
                self.step(self.loop.clock.now())
                if self.idle:
                    return

    @property
    def idle(self) -> bool:
        """Whether the last look was answered and left nothing that could be delivered."""
        return self._courier.idle

    def start(self) -> None:
        self.loop.thread = threading.Thread(target=self._run, name="chronoq-outbox", daemon=True)
        self.loop.thread.start()

    def stop(self) -> None:
        """End after the batch that it is in."""
        self.loop.stop()
        self.loop.join(timedelta(seconds=10))

    def close(self) -> None:
        """Give the connection back, where `step` was called without a thread."""
        self._table.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        self.stop()

    def _run(self) -> None:
        try:
            self.loop.run()
        finally:
            self._table.close()  # by the thread that opened it: some drivers insist
