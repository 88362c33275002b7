"""Where coroutines run: on an event loop."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec

from attrs import define, field

from chronoq.app.executors import emptied
from chronoq.app.hands import Run
from chronoq.app.runner import Runner


def _new_loop() -> asyncio.AbstractEventLoop:
    """One of uvloop's where that is installed; it does the same, faster."""
    if find_spec("uvloop") is None:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = import_module("uvloop").new_event_loop()
    return loop


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
            self.loop = _new_loop()
            self.own = threading.Thread(target=self._serve, name="chronoq-event-loop", daemon=True)
            self.own.start()

    def give(self, runs: list[Run]) -> None:
        self.waiting.extend(runs)
        self._call(self._fill)

    def take_back(self) -> list[Run]:
        return emptied(self.waiting)

    def stop(self) -> None:
        if self.own is not None and self.loop is not None:
            self._call(self.loop.stop)
            self.own.join(5)

    @property
    def adrift(self) -> int:
        return 0  # a coroutine that is given up is cancelled

    def turns(self, within: float = 0.5) -> bool:
        """Whether the loop answers. A handler that never awaits blocks it, and every other one with it."""
        if not self.tasks:
            return True
        turned = threading.Event()
        self._call(turned.set)
        return turned.wait(within)

    def _call(self, what: Callable[[], object]) -> None:
        assert self.loop is not None, "started"
        # the loop was closed meanwhile: its tasks are gone, their leases will lapse
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(what)

    def _fill(self) -> None:
        assert self.loop is not None, "started"
        with suppress(IndexError):  # taken back meanwhile
            while len(self.tasks) < self.slots:
                self.tasks.add(self.loop.create_task(self._run(self.waiting.popleft())))

    async def _run(self, run: Run) -> bool:
        task = asyncio.current_task()
        assert task is not None, "inside its own"
        # not before it has started: a task that is cancelled by then does nothing, not even say so
        run.interrupt = partial(self._call, task.cancel)
        try:
            return await self.runner.arun(run)
        finally:
            self.tasks.discard(task)
            if self.waiting:
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
