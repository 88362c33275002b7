"""The sweep of a queue's schedules: each active one is looked at again, and waits for no run that is gone."""

from collections.abc import Callable, Sequence
from datetime import datetime

from attrs import frozen

from chronoq.adapters.codec import Malformed
from chronoq.adapters.cursors import read_cursor
from chronoq.adapters.redis.calls import AT_ONCE, Call
from chronoq.adapters.redis.server import Server
from chronoq.adapters.redis.words import wake_word
from chronoq.domain.identity import ScheduleId
from chronoq.domain.schedule import planned
from chronoq.domain.sweep import Mend, Mended, Swept
from chronoq.domain.time import to_ms

_THROUGH = 4
_RUNS = 100
"""So many runs of a schedule are looked at in a round, any of them."""


@frozen
class PlanSweep:
    """`put` is that of the store."""

    server: Server
    put: Callable[..., bool]

    def step(self, queue: str, *, now: datetime, mark: str, limit: int) -> Swept:
        keys = self.server.keys.of(queue)
        which, _, at = (mark or "1 0").partition(" ")
        places = (keys.schedules, keys.cursors, keys.dues, keys.stats)
        args = (which, at, min(limit, AT_ONCE))
        after, cursor, met, unwatched, unknown, dropped = self.server.wire.run(
            Call(self.server.scripts["plans"], places, args, list)
        )
        mended = [Mended(Mend.CLEARED, id.decode()) for id in dropped]
        mended += self._leave(queue, [id.decode() for id in met], now)
        for id, text in zip(unwatched[::2], unwatched[1::2], strict=True):
            mended += self._watch(queue, id.decode(), text)
        for id, record in zip(unknown[::2], unknown[1::2], strict=True):
            mended += self._begin(ScheduleId(queue, id.decode()), record, now)
        return Swept(tuple(mended), mark="" if after >= _THROUGH else f"{after} {cursor.decode()}")

    def _leave(self, queue: str, ids: Sequence[str], now: datetime) -> list[Mended]:
        if not ids:
            return []
        keys = self.server.keys.of(queue)
        places = (keys.jobs, keys.dead, keys.dues, keys.time, keys.stats, *(keys.runs(id) for id in ids))
        call = Call(self.server.scripts["leave"], places, (to_ms(now), _RUNS, *ids), list)
        return [Mended(Mend.CLEARED, key.decode()) for key in self.server.wire.run(call)]

    def _watch(self, queue: str, id: str, text: bytes) -> list[Mended]:
        cursor, _ = read_cursor(text)
        wake = wake_word(cursor)
        if wake == "":
            return []
        keys = self.server.keys.of(queue)
        places = (keys.cursors, keys.dues, keys.time, keys.stats)
        watched = self.server.wire.run(Call(self.server.scripts["watch"], places, (id, text, wake), bool))
        return [Mended(Mend.WATCHED, id)] if watched else []

    def _begin(self, id: ScheduleId, record: bytes, now: datetime) -> list[Mended]:
        """A schedule without a cursor: how far it had come is not known, so it begins anew."""
        try:
            schedule = self.server.records.read_schedule(id, record)
        except Malformed:
            return []  # shown with its defect, until it is put again or dropped
        _, cursor = planned(None, schedule, now=now)
        begun = self.put(schedule, cursor=cursor, expected=None, now=now)
        return [Mended(Mend.WATCHED, id.key)] if begun else []
