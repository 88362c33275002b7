"""What people look at on SQLite: jobs, lists of them, and figures. Nothing here changes anything."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from chronoq.adapters.records import Records
from chronoq.adapters.sqlite.common import by_queue, listed, pause_of
from chronoq.adapters.sqlite.database import Database
from chronoq.adapters.sqlite.rows import Row
from chronoq.adapters.sqlite.statements import SQL
from chronoq.adapters.sqlite.step import Step
from chronoq.adapters.written import dead_ending, ended_snapshot, note_of, progress_of, remembered
from chronoq.domain.identity import JobId
from chronoq.domain.job import ENDED, Counts, Ending, Page, Snapshot, State
from chronoq.domain.ports import RECENT
from chronoq.domain.time import from_ms, to_ms

_COUNTED = (
    *("delayed", "ready", "running", "dead", "accepted", "done"),
    *("cancelled", "expired", "purged", "retried", "crashed"),
)
_SCANNED = 200
_FAR = 2**62
_BEGIN: dict[State, tuple[int | str, ...]] = {
    State.DELAYED: (-_FAR, -1, ""),
    State.READY: (-1, -_FAR),
    State.RUNNING: (-_FAR, ""),
    State.DEAD: (_FAR, ""),
}
"""What stands before everything else in that place."""

Marked = tuple[str, str]
"""A key, and the mark that continues after it."""


class Views:
    """That part of the queue port which only reads."""

    data: Database

    def endings(self, ids: Sequence[JobId], *, now: datetime) -> list[Ending | None]:
        def look(step: Step) -> list[Ending | None]:
            answers: list[Ending | None] = [None] * len(ids)
            for row, part in _parts(step, ids):
                asked = listed([id.key for _, id in part])
                live = {key: rest for key, *rest in step.db.execute(SQL["jobs.died"], (row.id, asked))}
                ended = dict(step.db.execute(SQL["jobs.ended"], (row.id, asked, to_ms(now))).fetchall())
                for place, id in part:
                    if id.key in live:
                        answers[place] = dead_ending(id, *live[id.key])
                    elif memory := remembered(id, ended.get(id.key), now):
                        answers[place] = memory.ending
            return answers

        return self.data.read(look)

    def get(self, ids: Sequence[JobId], *, now: datetime) -> list[Snapshot | None]:
        return self.data.read(lambda step: _get(step, ids, now))

    def find(self, queue: str, state: State, *, now: datetime, mark: str = "", limit: int = 100) -> Page:
        def look(step: Step) -> Page:
            found: list[Snapshot] = []
            last = ""
            for snapshot, after in _found(step, queue, state, now, mark):
                if len(found) == limit:  # there is one more
                    return Page(tuple(found), last)
                found.append(snapshot)
                last = after
            return Page(tuple(found))

        return self.data.read(look)

    def counts(self, queues: Sequence[str], *, now: datetime) -> list[Counts]:
        def look(step: Step) -> list[Counts]:
            return [_counts(name, step.find(name), now) for name in queues]

        return self.data.read(look)

    def queues(self) -> list[str]:
        return self.data.read(
            lambda step: [name for (name,) in step.db.execute(SQL["queues.names"], (self.data.namespace,))]
        )


def _parts(step: Step, ids: Sequence[JobId]) -> Iterator[tuple[Row, list[tuple[int, JobId]]]]:
    """The ids of each queue that is known, with their places in the order asked."""
    for name, part in by_queue(ids, lambda id: id.queue).items():
        if (row := step.find(name)) is not None:
            yield row, part


def _get(step: Step, ids: Sequence[JobId], now: datetime) -> list[Snapshot | None]:
    answers: list[Snapshot | None] = [None] * len(ids)
    for row, part in _parts(step, ids):
        asked = listed([id.key for _, id in part])
        live = {key: rest for key, *rest in step.db.execute(SQL["jobs.whole"], (row.id, asked))}
        ended = dict(step.db.execute(SQL["jobs.ended"], (row.id, asked, to_ms(now))).fetchall())
        for place, id in part:
            if id.key in live:
                answers[place] = _snapshot(step.records, id, live[id.key], now)
            elif memory := remembered(id, ended.get(id.key), now):
                answers[place] = ended_snapshot(memory)
    return answers


def _found(step: Step, queue: str, state: State, now: datetime, mark: str) -> Iterator[tuple[Snapshot, str]]:
    """The jobs in that state after `mark`, and the mark after each."""
    if (row := step.find(queue)) is None:
        return
    listed = _latest(step, row, mark) if state in ENDED else _standing(step, row, state, mark)
    while batch := list(islice(listed, _SCANNED)):
        snapshots = _get(step, [JobId(queue, key) for key, _ in batch], now)
        for snapshot, (_, after) in zip(snapshots, batch, strict=True):
            if snapshot is not None and snapshot.state is state:
                yield snapshot, after


def _standing(step: Step, row: Row, state: State, mark: str) -> Iterator[Marked]:
    """The keys in a place, in its order, after the mark: the columns of that order."""
    after: tuple[Any, ...] = tuple(json.loads(mark)) if mark else _BEGIN[state]
    while found := step.db.execute(SQL[f"jobs.page_{state}"], (row.id, *after, _SCANNED)).fetchall():
        for key, *order in found:
            yield key, json.dumps(order)
        after = tuple(found[-1][1:])


def _latest(step: Step, row: Row, mark: str) -> Iterator[Marked]:
    """The keys of the latest endings, each once, the last one first."""
    seen: set[str] = set()
    for seq, key in step.db.execute(SQL["news.latest"], (row.id, RECENT)):
        if key not in seen:
            seen.add(key)
            if not mark or seq < int(mark):
                yield key, str(seq)


def _snapshot(records: Records, id: JobId, found: Sequence[Any], now: datetime) -> Snapshot:
    place, at, token, excused, crashes, stopping, worker, note, progress, record = found
    state, why = State(place), note_of(note)
    return Snapshot(
        records.read_job(id, record, now=now),
        state,
        attempt=token - excused,
        token=token,
        crashes=crashes,
        worker=worker,
        until=None if state is State.READY else from_ms(at),
        failure=why.failure,
        reason=why.reason,
        progress=progress_of(progress),
        stopping=bool(stopping),
    )


def _counts(name: str, row: Row | None, now: datetime) -> Counts:
    if row is None:
        return Counts(name)
    pause = pause_of(row.pause)
    figures = {figure: getattr(row, figure) for figure in _COUNTED}
    return Counts(name, pause=pause if pause and pause.holds(now) else None, **figures)
