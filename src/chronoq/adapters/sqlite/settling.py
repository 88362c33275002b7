"""The ends of leases on SQLite: verdicts and releases, each applied if the lease is held under its token."""

from collections.abc import Sequence
from datetime import datetime

from attrs import define, field

from chronoq.adapters.codec import Note, encode
from chronoq.adapters.sqlite.common import by_queue, earliest, sooner
from chronoq.adapters.sqlite.database import Database
from chronoq.adapters.sqlite.ends import announce, end, let_go
from chronoq.adapters.sqlite.rows import HINTS, Row
from chronoq.adapters.sqlite.stand import Stand, stands
from chronoq.adapters.sqlite.statements import SQL
from chronoq.adapters.sqlite.step import Step
from chronoq.adapters.written import not_before
from chronoq.domain.identity import JobId
from chronoq.domain.job import Claim, Job, State
from chronoq.domain.time import from_ms, to_ms
from chronoq.domain.verdict import Dead, Done, Retry, Snooze, Verdict, crashed, excused, leads_to

_MOST = 1000


class Settling:
    """That part of the queue port which ends leases."""

    data: Database

    def prepare(
        self, verdicts: Sequence[tuple[Claim, Verdict]], *, now: datetime
    ) -> Sequence[tuple[Claim, Verdict]]:
        return verdicts

    def settle(self, verdicts: Sequence[tuple[Claim, Verdict]], *, now: datetime) -> list[bool]:
        return self.data.write(lambda step: settle(step, verdicts, now))

    def release(self, claims: Sequence[Claim], *, now: datetime) -> list[bool]:
        def work(step: Step) -> list[bool]:
            answers = [False] * len(claims)
            for name, part in by_queue(claims, lambda claim: claim.id.queue).items():
                found = stands(step, name, [claim.id.key for _, claim in part])
                if not found:
                    continue
                row = step.queue(name)
                stopped: list[tuple[Stand, Job, State, bytes]] = []
                # the last one goes to the front first, so that the first one stands before it
                for place, claim in reversed(part):
                    stand = found.get(claim.id.key)
                    if stand is None or not stand.holds(claim):
                        continue
                    answers[place] = True
                    del found[claim.id.key]
                    if stand.stopping:
                        stopped.append((stand, claim.job, State.CANCELLED, b""))
                        continue
                    row.running -= 1
                    row.work += 1
                    step.db.execute(SQL["jobs.back"], (row.to_front(), stand.id))
                end(step, row, stopped, now=now)
            return answers

        return self.data.write(work)

    def expired(self, queues: Sequence[str], *, now: datetime, limit: int) -> list[Claim]:
        def work(step: Step) -> list[Claim]:
            claims = []
            for name in queues:
                if (row := step.find(name)) is None or not row.running:
                    continue
                values = (row.id, to_ms(now), min(limit, _MOST))
                for key, at, token, excused_, crashes, worker, record in step.db.execute(
                    SQL["jobs.lapsed"], values
                ):
                    job = step.records.read_job(JobId(name, key), record, now=now)
                    claims.append(Claim(job, token, token - excused_, worker, from_ms(at), crashes))
            return claims

        return self.data.read(work)


def settle(step: Step, verdicts: Sequence[tuple[Claim, Verdict]], now: datetime) -> list[bool]:
    """Apply the verdicts on leases that are held under their tokens; for each whether it was."""
    answers = [False] * len(verdicts)
    for name, part in by_queue(verdicts, lambda one: one[0].id.queue).items():
        found = stands(step, name, [claim.id.key for _, (claim, _) in part])
        if not found:
            continue
        ends = _Ends(step, step.queue(name), now)
        for place, (claim, verdict) in part:
            stand = found.get(claim.id.key)
            if stand is not None and stand.yields(claim, verdict):
                answers[place] = True
                ends.take(found.pop(claim.id.key), claim.job, verdict)
        ends.apply()
    return answers


@define
class _Ends:
    """Verdicts on jobs of one queue, gathered and then applied at once."""

    step: Step
    row: Row
    now: datetime
    gone: list[tuple[Stand, Job, State, bytes]] = field(factory=list)
    again: list[tuple[object, ...]] = field(factory=list)
    dead: list[tuple[Stand, Job, tuple[object, ...]]] = field(factory=list)
    first: int | None = None
    made: int = 0

    def take(self, stand: Stand, job: Job, verdict: Verdict) -> None:
        if isinstance(verdict, Done):  # nearly all of them
            self.gone.append((stand, job, State.DONE, verdict.result))
            return
        spent = stand.excused + excused(verdict)
        crash = crashed(verdict)
        crashes = stand.crashes + crash
        self.row.crashed += crash
        match verdict:
            case Dead():
                note = encode(Note(verdict.failure))
                self.dead.append((stand, job, (to_ms(self.now), spent, crashes, note, stand.id)))
            case Retry() | Snooze() if stand.stopping:  # it never starts again
                self.gone.append((stand, job, State.CANCELLED, b""))
            case Retry() | Snooze():
                self.row.running -= 1
                self.row.retried += isinstance(verdict, Retry) and not crash
                why = Note(verdict.failure) if isinstance(verdict, Retry) else Note(reason=verdict.reason)
                place, at = self._place(not_before(verdict.at, self.now))
                self.again.append((place, at, spent, crashes, encode(why), stand.id))
            case _:
                self.gone.append((stand, job, leads_to(verdict), b""))

    def apply(self) -> None:
        step, row = self.step, self.row
        if self.first is not None and sooner(self.first, earliest(step, row)):
            row.time += 1
        row.work += min(self.made, HINTS)
        step.db.executemany(SQL["jobs.again"], self.again)
        for stand, _, values in self.dead:
            row.running -= 1
            row.dead += 1
            step.db.execute(SQL["jobs.bury"], values)
            if stand.schedule is not None:
                step.db.execute(SQL["schedules.failed"], (row.id, stand.schedule))
                let_go(step, row, stand.schedule, self.now)
        announce(step, row, [job.id.key for _, job, _ in self.dead])
        end(step, row, self.gone, now=self.now)

    def _place(self, due: int) -> tuple[str, int]:
        if due <= to_ms(self.now):
            self.made += 1
            return "ready", self.row.to_back()
        self.row.delayed += 1
        self.first = due if self.first is None else min(self.first, due)
        return "delayed", due
