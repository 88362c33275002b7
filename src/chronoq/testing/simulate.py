"""What the schedules of an application will do: the true engine in virtual time, with no handler called."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count

from attrs import field, frozen

from chronoq.adapters.memory.people import MemoryLock
from chronoq.adapters.memory.queue import MemoryQueue
from chronoq.adapters.memory.room import Room
from chronoq.adapters.memory.store import MemoryStore
from chronoq.api.scheduler import Scheduler
from chronoq.api.task import Task
from chronoq.app.ticker import Ticker
from chronoq.domain.errors import Invalid
from chronoq.domain.job import Claim
from chronoq.domain.ports import Fired
from chronoq.domain.schedule import Firing, Happened, Outcome, planned
from chronoq.domain.time import ZERO, Duration, aware, duration
from chronoq.domain.verdict import Done

_AGE = timedelta(days=36_500)
_BATCH = 1_000


@frozen
class Run:
    """One run of a schedule: the nominal time it stands for, and when it ran."""

    schedule: str
    nominal: datetime
    start: datetime
    end: datetime


@frozen
class Skip:
    """Nominal times of a schedule that made no run, and why. `count` None: unknown how many, up to `last`."""

    schedule: str
    nominal: datetime
    why: Happened
    last: datetime | None = None
    count: int | None = 1


@frozen
class Timeline:
    """What happened between `start` and `until`. Runs under way at the end have an `end` after it."""

    start: datetime
    until: datetime
    runs: tuple[Run, ...]
    skips: tuple[Skip, ...]

    @property
    def fires(self) -> Counter[str]:
        """How many runs each schedule made."""
        return Counter(run.schedule for run in self.runs)

    @property
    def skipped(self) -> Counter[str]:
        """How many entries of `skips` each schedule has."""
        return Counter(skip.schedule for skip in self.skips)

    def of(self, schedule: str) -> list[Run]:
        return [run for run in self.runs if run.schedule == schedule]

    @property
    def overlaps(self) -> list[tuple[Run, Run]]:
        """Pairs of runs of the same schedule, the second begun before the first had ended."""
        found: list[tuple[Run, Run]] = []
        going: dict[str, list[Run]] = defaultdict(list)
        for run in self.runs:
            earlier = [one for one in going[run.schedule] if one.end > run.start]
            found += [(one, run) for one in earlier]
            going[run.schedule] = [*earlier, run]
        return found

    @property
    def busiest(self) -> tuple[datetime, int] | None:
        """The first moment at which the most runs were going on, and how many; None without runs."""
        changes = Counter[datetime]()
        for run in self.runs:
            if run.end > run.start:
                changes[run.start] += 1
                changes[run.end] -= 1
        instants = Counter(run.start for run in self.runs if run.end == run.start)
        best: tuple[datetime, int] | None = None
        going = 0
        for moment in sorted({*changes, *instants}):
            going += changes[moment]
            if best is None or going + instants[moment] > best[1]:
                best = (moment, going + instants[moment])
        return best


@frozen
class _Recorder(MemoryStore):
    """Keeps what was skipped."""

    skips: list[Skip] = field(factory=list)

    def fire(self, firings: Sequence[Firing], *, fence: int | None, now: datetime) -> list[Fired]:
        answers = super().fire(firings, fence=fence, now=now)
        for firing, answer in zip(firings, answers, strict=True):
            if answer is Fired.YES:
                self.skips.extend(_skips(firing.id.key, firing.outcomes))
        return answers


def simulate(
    app: Scheduler,
    start: datetime,
    until: datetime,
    durations: "Mapping[Task[..., object, object] | str, Duration] | None" = None,
    *,
    slots: int | None = None,
) -> Timeline:
    """The timeline of the schedules that `app` declares, as if they were first saved at `start`.

    `durations`: how long a run of a task takes, by task or its name; nothing, unless it is said.
    `slots`: how many runs at a time the workers can take; any number by default. No handler is called,
    and the application's own backend is not touched.
    """
    begin, end = aware(start, name="start"), aware(until, name="until")
    if end < begin:
        raise Invalid(f"simulate: until={end} is before start={begin}.")
    lengths = {key if isinstance(key, str) else key.name: duration(d) for key, d in (durations or {}).items()}
    for name in lengths:
        if app.tasks.find(name) is None:
            raise Invalid(
                f"simulate: durations names the task {name!r}, which is not registered.{app.tasks.hint(name)}"
            )
    return _Stage(app, lengths, slots).play(begin, end)


class _Stage:
    """A store, a queue and a ticker; and workers who only count time."""

    def __init__(self, app: Scheduler, lengths: Mapping[str, timedelta], slots: int | None) -> None:
        self.room = Room()
        self.queue = MemoryQueue(self.room)
        self.store = _Recorder(self.room)
        self.schedules = list(app.declared.schedules.values())
        self.names = sorted({schedule.id.queue for schedule in self.schedules})
        self.ticker = Ticker(self.queue, self.store, MemoryLock(), "simulation", _AGE, self.names)
        self.length: Callable[[str], timedelta] = lambda task: lengths.get(task, ZERO)
        self.slots = slots
        self.going: list[tuple[datetime, int, Claim, datetime]] = []
        self.order = count()
        self.runs: list[Run] = []

    def play(self, start: datetime, until: datetime) -> Timeline:
        for schedule in self.schedules:
            _, cursor = planned(None, schedule, now=start)
            self.store.put(schedule, cursor=cursor, expected=None, now=start)
        now: datetime | None = start
        while now is not None and now <= until:
            self._instant(now)
            now = self._next()
        for end, _, claim, began in sorted(self.going, key=lambda one: one[1]):
            self._ran(claim, began, end)
        runs = sorted(self.runs, key=lambda run: (run.start, run.nominal, run.schedule))
        return Timeline(start, until, tuple(runs), tuple(self.store.skips))

    def _instant(self, now: datetime) -> None:
        """Settle what has ended, fire what is due, start what fits, until nothing changes at this moment."""
        moved = True
        while moved:
            moved = False
            while self.going and self.going[0][0] <= now:
                end, _, claim, began = heappop(self.going)
                self.queue.settle([(claim, Done())], now=now)
                self._ran(claim, began, end)
                moved = True
            if any(True for _ in self._wakes(now)):
                self.ticker.wake(self.names)
                self.ticker.step(now)
                moved = True
            moved |= self._claim(now)

    def _claim(self, now: datetime) -> bool:
        free = _BATCH if self.slots is None else min(_BATCH, self.slots - len(self.going))
        ready = [name for name in self.names if any(self.room.shelves[name].ready)]
        if free < 1 or not ready:
            return False
        claims = self.queue.claim([(ready[0], free)], worker="simulation", lease=_AGE, now=now).claims
        at_once = []
        for claim in claims:
            length = self.length(claim.job.task)
            if length == ZERO:
                at_once.append((claim, Done()))
                self._ran(claim, now, now)
            else:
                heappush(self.going, (now + length, next(self.order), claim, now))
        if at_once:
            self.queue.settle(at_once, now=now)
        return bool(claims)

    def _wakes(self, now: datetime) -> Iterator[datetime]:
        for name in self.names:
            wake = self.room.shelves[name].next_moment()
            if wake is not None and wake <= now:
                yield wake

    def _next(self) -> datetime | None:
        moments = [self.room.shelves[name].next_moment() for name in self.names]
        if self.going:
            moments.append(self.going[0][0])
        return min((moment for moment in moments if moment is not None), default=None)

    def _ran(self, claim: Claim, start: datetime, end: datetime) -> None:
        origin = claim.job.origin
        assert origin is not None
        self.runs.append(Run(origin.schedule.key, origin.nominal, start, end))


def _skips(schedule: str, outcomes: Sequence[Outcome]) -> Iterator[Skip]:
    for one in outcomes:
        if one.what is not Happened.FIRED:
            yield Skip(schedule, one.nominal, one.what, one.last, one.count)
