"""What the parts of the ports do alike: batches by queue, new jobs, what is due first, pauses."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from chronoq.adapters.codec import Malformed, decode, schedule_of
from chronoq.adapters.sqlite.database import Step
from chronoq.adapters.sqlite.rows import HINTS, Row
from chronoq.adapters.sqlite.statements import SQL
from chronoq.adapters.written import not_before
from chronoq.domain.job import Job, Pause
from chronoq.domain.time import to_ms

Item = TypeVar("Item")


def by_queue(items: Iterable[Item], queue: Callable[[Item], str]) -> dict[str, list[tuple[int, Item]]]:
    """The items of each queue with their places in the order asked."""
    parts: dict[str, list[tuple[int, Item]]] = {}
    for place, item in enumerate(items):
        parts.setdefault(queue(item), []).append((place, item))
    return parts


def earliest(step: Step, row: Row) -> int | None:
    """When something of this queue is due next: a job or a schedule."""
    job = step.db.execute(SQL["jobs.next"], (row.id,)).fetchone()
    plan = step.db.execute(SQL["schedules.next"], (row.id, 0)).fetchone()
    return min((found[0] for found in (job, plan) if found), default=None)


def sooner(at: int, before: int | None) -> bool:
    return before is None or at < before


def add_jobs(step: Step, row: Row, jobs: Iterable[Job], now: datetime) -> None:
    """Store new jobs whose keys are free."""
    values, ready, first = [], 0, None
    for job in jobs:
        due, at = not_before(job.due, now), to_ms(now)
        if due <= at:
            ready += 1
            place, turn = "ready", row.to_back()
        else:
            row.delayed += 1
            place, turn = "delayed", due
            first = due if first is None else min(first, due)
        run = schedule_of(job) if job.origin else None
        values.append(
            (row.id, job.id.key, place, int(job.options.priority), turn, run or None, step.records.job(job))
        )
    if first is not None and sooner(first, earliest(step, row)):
        row.time += 1
    row.known = 1
    row.accepted += len(values)
    row.work += min(ready, HINTS)
    step.db.executemany(SQL["jobs.add"], values)


def paused(row: Row, now: datetime) -> bool:
    pause = pause_of(row.pause)
    return pause is not None and pause.holds(now)


def pause_of(text: bytes | None) -> Pause | None:
    """What cannot be read stands still, and says why."""
    try:
        return None if text is None else decode(Pause, text)
    except Malformed as error:
        return Pause(str(error))


def taken(
    step: Step, row: Row, names: Sequence[str], now: datetime
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Which of these keys are live, with their records, and which are remembered, with their endings."""
    asked = json.dumps(names)
    live = dict(step.db.execute(SQL["jobs.taken"], (row.id, asked)).fetchall())
    ended = dict(step.db.execute(SQL["endings.get"], (row.id, asked, to_ms(now))).fetchall())
    return live, ended
