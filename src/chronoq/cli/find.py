"""Which job or schedule is meant: `queue:key`, a bare key, or the beginning of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from chronoq.cli.base import Misuse, NotFound
from chronoq.domain.errors import near
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import ENDED, LIVE, Snapshot, State
from chronoq.domain.ports import Backend
from chronoq.domain.schedule import Stored

MOST = 10_000
"""How many jobs of a queue in one state are searched for the beginning of a key."""

_SHOWN = 5


def all_queues(backend: Backend, only: str | None = None) -> list[str]:
    """The queues that hold or held something. Errors: `NotFound` for one that never did."""
    queues = backend.queue.queues()
    if only is None:
        return queues
    if only not in queues:
        known = f"Known: {', '.join(queues)}." if queues else "No queue has held anything yet."
        raise NotFound(f"Queue {only!r} has never held a job or schedule. {known}{near(only, queues)}")
    return [only]


def job(backend: Backend, word: str, *, states: Iterable[State] = (*LIVE, *ENDED)) -> Snapshot:
    """The one job that `word` names. Errors: `NotFound`; `Misuse`, when there are several."""
    now = backend.clock.now()
    queue, colon, key = word.rpartition(":")
    queues = [queue] if colon else backend.queue.queues()
    wanted = tuple(states)
    exact = [JobId(name, key) for name in queues]
    found = [one for one in backend.queue.get(exact, now=now) if one and one.state in wanted]
    if not found and key:
        found = list(_beginning(backend, queues, key, wanted, now))
    if len(found) == 1:
        return found[0]
    if not found:
        among = "" if len(wanted) > 1 else f" among the {wanted[0]} jobs"
        raise NotFound(
            f"No job {word!r}{among}. It may never have been enqueued, or its end is forgotten by now."
        )
    listed = ", ".join(str(one.job.id) for one in found[:_SHOWN])
    more = ", ..." if len(found) > _SHOWN else ""
    raise Misuse(f"{word!r} names {len(found)} jobs: {listed}{more}. Give more of the id.")


def _beginning(
    backend: Backend, queues: list[str], start: str, states: tuple[State, ...], now: datetime
) -> Iterator[Snapshot]:
    for queue in queues:
        for state in states:
            for one in each(backend, queue, state, now=now):
                if one.job.id.key.startswith(start):
                    yield one


def each(
    backend: Backend, queue: str, state: State, *, now: datetime, most: int = MOST
) -> Iterator[Snapshot]:
    """The jobs of a queue in that state, page by page."""
    mark, seen = "", 0
    while seen < most:
        page = backend.queue.find(queue, state, now=now, mark=mark, limit=min(500, most - seen))
        yield from page.items
        seen += len(page.items)
        mark = page.mark
        if not mark:
            return


def schedule(backend: Backend, word: str) -> Stored:
    """The one schedule that `word` names: queue:id, id, its beginning or last part. Errors: see `job`."""
    queue, colon, key = word.rpartition(":")
    queues = [queue] if colon else backend.queue.queues()
    exact = [one for one in backend.store.get([ScheduleId(name, key) for name in queues]) if one]
    stored = exact or [one for name in queues for one in backend.store.find(name)]
    found = exact or [one for one in stored if one.id.key.startswith(key) or one.id.key.endswith(f".{key}")]
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFound(f"No schedule {word!r}.{near(key, [one.id.key for one in stored])}")
    listed = ", ".join(str(one.id) for one in found[:_SHOWN])
    raise Misuse(f"{word!r} names {len(found)} schedules: {listed}. Give the id with its queue.")
