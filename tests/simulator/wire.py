"""The line between a process and the store.

A call may be answered, lost before or after it was carried out, come late or twice; and the process may stand
still in the middle of it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import frozen

from chronoq.domain.identity import Identity
from chronoq.domain.job import Claim, Job
from chronoq.domain.ports import Claimed, nothing
from chronoq.domain.schedule import Cursor, Firing, Schedule
from chronoq.domain.stream import Stream
from chronoq.domain.verdict import Dead, Done, Retry, Snooze
from chronoq.testing.outage import lost
from tests.simulator.hub import Killed, Process

if TYPE_CHECKING:
    from tests.simulator.world import World

MS = timedelta(milliseconds=1)
DELAYS = (0 * MS, 0 * MS, MS, 20 * MS, 300 * MS)
LATE = (0 * MS, MS, 300 * MS, 3_000 * MS, 12_000 * MS)
CHANGES = frozenset({"settle", "fire", "put", "release", "extend"})
"""Verbs whose answers matter most: they are met by twice as many faults."""


@frozen
class Weather:
    """How often a call fails, and how often others go on while it is under way."""

    faults: float
    detours: float


class Wire:
    """One port as one process sees it: it has the verbs of the true one, each made when it is first asked for."""

    def __init__(self, world: World, process: Process, true: Any) -> None:
        self.world = world
        self.process = process
        self.true = true

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        getattr(self.true, verb)  # only what there is
        call = self.call

        def called(*args: Any, meanwhile: Callable[[], None] = nothing, **kwargs: Any) -> Any:
            if self.process.alive:
                meanwhile()  # by the caller itself: no fault of the way there or back touches it
            return call(verb, args, kwargs)

        self.__dict__[verb] = called
        return called

    def wait_ready(self, queues: Any, *, timeout: timedelta) -> None:
        """A hint comes at some time."""
        self.world.hub.sleep(self.world.hub.chance.choice((20 * MS, timeout)))

    def wait_claim(self, wants: Any, *, timeout: timedelta, lease: timedelta, **kwargs: Any) -> Any:
        """The wait is slept here; the claim then comes as it was sent, with the time at which that was."""
        hub = self.world.hub
        hub.sleep(hub.chance.choice((0 * MS, MS, 20 * MS, timeout / 2, timeout)))
        return self.call("claim", (wants,), {"lease": timeout + lease, **kwargs})

    def call(self, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        world, process = self.world, self.process
        hub = world.hub
        if not process.alive:
            raise Killed
        if world.calm or hub.current is None:
            return self.carry_out(verb, args, kwargs)
        chance, weather = hub.chance, world.weather
        if process.cut > hub.now:
            process.troubled = hub.now
            hub.sleep(chance.choice(DELAYS))
            world.note("%s %s: cut off", process.name, verb)
            raise lost(verb, args, after=False)
        draw, faults = chance.random(), weather.faults
        if verb in CHANGES or kwargs.get("verdicts"):
            faults *= 2
        if draw >= faults:
            if draw < faults + weather.detours:
                hub.sleep(chance.choice(DELAYS))
                answer = self.carry_out(verb, args, kwargs)
                if chance.random() < 0.5:
                    hub.sleep(chance.choice(DELAYS))
                return answer
            return self.carry_out(verb, args, kwargs)
        process.troubled = hub.now
        fate = chance.randrange(5)
        if fate == 3:
            return self.twice(verb, args, kwargs)
        if fate == 4:
            world.note("%s stands still before its %s", process.name, verb)
            world.freeze(process)
            hub.sleep(0 * MS)
            return self.carry_out(verb, args, kwargs)
        hub.sleep(chance.choice(DELAYS))
        world.note("%s %s: %s", process.name, verb, ("lost", "its answer is lost", "comes late")[fate])
        if fate == 1:
            self.carry_out(verb, args, kwargs)
        elif fate == 2:
            hub.later(chance.choice(LATE), lambda: self.carry_out(verb, args, kwargs), name=f"late {verb}")
        process.troubled = hub.now
        raise lost(verb, args, after=fate > 0)

    def twice(self, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same call arrives again: at once, and the second answer is heard; or at some later time."""
        hub = self.world.hub
        self.world.note("%s %s: comes twice", self.process.name, verb)
        answer = self.carry_out(verb, args, kwargs)
        if hub.chance.random() < 0.5:
            hub.sleep(hub.chance.choice(DELAYS))
            return self.carry_out(verb, args, kwargs)
        hub.later(hub.chance.choice(LATE), lambda: self.carry_out(verb, args, kwargs), name=f"second {verb}")
        return answer

    def carry_out(self, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        answer = getattr(self.true, verb)(*args, **kwargs)
        if self.world.traced:
            self.world.note("%s %s %s: %s", self.process.name, verb, words(args, kwargs), brief(answer))
        self.world.checker.saw(verb, args, kwargs, answer, self.process)
        return answer


def words(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """What was asked, in short; the time last."""
    told = [brief(one) for one in args]
    told += [f"{name}={brief(value)}" for name, value in kwargs.items() if value is not None]
    return " ".join(told)


def brief(value: Any) -> str:
    """A value of the domain as a trace shows it."""
    match value:
        case datetime():
            return f"{value:%H:%M:%S.%f}"[:-3]
        case Job():
            return f"{value.id}/{value.task}{value.payload.decode()}"
        case Claim():
            return f"{value.id}#{value.token}<{value.crashes}>({value.worker} to {brief(value.expires_at)})"
        case Claimed():
            return brief(value.claims)
        case Identity() | StrEnum():
            return str(value)
        case Firing():
            return f"{value.id} {brief(value.cursor)} {brief(value.jobs)}"
        case Cursor():
            return f"v{value.version} next={brief(value.next)} held={value.held} pause={value.pause}"
        case Schedule():
            return f"{value.id} {value.rhythm} {value.policy.overlap} {value.payload.decode()}"
        case Done() | Retry() | Snooze() | Dead():
            return f"{type(value).__name__}{' crash' if getattr(value, 'crash', False) else ''}"
        case list() | tuple() | Stream():
            return f"[{', '.join(map(brief, value))}]"
    return str(value)
