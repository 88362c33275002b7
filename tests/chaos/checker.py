"""Proves from the ledger and the final contents, through the ports alone, that nothing was lost or doubled."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from time import monotonic, sleep
from typing import TypeVar

from chronoq import errors
from chronoq.domain.identity import JobId
from chronoq.domain.job import Counts, State
from chronoq.domain.ports import Backend
from tests.chaos.ledger import Ledger, What
from tests.chaos.roles import QUEUE
from tests.chaos.row import Row

T = TypeVar("T")

PACE = 0.95
WINDOW = 2.0


def asked(question: Callable[[], T], within: float = 30) -> T:
    """The answer, once the backend gives one."""
    deadline = monotonic() + within
    while True:
        try:
            return question()
        except errors.BackendError:
            if monotonic() > deadline:
                raise
            sleep(0.1)


def counts(backend: Backend) -> Counts:
    return asked(lambda: backend.queue.counts([QUEUE], now=backend.clock.now())[0])


def states(backend: Backend, keys: Iterable[str]) -> dict[str, State | None]:
    """What the store knows of each of these jobs."""
    ids = [JobId(QUEUE, key) for key in keys]
    found: dict[str, State | None] = {}
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        answers = asked(lambda: backend.queue.get(part, now=backend.clock.now()))  # noqa: B023
        found |= {id.key: one.state if one else None for id, one in zip(part, answers, strict=True)}
    return found


def at_rest(now: Counts) -> bool:
    return now.delayed + now.ready + now.running == 0


def check_jobs(ledger: Ledger, backend: Backend, row: Row, *, forgiven: frozenset[str] = frozenset()) -> None:
    """Q1, Q4, Q5, Q10 and L4, for the jobs of producers. `forgiven`: ids that may be lost."""
    tried, acked = ledger.keys(What.TRIED), ledger.keys(What.ACKED)
    found = states(backend, tried)
    ends = Counter(found.values())
    books = counts(backend)
    ticks = len({(fact.key, fact.note) for fact in ledger.of(What.TICKED)})
    row.jobs += len(acked)
    lost = [key for key in acked - forgiven if found[key] is None]
    row.lost += len(lost)
    row.forgiven += sum(found[key] is None for key in acked & forgiven)
    row.dead += ends[State.DEAD]
    known = len(tried) - ends[None]
    row.expect(not lost, f"{len(lost)} acknowledged jobs are lost (Q1), such as {lost[:3]}")
    live = known - ends[State.DONE] - ends[State.DEAD]
    row.expect(not live, f"{live} jobs have not ended though all is at rest (Q1): {dict(ends)}")
    row.expect(books.balanced, f"the books do not balance (Q10): {books}")
    if not forgiven:
        made = known + ticks
        row.expect(books.accepted == made, f"accepted {books.accepted:,} of {made:,} distinct ids (Q4)")
        row.doubled += max(0, books.done - ends[State.DONE] - ticks)
    conflicts = ledger.count(What.CONFLICT)
    row.expect(not conflicts, f"{conflicts} submissions of the same work were called a conflict (Q4)")

    settled = Counter(fact.key for fact in ledger.of(What.SETTLED))
    twice = [key for key, times in settled.items() if times > 1 and key not in forgiven]
    row.doubled = max(row.doubled, len(twice))
    row.expect(not row.doubled, f"{row.doubled} jobs were completed twice (Q5), such as {twice[:3]}")
    started = [fact for fact in ledger.of(What.STARTED) if fact.key in tried]
    for what, facts in ((What.CLAIMED, ledger.of(What.CLAIMED)), (What.STARTED, started)):
        granted = Counter((fact.key, fact.token) for fact in facts if fact.key not in forgiven)
        again = [one for one, times in granted.items() if times > 1]
        row.expect(not again, f"a token was granted twice ({what}, Q2, L4): {again[:3]}")
    row.duplicates += len(started) - len({fact.key for fact in started})
    if row.allowed is not None:
        row.expect(
            row.duplicates <= row.allowed, f"{row.duplicates} duplicates, the faults explain {row.allowed}"
        )


def touched(ledger: Ledger, spans: Sequence[tuple[float, float]]) -> frozenset[str]:
    """The ids to which something happened in these spans of time."""
    return frozenset(
        fact.key for fact in ledger.all() if any(start <= fact.at <= end + 0.5 for start, end in spans)
    )


def check_ticks(ledger: Ledger, row: Row, *, step: float, schedules: int) -> None:
    """S1, S3: from the first to the last, each nominal time of each schedule has made exactly one job.

    One that is made again starts with its first token again; a second run of the same has a higher one.
    """
    ran: dict[str, set[int]] = defaultdict(set)
    for fact in ledger.of(What.TICKED):
        ran[fact.key].add(int(fact.note))
    runs = Counter((fact.key, fact.note, fact.token) for fact in ledger.of(What.TICKED))
    row.jobs = sum(map(len, ran.values()))
    row.doubled = runs.total() - len(runs)
    row.duplicates = len(runs) - row.jobs
    for times in ran.values():
        row.lost += round((max(times) - min(times)) / (step * 1000)) + 1 - len(times)
    row.expect(len(ran) == schedules, f"{schedules - len(ran)} schedules never ran (S3)")
    row.expect(not row.lost, f"{row.lost} nominal times are missing (S3)")
    row.expect(not row.doubled, f"{row.doubled} nominal times were fired twice (S1)")


def recoveries(ledger: Ledger, falls: Sequence[tuple[int, float]]) -> list[float]:
    """L1: seconds from each fall (pid, when) until each job that was in its hands is ready again.

    From then on it stands in its queue like any other; how long that is, is a matter of its backlog.
    """
    reaped = {(fact.key, fact.token): fact.at for fact in ledger.of(What.REAPED)}
    fell: dict[int, list[float]] = defaultdict(list)
    for pid, at in sorted(falls):
        fell[pid].append(at)
    found = []
    for claim in ledger.of(What.CLAIMED):
        ready = reaped.get((claim.key, claim.token), 0)
        first = next((at for at in fell[claim.pid] if claim.at <= at < ready), None)
        if first is not None:
            found.append(ready - first)
    return found


def resumptions(ledger: Ledger, moments: Sequence[float]) -> list[float]:
    """Seconds from each moment to the next claim that was granted, or run of a schedule's job."""
    starts = ledger.moments(What.CLAIMED, What.TICKED)
    places = [(at, bisect_left(starts, at)) for at in moments]
    return [starts[place] - at for at, place in places if place < len(starts)]


def pace(ledger: Ledger, since: float, until: float) -> float:
    """Jobs ended a second: the median over whole seconds of that time."""
    ends = ledger.moments(What.ENDED, What.TICKED)
    rates = [
        bisect_left(ends, at + 1) - bisect_left(ends, at)
        for at in (since + n for n in range(max(1, int(until - since))))
    ]
    return float(median(rates))


def back_after(ledger: Ledger, before: float, healed: float, until: float) -> float | None:
    """Seconds from `healed` until a window of two seconds has 95 % of the pace before; None: never."""
    ends = ledger.moments(What.ENDED, What.TICKED)
    at = healed
    while at + WINDOW <= until:
        if bisect_left(ends, at + WINDOW) - bisect_left(ends, at) >= PACE * before * WINDOW:
            return at - healed
        at += 0.1
    return None


def percentile(values: Sequence[float], share: float) -> float | None:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None
