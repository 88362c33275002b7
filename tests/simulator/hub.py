"""Many strands of work in virtual time, one after the other, in an order that a seed decides.

A strand is what a thread is in production. It runs until it waits, and can be cut off wherever it waits;
a port call is such a place. Nothing sleeps, and the same seed makes the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from random import Random
from threading import Event

from attrs import define, field
from greenlet import getcurrent, greenlet

from chronoq.domain.time import ZERO

AT_ONCE = 5_000
"""Turns within one moment after which the run is said to go round in circles."""


class Killed(BaseException):
    """Leaves a strand whose process is gone."""


class Circles(AssertionError):
    """Time does not move on."""


class Process:
    """What lives and dies as one: its strands, its clock, its line to the store.

    The clock tells the store's time, `lag` behind, as a clock does that asks the store now and then.
    `wall` is how far off the machine's own clock is: nothing may depend on it.
    """

    def __init__(self, hub: Hub, name: str, *, lag: timedelta = ZERO, wall: timedelta = ZERO) -> None:
        self.hub = hub
        self.name = name
        self.lag = lag
        self.wall = wall
        self.alive = True
        self.frozen = hub.now
        """Until then it stands still."""
        self.cut = hub.now
        """Until then it cannot reach the store."""
        self.troubled = hub.now
        """When something last befell it. Born in trouble: what it did not do before, it could not do."""
        self.last_words: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        return self.hub.now - self.lag

    def wait(self, until: datetime, wake: object) -> None:
        raise NotImplementedError("the loops of a simulation are strands")

    def freeze(self, until: datetime) -> None:
        self.frozen = self.troubled = until

    def kill(self) -> None:
        """It is gone, wherever it was. From one of its own strands this does not return."""
        if not self.alive:
            return
        self.alive = False
        self.last_words()
        mine = [strand for strand in self.hub.strands if strand.process is self]
        self.hub.strands = [strand for strand in self.hub.strands if strand.process is not self]
        me = getcurrent()
        for strand in mine:
            if strand.line is not None and strand.line is not me and strand.line:
                strand.line.parent = me
                with suppress(Killed):
                    strand.line.throw(Killed)
        if any(strand.line is me for strand in mine):
            me.parent = self.hub.main  # type: ignore[assignment]
            raise Killed


def running() -> Strand:
    """The strand that runs here."""
    return getcurrent().strand  # type: ignore[attr-defined, no-any-return]


class Strand:
    """Something to go on with at a moment, or earlier when its alarm is set."""

    __slots__ = ("alarm", "at", "line", "name", "process", "what")

    def __init__(
        self, name: str, process: Process | None, at: datetime, what: Callable[[], None], *, waits: bool
    ) -> None:
        self.name = name
        self.process = process
        self.at = at
        self.alarm: Event | None = None
        self.what = what
        self.line: greenlet | None = None
        if waits:
            self.line = greenlet(what)
            self.line.strand = self  # type: ignore[attr-defined]


@define(eq=False)
class Hub:
    """Time, and who is next."""

    now: datetime
    chance: Random
    strands: list[Strand] = field(factory=list)
    main: greenlet = field(factory=getcurrent)
    turns: int = 0
    current: Strand | None = None

    def spawn(self, name: str, process: Process | None, what: Callable[[], None]) -> Strand:
        """A strand that may wait, to begin at this moment."""
        strand = Strand(name, process, self.now, what, waits=True)
        self.strands.append(strand)
        return strand

    def later(self, delay: timedelta, what: Callable[[], None], *, name: str = "") -> None:
        """Do something that does not wait, after `delay`."""
        self.strands.append(Strand(name, None, self.now + delay, what, waits=False))

    def sleep(self, delay: timedelta, alarm: Event | None = None) -> None:
        """Let the others go on; from within a strand only."""
        strand = self.current
        assert strand is not None
        strand.at = self.now + delay
        strand.alarm = alarm
        self.main.switch()

    def go(self, end: datetime, over: Callable[[], bool]) -> bool:
        """Go on until `over()` or `end`. Whether it was over."""
        at_once, now = 0, self.now
        while not over():
            if self.now == now:
                at_once += 1
                if at_once > AT_ONCE:
                    raise Circles(f"round in circles at {now}: {[one.name for one in self.strands]}")
            else:
                at_once, now = 0, self.now
            ready: list[Strand] = []
            first = end
            for strand in self.strands:
                process = strand.process
                at = strand.at
                if strand.alarm is not None and strand.alarm.is_set():
                    at = now
                if process is not None and process.frozen > at:
                    at = process.frozen
                if at <= now:
                    ready.append(strand)
                elif at < first:
                    first = at
            if ready:
                self.resume(ready[int(self.chance.random() * len(ready))])
            elif first >= end:
                self.now = end
                return over()
            else:
                self.now = first
        return True

    def resume(self, strand: Strand) -> None:
        self.turns += 1
        if strand.line is None:
            self.strands.remove(strand)
            strand.what()
            return
        self.current = strand
        strand.alarm = None
        strand.line.parent = self.main
        with suppress(Killed):
            strand.line.switch()
        self.current = None
        if strand.line.dead and strand in self.strands:
            self.strands.remove(strand)
