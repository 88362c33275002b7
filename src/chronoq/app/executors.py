"""Where handlers run: threads for plain functions, an event loop for coroutines."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

from attrs import define, field

from chronoq.app.hands import Run
from chronoq.app.runner import Runner


class Executor(Protocol):
    def start(self) -> None: ...

    def give(self, runs: list[Run]) -> None:
        """Run these as soon as a slot is free."""
        ...

    def take_back(self) -> list[Run]:
        """Runs that have not started; they will not."""
        ...

    def stop(self) -> None:
        """Take nothing more. What runs goes on."""
        ...

    @property
    def adrift(self) -> int:
        """Slots whose handler goes on although its run was given up."""
        ...


@define
class Threads:
    """`slots` threads that take runs from one queue."""

    runner: Runner
    slots: int
    waiting: "SimpleQueue[Run | None]" = field(factory=SimpleQueue)
    current: dict[int, Run | None] = field(factory=dict)

    def start(self) -> None:
        for slot in range(self.slots):
            self.current[slot] = None
            threading.Thread(
                target=self._work, args=(slot,), name=f"chronoq-runner-{slot}", daemon=True
            ).start()

    def give(self, runs: list[Run]) -> None:
        for run in runs:
            run.on_thread = True
            self.waiting.put(run)

    def take_back(self) -> list[Run]:
        taken = []
        with suppress(Empty):
            while True:
                if run := self.waiting.get_nowait():
                    taken.append(run)
        return taken

    def stop(self) -> None:
        for _ in range(self.slots):
            self.waiting.put(None)

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

    def _work(self, slot: int) -> None:
        while (run := self.waiting.get()) is not None:
            self.current[slot] = run
            self.runner.run(run)
            self.current[slot] = None
            if run.given_up or run.stopping:
                self.runner.hands.changed()  # a slot that counted as taken is free again


@define
class Coroutines:
    """At most `slots` tasks at a time on one event loop: the caller's, or one on a thread of its own."""

    runner: Runner
    slots: int
    loop: asyncio.AbstractEventLoop | None = None
    waiting: deque[Run] = field(factory=deque)
    tasks: set["asyncio.Task[bool]"] = field(factory=set)
    own: threading.Thread | None = None

    def start(self) -> None:
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            self.own = threading.Thread(target=self._serve, name="chronoq-event-loop", daemon=True)
            self.own.start()

    def give(self, runs: list[Run]) -> None:
        self.waiting.extend(runs)
        self._call(self._fill)

    def take_back(self) -> list[Run]:
        taken = []
        with suppress(IndexError):
            while True:
                taken.append(self.waiting.popleft())
        return taken

    def stop(self) -> None:
        if self.own is not None and self.loop is not None:
            self._call(self.loop.stop)
            self.own.join(5)

    @property
    def adrift(self) -> int:
        return 0  # a coroutine that is given up is cancelled

    def _call(self, what: Callable[[], object]) -> None:
        assert self.loop is not None, "started"
        with suppress(
            RuntimeError
        ):  # the loop was closed meanwhile: its tasks are gone, their leases will lapse
            self.loop.call_soon_threadsafe(what)

    def _fill(self) -> None:
        assert self.loop is not None, "started"
        while self.waiting and len(self.tasks) < self.slots:
            run = self.waiting.popleft()
            task = self.loop.create_task(self.runner.arun(run))
            self.tasks.add(task)
            run.interrupt = partial(self._call, task.cancel)
            task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[bool]") -> None:
        self.tasks.discard(task)
        self._fill()

    def _serve(self) -> None:
        assert self.loop is not None, "started"
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            for task in self.tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*self.tasks, return_exceptions=True))
            self.loop.close()
