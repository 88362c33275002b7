"""The sweep of a queue: jobs that stand nowhere, places of which nothing else is left (L6).

A round walks through the places, a bounded number of entries a step. When there are more records than
places, it looks for those that stand nowhere: it takes note of records that are in no sorted place, walks
through the ready lists, and what was met nowhere by then, and was not claimed meanwhile, is put back.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import evolve, field, frozen

from chronoq.adapters.codec import LOST, Note, decode, encode, schedule_of_key, up_ms
from chronoq.adapters.redis.calls import AT_ONCE, Call, Word
from chronoq.adapters.redis.views import Views
from chronoq.domain.identity import JobId
from chronoq.domain.job import LEAST_MEMORY, Snapshot
from chronoq.domain.sweep import LOST_PLACE, LOST_RECORD, Mend, Mended, Swept, replaced
from chronoq.domain.time import from_ms, to_ms
from chronoq.domain.verdict import Dead

_FIRST, _LISTS, _THROUGH = 2, 9, 13
_SUSPECTS = 1000
_IN_TIME = LEAST_MEMORY - timedelta(seconds=10)
"""An ended id may be taken anew after `LEAST_MEMORY`: suspicions that are older tell nothing."""


@frozen
class _Round:
    """How far a round has come: what a mark holds."""

    began: int
    place: int = _FIRST
    at: str = "0"
    records: str = ""
    """Where to go on among the records; "": they have not been looked at."""
    collecting: bool = False
    suspects: dict[str, str] = field(factory=dict)
    marks: tuple[str, ...] = ()
    purged: str = "0"


class Sweep(Views):
    """That part of the queue port which mends."""

    def sweep(self, queue: str, *, now: datetime, mark: str = "", limit: int = 500) -> Swept:
        here = decode(_Round, mark.encode()) if mark else _Round(to_ms(now))
        if here.collecting:
            return Swept(mark=_mark(self._collect(queue, here, now, limit)), hurry=True)
        here, mended, astray, lost = self._walk(queue, here, now, limit)
        if here.place < _THROUGH:
            hurry = bool(astray or mended or here.suspects)
            return Swept(tuple(mended), lost, _mark(here), hurry)
        mended += self._restore(queue, here, now)
        if here.suspects or here.marks:
            _, _, astray, lost = self._walk(queue, evolve(here, suspects={}, marks=()), now, 0)
        if astray > 0 and here.records != "0":
            return Swept(
                tuple(mended), lost, _mark(_Round(to_ms(now), records=here.records, collecting=True)), True
            )
        return Swept(tuple(mended), lost)

    def _walk(
        self, queue: str, here: _Round, now: datetime, limit: int
    ) -> tuple[_Round, list[Mended], int, int]:
        """Look through the next places; also how many records have no place, and how many jobs are lost."""
        keys = self.server.keys.of(queue)
        places = (
            *(keys.jobs, keys.delayed, keys.leases, keys.dead, keys.claims, keys.notes, keys.progress),
            *(keys.stops, *keys.ready, keys.skips, keys.stats),
        )
        args = (to_ms(now), here.place, here.at, min(limit, _SUSPECTS), LOST, _note())
        reply = self.server.wire.run(Call(self.server.scripts["sweep"], places, args, list))
        place, at, astray, lost, *lists = reply
        live, listed, buried, marked, cleared, gone, skips = (
            [key.decode() for key in found] for found in lists
        )
        mended = [Mended(Mend.BURIED, key) for key in buried]
        mended += [Mended(Mend.MARKED, key) for key in marked]
        mended += [Mended(Mend.CLEARED, key) for key in cleared]
        mended += self._bury(queue, gone, now)
        mended += self._rejoin(queue, [*live, *listed])
        met = set(listed)
        suspects = {key: claims for key, claims in here.suspects.items() if key not in met}
        marks = tuple(key for key in (*here.marks, *skips) if key not in met)
        return evolve(here, place=place, at=at.decode(), suspects=suspects, marks=marks), mended, astray, lost

    def _bury(self, queue: str, gone: Sequence[str], now: datetime) -> list[Mended]:
        if not gone:
            return []
        keys = self.server.keys.of(queue)
        places = (keys.jobs, keys.delayed, keys.leases, keys.dead, keys.notes, keys.stats)
        endings = (keys.ending(key) for key in gone)
        call = Call(
            self.server.scripts["bury"], (*places, *endings), (to_ms(now), LOST, _note(), *gone), list
        )
        answers = self.server.wire.run(call)
        what = {1: Mend.BURIED, 0: Mend.CLEARED}
        return [Mended(what[answer], key) for key, answer in zip(gone, answers, strict=True)]

    def _rejoin(self, queue: str, live: Iterable[str]) -> list[Mended]:
        keys, runs = self.server.keys.of(queue), dict[str, int]()
        args: list[Word] = []
        for key in live:
            if schedule := schedule_of_key(key):
                args += (key, runs.setdefault(keys.runs(schedule), 4 + len(runs)))
        if not args:
            return []
        call = Call(self.server.scripts["rejoin"], (keys.jobs, keys.dead, keys.stats, *runs), args, list)
        return [Mended(Mend.JOINED, key.decode()) for key in self.server.wire.run(call)]

    def _collect(self, queue: str, here: _Round, now: datetime, limit: int) -> _Round:
        """Take note of more records that stand in no sorted place."""
        keys = self.server.keys.of(queue)
        places = (keys.jobs, keys.delayed, keys.leases, keys.dead, keys.claims, keys.stats)
        args = (here.records or "0", min(limit, AT_ONCE))
        at, purged, *found = self.server.wire.run(Call(self.server.scripts["strays"], places, args, list))
        suspects = dict(zip(_texts(found[::2]), _texts(found[1::2]), strict=True)) | here.suspects
        over = at == b"0" or len(suspects) >= _SUSPECTS
        return evolve(
            here,
            place=_LISTS,
            records=at.decode(),
            collecting=not over,
            suspects=suspects,
            purged=here.purged if here.suspects else purged.decode(),
        )

    def _restore(self, queue: str, here: _Round, now: datetime) -> list[Mended]:
        """Put back what was met nowhere, if it is still where it was when it was looked for: nowhere."""
        if not (here.suspects or here.marks) or now - from_ms(here.began) > _IN_TIME:
            return []
        keys = self.server.keys.of(queue)
        places = (
            *(keys.jobs, keys.delayed, keys.leases, keys.dead, keys.claims, keys.notes, keys.skips),
            *(keys.stats, keys.work, keys.time, *keys.ready),
        )
        found = self.get([JobId(queue, key) for key in here.suspects], now=now)
        strays = [one for one in found if one is not None]
        words = [word for one in strays for word in _placing(one, here.suspects[one.job.id.key], now)]
        note = encode(Note(reason=LOST_PLACE))
        args = (to_ms(now), here.purged, note, len(here.marks), *here.marks, *words)
        call = Call(self.server.scripts["restore"], places, args, list)
        dropped, *answers = self.server.wire.run(call)
        mended = [Mended(Mend.CLEARED, key) for key in here.marks] if dropped else []
        for one, answer in zip(strays, answers, strict=True):
            if answer:
                mended.append(Mended(Mend.REPLACED, one.job.id.key))
        return mended


def _placing(found: Snapshot, claims: str, now: datetime) -> tuple[Word, ...]:
    where = replaced(found.job, attempt=found.attempt, failure=found.failure, now=now)
    due: Word = "" if isinstance(where, Dead) else up_ms(where)
    if where == now:
        due = to_ms(now)
    return (found.job.id.key, claims.encode("latin-1"), due, int(found.job.options.priority))


def _mark(here: _Round) -> str:
    return encode(here).decode()


def _note() -> bytes:
    return encode(Note(LOST_RECORD))


def _texts(found: Iterable[Any]) -> list[str]:
    return [text.decode("latin-1") for text in found]
