"""Many strands of work in virtual time, one after the other, in an order that a seed decides.

A strand is what a thread is in production. It runs until it waits, and can be cut off wherever it waits;
a port call is such a place. Nothing sleeps, and the same seed makes the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from random import Random
from typing import TypeVar

from attrs import define, field
from greenlet import getcurrent, greenlet

from chronoq.domain.time import ZERO

T = TypeVar("T")

AT_ONCE = 5_000
"""Turns within one moment after which the run is said to go round in circles."""


class Killed(BaseException):
    """Leaves a strand whose process is gone."""


ENDED = suppress(Killed)


class Chance(Random):
    """Draws what `Random` draws, from what is not empty, in less time."""

    def choice(self, seq: Sequence[T]) -> T:  # type: ignore[override]
        many = len(seq)
        bits = many.bit_length()
        drawn = self.getrandbits(bits)
        while drawn >= many:
            drawn = self.getrandbits(bits)
        return seq[drawn]


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
        return self.hub.now - self.lag if self.lag else self.hub.now

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
                with ENDED:
                    strand.line.throw(Killed)
        if any(strand.line is me for strand in mine):
            me.parent = self.hub.main  # type: ignore[assignment]
            raise Killed


def running() -> Strand:
    """The strand that runs here."""
    return getcurrent().strand  # type: ignore[attr-defined, no-any-return]


class Alarm:
    """A `threading.Event` for one who waits on a strand."""

    __slots__ = ("rings",)

    def __init__(self) -> None:
        self.rings = False

    def is_set(self) -> bool:
        return self.rings

    def set(self) -> None:
        self.rings = True

    def clear(self) -> None:
        self.rings = False


class Strand:
    """Something to go on with at a moment, or earlier when its alarm is set."""

    __slots__ = ("alarm", "at", "line", "name", "process", "what")

    def __init__(
        self, name: str, process: Process | None, at: datetime, what: Callable[[], None], *, waits: bool
    ) -> None:
        self.name = name
        self.process = process
        self.at = at
        self.alarm: Alarm | None = None
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
    current: Strand | None = None
    following: Strand | None = None
    end: datetime = field(init=False)
    over: Callable[[], bool] = field(init=False)
    halted: bool = False
    """Whether nothing more is to happen, in the middle of a step or not."""
    at_once: int = 0

    def halt(self) -> None:
        self.halted = True

    def spawn(self, name: str, process: Process | None, what: Callable[[], None]) -> Strand:
        """A strand that may wait, to begin at this moment."""
        strand = Strand(name, process, self.now, what, waits=True)
        assert strand.line is not None
        strand.line.parent = self.main
        self.strands.append(strand)
        return strand

    def later(self, delay: timedelta, what: Callable[[], None], *, name: str = "") -> None:
        """Do something that does not wait, after `delay`."""
        self.strands.append(Strand(name, None, self.now + delay, what, waits=False))

    def sleep(self, delay: timedelta, alarm: Alarm | None = None) -> None:
        """Let the others go on; from within a strand only."""
        strand = self.current
        assert strand is not None
        strand.at = self.now + delay
        strand.alarm = alarm
        following = self.following = self._pick()
        if following is strand:
            strand.alarm = None
        elif following is None or following.line is None:
            self.main.switch()
        else:
            self.current = following
            following.alarm = None
            following.line.switch()

    def go(self, end: datetime, over: Callable[[], bool]) -> bool:
        """Go on until `over()` or `end`. Whether it was over."""
        self.end, self.over, self.at_once = end, over, 0
        self.following = self._pick()
        while (strand := self.following) is not None:
            if strand.line is None:
                self.strands.remove(strand)
                strand.what()
                self.following = self._pick()
                continue
            self.current = strand
            strand.alarm = None
            with ENDED:
                strand.line.switch()
            last, self.current = self.current, None
            if last is not None and last.line is not None and last.line.dead:
                if last in self.strands:
                    self.strands.remove(last)
                self.following = self._pick()
        if self.at_once > AT_ONCE:
            raise Circles(f"round in circles at {self.now}: {[one.name for one in self.strands]}")
        return over()

    def _pick(self) -> Strand | None:
        """Who is next, at the moment that time moves on to; None when the run is over, or at its end."""
        if self.halted or self.over() or self.at_once > AT_ONCE:
            return None
        now, first = self.now, self.end
        nearest: list[Strand] = []
        for strand in self.strands:
            at = strand.at
            if at > now:
                if strand.alarm is not None and strand.alarm.rings:
                    at = now
                elif at > first:
                    continue
            process = strand.process
            if process is not None and process.frozen > at:
                at = process.frozen
            if at < now:
                at = now
            if at < first:
                first, nearest = at, [strand]
            elif at == first:
                nearest.append(strand)
        if first > now:
            self.now, self.at_once = first, 0
            if first >= self.end or self.over():
                return None
        self.at_once += 1
        return nearest[int(self.chance.random() * len(nearest))]


class Gate:
    """A `threading.Condition` for strands, of which one at a time goes on."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.alarm = Alarm()

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def notify(self) -> None:
        self.alarm.set()

    def wait_for(self, done: Callable[[], bool], timeout: float) -> None:
        end = self.hub.now + timedelta(seconds=timeout)
        while not done() and self.hub.now < end:
            self.alarm.clear()
            self.hub.sleep(end - self.hub.now, self.alarm)
