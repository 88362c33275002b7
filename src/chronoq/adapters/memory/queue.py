"""QueuePort in this process's memory: the reference for what each transition means."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import frozen

from chronoq.adapters.memory.room import Room
from chronoq.adapters.memory.shelf import TOKENS, Entry, Shelf, fingerprint
from chronoq.adapters.memory.sweep import swept
from chronoq.domain.identity import JobId
from chronoq.domain.job import ENDED, Claim, Counts, Ending, Job, Page, Pause, Progress, Snapshot, State
from chronoq.domain.ports import BROUGHT, Cancel, Claimed, Hold, Promoted, Submitted, nothing
from chronoq.domain.sweep import Swept
from chronoq.domain.verdict import Dead, Done, Retry, Snooze, Verdict, crashed, excused, leads_to

PROMOTED_PER_CLAIM = 500
_COUNTED = ("accepted", "done", "cancelled", "expired", "purged", "retried", "crashed", "lost", "mended")


@frozen
class MemoryQueue:
    """Jobs of all queues, behind one lock."""

    room: Room

    def submit(
        self,
        jobs: Sequence[Job],
        *,
        now: datetime,
        room: Mapping[str, int] | None = None,
        meanwhile: Callable[[], None] = nothing,
    ) -> list[Submitted]:
        meanwhile()
        with self.room as shelves:
            return [_submit(shelves[job.id.queue], job, now, (room or {}).get(job.id.queue)) for job in jobs]

    def adopt(self, snapshots: Sequence[Snapshot], *, now: datetime) -> list[Submitted]:
        with self.room as shelves:
            return [_adopt(shelves[one.job.id.queue], one, now) for one in snapshots]

    def promote(self, queues: Sequence[str], *, now: datetime, limit: int) -> list[Promoted]:
        with self.room as shelves:
            return [
                Promoted(shelves[q].promote(now=now, limit=limit), shelves[q].next_delayed()) for q in queues
            ]

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
        claims: list[Claim] = []
        nexts: list[datetime] = []
        more, bound = False, BROUGHT // max(1, len(wants))
        with self.room as shelves:
            settled = _settled(shelves, verdicts, now)
            for queue, limit in wants:
                shelf = shelves[queue]
                shelf.promote(now=now, limit=PROMOTED_PER_CLAIM)
                if not (shelf.pause and shelf.pause.holds(now)):
                    granted, cut = _grant(shelf, limit, bound, worker, now + lease)
                    claims, more = claims + granted, more or cut
                elif shelf.pause.until is not None:
                    nexts.append(shelf.pause.until)
                if (due := shelf.next_delayed()) is not None:
                    nexts.append(due)
        return Claimed(tuple(claims), min(nexts, default=None), tuple(settled), more)

    def extend(self, claims: Sequence[Claim], *, lease: timedelta, now: datetime) -> list[Hold]:
        with self.room as shelves:
            holds = []
            for claim in claims:
                shelf, key = shelves[claim.id.queue], claim.id.key
                if not shelf.holds(claim):
                    holds.append(Hold.LOST)
                    continue
                shelf.leases[key] = now + lease
                holds.append(Hold.STOP if key in shelf.stops else Hold.KEPT)
            return holds

    def prepare(
        self, verdicts: Sequence[tuple[Claim, Verdict]], *, now: datetime
    ) -> Sequence[tuple[Claim, Verdict]]:
        return verdicts

    def settle(self, verdicts: Sequence[tuple[Claim, Verdict]], *, now: datetime) -> list[bool]:
        with self.room as shelves:
            return _settled(shelves, verdicts, now)

    def release(self, claims: Sequence[Claim], *, now: datetime) -> list[bool]:
        with self.room as shelves:
            # the last one goes to the front first, so that the first one stands before it
            return [_release(shelves[claim.id.queue], claim, now) for claim in reversed(claims)][::-1]

    def report(self, claim: Claim, progress: Progress) -> bool:
        with self.room as shelves:
            shelf = shelves[claim.id.queue]
            if not shelf.holds(claim):
                return False
            shelf.jobs[claim.id.key].progress = progress
            return True

    def expired(self, queues: Sequence[str], *, now: datetime, limit: int) -> list[Claim]:
        with self.room as shelves:
            found = []
            for queue in queues:
                shelf = shelves[queue]
                lapsed = sorted((until, key) for key, until in shelf.leases.items() if until <= now)
                found += [shelf.claim_of(key) for _, key in lapsed[:limit]]
            return found

    def cancel(self, ids: Sequence[JobId], *, now: datetime) -> list[Cancel]:
        with self.room as shelves:
            return [_cancel(shelves[id.queue], id.key, now) for id in ids]

    def revive(self, ids: Sequence[JobId], *, now: datetime) -> list[bool]:
        with self.room as shelves:
            return [_revive(shelves[id.queue], id.key, now) for id in ids]

    def purge(self, ids: Sequence[JobId], *, now: datetime) -> list[bool]:
        with self.room as shelves:
            answers = []
            for id in ids:
                shelf = shelves[id.queue]
                answers.append(id.key in shelf.dead)
                if answers[-1]:
                    shelf.unplace(id.key)
                    del shelf.jobs[id.key]
                    shelf.stats["purged"] += 1
            return answers

    def forget(self, ids: Sequence[JobId], *, now: datetime) -> list[bool]:
        with self.room as shelves:
            return [shelves[id.queue].dismiss(id.key, now=now) for id in ids]

    def sweep(self, queue: str, *, now: datetime, mark: str = "", limit: int = 500) -> Swept:
        with self.room as shelves:
            return swept(shelves[queue], now)

    def pause(self, queue: str, pause: Pause) -> None:
        with self.room as shelves:
            shelves[queue].pause = pause

    def resume(self, queue: str) -> bool:
        with self.room as shelves:
            shelf = shelves[queue]
            paused, shelf.pause = shelf.pause, None
            shelf.work = min(len(shelf.waiting()), TOKENS)
            return paused is not None

    def endings(self, ids: Sequence[JobId], *, now: datetime) -> list[Ending | None]:
        with self.room as shelves:
            return [_ending(shelves[id.queue], id, now) for id in ids]

    def get(self, ids: Sequence[JobId], *, now: datetime) -> list[Snapshot | None]:
        with self.room as shelves:
            return [_snapshot(shelves[id.queue], id.key, now) for id in ids]

    def find(self, queue: str, state: State, *, now: datetime, mark: str = "", limit: int = 100) -> Page:
        with self.room as shelves:
            shelf = shelves[queue]
            keys = _listed(shelf, state, now)
            start = int(mark or 0)
            found = [_snapshot(shelf, key, now) for key in keys[start : start + limit]]
            more = str(start + limit) if start + limit < len(keys) else ""
            return Page(tuple(one for one in found if one), more)

    def counts(self, queues: Sequence[str], *, now: datetime) -> list[Counts]:
        with self.room as shelves:
            return [_counts(shelves[queue], now) for queue in queues]

    def queues(self) -> list[str]:
        with self.room as shelves:
            return sorted(name for name, shelf in shelves.items() if shelf.stats["accepted"] or shelf.plans)

    def wait_ready(self, queues: Sequence[str], *, timeout: timedelta) -> None:
        self.room.wait(lambda: self._take_token(queues), timeout)

    def wait_claim(
        self,
        wants: Sequence[tuple[str, int]],
        *,
        worker: str,
        lease: timedelta,
        now: datetime,
        timeout: timedelta,
    ) -> Claimed:
        queues = [queue for queue, _ in wants]
        with self.room:
            self.room.wait(lambda: worker in self.room.recalled or self._take_token(queues), timeout)
            if worker in self.room.recalled:
                return Claimed((), None)
            return self.claim(wants, worker=worker, lease=timeout + lease, now=now)

    def recall(self, worker: str) -> bool:
        with self.room:
            self.room.recalled.add(worker)
        return True

    def _take_token(self, queues: Sequence[str]) -> bool:
        shelf = next((s for q in queues if (s := self.room.shelves[q]).work), None)
        if shelf:
            shelf.work -= 1
        return shelf is not None

    def wait_due(self, queues: Sequence[str], *, timeout: timedelta) -> list[str]:
        def woken() -> list[str]:
            names = [queue for queue in queues if self.room.shelves[queue].time]
            for queue in names:
                self.room.shelves[queue].time = False
            return names

        return self.room.wait(woken, timeout)

    def wait_ended(self, queues: Sequence[str], *, timeout: timedelta) -> list[JobId]:
        return self.room.heard(queues, timeout)


def _submit(shelf: Shelf, job: Job, now: datetime, room: int | None) -> Submitted:
    if (taken := _taken(shelf, job, now)) is not None:
        return taken
    if room is not None and len(shelf.jobs) >= room:
        return Submitted.FULL
    shelf.add(job, now=now)
    return Submitted.ACCEPTED


def _taken(shelf: Shelf, job: Job, now: datetime) -> Submitted | None:
    """What is said of a job whose key is in use; None when it is free."""
    key = job.id.key
    if key in shelf.jobs:
        return Submitted.DUPLICATE if shelf.jobs[key].job.same_work(job) else Submitted.CONFLICT
    if memory := shelf.remembered(key, now=now):
        return Submitted.DUPLICATE if memory.work == fingerprint(job) else Submitted.CONFLICT
    return None


def _adopt(shelf: Shelf, one: Snapshot, now: datetime) -> Submitted:
    if (taken := _taken(shelf, one.job, now)) is not None:
        return taken
    past = (one.token, one.token - one.attempt, one.crashes, one.worker, one.failure, one.reason)
    shelf.adopt(
        Entry(one.job, *past), one.until if one.state is not State.READY else None, one.state, now=now
    )
    return Submitted.ACCEPTED


def _grant(shelf: Shelf, limit: int, bound: int, worker: str, until: datetime) -> tuple[list[Claim], bool]:
    """The claims, and whether some stayed behind for their weight."""
    claims: list[Claim] = []
    weight, more = 0, False
    while len(claims) < limit and (key := shelf.pop_ready()) is not None:
        weight += len(shelf.jobs[key].job.payload)
        if more := weight > bound and bool(claims):
            shelf.put_back(key)
            break
        claims.append(shelf.claim(key, worker=worker, until=until))
    # what is left is somebody's to hear of; a list found empty needs no token
    shelf.work = max(shelf.work, 1) if any(shelf.ready) else 0
    return claims, more


def _settled(
    shelves: Mapping[str, Shelf], verdicts: Sequence[tuple[Claim, Verdict]], now: datetime
) -> list[bool]:
    answers = []
    for claim, verdict in verdicts:
        shelf = shelves[claim.id.queue]
        held = shelf.holds(claim) and not (
            crashed(verdict) and shelf.leases[claim.id.key] != claim.expires_at
        )
        answers.append(held and _settle(shelf, claim, verdict, now))
    return answers


def _settle(shelf: Shelf, claim: Claim, verdict: Verdict, now: datetime) -> bool:
    key = claim.id.key
    entry = shelf.jobs[key]
    entry.excused += excused(verdict)
    if crashed(verdict):
        entry.crashes += 1
        shelf.stats["crashed"] += 1
    match verdict:
        case Dead():
            shelf.bury(key, verdict.failure, now=now)
        case Retry() | Snooze() if key in shelf.stops:
            shelf.end(key, State.CANCELLED, now=now)
        case Retry() | Snooze():
            shelf.stats["retried"] += isinstance(verdict, Retry) and not verdict.crash
            shelf.unplace(key)
            _annotate(entry, verdict)
            shelf.place(key, verdict.at, now=now)
        case _:
            shelf.end(
                key, leads_to(verdict), now=now, result=verdict.result if isinstance(verdict, Done) else b""
            )
    return True


def _release(shelf: Shelf, claim: Claim, now: datetime) -> bool:
    key = claim.id.key
    if not shelf.holds(claim):
        return False
    if key in shelf.stops:
        shelf.end(key, State.CANCELLED, now=now)
        return True
    shelf.unplace(key)
    entry = shelf.jobs[key]
    entry.excused, entry.progress = entry.excused + 1, None
    shelf.place(key, now, now=now, front=True)
    return True


def _annotate(entry: Entry, verdict: Retry | Snooze) -> None:
    """Keep why it waits: the last error, or the reason of the snooze; progress belongs to one attempt."""
    entry.progress = None
    if isinstance(verdict, Retry):
        entry.failure, entry.reason = verdict.failure, ""
    else:
        entry.failure, entry.reason = None, verdict.reason


def _cancel(shelf: Shelf, key: str, now: datetime) -> Cancel:
    if key in shelf.leases:
        shelf.stops.add(key)
        return Cancel.ASKED
    if key in shelf.delayed or shelf.is_ready(key):
        claimed = shelf.jobs[key].token > 0
        shelf.end(key, State.CANCELLED, now=now)
        return Cancel.STOPPED if claimed else Cancel.CANCELLED
    return Cancel.GONE


def _revive(shelf: Shelf, key: str, now: datetime) -> bool:
    if key not in shelf.dead:
        return False
    shelf.unplace(key)
    entry = shelf.jobs[key]
    entry.excused, entry.crashes = entry.token, 0
    if entry.job.run_of:
        shelf.runs.setdefault(entry.job.run_of.key, {})[key] = None
    shelf.place(key, now, now=now)
    return True


def _ending(shelf: Shelf, id: JobId, now: datetime) -> Ending | None:
    if id.key in shelf.dead:
        return Ending(id, State.DEAD, shelf.dead[id.key], failure=shelf.jobs[id.key].failure)
    memory = shelf.remembered(id.key, now=now)
    return memory.ending if memory and id.key not in shelf.jobs else None


def _snapshot(shelf: Shelf, key: str, now: datetime) -> Snapshot | None:
    entry = shelf.jobs.get(key)
    if entry is None:
        memory = shelf.remembered(key, now=now)
        if memory is None:
            return None
        end = memory.ending
        return Snapshot(Job(end.id, memory.task, b"", end.at, end.at), end.state, until=end.at)
    state, until = State.READY, None
    if key in shelf.delayed:
        state, until = State.DELAYED, shelf.delayed[key]
    elif key in shelf.leases:
        state, until = State.RUNNING, shelf.leases[key]
    elif key in shelf.dead:
        state, until = State.DEAD, shelf.dead[key]
    return Snapshot(
        entry.job,
        state,
        attempt=entry.token - entry.excused,
        token=entry.token,
        crashes=entry.crashes,
        worker=entry.worker,
        until=until,
        failure=entry.failure,
        reason=entry.reason,
        progress=entry.progress,
        stopping=key in shelf.stops,
    )


def _listed(shelf: Shelf, state: State, now: datetime) -> list[str]:
    if state in ENDED:
        known = ((key, shelf.remembered(key, now=now)) for key in shelf.recent if key not in shelf.jobs)
        return list(dict.fromkeys(key for key, memory in known if memory and memory.ending.state is state))
    if state is State.READY:
        return shelf.waiting()
    if state is State.DEAD:
        return [key for _, key in sorted(((at, key) for key, at in shelf.dead.items()), reverse=True)]
    if state is State.RUNNING:
        return [key for _, key in sorted((until, key) for key, until in shelf.leases.items())]
    return [m[1:] for _, m in sorted(o for o in shelf.order if shelf.delayed.get(o[1][1:]) == o[0])]


def _counts(shelf: Shelf, now: datetime) -> Counts:
    stats = shelf.stats
    return Counts(
        shelf.name,
        delayed=len(shelf.delayed),
        ready=sum(map(len, shelf.ready)) - len(shelf.skips),
        running=len(shelf.leases),
        dead=len(shelf.dead),
        pause=shelf.pause if shelf.pause and shelf.pause.holds(now) else None,
        **{name: stats[name] for name in _COUNTED if name in stats},
    )
