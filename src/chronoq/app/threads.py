"""Where plain functions run: on threads."""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from time import sleep

from attrs import define, field

from chronoq.app.executors import emptied
from chronoq.app.hands import Run
from chronoq.app.runner import Runner

MOMENT = 0.002
"""Seconds in which a run begins, where one after the other is done at once."""

LEAST, MOST = 500, 16_000
"""How many runs go on side by side before it is tried again whether they had better run one after the other."""

SHYEST = 1000
"""How many runs of a task are left to others, at the most, after it held up a thread that had lent itself."""


@define
class Threads:
    """Threads that take runs from one queue, and run `slots` of them at a time.

    A thread is woken by a ring of the bell, and goes on until nothing waits. Each that starts a run while
    others wait rings for one more, so that short runs cost no ring each, and a long one holds up none.

    Where runs take no time at all, threads would only take the interpreter from each other. Then one goes
    on alone, and a watch rings for another as soon as no run has begun for a moment.

    A caller may lend its own thread for a short run, which takes less time than it takes to wake another
    thread. The watch has it relieved of whatever else it does if the run takes longer than a moment.
    """

    runner: Runner
    slots: int
    waiting: deque[Run] = field(factory=deque)
    bell: "SimpleQueue[bool]" = field(factory=SimpleQueue)
    """True: there is something to do. False: end."""
    free: deque[int] = field(factory=deque)
    """Slots that nobody has. Whoever gives one back looks for what waits."""
    begun: int = 0
    """How many runs have begun, more or less: whether it grows is what counts."""
    alone: bool = False
    """Whether one thread goes on alone."""
    lone: int = 0
    """Its slot."""
    lent: Run | None = None
    """What runs in a caller's thread that was not relieved so far."""
    relieve: Callable[[], None] = lambda: None
    """Have another thread do what the lent one does else; that one ends with its run."""
    shy: dict[str, tuple[int, int]] = field(factory=dict)
    """Tasks that held up a lent thread: how many of their runs are still to be given, and how many it was."""
    watched: "SimpleQueue[bool]" = field(factory=SimpleQueue)
    """True: there is something to watch. False: end."""
    guard: threading.Lock = field(factory=threading.Lock)
    """Held to go on alone, which one does at a time, and to end or relieve a thread that was lent."""
    tried: int = 0
    """How many runs had begun at the last trial."""
    patience: int = LEAST
    """How many begin between two trials."""
    current: dict[int, Run | None] = field(factory=dict)

    def start(self) -> None:
        self.current = dict.fromkeys(range(self.slots))
        self.free.extend(self.current)
        for number in range(self.slots):
            threading.Thread(target=self._work, name=f"chronoq-runner-{number}", daemon=True).start()
        threading.Thread(target=self._watch, name="chronoq-watch", daemon=True).start()

    def give(self, runs: list[Run]) -> None:
        for run in runs:
            run.on_thread = True
        self.waiting.extend(runs)
        if not self.alone:
            self._ring()

    def run_here(self, run: Run) -> bool:
        # one that goes on alone takes what is given: two would take the interpreter from each other
        busy = self.alone or self.waiting or (self.shy and self._is_shy(run))
        if busy or (slot := self._slot()) is None:
            return False
        run.on_thread, self.lent = True, run
        self._have_watched()
        self._run(slot, run)
        with self.guard:
            if self.lent is run:
                self.lent = None
                self.shy.pop(run.claim.job.task, None)
        self._leave(slot)
        return True

    def take_back(self) -> list[Run]:
        return emptied(self.waiting)

    def stop(self) -> None:
        self.watched.put(False)
        for _ in range(self.slots):
            self.bell.put(False)

    @property
    def adrift(self) -> int:
        held = self.runner.hands.held
        runs = list(self.current.values())
        return sum(run is not None and (run.given_up or (run.stopping and run not in held)) for run in runs)

    @property
    def stuck(self) -> bool:
        """Whether every thread is past its job's timeout: nothing will run here any more."""
        runs = list(self.current.values())
        return bool(runs) and all(run is not None and run.given_up for run in runs)

    def _work(self) -> None:
        while self.bell.get():
            if (slot := self._slot()) is None:
                continue
            run: Run | None = None
            while (run := self._next(slot, run)) is not None:
                self._run(slot, run)
            self._leave(slot)

    def _run(self, slot: int, run: Run) -> None:
        self.current[slot] = run
        self.runner.run(run)
        self.current[slot] = None
        if run.given_up or run.stopping:
            self.runner.hands.changed()  # a slot that counted as taken is free again

    def _slot(self) -> int | None:
        """One of those that are free, to be given back by `_leave`."""
        try:
            return self.free.popleft()
        except IndexError:
            return None

    def _leave(self, slot: int) -> None:
        """A thread that found no slot free left what waits to whoever has one."""
        self.free.append(slot)
        if self.waiting and not self.alone:
            self._ring()

    def _is_shy(self, run: Run) -> bool:
        """Whether it is left to others, as one of its task held up a lent thread a short while ago."""
        left, many = self.shy.get(run.claim.job.task, (0, 0))
        if left:
            self.shy[run.claim.job.task] = left - 1, many
        return left > 0

    def _next(self, slot: int, last: Run | None) -> Run | None:
        """The next run; it starts when `last` has ended, which saves a look at the clock."""
        alone = self.alone
        if alone and self.lone != slot:
            return None  # another goes on alone: it takes them all
        run = self._first()
        if run is None and alone:
            # from here on whoever gives rings; what was given before is taken here, and shared
            self.alone = alone = False
            run = self._first()
        if run is None:
            return None
        self.begun += 1
        if self.waiting and not alone:
            self._part(slot)
        if last is not None:
            run.started = last.ended
        return run

    def _part(self, slot: int) -> None:
        """More is waiting: go on alone if that ends at once, else have another take a part of it."""
        if self.runner.hands.pace.instant or self._trial():
            with self.guard:
                if not self.alone:
                    self.lone, self.alone = slot, True
            self._have_watched()
        else:
            self._ring()

    def _ring(self) -> None:
        """Have a thread look at what waits. One ring is enough: they would pile up while all are busy."""
        if self.bell.empty():
            self.bell.put(True)

    def _trial(self) -> bool:
        """Whether to see anew how long runs take one after the other: side by side they wait for each other.

        A trial costs some moments where they are long, so after one that failed the next comes twice as late.
        """
        since, pace = self.begun - self.tried, self.runner.hands.pace
        if since < self.patience or pace.mean > pace.SHORT:
            return False
        self.patience = LEAST if since > 4 * self.patience else min(2 * self.patience, MOST)
        self.tried = self.begun
        pace.forget()
        return True

    def _first(self) -> Run | None:
        try:
            return self.waiting.popleft()
        except IndexError:
            return None

    def _have_watched(self) -> None:
        if self.watched.empty():
            self.watched.put(True)

    def _watch(self) -> None:
        """While one thread goes on alone, or one is lent, look now and then whether it goes on."""
        while self.watched.get():
            seen, lent = self.begun, self.lent
            sleep(MOMENT)
            if lent is not None:
                self._relieve(lent)
            if self.alone and (self.begun == seen or not self.runner.hands.pace.instant):
                self.alone = False
                if self.waiting:
                    self._ring()
                self.runner.hands.through.set()  # one takes long: nobody waits for the end of all
            if self.alone or self.lent is not None:
                self._have_watched()

    def _relieve(self, lent: Run) -> None:
        """Let the thread go that has been running this for a moment, and spare it others of its task."""
        with self.guard:
            if self.lent is not lent:
                return
            self.lent = None  # before: whoever takes over may lend itself at once
            task = lent.claim.job.task
            many = min(2 * self.shy.get(task, (0, 4))[1], SHYEST)
            self.shy[task] = many, many
            with suppress(RuntimeError):  # the system gives us no thread more: the lent one comes back late
                self.relieve()
