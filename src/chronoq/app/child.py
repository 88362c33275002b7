"""A warm child process, `python -m chronoq.app.child`: runs handlers for the worker that started it.

It reads batches of calls from one pipe and writes what became of them to another. A message is four bytes
of length and a `marshal`led tuple: both ends are the same interpreter, and nobody else can write there.
"""

import asyncio
import inspect
import marshal
import mmap
import os
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import cache
from importlib import import_module
from queue import SimpleQueue
from typing import Any, BinaryIO

from attrs import astuple

from chronoq.app.context import Context
from chronoq.app.executors import emptied
from chronoq.app.payload import result_bytes
from chronoq.app.runner import failure_of
from chronoq.app.tasks import TaskDef
from chronoq.domain import errors
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Claim, Job, Options, Origin
from chronoq.domain.retry import Failure
from chronoq.domain.time import ZERO, duration, from_ms, to_ms

Message = tuple[Any, ...]

LENGTH = struct.Struct("<I")
BEGUN, MAY = 0, 1
"""The words in shared memory that say how many calls of a batch have begun, and how many may."""
FLUSH = 0.01
"""Results travel together, and wait for each other for at most so many seconds."""
TOGETHER = 0.25
"""Seconds after which no more of a batch is begun. If all has stood still meanwhile, it is somebody else's by now."""
BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock that goes on while the machine is suspended, where there is one."""


def send(pipe: BinaryIO, message: Message) -> None:
    data = marshal.dumps(message)
    pipe.write(LENGTH.pack(len(data)) + data)
    pipe.flush()


def receive(pipe: BinaryIO) -> Message:
    """Errors: `EOFError` when the other end is gone."""
    data = _exactly(pipe, LENGTH.unpack(_exactly(pipe, LENGTH.size))[0])
    message: Message = marshal.loads(data)  # noqa: S302 - from our own parent or child, by a private pipe
    return message


def _exactly(pipe: BinaryIO, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = pipe.read(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def words_in(file: int) -> memoryview:
    """The memory that parent and child share."""
    return memoryview(mmap.mmap(file, mmap.PAGESIZE)).cast("q")


# --- a call as it travels -------------------------------------------------------------------------


def call_of(claim: Claim, task: TaskDef, *, limit: int) -> Message:
    """All that the child has to know. `limit`: bytes of arguments or of a result."""
    job, origin = claim.job, claim.job.origin
    came = origin and (origin.schedule.key, *map(_ms, (origin.nominal, origin.start, origin.end)))
    facts = (
        job.id.queue,
        job.id.key,
        job.task,
        to_ms(job.due),
        to_ms(job.enqueued_at),
        job.options.meta,
        came,
    )
    held = (claim.token, claim.attempt, claim.worker, to_ms(claim.expires_at), claim.crashes)
    return (
        task.fn.__module__,
        task.fn.__qualname__,
        job.payload,
        limit,
        job.options.result_ttl > ZERO,
        facts,
        held,
    )


def claim_of(facts: Message, held: Message) -> Claim:
    queue, key, task, due, enqueued_at, meta, came = facts
    token, attempt, worker, until, crashes = held
    origin = came and Origin(ScheduleId(queue, came[0]), *map(_moment, came[1:]))
    options = Options(meta=meta)
    job = Job(JobId(queue, key), task, b"", from_ms(due), from_ms(enqueued_at), options, origin)
    return Claim(job, token, attempt, worker, from_ms(until), crashes)


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)


def _moment(ms: int | None) -> Any:
    return None if ms is None else from_ms(ms)


# --- the child ------------------------------------------------------------------------------------


class Told(Context):
    """A context whose progress goes to the parent at once."""

    __slots__ = ("_tell",)

    def __init__(self, claim: Claim, tell: Callable[[float, float | None], None]) -> None:
        super().__init__(claim)
        self._tell = tell

    def progress(self, done: float, total: float | None = None) -> None:
        self._tell(done, total)


class Child:
    def __init__(self, requests: BinaryIO, replies: BinaryIO, words: memoryview) -> None:
        self.requests, self.replies, self.words = requests, replies, words
        self.guard = threading.Lock()
        self.ended: deque[Message] = deque()
        """What the parent was not told so far."""
        self.batches = 0
        self.bell: SimpleQueue[None] = SimpleQueue()
        """Rung when something has ended and another begins, if nobody looks after it so far."""
        self.cared = False

    def serve(self) -> None:
        """Run what comes, until the parent is gone."""
        threading.Thread(target=self._tell_late, daemon=True).start()
        while True:
            calls = receive(self.requests)
            self.batches += 1
            begun, until = 0, time.clock_gettime(BOOT) + TOGETHER
            while begun < len(calls) and self.may(begun, until):
                self.ended.append((begun, *_sendable(self.run(begun, *calls[begun]))))
                begun += 1
                if begun < len(calls) and not self.cared:
                    self.cared = True
                    self.bell.put(None)
            self._tell("through")

    def may(self, number: int, until: float) -> bool:
        """Whether to begin that call. It says so before it looks, so that one of the two hears of the other."""
        words = self.words
        words[BEGUN] = number + 1
        if number < words[MAY] and time.clock_gettime(BOOT) < until:
            return True
        words[BEGUN] = number
        return False

    def _tell_late(self) -> None:
        """What has ended is not kept back by what takes long after it."""
        with suppress(BrokenPipeError):
            while True:
                self.bell.get()
                self.cared = False
                batch = self.batches
                time.sleep(FLUSH)
                if batch == self.batches and self.ended:
                    self._tell("ended")

    def _tell(self, what: str) -> None:
        with self.guard:
            send(self.replies, (what, tuple(emptied(self.ended))))

    def say(self, *message: Any) -> None:
        with self.guard:
            send(self.replies, message)

    def run(
        self,
        number: int,
        module: str,
        name: str,
        payload: bytes,
        limit: int,
        wanted: bool,
        facts: Message,
        held: Message,
    ) -> Message:
        """What became of a call: "done" and its result, "raised" or "dead" and a failure, "snooze" and for how long."""
        claim = claim_of(facts, held)
        context = Told(claim, lambda done, total: self.say("progress", number, done, total))
        try:
            task = find(module, name)
            call = task.signature.decode(payload, limit=limit)
        except Exception as error:
            return ("dead", _plain(Failure(type(error).__name__, str(error))))
        try:
            value = task.call(context, call)
            if inspect.iscoroutine(value):
                value = asyncio.run(value)
        except errors.Snooze as error:
            try:
                return ("snooze", duration(error.delay).total_seconds(), _exact(error.reason))  # type: ignore[arg-type]
            except errors.BadDuration as bad:
                return ("raised", _plain(failure_of(bad)))
        except BaseException as error:
            return ("raised", _plain(failure_of(error)))
        try:
            return ("done", result_bytes(value, task=task.name, limit=limit) if wanted else b"")
        except (errors.NotStorable, errors.TooLarge) as error:
            return ("dead", _plain(Failure(type(error).__name__, str(error))))


def _plain(failure: Failure) -> Message:
    return tuple(map(_exact, astuple(failure)))


def _exact(value: Any) -> Any:
    """A text of a class of its own, as an `Enum` may be, does not travel."""
    return str.__str__(value) if isinstance(value, str) else value


def _sendable(outcome: Message) -> Message:
    """What cannot be told takes nothing else with it."""
    try:
        marshal.dumps(outcome)
    except ValueError:
        return ("raised", ("NotStorable", f"What became of it cannot be told: {outcome!r}"))
    return outcome


@cache
def find(module: str, name: str) -> TaskDef:
    """The task whose function has that name. Imported by our parent's word, which has imported it itself."""
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    definition = getattr(found, "definition", None)
    return definition if isinstance(definition, TaskDef) else TaskDef(name, found, "")


def leave_with(parent: int) -> None:
    """End as soon as the parent has: nobody would hear of what is done here."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main() -> None:
    requests, replies, words = map(int, sys.argv[1:4])
    child = Child(os.fdopen(requests, "rb"), os.fdopen(replies, "wb"), words_in(words))
    threading.Thread(target=leave_with, args=(os.getppid(),), daemon=True).start()
    try:
        path, modules = receive(child.requests)
        sys.path[:] = path
        for module in modules:
            with suppress(Exception):  # its tasks say so, each in its own failure
                import_module(module)
        child.say("ready")
        child.serve()
    except (EOFError, BrokenPipeError):
        os._exit(0)


if __name__ == "__main__":
    main()
