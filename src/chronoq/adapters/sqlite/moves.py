"""The transitions of waiting jobs on SQLite: submission, promotion, claims, and what people change."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from sqlite3 import Cursor
from typing import Any, TypeVar

from chronoq.adapters.codec import encode
from chronoq.adapters.sqlite.arrivals import Taken, adopt_jobs, arrival, submit_jobs
from chronoq.adapters.sqlite.common import by_queue, listed, pause_of, paused
from chronoq.adapters.sqlite.database import Database
from chronoq.adapters.sqlite.ends import end
from chronoq.adapters.sqlite.rows import HINTS, Row
from chronoq.adapters.sqlite.settling import settle
from chronoq.adapters.sqlite.stand import Stand, stands
from chronoq.adapters.sqlite.statements import SQL
from chronoq.adapters.sqlite.step import Step
from chronoq.adapters.sqlite.waits import Hints
from chronoq.domain.identity import JobId
from chronoq.domain.job import Claim, Job, Pause, Progress, Snapshot, State
from chronoq.domain.ports import BROUGHT, Cancel, Claimed, Hold, Promoted, Submitted, nothing
from chronoq.domain.sweep import Swept
from chronoq.domain.time import from_ms, to_ms
from chronoq.domain.verdict import Verdict

Item = TypeVar("Item")

_PROMOTED_PER_CLAIM = 500
_MOST = 1000
"""What one step moves or reads at the most, where the caller asks for more."""


class Moves:
    """That half of the queue port which changes something, but for the ends of leases."""

    data: Database
    hints: Hints

    def submit(
        self,
        jobs: Sequence[Job],
        *,
        now: datetime,
        room: Mapping[str, int] | None = None,
        meanwhile: Callable[[], None] = nothing,
    ) -> list[Submitted]:
        meanwhile()
        laid = None
        if len(jobs) == 1 and not (room and jobs[0].id.queue in room):
            laid = arrival(self.data, jobs[0], now)
            if laid is not None and self.data.lay(laid):
                return [Submitted.ACCEPTED]
        return self.data.write(partial(submit_jobs, jobs, laid, now, room or {}), inbox=False)

    def adopt(self, snapshots: Sequence[Snapshot], *, now: datetime) -> list[Submitted]:
        def work(step: Step) -> list[Submitted]:
            answers = [Submitted.ACCEPTED] * len(snapshots)
            for name, part in by_queue(snapshots, lambda one: one.job.id.queue).items():
                row = step.queue(name)
                taken = Taken.among(step, row, [one.job.id.key for _, one in part], now)
                new: list[Snapshot] = []
                for place, one in part:
                    if (told := taken.told(one.job)) is not None:
                        answers[place] = told
                    else:
                        taken.take(one.job)
                        new.append(one)
                adopt_jobs(step, row, new, now)
            return answers

        return self.data.write(work)

    def promote(self, queues: Sequence[str], *, now: datetime, limit: int) -> list[Promoted]:
        def work(step: Step) -> list[Promoted]:
            found = []
            for name in queues:
                row = step.find(name)
                moved = _promote(step, row, now, min(limit, _MOST)) if row else 0
                found.append(Promoted(moved, _next(step, row)))
            return found

        return self.data.write(work)

    def claim(
        self,
        wants: Sequence[tuple[str, int]],
        *,
        worker: str,
        lease: timedelta,
        now: datetime,
        verdicts: Sequence[tuple[Claim, Verdict]] = (),
        meanwhile: Callable[[], None] = nothing,
    ) -> Claimed:
        meanwhile()
        until = now + lease

        def work(step: Step) -> tuple[Claimed, list[Row]]:
            settled = settle(step, verdicts, now)
            claims: list[Claim] = []
            nexts: list[datetime] = []
            rows: list[Row] = []
            more, bound = False, BROUGHT // max(1, len(wants))
            for name, limit in wants:
                if (row := step.find(name)) is None:
                    continue
                _promote(step, row, now, _PROMOTED_PER_CLAIM)
                pause = pause_of(row.pause)
                if pause is None or not pause.holds(now):
                    granted, cut = _grant(step, row, limit, bound, worker, until, now)
                    claims, more = claims + granted, more or cut
                elif pause.until is not None:
                    nexts.append(pause.until)
                if row.delayed and (due := _next(step, row)) is not None:
                    nexts.append(due)
                rows.append(row)
            return Claimed(tuple(claims), min(nexts, default=None), tuple(settled), more), rows

        claimed, rows = self.data.write(work)
        for row in rows:
            self.hints.left(row.name, row.work, work=row.ready > 0 and not paused(row, now))
        return claimed

    def extend(self, claims: Sequence[Claim], *, lease: timedelta, now: datetime) -> list[Hold]:
        until = to_ms(now + lease)

        def work(step: Step) -> list[Hold]:
            answers = [Hold.LOST] * len(claims)
            held: list[int] = []
            for name, part in by_queue(claims, lambda claim: claim.id.queue).items():
                found = stands(step, name, [claim.id.key for _, claim in part])
                for place, claim in part:
                    stand = found.get(claim.id.key)
                    if stand is not None and stand.holds(claim):
                        answers[place] = Hold.STOP if stand.stopping else Hold.KEPT
                        held.append(stand.id)
            if held:
                step.db.execute(SQL["jobs.extend"], (until, listed(held)))
            return answers

        return self.data.write(work, durable=False)

    def report(self, claim: Claim, progress: Progress) -> bool:
        def work(step: Step) -> bool:
            row = step.find(claim.id.queue)
            values = (encode(progress), row.id, claim.id.key, claim.token, claim.worker) if row else None
            return bool(values and step.db.execute(SQL["jobs.report"], values).rowcount)

        return self.data.write(work, durable=False)

    def cancel(self, ids: Sequence[JobId], *, now: datetime) -> list[Cancel]:
        def work(step: Step) -> list[Cancel]:
            answers = [Cancel.GONE] * len(ids)
            for name, part in by_queue(ids, lambda id: id.queue).items():
                found = stands(step, name, keys := [id.key for _, id in part])
                if not found:
                    continue
                row = step.queue(name)
                records = dict(step.db.execute(SQL["jobs.records"], (row.id, listed(keys))).fetchall())
                gone: list[tuple[Stand, Job, State, bytes]] = []
                for place, id in part:
                    stand = found.get(id.key)
                    if stand is None or stand.place == State.DEAD:
                        continue
                    if stand.place == State.RUNNING:
                        answers[place] = Cancel.ASKED
                        step.db.execute(SQL["jobs.stop"], (stand.id,))
                        continue
                    answers[place] = Cancel.STOPPED if stand.token else Cancel.CANCELLED
                    job = step.records.read_job(id, records[id.key], now=now)
                    gone.append((found.pop(id.key), job, State.CANCELLED, b""))
                end(step, row, gone, now=now)
            return answers

        return self.data.write(work)

    def revive(self, ids: Sequence[JobId], *, now: datetime) -> list[bool]:
        def revive(step: Step, row: Row, stand: Stand) -> None:
            step.db.execute(SQL["jobs.revive"], (row.to_back(), stand.id))
            row.work += 1

        return self._dead(ids, revive)

    def purge(self, ids: Sequence[JobId], *, now: datetime) -> list[bool]:
        def purge(step: Step, row: Row, stand: Stand) -> None:
            step.db.execute(SQL["jobs.remove"], (listed([stand.id]),))
            row.purged += 1

        return self._dead(ids, purge)

    def forget(self, ids: Sequence[JobId], *, now: datetime) -> list[bool]:
        def work(step: Step) -> list[bool]:
            answers = [False] * len(ids)
            for name, part in by_queue(ids, lambda id: id.queue).items():
                row = step.find(name)
                if row is None:
                    continue
                asked = listed([id.key for _, id in part])
                known = {key for key, _ in step.db.execute(SQL["jobs.ended"], (row.id, asked, to_ms(now)))}
                for place, id in part:
                    answers[place] = id.key in known
                    known.discard(id.key)
                step.db.execute(SQL["jobs.forget"], (row.id, asked))
            return answers

        return self.data.write(work)

    def sweep(self, queue: str, *, now: datetime, mark: str = "", limit: int = 500) -> Swept:
        return Swept()  # a job is one row with its place in it, so there is nothing to reconcile

    def pause(self, queue: str, pause: Pause) -> None:
        def work(step: Step) -> None:
            step.queue(queue).pause = encode(pause)

        self.data.write(work)

    def resume(self, queue: str) -> bool:
        def work(step: Step) -> bool:
            row = step.find(queue)
            if row is None:
                return False
            paused, row.pause = row.pause, None
            row.work += min(row.ready, HINTS)
            return paused is not None

        return self.data.write(work)

    def _dead(self, ids: Sequence[JobId], move: Callable[[Step, Row, Stand], None]) -> list[bool]:
        """Whether each was dead; those that were are moved."""

        def work(step: Step) -> list[bool]:
            answers = [False] * len(ids)
            for name, part in by_queue(ids, lambda id: id.queue).items():
                found = stands(step, name, [id.key for _, id in part])
                for place, id in part:
                    stand = found.pop(id.key, None)
                    if stand is not None and stand.place == State.DEAD:
                        answers[place] = True
                        row = step.queue(name)
                        row.dead -= 1
                        move(step, row, stand)
            return answers

        return self.data.write(work)


def _promote(step: Step, row: Row, now: datetime, limit: int) -> int:
    if not row.delayed:
        return 0
    if due := step.db.execute(SQL["jobs.due"], (row.id, to_ms(now), limit)).fetchall():
        first = row.to_back(len(due))
        step.db.execute(SQL["jobs.ready"], (first, listed([id for (id,) in due])))
        row.delayed -= len(due)
        row.work += min(len(due), HINTS)
    return len(due)


def _next(step: Step, row: Row | None) -> datetime | None:
    found = row and step.db.execute(SQL["jobs.next"], (row.id,)).fetchone()
    return from_ms(found[0]) if found else None


def _grant(
    step: Step, row: Row, limit: int, bound: int, worker: str, until: datetime, now: datetime
) -> tuple[list[Claim], bool]:
    """The claims, and whether some stayed behind for their weight."""
    if not row.ready or limit < 1:
        return [], False
    ends = to_ms(until)
    found, more = _light(step.db.execute(SQL["jobs.first"], (row.id, limit)), bound)
    step.db.execute(SQL["jobs.lease"], (ends, worker, listed([id for id, *_ in found])))
    row.ready -= len(found)
    row.running += len(found)
    told, name = from_ms(ends), row.name
    claims = [
        Claim(
            step.records.read_job(JobId(name, key), record, now=now),
            token + 1,
            token + 1 - excused,
            worker,
            told,
            crashes,
        )
        for _, key, record, token, excused, crashes in found
    ]
    return claims, more


def _light(rows: Cursor, bound: int) -> tuple[list[Any], bool]:
    """The first rows whose records are within the bound, but at least one; and whether there were more."""
    found: list[Any] = []
    weight = 0
    for one in rows:
        weight += len(one[2])
        if weight > bound and found:
            rows.close()  # they are about to change
            return found, True
        found.append(one)
    return found, False
