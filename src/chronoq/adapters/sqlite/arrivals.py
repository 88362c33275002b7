"""Jobs that are new to a file: which keys are taken, and where the others come to stand."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Self

from attrs import define

from chronoq.adapters.codec import Remembered, fingerprint, is_work, schedule_of
from chronoq.adapters.records import Records
from chronoq.adapters.sqlite.common import by_queue, earliest, listed, sooner
from chronoq.adapters.sqlite.database import Database
from chronoq.adapters.sqlite.rows import HINTS, Row
from chronoq.adapters.sqlite.statements import SQL
from chronoq.adapters.sqlite.step import Laid, Step
from chronoq.adapters.written import not_before, note_text, remembered, standing
from chronoq.domain.identity import JobId
from chronoq.domain.job import Job, Snapshot, State
from chronoq.domain.ports import Submitted
from chronoq.domain.time import to_ms


@define
class Taken:
    """Which of some keys are live, with their records, and which are remembered, with their endings."""

    records: Records
    live: dict[str, bytes]
    ended: dict[str, Remembered]
    new: dict[str, Job]
    now: datetime

    @classmethod
    def among(cls, step: Step, row: Row, names: Sequence[str], now: datetime) -> Self:
        if len(names) == 1:
            found = step.db.execute(SQL["jobs.taken_one"], (row.id, names[0])).fetchall()
        else:
            found = step.db.execute(SQL["jobs.taken"], (row.id, listed(names))).fetchall()
        live, ended, free = dict[str, bytes](), dict[str, Remembered](), list[int]()
        for id, key, place, record in found:
            if place != "ended":
                live[key] = record
            elif memory := remembered(JobId(row.name, key), record, now):
                ended[key] = memory
            else:
                free.append(id)
        if free:  # nothing is left to be said of these, but they would stand in the way
            step.db.execute(SQL["jobs.remove"], (listed(free),))
        return cls(step.records, live, ended, {}, now)

    def told(self, job: Job) -> Submitted | None:
        """What is said of a job whose key is in use; None when it is free."""
        key = job.id.key
        if (other := self.new.get(key)) is not None:
            work = fingerprint(other)
        elif key in self.live:
            work = fingerprint(self.records.read_job(job.id, self.live[key], now=self.now))
        elif key in self.ended:
            work = self.ended[key].work
        else:
            return None
        return Submitted.DUPLICATE if is_work(job, work) else Submitted.CONFLICT

    def take(self, job: Job) -> Job:
        self.new[job.id.key] = job
        return job


def arrival(data: Database, job: Job, now: datetime) -> Laid | None:
    """A job that comes alone, for the inbox; None where it is not ready yet, or its queue is new."""
    if job.due > now or (queue := data.number(job.id.queue)) is None:
        return None
    run = schedule_of(job) if job.origin else None
    return queue, job.id.key, int(job.options.priority), run or None, data.records.job(job)


def submit_jobs(
    jobs: Sequence[Job], laid: Laid | None, now: datetime, room: Mapping[str, int], step: Step
) -> list[Submitted]:
    """What becomes of each, in order: those that are new are stored, as far as there is room.

    `laid`: the only one, which may go to the inbox.
    """
    answers = [Submitted.ACCEPTED] * len(jobs)
    if laid is not None and step.lay(laid):
        return answers
    step.take_in()
    for name, part in by_queue(jobs, lambda job: job.id.queue).items():
        row = step.queue(name)
        taken = Taken.among(step, row, [job.id.key for _, job in part], now)
        limit = room.get(name)
        new: list[Job] = []
        for place, job in part:
            if (told := taken.told(job)) is not None:
                answers[place] = told
            elif limit is not None and row.live + len(new) >= limit:
                answers[place] = Submitted.FULL
            else:
                new.append(taken.take(job))
        if new:
            add_jobs(step, row, new, now)
    return answers


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
    step.many("jobs.add", values)


def adopt_jobs(step: Step, row: Row, snapshots: Sequence[Snapshot], now: datetime) -> None:
    """Store jobs of another store whose keys are free, with their history."""
    values, ready, later = [], 0, 0
    for one in snapshots:
        job, (place, at) = one.job, standing(one, now)
        if place is State.READY:
            at, ready = row.to_back(), ready + 1
        else:
            row.count(place.value)
            later += place is State.DELAYED
        head = (row.id, job.id.key, place.value, int(job.options.priority), at, schedule_of(job) or None)
        past = (one.token, one.token - one.attempt, one.crashes, one.worker, note_text(one) or None)
        values.append((*head, step.records.job(job), *past))
    row.known = 1
    row.accepted += len(values)
    row.work += min(ready, HINTS)
    row.time += later > 0
    step.db.executemany(SQL["jobs.adopt"], values)
