"""The table of an outbox: writing into it on a connection of the caller, and moving jobs out of it on our own."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from typing import Any

from attrs import define, frozen

from chronoq.adapters.outbox.dialects import Connection, Dialect, dialect_of
from chronoq.adapters.records import Records
from chronoq.domain.errors import BackendError, Unreachable
from chronoq.domain.identity import JobId
from chronoq.domain.job import Job
from chronoq.domain.outbox import Deliver

_PASSING = ("OperationalError", "InterfaceError")


def create(connection: Connection) -> None:
    """The table and its index, if they are missing, within the caller's transaction."""
    with closing(connection.cursor()) as cursor:
        for statement in dialect_of(connection).ddl:
            cursor.execute(statement)


def put(connection: Connection, jobs: Iterable[Job], records: Records) -> None:
    """Write jobs within the caller's transaction. Errors: those of the driver."""
    statement = dialect_of(connection)["put"]
    rows = [(job.id.queue, job.id.key, records.job(job)) for job in jobs]
    with closing(connection.cursor()) as cursor:
        cursor.executemany(statement, rows)


@frozen
class _Held:
    """A connection of our own, and what it speaks."""

    connection: Any
    dialect: Dialect

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with closing(self.connection.cursor()) as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []


@define(eq=False)
class OutboxTable:
    """The port, on a connection that is opened when it is needed, and anew when it has failed.

    Used and closed by one thread.
    """

    connect: Callable[[], Connection]
    records: Records
    _held: _Held | None = None

    def move(self, deliver: Deliver, *, limit: int, without: Collection[str], now: datetime) -> int:
        with self._transaction() as held:
            dialect = held.dialect
            if dialect.before:
                held.execute(dialect.before)
            rows = held.execute(dialect["waiting"], (dialect.many(without), limit))
            jobs = [
                self.records.read_job(JobId(queue, key), bytes(record), now=now)
                for _, queue, key, record in rows
            ]
            fates = deliver(jobs) if jobs else ()
            done = [row[0] for row, fate in zip(rows, fates, strict=True) if not (fate.stays or fate.refused)]
            refused = [(fate.refused, row[0]) for row, fate in zip(rows, fates, strict=True) if fate.refused]
            if dialect.after and (done or refused):
                held.execute(dialect.after)
            if done:
                held.execute(dialect["remove"], (dialect.many(done),))
            for reason in refused:
                held.execute(dialect["refuse"], reason)
            if dialect.before or done or refused:
                held.execute("COMMIT")
        return len(rows)

    def close(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            with suppress(Exception):  # it is gone already
                held.connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[_Held]:
        """A connection. What was begun on it is undone when anything fails; it is given up if that fails too."""
        self._held = held = self._held or self._open()
        try:
            yield held
        except held.connection.Error as error:
            self.close()
            raise _told(error) from error
        except BaseException:
            try:
                held.execute(
                    "ROLLBACK"
                )  # to close it is not enough: the server would hold the rows for a while
            except held.connection.Error:
                self.close()
            raise

    def _open(self) -> _Held:
        try:
            connection = self.connect()
        except Exception as error:  # each driver has its own
            raise Unreachable(f"The outbox's database does not answer: {_words(error)}") from error
        if getattr(connection, "autocommit", None) is False:  # transactions begin where we say so
            connection.autocommit = True  # type: ignore[attr-defined]  # each driver that has it lets us
        return _Held(connection, dialect_of(connection))


def _told(error: Exception) -> BackendError:
    """Errors of the driver, as ours."""
    if "chronoq_outbox" in str(error):
        return BackendError(
            f"The outbox's table cannot be used: {_words(error)} Create it with what `chronoq outbox ddl` prints."
        )
    passing = any(kind.__name__ in _PASSING for kind in type(error).__mro__)
    kind = Unreachable if passing else BackendError
    return kind(f"The outbox's database does not do what was asked: {_words(error)}")


def _words(error: Exception) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    return said if said.endswith((".", "?", "!")) else f"{said}."
