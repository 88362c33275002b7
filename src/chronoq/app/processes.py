"""Where handlers run that compute: warm child processes, one for each slot, replaced when they fall."""

import logging
import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from attrs import define, field

from chronoq.app.child import PLACE, Message, call_of, receive, send
from chronoq.app.hands import Run
from chronoq.app.runner import Runner
from chronoq.app.tasks import TaskDef
from chronoq.domain.errors import BadSetting
from chronoq.domain.retry import Failure
from chronoq.domain.verdict import Cancelled, Dead, Done, Snooze, Verdict

log = logging.getLogger("chronoq.worker")

PAUSE = 5.0
LOOK = 0.25
"""Seconds between two looks at a child that is at work: at its memory, and at the time it has left."""


class Fallen(Exception):
    """The child has ended in the middle of its work; the message says how."""


class Warm:
    """A child process that has imported `modules` and waits for calls. Errors: `Fallen`, when it never comes so far."""

    def __init__(self, modules: Iterable[str]) -> None:
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        with tempfile.TemporaryFile() as shared:
            shared.truncate(mmap.PAGESIZE)
            theirs = (theirs_in, theirs_out, shared.fileno())
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "chronoq.app.child", *map(str, theirs)],
                stdin=subprocess.DEVNULL,
                pass_fds=theirs,
                process_group=0,  # Ctrl-C is for the worker
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            self.place = mmap.mmap(shared.fileno(), mmap.PAGESIZE)
        os.close(theirs_in)
        os.close(theirs_out)
        self.replies, self.requests = os.fdopen(ours_in, "rb", buffering=0), os.fdopen(ours_out, "wb")
        send(self.requests, (tuple(sys.path), tuple(modules)))
        while self.hear(LOOK) is None:
            pass

    @property
    def at(self) -> int:
        """The number of the call that it is at."""
        return int(PLACE.unpack(self.place[: PLACE.size])[0])

    @property
    def resident(self) -> int:
        """Bytes of memory that it holds; 0 where the system does not tell."""
        with suppress(OSError):
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
            return pages * mmap.PAGESIZE
        return 0

    def ask(self, calls: Sequence[Message]) -> None:
        """Errors: `Fallen`."""
        self.place[: PLACE.size] = PLACE.pack(0)
        try:
            send(self.requests, tuple(calls))
        except OSError:
            raise Fallen(self.end()) from None

    def hear(self, seconds: float) -> Message | None:
        """What it says within so many seconds. Errors: `Fallen`."""
        if not select.select([self.replies], [], [], seconds)[0]:
            return None
        try:
            return receive(self.replies)
        except (EOFError, OSError):
            raise Fallen(self.end()) from None

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()

    def kill_at(self, number: int) -> bool:
        """Kill it while it is at that call. False: it is further on, or gone."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if self.at == number:
                self.kill()
                return True
            self.process.send_signal(signal.SIGCONT)
        return False

    def end(self) -> str:
        """Make sure that it is gone; how it ended."""
        try:
            code = self.process.wait(1)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self.process.wait()
        for end in (self.requests, self.replies):
            with suppress(OSError, ValueError):
                end.close()
        if code >= 0:
            return f"its process ended with exit code {code}"
        with suppress(ValueError):
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process was ended by signal {-code}"


@define
class Processes:
    """`slots` children at the most, each begun when it is first needed, each with a thread that speaks to it.

    Short runs travel together. A child that is past a timeout, was asked to stop or holds more than `most`
    bytes is killed: the run that it was at ends by that, and those after it go to the next child.
    """

    runner: Runner
    slots: int
    most: int | None = None
    waiting: deque[Run] = field(factory=deque)
    bell: "SimpleQueue[bool]" = field(factory=SimpleQueue)
    """True: there is something to do. False: end."""
    threads: list[threading.Thread] = field(factory=list)
    busy: int = 0

    def start(self) -> None:
        """Children come with the first run: who runs nothing here pays for nothing."""

    def __attrs_post_init__(self) -> None:
        """Errors: `BadSetting` for a task that no child could import."""
        for task in self.runner.registry:
            if task.executor == "process" and task.fn.__module__ == "__main__":
                raise BadSetting(
                    f"Task {task.name!r} runs in a process, and a child cannot import the script that was started. "
                    "Move the task to a module of its own, or start a worker: python -m chronoq worker --app ..."
                )

    def give(self, runs: list[Run]) -> None:
        for run in runs:
            run.on_thread = True  # the heart watches its timeout
        self.waiting.extend(runs)
        while len(self.threads) < min(self.slots, self.busy + len(self.waiting)):
            name = f"chronoq-process-{len(self.threads)}"
            self.threads.append(threading.Thread(target=self._serve, name=name, daemon=True))
            self.threads[-1].start()
        self._ring(len(runs))

    def take_back(self) -> list[Run]:
        taken = []
        while run := self._next():
            taken.append(run)
        return taken

    def stop(self) -> None:
        for _ in self.threads:
            self.bell.put(False)

    @property
    def adrift(self) -> int:
        return 0  # a child that is given up is killed

    def _ring(self, times: int) -> None:
        for _ in range(min(times, self.slots)):
            self.bell.put(True)

    def _next(self) -> Run | None:
        try:
            return self.waiting.popleft()
        except IndexError:
            return None

    def _serve(self) -> None:
        child = self._child()
        while self.bell.get():
            while batch := self._batch():
                self.busy += 1
                work = Work(self.runner, child, batch, self.most)
                if not work.done():
                    self.waiting.extendleft(reversed(work.left()))
                    child = self._child()
                self.busy -= 1
        child.kill()
        child.end()

    def _child(self) -> Warm:
        """A new child; when even an idle one falls, the next is tried after a pause."""
        modules = {task.fn.__module__ for task in self.runner.registry if task.executor == "process"}
        while True:
            try:
                return Warm(modules)
            except (Fallen, OSError) as error:
                log.warning("⚠ no child process could be started: %s", error)
                time.sleep(PAUSE)

    def _batch(self) -> list[tuple[Run, TaskDef]]:
        """What to send next: one run, or a fair share of many short ones. They count as started."""
        share = 1 + len(self.waiting) // self.slots if self.runner.hands.pace.depth > 1 else 1
        batch: list[tuple[Run, TaskDef]] = []
        while len(batch) < share and (run := self._next()):
            task = self.runner.begin(run)
            if task is None:
                continue
            batch.append((run, task))
            if run.claim.job.options.timeout is not None:
                break  # its time is counted from when it is sent, so nothing is sent after it
        return batch


@define
class Work:
    """One batch on its way through a child."""

    runner: Runner
    child: Warm
    batch: Sequence[tuple[Run, TaskDef]]
    most: int | None
    ended: set[int] = field(factory=set)

    def done(self) -> bool:
        """See the batch through. False: the child has fallen on the way, and what is `left` has to go to another."""
        limit = self.runner.max_payload
        try:
            self.child.ask([call_of(run.claim, task, limit=limit) for run, task in self.batch])
            looked = time.monotonic()
            while len(self.ended) < len(self.batch):
                message = self.child.hear(LOOK)
                if message is not None and message[0] == "progress":
                    self.batch[message[1]][0].context.progress(*message[2:])
                elif message is not None:
                    for number, what, *facts in message[1:]:
                        self._end(number, self._verdict(self.batch[number][0], what, *facts))
                if message is None or time.monotonic() - looked > LOOK:  # it may talk all the time
                    looked = time.monotonic()
                    self._look()
        except Fallen as fallen:
            at = self.child.at
            if at not in self.ended:
                self._end(at, self.runner.failed(self.batch[at][0], Failure("ProcessDied", str(fallen))))
            return False
        return True

    def left(self) -> list[Run]:
        """The runs that have no outcome. One that had ended just before the child fell may be among them."""
        runs = [run for number, (run, _) in enumerate(self.batch) if number not in self.ended]
        for run in runs:
            run.started = None
        return runs

    def _look(self) -> None:
        """Kill the child if the run that it is at may not go on."""
        number = self.child.at
        run = self.batch[number][0]
        if number in self.ended:
            return
        if run.given_up or run.stopping:
            if self.child.kill_at(number):
                self._end(number, Cancelled())
                raise Fallen(self.child.end())
        elif self.most and (held := self.child.resident) > self.most and self.child.kill_at(number):
            words = f"its process held {held / 1e6:,.0f} MB, more than the {self.most / 1e6:,.0f} of process_memory"
            self._end(number, self.runner.failed(run, Failure("MemoryLimit", words)))
            raise Fallen(self.child.end())

    def _verdict(self, run: Run, what: str, *facts: Any) -> Verdict:
        if run.stopping:
            return Cancelled()
        match what:
            case "done":
                return Done(facts[0])
            case "snooze":
                return Snooze(self.runner.clock.now() + timedelta(seconds=facts[0]), facts[1])
            case "dead":
                return Dead(Failure(*facts[0]))
            case _:
                return self.runner.failed(run, Failure(*facts[0]))

    def _end(self, number: int, verdict: Verdict) -> None:
        """Nothing comes of it if the heart has decided before: a timeout, a lost lease."""
        self.ended.add(number)
        self.runner.end(self.batch[number][0], verdict)
