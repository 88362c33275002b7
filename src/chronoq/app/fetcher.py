"""The worker's actor between the queue and the hands: settles what ended, claims what fits."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from threading import Condition, Event

from attrs import Factory, define, field

from chronoq.app.executors import Executor, Host
from chronoq.app.hands import Hands, Run
from chronoq.app.leased import leased
from chronoq.app.settler import MOST, Settler
from chronoq.app.tasks import Registry
from chronoq.domain.errors import BackendError
from chronoq.domain.job import Claim
from chronoq.domain.ports import Clock, QueuePort
from chronoq.domain.time import EPOCH, to_ms

POLL = timedelta(seconds=2)
"""How long an idle worker goes without looking: a lost wake-up costs at most this, or as long as a long poll waits."""

LATE = timedelta(seconds=1)
"""How long after the end of its wait a long poll that is not back keeps what is reserved for it."""

CLAIMED = timedelta(seconds=1)
"""How long the long poll waits for a claim that is under way to come back."""

MUCH = 16_000_000
"""Bytes in hand from which on no more is held than runs."""

PATIENCE = timedelta(milliseconds=100)
"""How long jobs wait in hand while nothing ends before they are given back: others may have slots free."""


@define
class Fetcher:
    """Settles, claims and hands over.

    A job that lost a worker before is a suspect. It runs alone: nothing else is in hand, not even
    another suspect, so that poison convicts itself and nobody is charged twice for what it does.
    """

    queue: QueuePort
    queues: Sequence[str]
    hands: Hands
    registry: Registry
    threads: Host
    coroutines: Executor
    worker: str
    lease: timedelta
    processes: Executor | None = None
    listen: Callable[[], None] = lambda: None
    """Ask to be woken when there is work."""
    breathe: Callable[[int], None] = lambda many: None
    """Let so many runs end first, if they are of those that end at once."""
    settler: Settler = field(default=Factory(lambda self: Settler(self.queue, self.hands), takes_self=True))
    heard: bool = True
    stopping: bool = False
    suspect: Run | None = None
    isolated: bool = False
    """Whether all else has ended or gone back, and the suspect was let off."""
    wary: bool = False
    """After a suspect, jobs are claimed one at a time until one is none: suspects come in crowds."""
    laden: bool = False
    """Since a claim was cut short for its weight, as long as there is `MUCH` in hand."""
    returning: list[Run] = field(factory=list)
    """Not to be started here; held until the queue has taken them back, for no lease may lapse meanwhile."""
    turn: int = 0
    fed: datetime = EPOCH
    """When something was handed over last while nothing waited."""
    drained: Event = field(factory=Event)
    """Set when it is stopping and nothing is in hand any more."""
    fresh: Sequence[Claim] = ()
    """Granted, and not looked at before the next claim is under way."""
    awaited: datetime | None = None
    """When something comes due or a pause ends, by the last look that told."""
    idle: bool = False
    """Whether the last look found nothing to claim, with every queue asked and nothing in hand."""

    unanswered: list[datetime] = field(factory=list)
    """When the leases end that a claim may have granted whose answer never came."""

    # what the long poll shares with it, in a thread of its own
    guard: Condition = field(factory=Condition)
    asked: int = 0
    """How many are being claimed. Told of by `guard` when they have come."""
    reserved: int = 0
    """How many the long poll may bring."""
    out: datetime | None = None
    """When the leases end that the long poll may be granted, while it is out."""
    brought: deque[Run] = field(factory=deque)
    """By the long poll, and not to be started without a look at what else is in hand."""
    missing: deque[tuple[datetime, datetime]] = field(factory=deque)
    """From when on nothing more is granted to a long poll whose answer never came, and when its leases end."""
    called: datetime | None = None
    """When it was told to stop, and the long poll was called back."""
    ended: bool = False
    """Whether no step will be taken any more."""

    def step(self, now: datetime) -> datetime:
        """Settle and claim what fits. The next look is due with the next delayed job; at `POLL` at the latest, or
        when the long poll has to be back."""
        if self.stopping and self._waited_enough(now):
            self.drained.set()
            return now + POLL
        while self.missing and (self.stopping or self.missing[0][0] <= now):
            self.unanswered.append(self.missing.popleft()[1])
        if self.unanswered or self.returning or self.brought:
            self._take_in(now)
        if self.unanswered:
            self.settler.settle(now)
            self._recover(now)
        if self.stopping:
            return self._wind_down(now)
        if self.suspect in self.hands.held:
            self.settler.settle(now)
            return self._isolate(now)
        self._unburden(now)
        self._return(now)
        if (back := self._looked_for(now)) is not None:
            return min(self.awaited or back, back)
        free = self._ask(now)
        # a claim of none takes in what is fresh, and has others hear of what is due, the long poll too
        if not (free or self.heard or self.fresh or self.out):
            self.settler.settle(now)
            return self._rest(now)
        self.heard = False
        granted: Sequence[Claim] = ()
        try:
            granted, following, more = self._claim(free, now)
        finally:
            self._take_in(now)  # what was fresh, if there was no meanwhile
            with self.guard:
                self.fresh, self.asked = granted, 0
                self.guard.notify()
        found = len(granted)
        self._weigh(more=more)
        self.idle = self.out is None and not found and self.hands.empty
        if found < free and not more:
            self.listen()
        elif self._free and not self.wary:
            return now  # there is more: it comes while these are looked at, and run
        self._take_in(now)
        if self.suspect in self.hands.held:
            return self._isolate(now)
        if self.wary and found:
            self.wary, self.heard = False, True
            return now
        self.awaited, rest = following, self._rest(now)
        return min(following or rest, rest)

    def _looked_for(self, now: datetime) -> datetime | None:
        """When the long poll has to be back, if its looks are enough until then: nothing is in hand, nothing was
        heard, and nothing is about to come due."""
        back = self._back
        if back is None or back <= now or not self.hands.empty or self.heard or self.fresh or self.wary:
            return None
        return None if self.awaited is not None and self.awaited <= now else back

    def _waited_enough(self, now: datetime) -> bool:
        """Whether one with nothing in hand no longer waits for what it may have been granted besides."""
        self.called = self.called or now
        return self.called + POLL <= now and not self.fresh and self.hands.empty

    def _wind_down(self, now: datetime) -> datetime:
        """The step of a worker that stops."""
        self._take_in(now)
        self.settler.settle(now)
        self.give_back(now)
        # in this order: what the long poll is granted, or fails to hear of, is noted before it is back
        coming = self.out is not None or self.missing or self.unanswered
        if not coming and self.hands.empty:
            self.drained.set()
        return now + POLL

    def _ask(self, now: datetime) -> int:
        """How many to claim now; the long poll counts them as taken."""
        with self.guard:
            back = self._back
            if back is not None and back <= now:
                self.reserved = 0
            self._weigh()
            self.asked = min(self._free, 1 if self.wary else self.hands.half, MOST)
            return self.asked

    def _weigh(self, *, more: bool = False) -> None:
        """`more`: a claim was cut short. Without such a one what is in hand is light, and need not be looked at."""
        self.laden = (more or self.laden) and self.hands.weight > MUCH

    @property
    def _free(self) -> int:
        """How many more jobs to hold."""
        slots = self.hands.free_slots(adrift=self.threads.adrift, laden=self.laden)
        return max(0, slots - len(self.fresh) - self.reserved)

    def reserve(self, many: int, lasting: timedelta, clock: Clock) -> datetime | None:
        """Keep so many slots for the long poll, which goes out at the moment that is answered, and may be granted
        leases that last so long. None: stay at home.

        While all that is free is being claimed, it waits for what comes of that.
        """
        with self.guard:
            self.guard.wait_for(lambda: not self.asked, CLAIMED.total_seconds())
            taken = len(self.hands.held) + len(self.fresh) + self.asked
            if self._particular or self.hands.slots - self.threads.adrift - taken < many:
                return None
            now = clock.now()
            self.reserved, self.out = many, now + lasting
            if self.stopping:  # asked last: whoever stops, and sees nobody out, has said so before
                self.reserved, self.out = 0, None
                return None
            return now

    def bring(self, claims: Sequence[Claim], clock: Clock) -> None:
        """The long poll is back. What it was granted starts at once, unless something else in hand forbids it."""
        if claims:
            self.idle = False
        runs = [self.hands.take(claim) for claim in claims]
        with self.guard:
            self.reserved, self.out = 0, None
        # any thread may hand it over, but no suspect, and nothing to the processes, of which one makes new ones
        plain, places = True, list[Executor]()
        for run in runs:
            places.append(self._executor(run))
            plain = plain and not run.claim.crashes and places[-1] is not self.processes
        # asked after it was taken: whoever finds nothing in hand and decides by that has said so before
        if self.stopping or self._particular or not plain:
            self.brought.extend(runs)
            if self.ended:
                self.give_up(clock.now())
        elif len(runs) != 1 or places[0] is not self.threads or not self.threads.run_here(runs[0]):
            for run, place in zip(runs, places, strict=True):
                place.give([run])
            self.fed = clock.now()

    @property
    def _particular(self) -> bool:
        """Whether there is a suspect in hand, or may be one in whatever comes."""
        return self.wary or self.suspect in self.hands.held

    def give_up(self, now: datetime) -> None:
        """No step will be taken any more: what the long poll has brought goes back."""
        self.ended = True
        late = [run for run in list(self.brought) if self.hands.drop(run)]
        if late:
            self.queue.release([run.claim for run in late], now=now)

    def _rest(self, now: datetime) -> datetime:
        """The next look, when nothing calls for one before. The long poll looks too, when it is back."""
        back = self._back
        return self._moved + PATIENCE if self._full else back if back and back > now else now + POLL

    @property
    def _back(self) -> datetime | None:
        """When the long poll has to be back, while it is out. Later, its connection may have died in silence."""
        out = self.out
        return None if out is None else out - self.lease + LATE

    @property
    def _full(self) -> bool:
        """Whether something may wait in hand, because every slot is taken."""
        return len(self.hands.held) > self.hands.slots - self.threads.adrift

    @property
    def _moved(self) -> datetime:
        return max(self.fed, self.hands.moved)

    def _unburden(self, now: datetime) -> None:
        """Taken for short ones, or held up by long ones: what has not started is for whoever is free."""
        if not self._full or self.fresh:  # what is fresh comes after what is in hand, and goes back behind it
            return
        stands = self._moved + PATIENCE <= now
        if not stands and not self.hands.overfull:
            return
        stuck, length = self._unstarted(), now - self._moved
        self.returning += stuck
        if stands:
            self.fed = now
            if stuck:
                self.hands.pace.saw_longer(length)

    def give_back(self, now: datetime) -> None:
        """Return what has not started, to the front of its queue."""
        self.returning += self._unstarted()
        if self.suspect is not None and not self.isolated:
            self.returning.append(self.suspect)
            self.suspect = None
        self._return(now)

    def _claim(self, free: int, now: datetime) -> tuple[Sequence[Claim], datetime | None, bool]:
        """Split `free` slots over the queues in rotation; go on with those that gave all they were asked for, unless
        some stayed behind for their weight, which is told last.

        What waits in the outbox is settled on the way, in the same round trip as the first claim. What the
        last one has granted is taken in while that is under way.
        """
        while len(self.hands.outbox) > MOST:
            self.settler.settle(now)
        found: Sequence[Claim] = ()
        nexts: list[datetime] = []
        more = False
        names = deque(self.queues)
        names.rotate(-self.turn)
        self.turn = (self.turn + 1) % len(names)
        asked = list(names)
        while asked:
            left = free - len(found)
            share, extra = divmod(left, len(asked))
            wants = [(name, share + (place < extra)) for place, name in enumerate(asked)]
            batch = self.settler.batch()
            try:
                with self.settler.settling(batch) as answers:
                    claimed = self.queue.claim(
                        wants,
                        worker=self.worker,
                        lease=self.lease,
                        now=now,
                        verdicts=batch,
                        meanwhile=partial(self._meanwhile, len(batch), now),
                    )
                    answers += claimed.settled
            except BackendError:
                self.unanswered = [end for end in self.unanswered if end > now] + [now + self.lease]
                if not found:
                    raise
                break  # what was granted before is ours, and has to run
            found = [*found, *claimed.claims] if found else claimed.claims
            if claimed.next:
                nexts.append(claimed.next)
            more = claimed.more
            if more or len(found) >= free:
                break
            got = Counter(claim.id.queue for claim in claimed.claims)
            asked = [name for name, want in wants if got[name] == want]
        return found, min(nexts, default=None), more

    def _recover(self, now: datetime) -> None:
        """Give back what a claim has leased whose answer was lost: nobody has started it."""
        out = self.out  # before what is held: what the long poll is granted is one or the other
        ends = {to_ms(end) for end in self.unanswered if end != out}
        # in the order in which a run moves, so that none is missed on its way
        held = {run.claim.id for run in (*self.hands.held, *self.hands.ending)}
        held |= {claim.id for claim, _ in list(self.hands.outbox)}
        for name in self.queues:
            found = leased(self.queue, name, worker=self.worker, now=now)
            if claims := [one for one in found if to_ms(one.expires_at) in ends and one.id not in held]:
                self.queue.release(claims, now=now)
        self.unanswered = [end for end in self.unanswered if end == out]

    def _meanwhile(self, asked: int, now: datetime) -> None:
        """Hand over what the last claim granted, and let it run: the next answer can wait for that moment.

        If all has ended then, its verdicts are prepared, too. They come behind those that were `asked` about.
        """
        many = len(self.fresh)
        self._take_in(now)
        if many:
            self.breathe(many)
            if not self.hands.held:
                self.settler.prepare(asked, now)

    def _take_in(self, now: datetime) -> None:
        """Look at what was granted: it starts, or, beside a suspect, goes back."""
        fresh, self.fresh = self.fresh, ()
        runs = [self.brought.popleft() for _ in range(len(self.brought))]
        runs += [self.hands.take(claim) for claim in fresh]
        suspect = next((run for run in runs if run.claim.crashes), None)
        if self.stopping or self.suspect in self.hands.held:
            self.returning += runs
        elif suspect is not None:
            self._arrest(suspect, runs)
        elif runs:
            self._give(runs, now)

    def _give(self, runs: Sequence[Run], now: datetime) -> None:
        if len(self.hands.held) - len(runs) <= self.hands.slots:
            self.fed = now
        batches: dict[int, tuple[Executor, list[Run]]] = {}
        places: dict[str, list[Run]] = {}
        for run in runs:
            place = places.get(run.claim.job.task)
            if place is None:
                executor = self._executor(run)
                place = places[run.claim.job.task] = batches.setdefault(id(executor), (executor, []))[1]
            place.append(run)
        for executor, batch in batches.values():
            executor.give(batch)

    def _arrest(self, suspect: Run, runs: Sequence[Run]) -> None:
        """Keep the one suspect; what came with it, and what has not started, goes back to where it stood."""
        self.suspect, self.isolated, self.wary = suspect, False, True
        self.returning += [*self._unstarted(), *(run for run in runs if run is not suspect)]

    def _isolate(self, now: datetime) -> datetime:
        """Let the suspect off as soon as nothing else is in hand."""
        self._return(now)
        if self.suspect is not None and not self.isolated and len(self.hands.held) == 1:
            self.isolated = True
            self._executor(self.suspect).give([self.suspect])
        return now + POLL

    def _executor(self, run: Run) -> Executor:
        task = self.registry.find(run.claim.job.task)
        if task and task.executor == "process" and self.processes:
            return self.processes
        return self.coroutines if task and task.is_async else self.threads

    def _unstarted(self) -> list[Run]:
        others = self.processes.take_back() if self.processes else []
        return [*self.threads.take_back(), *self.coroutines.take_back(), *others]

    def _return(self, now: datetime) -> None:
        runs = [run for run in self.returning if self.hands.drop(run)]
        try:
            if runs:
                self.queue.release([run.claim for run in runs], now=now)
        except BackendError:
            self.hands.held.update(runs)
            raise
        self.returning.clear()
