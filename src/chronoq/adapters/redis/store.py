"""StorePort on Redis: a schedule lives in the slot of the queue that it feeds."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain, repeat
from typing import Any

from attrs import frozen

from chronoq.adapters.codec import encode
from chronoq.adapters.cursors import encode_cursor, expected_text
from chronoq.adapters.redis.calls import Call, Command, Operation, Word, texts
from chronoq.adapters.redis.server import Server
from chronoq.adapters.redis.sweep_plans import PlanSweep
from chronoq.adapters.redis.words import wake_word
from chronoq.adapters.written import not_before, outcome_of
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.ports import LEDGER, Fired
from chronoq.domain.schedule import Cursor, Due, Firing, Outcome, Schedule, Stored
from chronoq.domain.sweep import Swept
from chronoq.domain.time import from_ms, to_ms

_MOST_DUE = 1000
_FLAG = ("0", "1")
_FIRED = {1: Fired.YES, 2: Fired.MOVED, 3: Fired.STALE}


@frozen
class RedisStore:
    """Cursors are compared as texts, which is why they are always written the same way."""

    server: Server

    def put(self, schedule: Schedule, *, cursor: Cursor, expected: Cursor | None, now: datetime) -> bool:
        queue, key = schedule.id.queue, schedule.id.key
        keys = self.server.keys.of(queue)
        places = (keys.schedules, keys.cursors, keys.dues, keys.delayed, keys.time, keys.runs(key))
        args = (
            *(to_ms(now), key, self.server.records.schedule(schedule)),
            *(encode_cursor(cursor), expected_text(expected), wake_word(cursor)),
        )
        names = self.server.names
        calls: list[Operation[Any]] = [
            *names.before(queue),
            Call(self.server.scripts["put"], places, args, bool, again=False, durable=True),
        ]
        stored = bool(self.server.wire.run_all(calls)[-1])
        names.stored(queue)
        return stored

    def drop(self, ids: Sequence[ScheduleId]) -> list[bool]:
        def call(queue: str, part: list[ScheduleId]) -> Call[list[bool]]:
            keys = self.server.keys.of(queue)
            places = (
                keys.schedules,
                keys.cursors,
                keys.dues,
                keys.failures,
                *(keys.ledger(id.key) for id in part),
            )
            args, yes_or_no = [id.key for id in part], lambda reply: [one == 1 for one in reply]
            return Call(self.server.scripts["drop"], places, args, yes_or_no, again=False, durable=True)

        return self.server.spread(ids, queue=_queue_of, call=call)

    def due(
        self, queues: Sequence[str], *, now: datetime, limit: int
    ) -> tuple[list[Due], list[datetime | None]]:
        def call(queue: str) -> Call[Any]:
            keys = self.server.keys.of(queue)
            places = (keys.dues, keys.schedules, keys.cursors, keys.failures)
            return Call(self.server.scripts["due"], places, (to_ms(now), min(limit, _MOST_DUE)), _rows)

        looks = self.server.wire.run_all([call(queue) for queue in queues])
        ids = [ScheduleId(queue, key) for queue, look in zip(queues, looks, strict=True) for key in look[0]]
        rows = chain.from_iterable(look[1] for look in looks)
        stored = self.server.records.stored
        found = [
            Due(stored(id, record, cursor), live, int(failed or 0))
            for id, live, (record, cursor, failed) in zip(ids, self._live(ids), rows, strict=True)
        ]
        return found, [following for *_, following in looks]

    def fire(self, firings: Sequence[Firing], *, fence: int | None, now: datetime) -> list[Fired]:
        return self.server.stream(
            firings,
            queue=lambda firing: firing.id.queue,
            call=lambda queue, part: self._fire(queue, part, fence, now),
            weight=lambda firing: 2 + len(firing.jobs) + len(firing.outcomes),
        )

    def get(self, ids: Sequence[ScheduleId]) -> list[Stored | None]:
        def call(queue: str, part: list[ScheduleId]) -> Call[list[Stored | None]]:
            keys = self.server.keys.of(queue)

            def parse(reply: Any) -> list[Stored | None]:
                rows = zip(part, *reply, strict=True)
                return [
                    None if record is cursor is None else self.server.records.stored(id, record, cursor)
                    for id, record, cursor in rows
                ]

            args = [id.key for id in part]
            return Call(self.server.scripts["stored"], (keys.schedules, keys.cursors), args, parse)

        return self.server.spread(ids, queue=_queue_of, call=call)

    def find(self, queue: str) -> list[Stored]:
        keys = self.server.wire.run(Command(("HKEYS", self.server.keys.of(queue).schedules), texts))
        found = self.get([ScheduleId(queue, key) for key in sorted(keys)])
        return [stored for stored in found if stored is not None]

    def sweep(self, queue: str, *, now: datetime, mark: str = "", limit: int = 500) -> Swept:
        return PlanSweep(self.server, self.put).step(queue, now=now, mark=mark, limit=limit)

    def live(self, id: ScheduleId) -> list[JobId]:
        keys = self.server.wire.run(Command(("SMEMBERS", self.server.keys.of(id.queue).runs(id.key)), texts))
        return [JobId(id.queue, key) for key in sorted(keys)]

    def ledger(self, id: ScheduleId, *, limit: int = 100) -> list[Outcome]:
        words = ("LRANGE", self.server.keys.of(id.queue).ledger(id.key), 0, limit - 1)
        return (
            self.server.wire.run(Command(words, lambda reply: [outcome_of(text) for text in reply]))
            if limit > 0
            else []
        )

    def _live(self, ids: Sequence[ScheduleId]) -> Iterable[int]:
        """How many live runs they have, counted after their cursors were read: whoever adds one moves the cursor."""

        def call(queue: str, part: list[ScheduleId]) -> Call[list[int]]:
            keys = self.server.keys.of(queue)
            none = [0] * len(part)
            runs = [keys.runs(id.key) for id in part]
            return Call(self.server.scripts["live"], runs, (), lambda reply: reply or none)

        return self.server.spread(ids, queue=_queue_of, call=call) if ids else ()

    def _fire(self, queue: str, firings: list[Firing], fence: int | None, now: datetime) -> Call[list[Fired]]:
        keys = self.server.keys.of(queue)
        places = [
            *(keys.cursors, keys.dues, keys.fence, keys.jobs, keys.skips, keys.stats, keys.delayed),
            *(keys.work, keys.time, *keys.ready, keys.leases, keys.stops, keys.failures),
        ]
        args: list[Word] = [to_ms(now), "" if fence is None else fence, LEDGER, len(firings)]
        ends: list[str] = []
        for firing in firings:
            key, cursor, jobs, outcomes = firing.id.key, firing.cursor, firing.jobs, firing.outcomes
            places += (keys.runs(key), keys.ledger(key))
            args += (key, expected_text(firing.expected), encode_cursor(cursor), wake_word(cursor))
            args += (_shape(len(jobs), len(outcomes), firing.stop, firing.forgive), *map(_outcome, outcomes))
            for job in jobs:
                ends.append(keys.ending(job.id.key))
                args += (
                    *(job.id.key, job.options.priority.value, _not_before(job.due, now)),
                    *(_FLAG[job.run_of is not None], self.server.records.job(job)),
                )
        places += ends
        script = self.server.scripts["fire"]
        return Call(
            script, places, args, lambda reply: [_FIRED[one] for one in reply], again=False, durable=True
        )


def _rows(reply: Any) -> tuple[list[str], Iterable[tuple[bytes | None, ...]], datetime | None]:
    """The schedules; of each its record, cursor and failures; when the next one is due."""
    ids, records, cursors, failures, following = reply
    rows = zip(records, cursors, failures or repeat(None, len(ids)), strict=True)
    return texts(ids), rows, from_ms(int(float(following))) if following else None


_shape = lru_cache(maxsize=256)("{:d} {:d} {:d} {:d}".format)
_outcome = lru_cache(maxsize=256)(encode)
_not_before = lru_cache(maxsize=256)(not_before)
"""Schedules that fire together have these in common."""


def _queue_of(id: ScheduleId) -> str:
    return id.queue
