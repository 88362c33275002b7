"""A divided queue, seen as one."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from attrs import define, evolve

from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Claim, Counts, Ending, Job, Page, Pause, Progress, Snapshot, State
from chronoq.domain.ports import Cancel, Claimed, Hold, Promoted, QueuePort, Submitted, nothing
from chronoq.domain.shards import whole
from chronoq.domain.sweep import Swept
from chronoq.domain.values import value
from chronoq.domain.verdict import Verdict

T = TypeVar("T")


class Division(Protocol):
    """Which parts a queue has, and which of them holds what."""

    numbers: dict[str, int]

    def parts(self, queue: str) -> tuple[str, ...]: ...
    def part_of(self, id: JobId | ScheduleId) -> str: ...
    def learn(self, names: Iterable[str]) -> list[str]: ...


@value
class Placed(Claim):
    """A claim that was granted by another part than the one where its job belongs."""

    part: str = ""


@define
class ShardedQueue:
    """`QueuePort` over the parts of divided queues; all others pass through as they are.

    Whatever is about several parts is a step for each of them. Order holds within a part.
    """

    inner: QueuePort
    division: Division
    _turn: int = 0

    def submit(
        self,
        jobs: Sequence[Job],
        *,
        now: datetime,
        room: Mapping[str, int] | None = None,
        meanwhile: Callable[[], None] = nothing,
    ) -> list[Submitted]:
        rooms = {
            part: -(-bound // self.division.numbers.get(queue, 1))
            for queue, bound in (room or {}).items()
            for part in self.division.parts(queue)
        }
        placed = [placed_job(job, self.division) for job in jobs]
        return self.inner.submit(placed, now=now, room=rooms, meanwhile=meanwhile)

    def adopt(self, snapshots: Sequence[Snapshot], *, now: datetime) -> list[Submitted]:
        return self.inner.adopt(
            [evolve(one, job=placed_job(one.job, self.division)) for one in snapshots], now=now
        )

    def promote(self, queues: Sequence[str], *, now: datetime, limit: int) -> list[Promoted]:
        return self._each(queues, lambda parts: self.inner.promote(parts, now=now, limit=limit), _promoted)

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
        """The parts of a queue take turns; what some of them cannot give is asked of those that have more."""
        self._turn += 1
        asked = [one for queue, many in wants for one in self._shares(self.division.parts(queue), many)]
        ended = [(self._claim(claim), verdict) for claim, verdict in verdicts]
        first = self.inner.claim(
            asked, worker=worker, lease=lease, now=now, verdicts=ended, meanwhile=meanwhile
        )
        claims, more = list(first.claims), first.more
        if not more and (rest := self._rest(wants, asked, claims, now)):
            second = self.inner.claim(rest, worker=worker, lease=lease, now=now)
            claims, more = [*claims, *second.claims], second.more
        return evolve(first, claims=tuple(self._seen_claim(claim) for claim in claims), more=more)

    def extend(self, claims: Sequence[Claim], *, lease: timedelta, now: datetime) -> list[Hold]:
        return self.inner.extend([self._claim(claim) for claim in claims], lease=lease, now=now)

    def prepare(
        self, verdicts: Sequence[tuple[Claim, Verdict]], *, now: datetime
    ) -> Sequence[tuple[Claim, Verdict]]:
        return verdicts

    def settle(self, verdicts: Sequence[tuple[Claim, Verdict]], *, now: datetime) -> list[bool]:
        return self.inner.settle([(self._claim(claim), verdict) for claim, verdict in verdicts], now=now)

    def release(self, claims: Sequence[Claim], *, now: datetime) -> list[bool]:
        return self.inner.release([self._claim(claim) for claim in claims], now=now)

    def report(self, claim: Claim, progress: Progress) -> bool:
        return self.inner.report(self._claim(claim), progress)

    def expired(self, queues: Sequence[str], *, now: datetime, limit: int) -> list[Claim]:
        found = self.inner.expired(self._parts(queues), now=now, limit=limit)
        return [self._seen_claim(claim) for claim in found]

    def cancel(self, ids: Sequence[JobId], *, now: datetime) -> list[Cancel]:
        return self.inner.cancel(self._ids(ids), now=now)

    def revive(self, ids: Sequence[JobId], *, now: datetime) -> list[bool]:
        return self.inner.revive(self._ids(ids), now=now)

    def purge(self, ids: Sequence[JobId], *, now: datetime) -> list[bool]:
        return self.inner.purge(self._ids(ids), now=now)

    def forget(self, ids: Sequence[JobId], *, now: datetime) -> list[bool]:
        return self.inner.forget(self._ids(ids), now=now)

    def sweep(self, queue: str, *, now: datetime, mark: str = "", limit: int = 500) -> Swept:
        return sweep_parts(self.inner, self.division.parts(queue), now=now, mark=mark, limit=limit)

    def pause(self, queue: str, pause: Pause) -> None:
        for part in self.division.parts(queue):
            self.inner.pause(part, pause)

    def resume(self, queue: str) -> bool:
        were = [self.inner.resume(part) for part in self.division.parts(queue)]
        return any(were)

    def endings(self, ids: Sequence[JobId], *, now: datetime) -> list[Ending | None]:
        found = self.inner.endings(self._ids(ids), now=now)
        return [one and evolve(one, id=id) for id, one in zip(ids, found, strict=True)]

    def get(self, ids: Sequence[JobId], *, now: datetime) -> list[Snapshot | None]:
        return [one and _seen(one) for one in self.inner.get(self._ids(ids), now=now)]

    def find(self, queue: str, state: State, *, now: datetime, mark: str = "", limit: int = 100) -> Page:
        """One part after the other."""
        parts = self.division.parts(queue)
        part, _, inner = mark.partition(" ")
        start = parts.index(part) if part in parts else 0
        items: list[Snapshot] = []
        for at, name in enumerate(parts[start:], start):
            page = self.inner.find(name, state, now=now, mark=inner, limit=limit - len(items))
            items += map(_seen, page.items)
            if page.mark:
                return Page(tuple(items), f"{name} {page.mark}")
            if len(items) == limit and at + 1 < len(parts):
                return Page(tuple(items), f"{parts[at + 1]} ")
            inner = ""
        return Page(tuple(items))

    def counts(self, queues: Sequence[str], *, now: datetime) -> list[Counts]:
        return self._each(queues, lambda parts: self.inner.counts(parts, now=now), _sum)

    def queues(self) -> list[str]:
        return self.division.learn(self.inner.queues())

    def wait_ready(self, queues: Sequence[str], *, timeout: timedelta) -> None:
        self.inner.wait_ready(self._parts(queues), timeout=timeout)

    def wait_claim(
        self,
        wants: Sequence[tuple[str, int]],
        *,
        worker: str,
        lease: timedelta,
        now: datetime,
        timeout: timedelta,
    ) -> Claimed | None:
        """Whoever waits for a divided queue claims by itself: its parts take turns."""
        queues = [queue for queue, _ in wants]
        if self._parts(queues) != queues:
            self.wait_ready(queues, timeout=timeout)
            return None
        return self.inner.wait_claim(wants, worker=worker, lease=lease, now=now, timeout=timeout)

    def recall(self, worker: str) -> bool:
        return self.inner.recall(worker)

    def wait_due(self, queues: Sequence[str], *, timeout: timedelta) -> list[str]:
        found = self.inner.wait_due(self._parts(queues), timeout=timeout)
        return list(dict.fromkeys(whole(part) for part in found))

    def wait_ended(self, queues: Sequence[str], *, timeout: timedelta) -> list[JobId]:
        found = self.inner.wait_ended(self._parts(queues), timeout=timeout)
        return [JobId(whole(id.queue), id.key) for id in found]

    def _shares(self, parts: Sequence[str], many: int) -> list[tuple[str, int]]:
        """`many` in even shares; whose is one larger goes round."""
        share, extra = divmod(many, len(parts))
        first = self._turn % len(parts)
        turns = [*parts[first:], *parts[:first]]
        return [(part, share + (place < extra)) for place, part in enumerate(turns)]

    def _rest(
        self,
        wants: Sequence[tuple[str, int]],
        asked: Sequence[tuple[str, int]],
        claims: Sequence[Claim],
        now: datetime,
    ) -> list[tuple[str, int]]:
        """What to ask for once more, of those parts that gave all they were asked for and have more."""
        got = Counter(claim.id.queue for claim in claims)
        total = Counter(whole(claim.id.queue) for claim in claims)
        short = {queue: many - total[queue] for queue, many in wants if len(self.division.parts(queue)) > 1}
        shares: dict[str, list[str]] = {}
        for part, share in asked:
            if short.get(whole(part), 0) > 0 and got[part] == share:
                shares.setdefault(whole(part), []).append(part)
        open = [part for parts in shares.values() for part in parts]
        ready = {one.queue: one.ready for one in self.inner.counts(open, now=now)} if open else {}
        more = {queue: [part for part in parts if ready[part]] for queue, parts in shares.items()}
        return [
            (part, min(share, ready[part]))
            for queue, parts in more.items()
            if parts
            for part, share in self._shares(parts, short[queue])
            if share
        ]

    def _each(
        self, queues: Sequence[str], ask: Callable[[list[str]], list[T]], join: Callable[[str, list[T]], T]
    ) -> list[T]:
        """One answer for each queue, joined from those of its parts."""
        parts = [self.division.parts(queue) for queue in queues]
        answers = iter(ask([part for some in parts for part in some]))
        return [join(queue, [next(answers) for _ in some]) for queue, some in zip(queues, parts, strict=True)]

    def _parts(self, queues: Sequence[str]) -> list[str]:
        return [part for queue in queues for part in self.division.parts(queue)]

    def _ids(self, ids: Sequence[JobId]) -> list[JobId]:
        return [JobId(self.division.part_of(id), id.key) for id in ids]

    def _claim(self, claim: Claim) -> Claim:
        """As the part knows it."""
        part = claim.part if isinstance(claim, Placed) else self.division.part_of(claim.id)
        return claim if part == claim.id.queue else evolve(claim, job=_moved(claim.job, part))

    def _seen_claim(self, claim: Claim) -> Claim:
        part, job = claim.id.queue, _seen_job(claim.job)
        if part == self.division.part_of(job.id):
            return claim if job is claim.job else evolve(claim, job=job)
        history = (claim.token, claim.attempt, claim.worker, claim.expires_at, claim.crashes)
        return Placed(job, *history, part=part)


class Sweeps(Protocol):
    def sweep(self, queue: str, *, now: datetime, mark: str = "", limit: int = 500) -> Swept: ...


def sweep_parts(port: Sweeps, parts: Sequence[str], *, now: datetime, mark: str, limit: int) -> Swept:
    """One step of a round through all parts, one after the other."""
    part, _, inner = mark.partition(" ")
    at = parts.index(part) if part in parts else 0
    swept = port.sweep(parts[at], now=now, mark=inner, limit=limit)
    if swept.mark:
        return evolve(swept, mark=f"{parts[at]} {swept.mark}")
    return evolve(swept, mark=f"{parts[at + 1]} ") if at + 1 < len(parts) else swept


def placed_job(job: Job, division: Division) -> Job:
    """The job as its part knows it."""
    part = division.part_of(job.id)
    return job if part == job.id.queue else _moved(job, part)


def _seen_job(job: Job) -> Job:
    return _moved(job, whole(job.id.queue)) if "~" in job.id.queue else job


def _moved(job: Job, queue: str) -> Job:
    """The same in another queue, and so the schedule that has made it, if that is in the same one."""
    origin = job.origin
    if origin is not None and whole(origin.schedule.queue) == whole(job.id.queue):
        origin = evolve(origin, schedule=ScheduleId(queue, origin.schedule.key))
    return evolve(job, id=JobId(queue, job.id.key), origin=origin)


def _seen(snapshot: Snapshot) -> Snapshot:
    return evolve(snapshot, job=_seen_job(snapshot.job))


def _promoted(_: str, parts: Sequence[Promoted]) -> Promoted:
    nexts = [one.next for one in parts if one.next is not None]
    return Promoted(sum(one.moved for one in parts), min(nexts, default=None))


def _sum(queue: str, parts: Sequence[Counts]) -> Counts:
    names = [name for name in Counts.__annotations__ if name not in ("queue", "pause")]
    figures: dict[str, Any] = {name: sum(getattr(one, name) for one in parts) for name in names}
    return Counts(queue, **figures, pause=next((one.pause for one in parts if one.pause), None))
