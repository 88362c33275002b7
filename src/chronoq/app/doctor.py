"""What is amiss with a whole installation, as far as the ports and the store itself tell."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from chronoq.config import Settings
from chronoq.domain.errors import Evicting, NotAllowed
from chronoq.domain.finding import EVICTS, Finding, Level
from chronoq.domain.identity import JobId
from chronoq.domain.job import Counts
from chronoq.domain.lease import Kind, Presence
from chronoq.domain.ports import Backend
from chronoq.domain.time import brief

SLOW = 0.02
"""Seconds: what a round trip should not take."""
APART = timedelta(seconds=2)
STUCK = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
_TRIES = 5


def refuse_eviction(backend: Backend, settings: Settings) -> None:
    """Errors: `Evicting` (E20), unless the settings allow it."""
    if settings.allow_eviction:
        return
    for one in backend.examine():
        if one.code == EVICTS:
            raise Evicting(
                f"{one.what} {one.why} Set it to noeviction, or start with --allow-eviction and lose jobs."
            )


def diagnose(backend: Backend, *, wall: datetime, elapsed: Callable[[], float]) -> list[Finding]:
    """All findings. `wall`: this machine's time; `elapsed`: seconds since some moment.

    Errors: `BackendError` when the backend does not answer.
    """
    found = list(_reached(backend, wall, elapsed))
    looks: tuple[Callable[[], Sequence[Finding]], ...] = (
        lambda: list(rights(backend)),
        backend.examine,
        lambda: list(_work(backend)),
    )
    for look in looks:
        try:
            found += look()
        except NotAllowed as error:
            found.append(
                Finding(
                    Level.DANGER, "rights", "This user may not look at everything.", str(error), "Allow it."
                )
            )
    return found


def _reached(backend: Backend, wall: datetime, elapsed: Callable[[], float]) -> Iterator[Finding]:
    times = []
    for _ in range(_TRIES):
        began = elapsed()
        backend.queue.queues()
        times.append(elapsed() - began)
    took = sorted(times)[_TRIES // 2]
    if took > SLOW:
        why = f"A round trip takes {took * 1000:.0f} ms."
        yield Finding(
            Level.NOTE, "latency", "The store is far away, or busy.", why, "Bring workers closer to it."
        )
    else:
        yield Finding(Level.FINE, "latency", f"a round trip takes {took * 1000:.1f} ms")
    apart = abs(backend.clock.now() - wall)
    if apart > APART:
        what = f"This machine's clock and the store's are {brief(apart)} apart."
        why = "What is due is decided by the store's; moments that programs compute here are not."
        yield Finding(Level.NOTE, "clock", what, why, "Run NTP on both machines.")
    else:
        yield Finding(Level.FINE, "clock", "agrees with the store's")


def rights(backend: Backend) -> Iterator[Finding]:
    """What this user may do, found out by doing it to nothing: to no job, and to a lock of the doctor's own."""
    now, queue = backend.clock.now(), "doctor"

    def lock() -> None:
        if lease := backend.lock.acquire("doctor", owner="doctor", ttl=SECOND, now=now):
            backend.lock.release(lease)

    trials: dict[str, Callable[[], object]] = {
        "enqueue and cancel": lambda: backend.queue.cancel([JobId(queue, "doctor")], now=now),
        "work": lambda: backend.queue.claim([(queue, 0)], worker="doctor", lease=SECOND, now=now),
        "schedule": lock,
    }
    refused: dict[str, NotAllowed] = {}
    for name, trial in trials.items():
        try:
            trial()
        except NotAllowed as error:
            refused[name] = error
    if refused:
        what = f"This user may not {', nor '.join(refused)}."
        why = str(next(iter(refused.values())))
        remedy = "Nothing, if it is not meant to; else give it the access list of its role."
        yield Finding(Level.NOTE, "rights", what, why, remedy)
    else:
        yield Finding(Level.FINE, "rights", f"this user may {', '.join(trials)}")


def _work(backend: Backend) -> Iterator[Finding]:
    now = backend.clock.now()
    names, roll = backend.queue.queues(), backend.life.roll(now=now)
    counts = backend.queue.counts(names, now=now) if names else []
    yield from _workers(counts, roll)
    yield from _schedulers(backend, names, roll)
    stuck = backend.queue.expired(names, now=now - STUCK, limit=100) if names else []
    if stuck:
        queues = ", ".join(sorted({claim.id.queue for claim in stuck}))
        what = f"{len(stuck)} jobs belong to workers that are gone, for more than {brief(STUCK)}."
        yield Finding(
            Level.DANGER, "leases", what, f"Nobody takes over in {queues}.", "Start a worker for them."
        )
    else:
        yield Finding(Level.FINE, "leases", "none is overdue")
    yield from _books(counts)


def _workers(counts: Sequence[Counts], roll: Sequence[Presence]) -> Iterator[Finding]:
    served = {queue for one in roll if one.process.kind is Kind.WORKER for queue in one.process.queues}
    idle = [one.queue for one in counts if one.ready + one.delayed + one.running and one.queue not in served]
    if idle:
        yield Finding(
            Level.DANGER,
            "workers",
            f"No worker listens on {', '.join(idle)}, where jobs wait.",
            f"{len([1 for one in roll if one.process.kind is Kind.WORKER])} workers are alive.",
            f"python -m chronoq worker --app ... --queues {','.join(idle)} (relay, where another engine runs them)",
            code="W1",
        )
    else:
        yield Finding(Level.FINE, "workers", "every queue with jobs is served")


def _schedulers(backend: Backend, names: Sequence[str], roll: Sequence[Presence]) -> Iterator[Finding]:
    plans = [one for name in names for one in backend.store.find(name)]
    alive = [one for one in roll if one.process.kind is Kind.SCHEDULER]
    if plans and not alive:
        what = f"{len(plans)} schedules are stored, and no scheduler is alive to fire them."
        yield Finding(Level.DANGER, "scheduler", what, "", "python -m chronoq scheduler --app ...", code="W2")
    else:
        yield Finding(Level.FINE, "scheduler", f"{len(alive)} alive, {len(plans)} schedules")
    if broken := [str(one.id) for one in plans if one.defect]:
        what = f"These schedules cannot be read: {', '.join(broken)}."
        why = next(one.defect for one in plans if one.defect)
        yield Finding(
            Level.DANGER, "schedules", what, f"The first: {why}.", "Store them again: schedules apply."
        )


def _books(counts: Sequence[Counts]) -> Iterator[Finding]:
    amiss = [one.queue for one in counts if not one.balanced]
    lost, mended = sum(one.lost for one in counts), sum(one.mended for one in counts)
    if amiss:
        what = f"The books of {', '.join(amiss)} do not balance."
        yield Finding(
            Level.DANGER,
            "damage",
            what,
            "Keys were lost or edited.",
            "A scheduler or worker mends it: start one.",
        )
    elif lost:
        what = f"{lost} jobs were lost without a trace, {mended} things were mended."
        yield Finding(
            Level.DANGER, "damage", what, "Keys were lost.", "Find out who deletes keys of this namespace."
        )
    elif mended:
        what = f"{mended} things were found damaged, and mended."
        yield Finding(
            Level.NOTE, "damage", what, "Keys were lost.", "Find out who deletes keys of this namespace."
        )
    else:
        yield Finding(Level.FINE, "damage", "none was found")
