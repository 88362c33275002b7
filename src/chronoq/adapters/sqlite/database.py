"""One database file: a connection that writes and one that reads, for all threads of this process.

Writers queue up, and who comes first writes for all who wait: many steps, one commit, one sync of the disk.
Before a fork both connections are closed, for SQLite's must not be carried across; they open when needed.
"""

import os
import sqlite3
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar

from attrs import define, field

from chronoq.adapters.records import Records
from chronoq.adapters.sqlite import forks, trouble
from chronoq.adapters.sqlite.address import Address
from chronoq.adapters.sqlite.connection import connection
from chronoq.adapters.sqlite.log import Log
from chronoq.adapters.sqlite.statements import SQL
from chronoq.adapters.sqlite.step import Laid, Step
from chronoq.domain.errors import BackendError

T = TypeVar("T")

PATIENCE = 10.0
"""How many seconds a writer waits for other processes."""

_CLOSED = "{} was closed. Open it again."
_PAUSE = 0.0005
_ADD, _WORK = SQL["inbox.add"], frozenset({"work"})


@define(eq=False)
class _Task(Generic[T]):
    work: Callable[[Step], T]
    durable: bool
    inbox: bool
    done: bool = False
    answer: T | None = None
    error: BaseException | None = None


@define(eq=False, weakref_slot=True)
class Database:
    """`ring` is called after each commit with the kinds of hints that it holds: work, time, news."""

    address: Address
    namespace: str
    records: Records
    ring: Callable[[AbstractSet[str]], None] = lambda kinds: None
    patience: float = PATIENCE
    closed: bool = False
    _inode: tuple[int, int] | None = None
    _writer: sqlite3.Connection | None = None
    _reader: sqlite3.Connection | None = None
    _writing: Lock = field(factory=Lock)
    _reading: Lock = field(factory=Lock)
    _queueing: Lock = field(factory=Lock)
    _pending: list[_Task[Any]] = field(factory=list)
    _numbers: dict[str, int] = field(factory=dict)
    _lax: bool = False
    _log: Log = field(init=False)
    _place: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._place = str(self.path)
        self._log = Log(f"{self.path}-wal", synced=self.address.synchronous == "full")
        forks.watch(self)

    @property
    def path(self) -> Path:
        return self.address.path

    def write(self, work: Callable[[Step], T], *, durable: bool = True, inbox: bool = True) -> T:
        """The answer of `work`, which ran alone and as one step; it is on the disk when this returns.

        `durable` False: what nobody misses after a power failure, because every process died in it.
        `inbox`: what lies there is taken in before, so that `work` finds it.
        """
        forks.wait()
        task = _Task(work, durable, inbox)
        with self._queueing:
            self._pending.append(task)
        with self._writing:
            if not task.done:
                self._commit()
        if not task.done:  # it was in the hands of a thread that was interrupted
            raise trouble.interrupted(self.path)
        if task.error is not None:
            raise task.error
        return task.answer  # type: ignore[return-value]  # it is done, without an error

    def read(self, look: Callable[[Step], T], *, inbox: bool = True) -> T:
        """The answer of `look`, which changes nothing, all of one instant.

        `inbox`: what lies there is taken in before, so that `look` finds it.
        """
        if inbox and (found := self._look(lambda step: None if step.waiting() else (look(step),))):
            return found[0]
        if inbox:
            self.write(lambda step: None, durable=False)
        return self._look(look)

    def _look(self, look: Callable[[Step], T]) -> T:
        forks.wait()
        with self._reading:
            try:
                self._reader = db = self._reader or self.connect()
                _undo(db)
                try:
                    db.execute("BEGIN")
                    return look(Step(db, self.namespace, self.records))
                finally:
                    _undo(db)
            except sqlite3.Error as error:
                raise trouble.told(self.path, error) from error

    def number(self, queue: str) -> int | None:
        """The number of a queue in this file, which it keeps; None: the queue is not known yet."""
        number = self._numbers.get(queue)
        if number is None and (row := self.read(lambda step: step.find(queue), inbox=False)):
            number = self._numbers[queue] = row.id
        return number

    def lay(self, laid: Laid) -> bool:
        """Whether the job was laid into the inbox, by one statement that is a transaction by itself.

        False: nothing was done, by the statement's reasons or because others write: `write` shares their commit.
        """
        forks.wait()
        if self._pending or self._log.short or self._writing.locked():
            return False
        # an `acquire` by itself may be the last thing that is done before an interruption
        with self._writing:
            try:
                done = self._ready(lax=False).execute(_ADD, laid).rowcount == 1
                self._log.look()
            except sqlite3.Error as error:
                if trouble.is_busy(error):
                    return False
                raise trouble.told(self.path, error) from error
        if done:
            self.ring(_WORK)
        return done

    def alone(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The answer of `work`, with the connection that writes, outside of any transaction.

        While another process is in the way it is begun again, so it must do no harm when it is done twice.
        """
        with self._writing:
            try:
                db = self._connected()
                return self._patiently(lambda: work(db))
            except sqlite3.Error as error:
                raise trouble.told(self.path, error) from error

    def connect(self) -> sqlite3.Connection:
        """A new connection to the file that was opened."""
        if self.closed:
            raise BackendError(_CLOSED.format(self.path))
        db = connection(self.address, patience=self.patience)
        there = _identity(self._place)
        if self._inode not in (None, there):
            db.close()
            raise trouble.moved(self.path)
        self._inode = there
        return db

    def close(self) -> None:
        self.closed = True  # first, so that threads that begin one step after another make way
        with self._writing, self._reading:
            self._disconnect()
        forks.forget(self)

    def before_fork(self) -> None:
        self._writing.acquire()
        self._reading.acquire()
        self._queueing.acquire()
        self._disconnect()

    def after_fork(self, *, child: bool) -> None:
        if child:
            self._pending.clear()  # of threads that are not here
        for lock in (self._queueing, self._reading, self._writing):
            lock.release()

    def _connected(self) -> sqlite3.Connection:
        if self._writer is None:
            self._writer, self._lax = self.connect(), False
            self._writer.execute("PRAGMA busy_timeout = 0")  # waiting is done by `_begin`
        return self._writer

    def _disconnect(self) -> None:
        for db in (self._reader, self._writer):
            if db is not None:
                with suppress(sqlite3.Error):
                    db.close()
        self._reader = self._writer = None
        self._log.forget()

    def _commit(self) -> None:
        """Run all tasks that wait in one transaction, each undone alone if it fails."""
        rung: set[str] = set()
        group: list[_Task[Any]] = []
        try:
            with self._queueing:
                group, self._pending = self._pending, []
            db = self._ready(lax=not any(task.durable for task in group))
            rung = self._run_all(group, Step(db, self.namespace, self.records)).rung
            self._log.look()
        except BaseException as error:
            told = trouble.heard(self.path, error)
            for task in group:
                task.error = task.error or told
            if not isinstance(error, Exception):
                raise
        finally:
            for task in group:
                task.done = True
        if rung:
            self.ring(rung)

    def _ready(self, *, lax: bool) -> sqlite3.Connection:
        """The connection that writes, to the file that was opened; in no transaction."""
        if self.closed:
            raise BackendError(_CLOSED.format(self.path))
        db = self._writer or self._connected()
        _undo(db)
        if lax != self._lax:
            self._relax(db, lax)
        if _identity(self._place) != self._inode:
            raise trouble.moved(self.path)
        return db

    def _run_all(self, group: list[_Task[Any]], step: Step) -> Step:
        try:
            self._patiently(lambda: step.db.execute("BEGIN IMMEDIATE"))
            if self._log.short:
                self._log.make_room()
            for task in group:
                step = self._run(task, step, several=len(group) > 1)
            step.db.execute("COMMIT")
        finally:
            _undo(step.db)
        return step

    def _run(self, task: _Task[Any], step: Step, *, several: bool) -> Step:
        """The step for the next task: a fresh one when this task has failed and was undone."""
        if not several:
            _perform(task, step)
            return step
        step.db.execute("SAVEPOINT one")
        try:
            _perform(task, step)
        except Exception as error:
            if not step.db.in_transaction:  # the whole has been undone: the disk is full, say
                raise
            step.db.execute("ROLLBACK TO one")
            task.error = trouble.heard(self.path, error)
            step = Step(step.db, self.namespace, self.records, rung=step.rung)
        step.db.execute("RELEASE one")
        return step

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Wait for other processes in short turns: SQLite's own grow so long that some never get theirs."""
        deadline = 0.0
        while True:
            try:
                return attempt()
            except sqlite3.OperationalError as error:
                if not trouble.is_busy(error):
                    raise
                deadline = deadline or time.monotonic() + self.patience
                if time.monotonic() >= deadline:
                    raise trouble.busy(self.path, self.patience) from None
                time.sleep(_PAUSE)

    def _relax(self, db: sqlite3.Connection, lax: bool) -> None:
        if self.address.synchronous == "full":
            db.execute(f"PRAGMA synchronous = {'normal' if lax else 'full'}")
            self._lax = lax


def _perform(task: _Task[T], step: Step) -> None:
    if task.inbox:
        step.take_in()
    task.answer = task.work(step)
    step.flush()


def _undo(db: sqlite3.Connection) -> None:
    """What was begun and not committed, as by somebody who was interrupted: it would hold all others up."""
    if db.in_transaction:
        db.execute("ROLLBACK")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
