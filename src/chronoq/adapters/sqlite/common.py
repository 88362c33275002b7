"""What the parts of the ports do alike: batches by queue, new jobs, what is due first, pauses."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

import orjson

from chronoq.adapters.codec import Malformed, decode
from chronoq.adapters.sqlite.rows import Row
from chronoq.adapters.sqlite.statements import SQL
from chronoq.adapters.sqlite.step import Step
from chronoq.domain.job import Pause

Item = TypeVar("Item")


def by_queue(items: Iterable[Item], queue: Callable[[Item], str]) -> dict[str, list[tuple[int, Item]]]:
    """The items of each queue with their places in the order asked."""
    parts: dict[str, list[tuple[int, Item]]] = {}
    for place, item in enumerate(items):
        parts.setdefault(queue(item), []).append((place, item))
    return parts


def listed(items: Sequence[str] | Sequence[int]) -> str:
    """Keys or rows for a statement that takes a list of them."""
    return orjson.dumps(items).decode()


def earliest(step: Step, row: Row) -> int | None:
    """When something of this queue is due next: a job or a schedule."""
    job = step.db.execute(SQL["jobs.next"], (row.id,)).fetchone()
    plan = step.db.execute(SQL["schedules.next"], (row.id, 0)).fetchone()
    return min((found[0] for found in (job, plan) if found), default=None)


def sooner(at: int, before: int | None) -> bool:
    return before is None or at < before


def paused(row: Row, now: datetime) -> bool:
    pause = pause_of(row.pause)
    return pause is not None and pause.holds(now)


def pause_of(text: bytes | None) -> Pause | None:
    """What cannot be read stands still, and says why."""
    try:
        return None if text is None else decode(Pause, text)
    except Malformed as error:
        return Pause(str(error))
