"""StorePort on SQLite. Cursors are compared as texts, which is why they are always written the same way."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import frozen

from chronoq.adapters.codec import encode, up_ms
from chronoq.adapters.cursors import encode_cursor, expected_text
from chronoq.adapters.sqlite.arrivals import Taken, add_jobs
from chronoq.adapters.sqlite.common import by_queue, earliest, listed, sooner
from chronoq.adapters.sqlite.database import Database
from chronoq.adapters.sqlite.rows import Row
from chronoq.adapters.sqlite.statements import SQL
from chronoq.adapters.sqlite.step import Step
from chronoq.adapters.written import outcome_of
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.ports import LEDGER, Fired
from chronoq.domain.schedule import Cursor, Due, Firing, Outcome, Schedule, Stored
from chronoq.domain.sweep import Swept
from chronoq.domain.time import from_ms, to_ms

_MOST_DUE = 1000


@frozen
class SqliteStore:
    """Schedules of all queues."""

    data: Database

    def put(self, schedule: Schedule, *, cursor: Cursor, expected: Cursor | None, now: datetime) -> bool:
        def work(step: Step) -> bool:
            row, key = step.queue(schedule.id.queue), schedule.id.key
            if _cursor(step, row, key) != expected_text(expected):
                return False
            row.known = 1
            wake, held = _wake(step, row, key, cursor, now)
            values = (row.id, key, step.records.schedule(schedule), encode_cursor(cursor), wake, held)
            step.db.execute(SQL["schedules.set"], values)
            return True

        return self.data.write(work)

    def drop(self, ids: Sequence[ScheduleId]) -> list[bool]:
        def work(step: Step) -> list[bool]:
            answers = []
            for id in ids:
                row = step.find(id.queue)
                values = (row.id, id.key) if row else (0, "")
                answers.append(step.db.execute(SQL["schedules.remove"], values).rowcount == 1)
                step.db.execute(SQL["schedules.forgive"], values)
                step.db.execute(SQL["schedules.burn"], values)
            return answers

        return self.data.write(work)

    def due(
        self, queues: Sequence[str], *, now: datetime, limit: int
    ) -> tuple[list[Due], list[datetime | None]]:
        def look(step: Step) -> tuple[list[Due], list[datetime | None]]:
            found: list[Due] = []
            nexts: list[datetime | None] = []
            for name in queues:
                if (row := step.find(name)) is None:
                    nexts.append(None)
                    continue
                values = (row.id, to_ms(now), min(limit, _MOST_DUE))
                rows = step.db.execute(SQL["schedules.due"], values).fetchall()
                for key, record, text in rows:
                    (live,) = step.db.execute(SQL["jobs.count_runs"], (row.id, key)).fetchone()
                    (failures,) = step.db.execute(SQL["schedules.failures"], (row.id, key)).fetchone() or (0,)
                    found.append(
                        Due(step.records.stored(ScheduleId(name, key), record, text), live, failures)
                    )
                after = step.db.execute(SQL["schedules.next"], (row.id, len(rows))).fetchone()
                nexts.append(from_ms(after[0]) if after else None)
            return found, nexts

        return self.data.read(look)

    def fire(self, firings: Sequence[Firing], *, fence: int | None, now: datetime) -> list[Fired]:
        decided = list(firings)  # before the file is locked
        return self.data.write(lambda step: [_fire(step, firing, fence, now) for firing in decided])

    def get(self, ids: Sequence[ScheduleId]) -> list[Stored | None]:
        def look(step: Step) -> list[Stored | None]:
            answers: list[Stored | None] = [None] * len(ids)
            for name, part in by_queue(ids, lambda id: id.queue).items():
                if (row := step.find(name)) is None:
                    continue
                asked = listed([id.key for _, id in part])
                found = {key: rest for key, *rest in step.db.execute(SQL["schedules.get"], (row.id, asked))}
                for place, id in part:
                    if id.key in found:
                        answers[place] = step.records.stored(id, *found[id.key])
            return answers

        return self.data.read(look)

    def find(self, queue: str) -> list[Stored]:
        keys = self.data.read(lambda step: _listed(step, queue, "schedules.keys"))
        return [stored for stored in self.get([ScheduleId(queue, key) for key in keys]) if stored is not None]

    def sweep(self, queue: str, *, now: datetime, mark: str = "", limit: int = 500) -> Swept:
        return Swept()  # a schedule is one row: nothing can be there without the rest

    def live(self, id: ScheduleId) -> list[JobId]:
        keys = self.data.read(lambda step: _listed(step, id.queue, "jobs.runs", id.key))
        return [JobId(id.queue, key) for key in keys]

    def ledger(self, id: ScheduleId, *, limit: int = 100) -> list[Outcome]:
        lines = self.data.read(
            lambda step: _listed(step, id.queue, "schedules.ledger", id.key, max(limit, 0))
        )
        return [outcome_of(line) for line in lines]


def _listed(step: Step, queue: str, statement: str, *values: object) -> list[Any]:
    row = step.find(queue)
    return [] if row is None else [one for (one,) in step.db.execute(SQL[statement], (row.id, *values))]


def _cursor(step: Step, row: Row, key: str) -> bytes:
    """What is stored of the cursor; b"": nothing."""
    found = step.db.execute(SQL["schedules.cursor"], (row.id, key)).fetchone()
    return found[0] if found else b""


def _wake(step: Step, row: Row, key: str, cursor: Cursor, now: datetime) -> tuple[int | None, int]:
    """When to look at it again (None: not before something happens), and whether its runs hold it back.

    Held while no run is live, it is looked at once: the last one has ended since that was decided.
    """
    wake: int | None
    if cursor.held and cursor.pause is None:
        (live,) = step.db.execute(SQL["jobs.count_runs"], (row.id, key)).fetchone()
        if live:
            return None, 1
        wake = to_ms(now)
    else:
        wake = None if cursor.wake is None else up_ms(cursor.wake)
    if wake is not None and sooner(wake, earliest(step, row)):
        row.time += 1
    return wake, 0


def _fire(step: Step, firing: Firing, fence: int | None, now: datetime) -> Fired:
    id = firing.id
    if (row := step.find(id.queue)) is None:
        return Fired.MOVED
    if fence is not None:
        if fence < row.fence:
            return Fired.STALE
        row.fence = fence
    if _cursor(step, row, id.key) != expected_text(firing.expected):
        return Fired.MOVED
    if firing.forgive:
        step.db.execute(SQL["schedules.forgive"], (row.id, id.key))
    if firing.stop:
        step.db.execute(SQL["jobs.stop_runs"], (row.id, id.key))
    if firing.jobs:
        taken = Taken.among(step, row, [job.id.key for job in firing.jobs], now)
        add_jobs(step, row, [taken.take(job) for job in firing.jobs if taken.told(job) is None], now)
    wake, held = _wake(step, row, id.key, firing.cursor, now)
    step.db.execute(SQL["schedules.move"], (encode_cursor(firing.cursor), wake, held, row.id, id.key))
    if firing.outcomes:
        _note(step, row, id.key, firing.outcomes)
    return Fired.YES


def _note(step: Step, row: Row, key: str, outcomes: Sequence[Outcome]) -> None:
    (last,) = step.db.execute(SQL["schedules.last"], (row.id, key)).fetchone() or (0,)
    lines = [(row.id, key, last + n, encode(outcome)) for n, outcome in enumerate(outcomes, 1)]
    step.db.executemany(SQL["schedules.write"], lines)
    if last + len(lines) > LEDGER:
        step.db.execute(SQL["schedules.trim"], (row.id, key, last + len(lines) - LEDGER))
