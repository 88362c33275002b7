"""The transitions of jobs on Redis: each is one script in the slot of its queue."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

from chronoq.adapters.codec import (
    encode,
    encode_ending,
    fingerprint,
    is_work,
    keep_ms,
    up_ms,
)
from chronoq.adapters.records import Records
from chronoq.adapters.redis.calls import Call, Command, Operation, Word
from chronoq.adapters.redis.ends import Worded, endings
from chronoq.adapters.redis.grants import Grants
from chronoq.adapters.redis.server import HEAVY, Server
from chronoq.adapters.redis.trouble import Lost
from chronoq.adapters.redis.words import (
    KEPT,
    Released,
    Runs,
    history,
    history_text,
    holder,
    moment,
    yes_or_no,
)
from chronoq.adapters.written import not_before, note_text, standing
from chronoq.domain.errors import NotDurable, Unknown
from chronoq.domain.identity import JobId
from chronoq.domain.job import Claim, Job, Pause, Priority, Progress, Snapshot, State
from chronoq.domain.ports import RECENT, Cancel, Claimed, Hold, Promoted, Submitted, nothing
from chronoq.domain.time import MS, to_ms
from chronoq.domain.verdict import Verdict

_MOST = 1000
"""What one script call moves or reads at the most, where the caller asks for more."""

_PRIORITIES = [f"{priority:d}" for priority in Priority]
_HOLDS = (Hold.LOST, Hold.KEPT, Hold.STOP)
_NEAR = 1000
"""How far from either end of a list the place of a cancelled job is looked for, when it is forgotten."""
_CANCELS = (Cancel.GONE, Cancel.CANCELLED, Cancel.ASKED, Cancel.STOPPED)


class Moves:
    """That half of the queue port which changes something."""

    server: Server

    def submit(
        self,
        jobs: Sequence[Job],
        *,
        now: datetime,
        room: Mapping[str, int] | None = None,
        meanwhile: Callable[[], None] = nothing,
    ) -> list[Submitted]:
        names = self.server.names
        bounds = room or {}
        heavy = len(jobs) > 1 and any(len(job.payload) >= HEAVY for job in jobs)
        try:
            answers = self.server.spread(
                jobs,
                queue=_place_of,
                call=lambda queue, part: self._storing(queue, part, now, bounds.get(queue, -1)),
                weight=_job_weight if heavy else None,
                before=names.before,
                meanwhile=meanwhile,
            )
        except (Lost, NotDurable) as error:
            raise Unknown(
                f"{error} {_unknown(jobs, error)}",
                ids=[str(job.id) for job in jobs],
            ) from error
        for queue in {job.id.queue for job in jobs}:
            names.stored(queue)
        return answers

    def _storing(self, queue: str, jobs: list[Job], now: datetime, room: int) -> Call[list[Submitted]]:
        return (room < 0 and self._accept(queue, jobs, now)) or self._submit(queue, jobs, now, room)

    def _accept(self, queue: str, jobs: list[Job], now: datetime) -> Call[list[Submitted]] | None:
        """The short call for jobs that are all due, of one priority, of no schedule and named once; None for others."""
        priority = jobs[0].options.priority
        for job in jobs:
            if job.origin is not None or job.due > now or job.options.priority is not priority:
                return None
        keys, records, parse = (
            self.server.keys.of(queue),
            self.server.records,
            partial(self._stored, jobs, now=now),
        )
        places = keys.accepting
        words: tuple[Word, ...] = (str(to_ms(now)), str(5 + priority))
        if len(jobs) == 1:  # most are: without lists and a look for doubles it is half the work
            key = jobs[0].id.key
            places, words = (*places, keys.ending(key)), (*words, key, records.job(jobs[0]))
        else:
            ids = [job.id.key for job in jobs]
            if len(set(ids)) < len(ids):
                return None
            named: Iterable[tuple[Word, Word]] = zip(ids, records.jobs(jobs), strict=True)
            places, words = (*places, *keys.endings(ids)), (*words, *chain.from_iterable(named))
        return Call(self.server.scripts["accept"], places, words, parse, durable=True)

    def _stored(self, jobs: Sequence[Job], reply: Any, *, now: datetime) -> list[Submitted]:
        if reply == 1:
            return [Submitted.ACCEPTED] * len(jobs)
        records = self.server.records
        return [
            Submitted.ACCEPTED if answer == 1 else _submitted(job, answer, records, now)
            for job, answer in zip(jobs, reply, strict=True)
        ]

    def _submit(self, queue: str, jobs: list[Job], now: datetime, room: int) -> Call[list[Submitted]]:
        keys = self.server.keys.of(queue)
        runs = Runs(keys, 11 + len(jobs))
        args: list[Word] = [to_ms(now), room, len(jobs)]
        for job in jobs:
            run = runs.place(job)[0] if job.origin else 0
            args += (
                job.id.key,
                _PRIORITIES[job.options.priority],
                str(not_before(job.due, now)),
                str(run),
                self.server.records.job(job),
            )
        fixed = (
            keys.jobs,
            keys.skips,
            keys.stats,
            keys.delayed,
            keys.dues,
            keys.work,
            keys.time,
            *keys.ready,
        )
        endings = [keys.ending(job.id.key) for job in jobs]

        places = (*fixed, *endings, *runs.names)
        parse = partial(self._stored, jobs, now=now)
        return Call(self.server.scripts["submit"], places, args, parse, durable=True)

    def adopt(self, snapshots: Sequence[Snapshot], *, now: datetime) -> list[Submitted]:
        names = self.server.names
        answers = self.server.spread(
            snapshots,
            queue=lambda one: one.job.id.queue,
            call=lambda queue, part: self._adopt(queue, part, now),
            weight=lambda one: 1 + len(one.job.payload) // HEAVY,
            before=names.before,
        )
        for one in snapshots:
            names.stored(one.job.id.queue)
        return answers

    def _adopt(self, queue: str, part: list[Snapshot], now: datetime) -> Call[list[Submitted]]:
        keys = self.server.keys.of(queue)
        fixed = (
            *(keys.jobs, keys.skips, keys.stats, keys.delayed, keys.claims, keys.notes, keys.dead),
            *(keys.work, keys.time, *keys.ready),
        )
        runs = Runs(keys, len(fixed) + len(part))
        args: list[Word] = [to_ms(now), len(part)]
        for one in part:
            job, place, at, past = one.job, *standing(one, now), history_text(one)
            run = 0 if place is State.DEAD else runs.place(job)[0]
            args += (job.id.key, place.value, int(job.options.priority), at, past, note_text(one), run)
            args.append(self.server.records.job(job))
        endings = [keys.ending(one.job.id.key) for one in part]

        places = (*fixed, *endings, *runs.names)
        parse = partial(self._stored, [one.job for one in part], now=now)
        return Call(self.server.scripts["adopt"], places, args, parse, durable=True)

    def promote(self, queues: Sequence[str], *, now: datetime, limit: int) -> list[Promoted]:
        args = (to_ms(now), min(limit, _MOST))
        calls = []
        for queue in queues:
            keys = self.server.keys.of(queue)
            places = (keys.delayed, keys.work, *keys.ready)
            calls.append(
                Call(
                    self.server.scripts["promote"],
                    places,
                    args,
                    lambda reply: Promoted(reply[0], moment(reply[1])),
                    again=False,
                )
            )
        return self.server.wire.run_all(calls)

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
        ends = endings(verdicts, keys=self.server.keys, scripts=self.server.scripts, now=now)
        grants = Grants(self.server, wants, worker=worker, until=now + lease, now=now)
        calls: list[Operation[Any]] = [*ends.calls, *grants.calls]
        replies = self.server.wire.run_all(calls, meanwhile=meanwhile)
        settled = ends.join(replies[: len(ends.calls)])
        return grants.join(replies[len(ends.calls) :], settled)

    def extend(self, claims: Sequence[Claim], *, lease: timedelta, now: datetime) -> list[Hold]:
        until = to_ms(now + lease)

        def call(queue: str, part: list[Claim]) -> Call[list[Hold]]:
            keys = self.server.keys.of(queue)
            args: list[Word] = [until]
            for claim in part:
                args += (claim.id.key, holder(claim))
            places = (keys.leases, keys.claims, keys.stops)
            return Call(
                self.server.scripts["extend"], places, args, lambda reply: [_HOLDS[one] for one in reply]
            )

        return self.server.spread(claims, queue=_queue_of, call=call)

    def prepare(
        self, verdicts: Sequence[tuple[Claim, Verdict]], *, now: datetime
    ) -> Sequence[tuple[Claim, Verdict]]:
        ends = endings(verdicts, keys=self.server.keys, scripts=self.server.scripts, now=now)
        return Worded(verdicts, ends)

    def settle(self, verdicts: Sequence[tuple[Claim, Verdict]], *, now: datetime) -> list[bool]:
        return self._end(verdicts, now)

    def release(self, claims: Sequence[Claim], *, now: datetime) -> list[bool]:
        # the last one goes to the front first, also where the script is called several times
        return self._end([(claim, Released()) for claim in reversed(claims)], now)[::-1]

    def _end(self, verdicts: Sequence[tuple[Claim, Verdict | Released]], now: datetime) -> list[bool]:
        ends = endings(verdicts, keys=self.server.keys, scripts=self.server.scripts, now=now)
        return ends.join(self.server.wire.run_all(list(ends.calls)))

    def report(self, claim: Claim, progress: Progress) -> bool:
        keys = self.server.keys.of(claim.id.queue)
        args = (claim.id.key, holder(claim), encode(progress))
        places = (keys.leases, keys.claims, keys.progress)
        return self.server.wire.run(Call(self.server.scripts["report"], places, args, bool))

    def expired(self, queues: Sequence[str], *, now: datetime, limit: int) -> list[Claim]:
        def call(queue: str) -> Call[list[Claim]]:
            keys = self.server.keys.of(queue)

            def parse(reply: Any) -> list[Claim]:
                found, texts, records = reply
                claims = []
                for key, until, text, record in zip(found[::2], found[1::2], texts, records, strict=True):
                    job = self.server.records.read_job(JobId(queue, key.decode()), record, now=now)
                    claims.append(history(text).claim(job, until=int(until)))
                return claims

            args = (to_ms(now), min(limit, _MOST))
            return Call(self.server.scripts["expired"], (keys.leases, keys.claims, keys.jobs), args, parse)

        return [
            claim
            for claims in self.server.wire.run_all([call(queue) for queue in queues])
            for claim in claims
        ]

    def cancel(self, ids: Sequence[JobId], *, now: datetime) -> list[Cancel]:
        def call(queue: str, part: list[Job]) -> Call[list[Cancel]]:
            keys = self.server.keys.of(queue)
            fixed = (
                *(keys.jobs, keys.leases, keys.dead, keys.delayed, keys.skips, keys.stops, keys.claims),
                *(keys.notes, keys.progress, keys.stats, keys.recent, keys.dues, keys.time),
            )
            runs = Runs(keys, len(fixed) + len(part))
            args: list[Word] = [to_ms(now), self.server.keys.ended(queue), RECENT, len(part)]
            for job in part:
                ending = encode_ending(job, State.CANCELLED, at=now)
                args += (job.id.key, ending, keep_ms(job.options) + KEPT // MS, *runs.place(job))
            endings = [keys.ending(job.id.key) for job in part]
            script, places = self.server.scripts["cancel"], (*fixed, *endings, *runs.names)
            return Call(
                script,
                places,
                args,
                lambda reply: [_CANCELS[one] for one in reply],
                again=False,
                durable=True,
            )

        return self.server.spread(self._read(ids, now), queue=lambda job: job.id.queue, call=call)

    def revive(self, ids: Sequence[JobId], *, now: datetime) -> list[bool]:
        def call(queue: str, part: list[Job]) -> Call[list[bool]]:
            keys = self.server.keys.of(queue)
            fixed = (keys.dead, keys.claims, keys.work, *keys.ready)
            runs = Runs(keys, len(fixed))
            args = [
                word for job in part for word in (job.id.key, int(job.options.priority), runs.place(job)[0])
            ]
            places = (*fixed, *runs.names)
            return Call(self.server.scripts["revive"], places, args, yes_or_no, again=False, durable=True)

        return self.server.spread(self._read(ids, now), queue=lambda job: job.id.queue, call=call)

    def purge(self, ids: Sequence[JobId], *, now: datetime) -> list[bool]:
        def call(queue: str, part: list[JobId]) -> Call[list[bool]]:
            keys = self.server.keys.of(queue)
            places = (keys.dead, keys.jobs, keys.claims, keys.notes, keys.progress, keys.stats)
            args = [id.key for id in part]
            return Call(self.server.scripts["purge"], places, args, yes_or_no, again=False, durable=True)

        return self.server.spread(ids, queue=lambda id: id.queue, call=call)

    def forget(self, ids: Sequence[JobId], *, now: datetime) -> list[bool]:
        def call(queue: str, part: list[JobId]) -> Call[list[bool]]:
            keys = self.server.keys.of(queue)
            places = (keys.skips, *keys.ready, *(keys.ending(id.key) for id in part))
            args: list[Word] = [to_ms(now), _NEAR, *(id.key for id in part)]
            return Call(self.server.scripts["forget"], places, args, yes_or_no, again=False)

        return self.server.spread(ids, queue=lambda id: id.queue, call=call)

    def pause(self, queue: str, pause: Pause) -> None:
        until = 0 if pause.until is None else up_ms(pause.until)
        self.server.wire.run(
            Command(("SET", self.server.keys.of(queue).paused, f"{until} {pause.note}"), bool, durable=True)
        )

    def resume(self, queue: str) -> bool:
        keys = self.server.keys.of(queue)
        places = (keys.paused, keys.work, keys.skips, *keys.ready)
        return self.server.wire.run(
            Call(self.server.scripts["resume"], places, (), bool, again=False, durable=True)
        )

    def _read(self, ids: Sequence[JobId], now: datetime) -> list[Job]:
        """The jobs as they are stored, whose priority and schedule a script has to be told."""
        read = self.server.records.read_job

        def call(queue: str, part: list[JobId]) -> Operation[list[Job]]:
            words = ("HMGET", self.server.keys.of(queue).jobs, *(id.key for id in part))
            return Command(
                words,
                lambda reply: [read(id, record, now=now) for id, record in zip(part, reply, strict=True)],
            )

        return self.server.spread(ids, queue=lambda id: id.queue, call=call)


def _unknown(jobs: Sequence[Job], error: Exception) -> str:
    first, stored = str(jobs[0].id), "stored" if isinstance(error, NotDurable) else "maybe stored"
    if len(jobs) > 1:
        return f"{len(jobs)} jobs, '{first}' first, are {stored}: submit them again under the same ids, each is one."
    return f"Job '{first}' is {stored}: ask app.job('{first}').status(), or submit it again under that id."


def _submitted(job: Job, answer: Any, records: Records, now: datetime) -> Submitted:
    if answer == 2:
        return Submitted.FULL
    kind, text = answer
    work = text.decode() if kind == b"ended" else fingerprint(records.read_job(job.id, text, now=now))
    return Submitted.DUPLICATE if is_work(job, work) else Submitted.CONFLICT


def _place_of(job: Job) -> str:
    return job.id.queue


def _job_weight(job: Job) -> int:
    return 1 + len(job.payload) // HEAVY


def _queue_of(claim: Claim) -> str:
    return claim.id.queue
