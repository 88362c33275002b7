"""rq-scheduler's data as it lies in Redis: its entries, who is alive on it, and what is taken out of it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

import redis
from attrs import define, field, frozen
from redis.client import Pipeline
from redis.exceptions import RedisError, WatchError

from chronoq.adapters.redis import trouble
from chronoq.adapters.redis.address import Address
from chronoq.domain.errors import BadSetting, InUse, NotReady
from chronoq.domain.time import EPOCH, MS

ENTRIES = "rq:scheduler:scheduled_jobs"
MOVING = "rq:scheduler:moving_to_chronoq"
"""What was taken out of `ENTRIES` and may not have arrived yet: whoever finds it there finishes the move."""
LOCK = "rq:scheduler_lock"
MARK = b"chronoq-"
"""How the lock begins while a move holds it."""
INSTANCE = "rq:scheduler_instance:"
JOB = "rq:job:"
ONE_SERVER = ("redis", "rediss", "unix")
AT_ONCE = 100
TRIES = 50
HELD = timedelta(seconds=60)
PATIENCE = timedelta(seconds=30)
"""How long to wait for a cycle of an rqscheduler to end: they are short, unless one died in it."""


@frozen
class Line:
    """A line of rq-scheduler's: when the job `id` is due. `moving`: it was taken out by a move that broke off.

    `fields` is RQ's record of the job, empty when there is none (any more).
    """

    id: str
    score: float
    fields: dict[bytes, bytes] = field(factory=dict, repr=False, eq=False)
    moving: bool = False

    @property
    def due(self) -> datetime | None:
        """None for what is no time: a score can be anything."""
        try:
            return EPOCH + timedelta(seconds=self.score)
        except OverflowError:
            return None


@define
class Source:
    """The database in which an rq-scheduler works. Only `take`, `give_back`, `forget` and `locked` change it."""

    client: redis.Redis
    address: Address
    patience: timedelta = PATIENCE
    lock: bytes = field(factory=lambda: MARK + token_hex(8).encode(), init=False)

    @classmethod
    def at(cls, url: str) -> "Source":
        """Errors: `BadSetting` for an address that is no single Redis server; `BackendError`."""
        address = Address(url)
        if address.url.partition("://")[0] not in ONE_SERVER:
            raise BadSetting(
                f"rq-scheduler keeps its data on one Redis server, and {address} is none. "
                "Give --url redis://... the address that rqscheduler was started with."
            )
        source = cls(redis.Redis.from_pool(address.pool()), address)
        try:
            source.now()
        except BaseException:
            source.client.close()
            raise
        return source

    def close(self) -> None:
        self.client.close()

    def now(self) -> datetime:
        """The server's time."""
        with self._understood():
            seconds, microseconds = self.client.time()
        return EPOCH + timedelta(seconds=seconds, microseconds=microseconds)

    def scores(self, until: datetime | None = None) -> dict[str, float]:
        """When each entry is due, those up to `until`; the ones of a broken move are not among them."""
        most = "+inf" if until is None else until.timestamp()
        with self._understood():
            found: Any = self.client.zrangebyscore(ENTRIES, "-inf", most, withscores=True)
        return {_text(id): score for id, score in found}

    def scores_of(self, ids: Sequence[str]) -> list[float | None]:
        with self._understood():
            found: Any = self.client.zmscore(ENTRIES, list(ids))
        return list(found)

    def lines(self) -> Iterator[Line]:
        """All of them in order of time, first those of a move that broke off."""
        for key, moving in ((MOVING, True), (ENTRIES, False)):
            with self._understood():
                listed: Any = self.client.zrange(key, 0, -1, withscores=True)
            for start in range(0, len(listed), AT_ONCE):
                part = [(_text(id), score) for id, score in listed[start : start + AT_ONCE]]
                records = self.records([id for id, _ in part])
                for (id, score), record in zip(part, records, strict=True):
                    yield Line(id, score, record, moving)

    def records(self, ids: Sequence[str]) -> list[dict[bytes, bytes]]:
        """RQ's record of each job; what is no hash counts as none."""
        with self._understood(), self.client.pipeline(transaction=False) as pipe:
            for id in ids:
                pipe.hgetall(JOB + id)
            return [one if isinstance(one, dict) else {} for one in pipe.execute(raise_on_error=False)]

    def in_line(self, queue: str, id: str) -> int:
        """How many times the job stands in an RQ queue."""
        with self._understood():
            found: Any = self.client.lpos(f"rq:queue:{queue}", id, count=0)
        return len(found or [])

    # who is alive

    def alive(self) -> list[str]:
        """The rqschedulers that were born and are not known to be dead: name, and how long until that is known."""
        found = []
        with self._understood():
            for key in self.client.scan_iter(f"{INSTANCE}*"):
                if not self.client.hexists(key, "death"):
                    left: Any = self.client.ttl(key)
                    found.append(f"{_text(key).removeprefix(INSTANCE)} (for {max(0, left)} s more)")
        return sorted(found)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold rq-scheduler's own lock, so that none of them enqueues anything. Errors: `InUse`.

        That of another move is taken over: it was broken off, or will find out, and has left nothing half done.
        """
        deadline = time.monotonic() + self.patience.total_seconds()
        with self._understood():
            while not self.client.set(LOCK, self.lock, nx=True, px=HELD // MS):
                if self._while(_of_a_move, lambda pipe: pipe.set(LOCK, self.lock, px=HELD // MS)):
                    break
                if time.monotonic() >= deadline:
                    raise InUse(
                        f"An rqscheduler is at work on {self.address}, or died at work: {LOCK} is taken, for "
                        f"{self.client.ttl(LOCK)} s more. Stop it, wait so long, and run this again."
                    )
                time.sleep(0.1)
        try:
            yield
        finally:
            with self._understood():
                self._while(self._ours, lambda pipe: pipe.delete(LOCK))

    # what is taken out

    def take(self, entries: Sequence[Line]) -> list[Line]:
        """Move entries out of rq-scheduler's sight, in one step: these. Those that are not as they were stay.

        Errors: `InUse` when the lock was lost.
        """
        if not self._while(self._ours, lambda pipe: pipe.pexpire(LOCK, HELD // MS)):
            raise InUse(
                "rq-scheduler's lock was lost: another move has taken over, or somebody deleted it. What is moved "
                "so far stays moved. Run this again when no other move and no rqscheduler is at work."
            )
        fresh = [entry for entry in entries if not entry.moving]
        same: dict[str, float] = {}

        def swap(pipe: Pipeline) -> None:
            scores: Any = pipe.zmscore(ENTRIES, [entry.id for entry in fresh])
            same.clear()
            same.update((e.id, e.score) for e, score in zip(fresh, scores, strict=True) if score == e.score)
            pipe.multi()
            if same:
                pipe.zadd(MOVING, same)
                pipe.zrem(ENTRIES, *same)

        if fresh:
            self._transact(swap, ENTRIES)
        return [entry for entry in entries if entry.moving or entry.id in same]

    def give_back(self, entries: Sequence[Line]) -> None:
        """Undo `take`, for what could not be stored."""
        if entries:
            with self._understood(), self.client.pipeline() as pipe:
                # who has planned it anew meanwhile knows better
                pipe.zadd(ENTRIES, {entry.id: entry.score for entry in entries}, nx=True)
                pipe.zrem(MOVING, *(entry.id for entry in entries))
                pipe.execute()

    def forget(self, entries: Sequence[Line]) -> None:
        """Finish `take`, for what has arrived. RQ's records stay."""
        if entries:
            with self._understood():
                self.client.zrem(MOVING, *(entry.id for entry in entries))

    def _ours(self, held: bytes) -> bool:
        return held == self.lock

    def _while(self, held: Callable[[bytes], bool], change: Callable[[Pipeline], object]) -> bool:
        """`change` in one step with seeing that the lock is held so; whether it was."""
        seen = [False]

        def decide(pipe: Pipeline) -> None:
            found: Any = pipe.get(LOCK)
            seen[0] = held(found or b"")
            pipe.multi()
            if seen[0]:
                change(pipe)

        self._transact(decide, LOCK)
        return seen[0]

    def _transact(self, prepare: Callable[[Pipeline], object], key: str) -> None:
        with self._understood():
            for _ in range(TRIES):
                with self.client.pipeline() as pipe:
                    pipe.watch(key)  # type: ignore[no-untyped-call]
                    prepare(pipe)
                    try:
                        pipe.execute()
                        return
                    except WatchError:
                        continue
        raise NotReady(
            f"{self.address}: {key} was changed {TRIES} times while it was being changed. Try again."
        )

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise trouble.refused(self.address, error) or trouble.unreachable(self.address, error) from error


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _of_a_move(held: bytes) -> bool:
    return held.startswith(MARK)
