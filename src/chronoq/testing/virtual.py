"""What runs handlers in a drill: plain functions in turn, coroutines on an event loop in virtual time."""

import asyncio
import math
import selectors
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime, timedelta
from typing import TypeVar, TypeVarTuple

from attrs import define, field

from chronoq.app.hands import Run
from chronoq.app.runner import Runner
from chronoq.domain.ports import Clock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@define(eq=False)
class Inline:
    """An `Executor` without threads: `turn` runs the next handler here, to its end.

    A handler that moves the drill's clock is overtaken by others, `slots` of them at the most.
    """

    runner: Runner
    slots: int
    waiting: deque[Run] = field(factory=deque)
    busy: int = 0

    def start(self) -> None: ...

    def give(self, runs: list[Run]) -> None:
        for run in runs:
            run.on_thread = True
        self.waiting.extend(runs)

    def run_here(self, run: Run) -> bool:
        return False

    def take_back(self) -> list[Run]:
        taken = list(self.waiting)
        self.waiting.clear()
        return taken

    def stop(self) -> None: ...

    @property
    def adrift(self) -> int:
        return 0

    def turn(self) -> bool:
        """Run the next one. False: there is none, or no slot is free."""
        if not self.waiting or self.busy >= self.slots:
            return False
        self.busy += 1
        try:
            self.runner.run(self.waiting.popleft())
        finally:
            self.busy -= 1
        return True


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop by a clock that others move. `pump` runs what can run now, and never waits.

    Work that is handed to an executor, as `asyncio.to_thread` and the async face of chronoq do, is done
    at once and here. What waits for real sockets or threads is looked at with each pump only.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.now()
        self._rest: float | None = None
        super().__init__(_Impatient(self))

    def time(self) -> float:
        return (self._clock.now() - self._start).total_seconds()

    def pump(self) -> datetime | None:
        """Run all that can run at this moment; when the next timer is due."""
        self._rest = None
        self.run_forever()
        if self._rest is None:
            return None
        return self._clock.now() + timedelta(microseconds=math.ceil(self._rest * 1_000_000))

    def nothing_left(self, rest: float | None) -> None:
        """The next timer is due in `rest` seconds; until then there is nothing to do."""
        self._rest = rest
        self.stop()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> "asyncio.Future[T]":
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


class _Impatient(selectors.DefaultSelector):
    """Tells the loop that it would have to wait, instead of waiting."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and (timeout is None or timeout > 0):
            self._loop.nothing_left(timeout)
        return found
