"""The jobs in a worker's hands: claimed and waiting, running, or finished and not settled yet."""

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event

from attrs import define, field

from chronoq.app.context import Context
from chronoq.domain.job import Claim
from chronoq.domain.time import EPOCH, ZERO
from chronoq.domain.verdict import Verdict

ALLOWANCE = 25e-6
"""Seconds, twice as long as a run takes that does nothing."""


class Run:
    """One claim on its way through a worker."""

    __slots__ = (
        "claim",
        "context",
        "deadline",
        "ended",
        "given_up",
        "interrupt",
        "on_thread",
        "started",
        "stopping",
        "until",
    )

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.context = Context(claim)
        self.until = claim.expires_at
        self.started: datetime | None = None
        self.deadline: datetime | None = None
        self.ended: datetime | None = None
        self.interrupt: Callable[[], None] | None = None
        self.on_thread = False
        self.given_up = False
        self.stopping = False

    def ask_to_stop(self) -> None:
        """Let the handler know; a coroutine is cancelled."""
        self.stopping = True
        self.context.ask_to_stop()
        if self.interrupt:
            self.interrupt()


@define
class Pace:
    """How many jobs to hold for each slot: about `HOLD` of work, by the durations seen lately."""

    mean: float = 1.0
    """Seconds that a job takes, of those lately; one that ends at once counts as none."""
    delay: float = 1e-3
    """The same, but none counts for more than `LONG`: by then another thread is woken beside the one that runs it."""

    HOLD = 0.05
    TOO_MUCH = 2.0
    DEEPEST = 200
    SHORT = 0.005
    INSTANT = timedelta(microseconds=150)
    """A clock may tell the time in steps of a hundred."""
    LONG = 1e-3
    LITTLE = 20e-6

    def saw(self, length: timedelta) -> None:
        # of the last ten; of the last hundred where all are short: one whose thread had to wait for the
        # others would else count for more than it is
        weight = 0.1 if self.mean > self.SHORT else 0.01
        if length < self.INSTANT:
            self.mean -= self.mean * weight
            self.delay -= self.delay * 0.01
        else:
            seconds = length.total_seconds()
            self.mean += (seconds - self.mean) * weight
            self.delay += (min(seconds, self.LONG) - self.delay) * 0.01

    def saw_longer(self, length: timedelta) -> None:
        """Something runs that long already: hold no more than fits, whatever was seen before."""
        self.mean = max(self.mean, length.total_seconds())
        self.delay = self.LONG

    def forget(self) -> None:
        """Take jobs for such that end at once, until the first one that does not."""
        self.delay = 0.9 * self.LITTLE

    @property
    def instant(self) -> bool:
        """Whether nearly all end at once: threads that run such would only take the interpreter from each other.

        Among them a few that wait for something are enough to make it worth while. A single one that takes long is
        not: on a busy machine a thread may stand still for milliseconds, whatever it runs.
        """
        return self.delay < self.LITTLE

    @property
    def depth(self) -> int:
        return max(1, min(self.DEEPEST, int(self.HOLD / max(self.mean, 1e-6))))


@define
class Hands:
    """Whoever takes a run out of `held` first decides its verdict; what comes later is dropped."""

    slots: int
    changed: Callable[[], None] = lambda: None
    through: Event = field(factory=Event)
    """Set when nothing is held any more, or when it is not worth while to wait for that."""
    held: set[Run] = field(factory=set)
    ending: set[Run] = field(factory=set)
    """On their way from `held` to `outbox`."""
    outbox: deque[tuple[Claim, Verdict]] = field(factory=deque)
    pace: Pace = field(factory=Pace)
    moved: datetime = EPOCH
    """When a run ended last."""
    done: int = 0
    failed: int = 0

    def free_slots(self, *, adrift: int = 0, laden: bool = False) -> int:
        """How many more to hold. `adrift`: slots whose handler goes on although its run was given up. `laden`: hold
        no more than runs."""
        return max(0, (self.slots - adrift) * (1 if laden else self.pace.depth) - len(self.held))

    @property
    def weight(self) -> int:
        """The bytes of all that is held."""
        return sum(len(run.claim.job.payload) for run in list(self.held))

    @property
    def half(self) -> int:
        """How many to bring at once: one for each slot, or half of what is held of short ones.

        So one half runs while the other one is on its way.
        """
        return max(self.slots, self.slots * self.pace.depth // 2)

    @property
    def overfull(self) -> bool:
        """Whether what is held makes more than `Pace.TOO_MUCH` for each slot: the jobs are longer than they seemed."""
        return len(self.held) * self.pace.mean > self.slots * self.pace.TOO_MUCH

    @property
    def empty(self) -> bool:
        """Whether nothing is held and no verdict waits; asked in the order in which a run moves."""
        return not (self.held or self.ending or self.outbox)

    def take(self, claim: Claim) -> Run:
        run = Run(claim)
        self.held.add(run)
        return run

    def finish(self, run: Run, verdict: Verdict, *, now: datetime) -> bool:
        """Put the verdict out for settling. False: somebody else has decided before."""
        held, ending = self.held, self.ending
        ending.add(run)
        try:
            held.remove(run)
        except KeyError:
            ending.discard(run)
            return False
        self.pace.saw(now - run.started if run.started else ZERO)
        self.moved = now
        self.outbox.append((run.claim, verdict))
        ending.discard(run)
        if not held:
            self.through.set()
        self.changed()
        return True

    def breathe(self, many: int) -> None:
        """Wait until nothing is held, if all end at once: for as long as `many` of those may take."""
        if self.pace.instant:
            self.stand_aside(many * ALLOWANCE)

    def stand_aside(self, seconds: float) -> None:
        """Wait until nothing is held, or so long: a thread that has handed something over is in its way."""
        self.through.clear()
        if self.held:
            self.through.wait(seconds)

    def drop(self, run: Run) -> bool:
        """Let go without a verdict. False: it is not held any more."""
        try:
            self.held.remove(run)
        except KeyError:
            return False
        return True
