"""Where handlers run that compute: warm child processes, one for each slot, replaced when they fall."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from queue import SimpleQueue
from typing import Any

from attrs import define, field

from chronoq.app.child import call_of
from chronoq.app.executors import emptied
from chronoq.app.hands import Run
from chronoq.app.runner import Runner
from chronoq.app.tasks import TaskDef
from chronoq.app.warm import Fallen, Warm
from chronoq.domain.errors import BadSetting
from chronoq.domain.retry import Failure
from chronoq.domain.verdict import Cancelled, Dead, Done, Snooze, Verdict

log = logging.getLogger("chronoq.worker")

PAUSE = 5.0
LOOK = 0.25
"""Seconds between two looks at a child that is at work: at its memory, and at the time it has left."""


@define
class Processes:
    """`slots` children at the most, each begun when it is first needed, each with a thread that speaks to it.

    Short runs travel together, and a child needs leave to begin each of them. What it has not begun is taken back
    as soon as it is held up, or must not begin any more.

    A child that is past a timeout, was asked to stop or holds more than `most` bytes is killed: the run that it was
    at ends by that, and those after it go to the next child.
    """

    runner: Runner
    slots: int
    most: int | None = None
    waiting: deque[Run] = field(factory=deque)
    bell: "SimpleQueue[bool]" = field(factory=SimpleQueue)
    """True: there is something to do. False: end."""
    threads: list[threading.Thread] = field(factory=list)
    works: dict["Work", None] = field(factory=dict)
    """What the children are at, in the order in which it was given to them."""

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
        while len(self.threads) < min(self.slots, len(self.works) + len(self.waiting)):
            name = f"chronoq-process-{len(self.threads)}"
            self.threads.append(threading.Thread(target=self._serve, name=name, daemon=True))
            self.threads[-1].start()
        self._ring(len(runs))

    def take_back(self) -> list[Run]:
        taken = [run for work in list(self.works) for run in work.retract()]
        return taken + emptied(self.waiting)

    def stop(self) -> None:
        for _ in self.threads:
            self.bell.put(False)

    @property
    def adrift(self) -> int:
        return 0  # a child that is given up is killed

    def _ring(self, times: int) -> None:
        for _ in range(min(times, self.slots)):
            self.bell.put(True)

    def _again(self, runs: Sequence[Run]) -> None:
        """These come next, to whoever is free first."""
        self.waiting.extendleft(reversed(runs))
        self._ring(len(runs))

    def _next(self) -> Run | None:
        try:
            return self.waiting.popleft()
        except IndexError:
            return None

    def _serve(self) -> None:
        child = self._child()
        while self.bell.get():
            while batch := self._batch():
                work = Work(self.runner, child, batch, self._again, self.most)
                self.works[work] = None
                if not work.done():
                    child = self._child()
                del self.works[work]
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
        """What to send next: one run, or a fair share of many short ones. They count as started.

        One with a timeout goes alone, to a child that waits for it: its time is counted from there.
        """
        many = 1 + len(self.waiting) // self.slots if self.runner.hands.pace.depth > 1 else 1
        batch: list[tuple[Run, TaskDef]] = []
        while len(batch) < many and (run := self._next()):
            alone = run.claim.job.options.timeout is not None
            if alone and batch:
                self._again([run])
                break
            if task := self.runner.begin(run):
                batch.append((run, task))
                if alone:
                    break
        return batch


@define(eq=False)
class Work:
    """One batch on its way through a child."""

    runner: Runner
    child: Warm
    batch: Sequence[tuple[Run, TaskDef]]
    again: Callable[[Sequence[Run]], None]
    """Takes what has to go to a child once more."""
    most: int | None
    gone: set[int] = field(factory=set)
    """Numbers of the runs that have ended, or were taken back."""
    on: bool = False
    """Whether it is what the child is at."""
    guard: threading.Lock = field(factory=threading.Lock)
    """Held to take runs back, at the begin and at the end."""

    def done(self) -> bool:
        """See the batch through. False: the child has fallen on the way, and what has no outcome goes to another."""
        recall = self._recall
        for run, _ in self.batch:
            run.interrupt = recall
        with self.guard:
            self.child.permit(len(self.batch))
            self.on = True
        held = self.runner.hands.held
        if any(run.stopping or run not in held for run, _ in self.batch):
            self._recall()  # when it was asked, there was no permit to take back
        try:
            limit = self.runner.max_payload
            self.child.ask([call_of(run.claim, task, limit=limit) for run, task in self.batch])
            looked = time.monotonic()
            while self.on:
                message = self.child.hear(LOOK)
                if message is not None:
                    self._heard(*message)
                if message is None or time.monotonic() - looked > LOOK:  # it may talk all the time
                    looked = time.monotonic()
                    self._look()
        except Fallen as fallen:
            self._fallen(fallen)
            return False
        return True

    def retract(self) -> list[Run]:
        """Take back what the child has not begun: it never will."""
        with self.guard:
            if not self.on or not self._from(self.child.begun):
                return []
            return self._anew(self.child.stay())

    def _from(self, number: int) -> list[int]:
        """Of that one and those after it, the ones that are still with the child."""
        return [number for number in range(number, len(self.batch)) if number not in self.gone]

    def _recall(self) -> None:
        """What the child has not begun is for whoever is free, unless it may not begin any more."""
        if runs := self.retract():
            self.again(runs)

    def _anew(self, begun: int) -> list[Run]:
        """What the child has not begun, taken from it."""
        numbers = self._from(begun)
        self.gone.update(numbers)
        runs = [self.batch[number][0] for number in numbers]
        for run in runs:
            run.started = run.deadline = run.interrupt = None
        return runs

    def _leave(self) -> None:
        """Nothing more comes of the child. What has no outcome begins elsewhere."""
        with self.guard:
            self.on, runs = False, self._anew(0)
        if runs:
            self.again(runs)

    def _heard(self, what: str, *facts: Any) -> None:
        if what == "progress":
            if facts[0] < len(self.batch):  # else it is of a thread that has outlived its run
                self.batch[facts[0]][0].context.progress(*facts[1:])
            return
        for number, outcome, *more in facts[0]:
            self._end(number, self._verdict(self.batch[number][0], outcome, *more))
        if what == "through":
            self._leave()

    def _fallen(self, fallen: Fallen) -> None:
        """What it was at ends by that. What had ended just before, and was not told, goes on with the rest."""
        at = self.child.begun - 1
        if at < 0:
            log.warning("⚠ a child has fallen before it began anything: %s", fallen)
        elif at not in self.gone:
            self._end(at, self.runner.failed(self.batch[at][0], Failure("ProcessDied", str(fallen))))
        self._leave()

    def _look(self) -> None:
        """It is held up: what comes after has it better elsewhere. Kill it if what it is at may not go on."""
        self._recall()
        number = self.child.begun - 1
        if number < 0 or number in self.gone:
            return
        run = self.batch[number][0]
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
        self.gone.add(number)
        run = self.batch[number][0]
        run.interrupt = None
        self.runner.end(run, verdict)
