"""How jobs leave: endings, news of them, and what their schedules learn."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from chronoq.adapters.codec import encode_ending, keep_ms, up_ms
from chronoq.adapters.sqlite.common import listed
from chronoq.adapters.sqlite.rows import Row
from chronoq.adapters.sqlite.stand import Stand
from chronoq.adapters.sqlite.statements import SQL
from chronoq.adapters.sqlite.step import Step
from chronoq.domain.job import Job, State
from chronoq.domain.time import to_ms

HEARD = 10_000
"""So many of a queue's latest jobs that run no more are told to those who ask."""

KEPT = timedelta(minutes=1)
"""How much longer than it is remembered an ending is kept."""

_FORGOTTEN = 64


def end(step: Step, row: Row, gone: Sequence[tuple[Stand, Job, State, bytes]], *, now: datetime) -> None:
    """Live jobs are over, and it is remembered how they ended (Q13): where each stood, its state now, its result."""
    if not gone:
        return
    at = up_ms(now)
    rows = []
    for stand, job, state, result in gone:
        rows.append((stand.id, at + keep_ms(job.options), encode_ending(job, state, at=now, result=result)))
    for counted, sign in (
        (Counter(one[0].place for one in gone), -1),
        (Counter(one[2].value for one in gone), 1),
    ):
        for name, many in counted.items():
            row.count(name, sign * many)
    step.many("jobs.end", rows)
    announce(step, row, [stand.key for stand, *_ in gone])
    for stand, _, state, _ in gone:
        if stand.schedule is not None:
            if state is State.DONE:
                step.db.execute(SQL["schedules.forgive"], (row.id, stand.schedule))
            let_go(step, row, stand.schedule, now)
    forget(step, now, _FORGOTTEN + 2 * len(gone))


def announce(step: Step, row: Row, keys: Sequence[str]) -> None:
    """Tell those who wait that these jobs run no more."""
    if not keys:
        return
    step.db.execute(SQL["news.add"], (row.id, row.news, listed(keys)))
    row.news += len(keys)
    if row.news > HEARD:
        step.db.execute(SQL["news.forget"], (row.id, row.news - HEARD))


def let_go(step: Step, row: Row, schedule: str, now: datetime) -> None:
    """A run of the schedule has ended; the last of them frees one that was held back."""
    row.time += step.db.execute(SQL["schedules.free"], (to_ms(now), row.id, schedule)).rowcount


def forget(step: Step, now: datetime, limit: int) -> int:
    """Let go of endings that nobody can ask for any more, a few at a time, so that the file stays bounded."""
    return step.db.execute(SQL["jobs.lapse"], (to_ms(now - KEPT), limit)).rowcount
