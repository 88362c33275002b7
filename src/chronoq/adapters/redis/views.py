"""What people look at: jobs, lists of them, and figures. Nothing here changes anything."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from chronoq.adapters.records import Records
from chronoq.adapters.redis.calls import Call, Command, texts
from chronoq.adapters.redis.server import Server
from chronoq.adapters.redis.words import history
from chronoq.adapters.written import dead_ending, ended_snapshot, note_of, progress_of, remembered
from chronoq.domain.identity import JobId
from chronoq.domain.job import ENDED, Counts, Ending, Page, Pause, Priority, Snapshot, State
from chronoq.domain.time import from_ms

_COUNTERS = ("accepted", "done", "cancelled", "expired", "purged", "retried", "crashed", "lost", "mended")
_MOST = 200
"""How many are looked at in one call."""
_SPARE = 10
"""So many more than are asked for at first, because some may have moved on; then as many as can be."""

Marked = tuple[str, str]
"""A key, and the mark that continues after it."""


class Views:
    """That half of the queue port which only reads."""

    server: Server

    def endings(self, ids: Sequence[JobId], *, now: datetime) -> list[Ending | None]:
        def call(queue: str, part: list[JobId]) -> Call[list[Ending | None]]:
            keys = self.server.keys.of(queue)

            def parse(reply: Any) -> list[Ending | None]:
                return [_ending(id, one, now) for id, one in zip(part, zip(*reply, strict=True), strict=True)]

            places = (keys.dead, keys.notes, *(keys.ending(id.key) for id in part))
            return Call(self.server.scripts["endings"], places, [id.key for id in part], parse)

        return self.server.spread(ids, queue=lambda id: id.queue, call=call)

    def get(self, ids: Sequence[JobId], *, now: datetime) -> list[Snapshot | None]:
        def call(queue: str, part: list[JobId]) -> Call[list[Snapshot | None]]:
            keys = self.server.keys.of(queue)

            def parse(reply: Any) -> list[Snapshot | None]:
                return [
                    _snapshot(id, one, self.server.records, now)
                    for id, one in zip(part, zip(*reply, strict=True), strict=True)
                ]

            places = (
                keys.jobs,
                keys.claims,
                keys.notes,
                keys.progress,
                keys.leases,
                keys.dead,
                keys.delayed,
                keys.stops,
            )
            endings = (keys.ending(id.key) for id in part)
            return Call(self.server.scripts["look"], (*places, *endings), [id.key for id in part], parse)

        return self.server.spread(ids, queue=lambda id: id.queue, call=call)

    def find(self, queue: str, state: State, *, now: datetime, mark: str = "", limit: int = 100) -> Page:
        found: list[Snapshot] = []
        last = ""
        for snapshot, after in self._found(queue, state, now, mark, min(limit + _SPARE, _MOST)):
            if len(found) == limit:  # there is one more
                return Page(tuple(found), last)
            found.append(snapshot)
            last = after
        return Page(tuple(found))

    def counts(self, queues: Sequence[str], *, now: datetime) -> list[Counts]:
        def call(queue: str) -> Call[Counts]:
            keys = self.server.keys.of(queue)
            places = (keys.delayed, keys.leases, keys.dead, keys.paused, keys.stats, keys.skips, *keys.ready)
            return Call(
                self.server.scripts["counts"], places, _COUNTERS, lambda reply: _counts(queue, reply, now)
            )

        return self.server.wire.run_all([call(queue) for queue in queues])

    def queues(self) -> list[str]:
        return sorted(self.server.wire.run(Command(("SMEMBERS", self.server.keys.queues), texts)))

    def _found(
        self, queue: str, state: State, now: datetime, mark: str, many: int
    ) -> Iterator[tuple[Snapshot, str]]:
        """The jobs in that state after `mark`, and the mark after each; what has moved on is left out.

        So `many` are looked at first.
        """
        while listed := self._listed(queue, state, mark, many):
            snapshots = self.get([JobId(queue, key) for key, _ in listed], now=now)
            for snapshot, (_, after) in zip(snapshots, listed, strict=True):
                if snapshot is not None and snapshot.state is state:
                    yield snapshot, after
            mark, many = listed[-1][1], _MOST

    def _listed(self, queue: str, state: State, mark: str, many: int) -> list[Marked]:
        """The next keys that may be in that state, in order."""
        keys = self.server.keys.of(queue)
        if state in ENDED:
            return self._recent(keys.recent, mark, many)
        if state is State.READY:
            return self._waiting(keys.ready, mark, many)
        if state is State.DELAYED:
            return [(member[1:], after) for member, after in self._sorted(keys.delayed, mark, many)]
        if state is State.DEAD:
            return self._sorted(keys.dead, mark, many, backward=True)
        return self._sorted(keys.leases, mark, many)

    def _sorted(self, place: str, mark: str, many: int, *, backward: bool = False) -> list[Marked]:
        score, _, member = mark.partition(" ")

        def parse(reply: Any) -> list[Marked]:
            words = texts(reply)
            return [(key, f"{at} {key}") for key, at in zip(words[::2], words[1::2], strict=True)]

        args = (member, score, many, int(backward))
        return self.server.wire.run(Call(self.server.scripts["page"], (place,), args, parse))

    def _waiting(self, lanes: tuple[str, ...], mark: str, many: int) -> list[Marked]:
        lane, _, start = (mark or "0 0").partition(" ")
        first = int(start)
        for priority in Priority:
            if priority < int(lane):
                continue
            words = ("LRANGE", lanes[priority], first, first + many - 1)
            if found := self.server.wire.run(Command(words, texts)):
                return [(key, f"{priority:d} {first + at}") for at, key in enumerate(found, 1)]
            first = 0
        return []

    def _recent(self, place: str, mark: str, many: int) -> list[Marked]:
        latest = list(dict.fromkeys(self.server.wire.run(Command(("LRANGE", place, 0, -1), texts))))
        if mark and mark not in latest:
            return []
        start = latest.index(mark) + 1 if mark else 0
        return [(key, key) for key in latest[start : start + many]]


def _ending(id: JobId, found: tuple[Any, ...], now: datetime) -> Ending | None:
    died, note, text = found
    if died is not None:
        return dead_ending(id, int(died), note)
    memory = remembered(id, text, now)
    return None if memory is None else memory.ending


def _snapshot(id: JobId, found: tuple[Any, ...], records: Records, now: datetime) -> Snapshot | None:
    record, claims, note, progress, lease, died, due, stopping, ending = found
    places = ((State.RUNNING, lease), (State.DEAD, died), (State.DELAYED, due))
    state, until = next(((state, at) for state, at in places if at is not None), (State.READY, None))
    if record is None and until is None:
        memory = remembered(id, ending, now)
        return None if memory is None else ended_snapshot(memory)
    past, why = history(claims), note_of(note)
    return Snapshot(
        records.read_job(id, record, now=now),
        state,
        attempt=past.token - past.excused,
        token=past.token,
        crashes=past.crashes,
        worker=past.worker,
        until=None if until is None else from_ms(int(until)),
        failure=why.failure,
        reason=why.reason,
        progress=progress_of(progress),
        stopping=stopping == 1,
    )


def _counts(queue: str, reply: Any, now: datetime) -> Counts:
    delayed, ready, running, dead, paused, *counters = reply
    pause = _pause(paused)
    return Counts(
        queue,
        delayed=delayed,
        ready=ready,
        running=running,
        dead=dead,
        pause=pause if pause and pause.holds(now) else None,
        **{name: int(count or 0) for name, count in zip(_COUNTERS, counters, strict=True)},
    )


def _pause(text: bytes | None) -> Pause | None:
    if text is None:
        return None
    until, _, note = text.partition(b" ")
    ends = int(until) if until.isdigit() else 0
    return Pause(note.decode(errors="replace"), from_ms(ends) if ends else None)
