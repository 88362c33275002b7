"""Jobs, schedules and moments for the contracts, and short ways to bring a job somewhere."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Generic, TypeVar

from attrs import evolve

from chronoq.domain.firing import minted
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Claim, Job, Options, Origin, Snapshot, State
from chronoq.domain.ports import Backend, QueuePort, Submitted
from chronoq.domain.retry import Failure
from chronoq.domain.rhythm import every
from chronoq.domain.schedule import Cursor, Firing, Happened, Outcome, Policy, Schedule, Stored
from chronoq.domain.verdict import Cancelled, Dead, Done, Expired, Retry, Verdict

T = TypeVar("T")

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MS = timedelta(milliseconds=1)
S = timedelta(seconds=1)
HOUR = timedelta(hours=1)
LEASE = 30 * S
PATIENCE = 60 * S
"""How long something may take that should be over in a moment."""
PROMPTLY = 6 * S
"""And for those who are woken: backends that look by themselves now and then do so less often than that."""

MAIL = "mail"
FAILED = Failure("ValueError", "no such address", "Traceback ...", ("app.BadAddress", "builtins.ValueError"))
LAST: dict[State, Verdict] = {
    State.DONE: Done(b'"ok"'),
    State.CANCELLED: Cancelled(),
    State.EXPIRED: Expired(),
    State.DEAD: Dead(FAILED),
}


def job(
    key: str = "a",
    *,
    queue: str = MAIL,
    task: str = "send",
    payload: bytes = b"[[],{}]",
    due: datetime = NOW,
    options: Options | None = None,
    origin: Origin | None = None,
) -> Job:
    return Job(JobId(queue, key), task, payload, due, NOW, options=options or Options(), origin=origin)


def large(size: int) -> bytes:
    """A payload of so many bytes."""
    return b'[["%b"],{}]' % (b"x" * (size - 9))


def jid(key: str = "a", queue: str = MAIL) -> JobId:
    return JobId(queue, key)


def jids(names: Iterable[str], queue: str = MAIL) -> list[JobId]:
    return [JobId(queue, key) for key in names]


def add(queue: QueuePort, *names: str, now: datetime = NOW) -> None:
    """Submit a plain job for each name, due at once."""
    assert queue.submit([job(key) for key in names], now=now) == [Submitted.ACCEPTED] * len(names)


def take(
    queue: QueuePort, many: int = 1, *, name: str = MAIL, worker: str = "w1", now: datetime = NOW
) -> Sequence[Claim]:
    return queue.claim([(name, many)], worker=worker, lease=LEASE, now=now).claims


def taken(queue: QueuePort, key: str = "a", *, worker: str = "w1", now: datetime = NOW) -> Claim:
    """The claim on a job that is submitted here, or that is the next to run."""
    if queue.get([jid(key)], now=now) == [None]:
        add(queue, key, now=now)
    (claim,) = take(queue, worker=worker, now=now)
    assert claim.id == jid(key)
    return claim


def keys(claims: Iterable[Claim]) -> list[str]:
    return [claim.id.key for claim in claims]


def bring(queue: QueuePort, state: State, new: Job | None = None, *, now: datetime = NOW) -> None:
    """Submit `new` and bring it to `state`; nothing else may be ready."""
    new = new or job()
    due = now + HOUR if state is State.DELAYED else now
    assert queue.submit([evolve(new, due=due)], now=now) == [Submitted.ACCEPTED]
    if state in (State.DELAYED, State.READY):
        return
    (claim,) = take(queue, name=new.id.queue, now=now)
    if state in LAST:
        assert queue.settle([(claim, LAST[state])], now=now) == [True]


def send(queue: QueuePort, claim: Claim, where: State) -> None:
    """Bring a running job to where a verdict can bring it."""
    verdict = LAST.get(where) or Retry(NOW + HOUR if where is State.DELAYED else NOW, FAILED)
    assert queue.settle([(claim, verdict)], now=NOW) == [True]


def seen(queue: QueuePort, key: str = "a", *, now: datetime = NOW) -> Snapshot:
    """What is known of a job that is known."""
    (found,) = queue.get([jid(key)], now=now)
    assert found is not None
    return found


def state(queue: QueuePort, key: str = "a", *, now: datetime = NOW) -> State | None:
    (found,) = queue.get([jid(key)], now=now)
    return None if found is None else found.state


def listed(
    queue: QueuePort, where: State, *, name: str = MAIL, now: datetime = NOW, limit: int = 100
) -> list[str]:
    """The keys of all jobs in that state, page by page, in order."""
    found: list[str] = []
    mark = ""
    for _ in range(1_000):
        page = queue.find(name, where, now=now, mark=mark, limit=limit)
        assert len(page.items) <= limit
        found += [item.job.id.key for item in page.items]
        mark = page.mark
        if not mark:
            return found
    raise AssertionError("find never came to an end")


def accounts_balance(backend: Backend) -> None:
    """Q1 and Q10: each place holds what the figures say, and all that was accepted is somewhere."""
    names = backend.queue.queues()
    for counts in backend.queue.counts(names, now=NOW):
        assert counts.balanced, counts
        places = {
            State.DELAYED: counts.delayed,
            State.READY: counts.ready,
            State.RUNNING: counts.running,
            State.DEAD: counts.dead,
        }
        found = {place: listed(backend.queue, place, name=counts.queue) for place in places}
        assert {place: len(held) for place, held in found.items()} == places
        live = [key for held in found.values() for key in held]
        assert len(live) == len(set(live)), "a job stands in two places"


TICK = ScheduleId(MAIL, "tick")


def schedule(key: str = "tick", *, queue: str = MAIL, task: str = "sweep", **policy: object) -> Schedule:
    return Schedule(ScheduleId(queue, key), every("1m"), task, b"[[],{}]", Policy(**policy))  # type: ignore[arg-type]  # as given by the test


def cursor(at: datetime | None = NOW, *, version: int = 1) -> Cursor:
    return Cursor(version, at, NOW - HOUR)


def run(key: str = "tick", nominal: datetime = NOW, *, queue: str = MAIL, due: datetime | None = None) -> Job:
    """The job that the schedule makes for a nominal time."""
    plan = schedule(key, queue=queue)
    return plan.job(minted(key, nominal), origin=Origin(plan.id, nominal), due=due or nominal, now=NOW)


def outcome(nominal: datetime = NOW, note: str = "") -> Outcome:
    return Outcome(nominal, Happened.FIRED, NOW, note=note)


def firing(before: Stored, *jobs: Job, held: bool = False, stop: bool = False) -> Firing:
    """One step of a schedule: a minute on, with these jobs and one outcome."""
    assert before.cursor.next is not None
    at = before.cursor.next
    after = evolve(before.cursor, next=at + 60 * S, last=at, fires=before.cursor.fires + 1, held=held)
    return Firing(before.id, before.cursor, after, jobs, (outcome(at),), stop)


class Background(Generic[T]):
    """A call in a thread of its own. `answer` is what it returned; it fails when it takes too long."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._answer: list[T] = []
        self._error: list[BaseException] = []
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._answer.append(self._call())
        except BaseException as error:
            self._error.append(error)

    def answer(self, within: timedelta = PROMPTLY) -> T:
        self._thread.join(within.total_seconds())
        assert not self._thread.is_alive(), "it still waits"
        if self._error:
            raise self._error[0]
        return self._answer[0]


def together(calls: Sequence[Callable[[], T]]) -> list[T]:
    """The answers of all calls, made at the same time, each in a thread of its own."""
    started = [Background(call) for call in calls]
    return [one.answer(PATIENCE) for one in started]
