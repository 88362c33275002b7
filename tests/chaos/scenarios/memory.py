"""F10: the server's memory is full at every script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import Any

from attrs import frozen

from chronoq import errors, every
from chronoq.domain.identity import JobId
from chronoq.domain.job import Job, Pause, Progress, State
from chronoq.domain.ports import Backend, Hold
from chronoq.domain.retry import Failure
from chronoq.domain.verdict import Cancelled, Dead, Done, Expired, Retry, Snooze
from tests.chaos.checker import asked, at_rest, counts
from tests.chaos.ledger import Ledger, What
from tests.chaos.roles import QUEUE
from tests.chaos.row import Row
from tests.chaos.stage import Stage, on_stage
from tests.faults import task_of

S = timedelta(seconds=1)


@frozen(kw_only=True)
class Full:
    """Each verb of the ports is called with no byte to spare; then workers drain what there is."""

    name: str = "F10"
    title: str = "server's memory full"
    jobs: int
    kinds: tuple[str, ...] = ("valkey-9.1", "redis-6.2")

    def run(self, seed: int) -> Row:
        row, began = Row(self.name, self.title), monotonic()
        for kind in self.kinds:
            with on_stage(f"{self.name}-{kind}", seed) as stage:
                stage.serve("--maxmemory-policy", "noeviction", kind=kind)
                self._play(stage, row, kind)
        row.took = monotonic() - began
        return row

    def _play(self, stage: Stage, row: Row, kind: str) -> None:
        backend, task = stage.backend, task_of(stage.app, "work")
        stage.app.enqueue_many([task.using(id=f"j{n}").job(0.0) for n in range(self.jobs)])
        stage.app.put_schedule("every", task_of(stage.app, "tick"), every("1h"))
        stage.app.enqueue_many([task.using(id=f"d{n}", delay="1ms").job(0.0) for n in range(20)])
        full(stage, True)
        for name, call in verbs(backend, self.jobs):
            try:
                call()
            except Exception as error:
                row.expect(False, f"{kind}: {name} on a full server: {type(error).__name__}: {error}")
            row.faults[name] += 1
        before = counts(backend)
        for name, add in (
            ("enqueue", lambda: task.using(id="new").enqueue(0.0)),
            ("enqueue later", lambda: task.using(id="later", delay="1h").enqueue(0.0)),
            (
                "enqueue_many",
                lambda: backend.queue.submit([_job(task, "n1"), _job(task, "n2")], now=backend.clock.now()),
            ),
            ("put_schedule", lambda: stage.app.put_schedule("new", task_of(stage.app, "tick"), every("2h"))),
        ):
            row.faults[name] += 1
            try:
                add()
                row.expect(False, f"{kind}: {name} was accepted on a full server")
            except errors.NotReady as error:
                row.expect("memory is full" in str(error), f"{kind}: {name} is refused with {error}")
        row.expect(counts(backend) == before, f"{kind}: a refused submission left something behind (Q10)")
        stage.work(2, stage.plan())
        drained = stage.until(lambda: at_rest(counts(backend)), 90)
        books = counts(backend)
        row.expect(drained and books.balanced, f"{kind}: a full server was not drained: {books}")
        full(stage, False)
        row.expect(
            task.using(id="after").enqueue(0.0).result(timeout="20s") is None,
            f"{kind}: no work after it was full",
        )
        ledger: Ledger = stage.ledger.refresh()
        row.jobs += books.accepted
        row.lost += books.accepted - books.done - books.dead - books.cancelled - books.expired - books.purged
        row.expect(not row.lost, f"{kind}: {row.lost} jobs are lost: {books}")
        row.duplicates += ledger.count(What.STARTED) - len(ledger.keys(What.STARTED))


def _job(task: Any, id: str) -> Job:
    job: Job = task.using(id=id).job(0.0)
    return job


def full(stage: Stage, yes: bool) -> None:
    with stage.server.client() as client:
        client.config_set("maxmemory", 1 if yes else 0)


def verbs(backend: Backend, jobs: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """Every verb that takes, ends, moves or looks: none may be refused for lack of memory."""
    queue, now = backend.queue, backend.clock.now
    claims = list(asked(lambda: queue.claim([(QUEUE, 12)], worker="w", lease=30 * S, now=now())).claims)
    assert len(claims) == 12, "claim on a full server"
    failure = Failure("Error", "on purpose")

    def kept(verdict: Callable[[], Any]) -> Callable[[], None]:
        def settle() -> None:
            assert queue.settle([(claims.pop(), verdict())], now=now()) == [True]

        return settle

    def extend() -> None:
        assert set(queue.extend(claims, lease=60 * S, now=now())) == {Hold.KEPT}

    def release() -> None:
        assert queue.release([claims.pop()], now=now()) == [True]

    def cancel() -> None:
        queue.cancel([JobId(QUEUE, f"j{jobs - 1}"), claims[0].id, JobId(QUEUE, "d19")], now=now())

    dead = claims[-4].id
    yield "extend", extend
    yield "report", lambda: queue.report(claims[0], Progress(1, 2))
    yield "settle done", kept(lambda: Done(b"null"))
    yield "settle retry", kept(lambda: Retry(now(), failure))
    yield "settle snooze", kept(lambda: Snooze(now() + S))
    yield "settle dead", kept(lambda: Dead(failure))
    yield "settle cancelled", kept(Cancelled)
    yield "settle expired", kept(Expired)
    yield "release", release
    yield "cancel", cancel
    yield "promote", lambda: queue.promote([QUEUE], now=now(), limit=10)
    yield "expired", lambda: queue.expired([QUEUE], now=now() + 90 * S, limit=10)
    yield "revive", lambda: queue.revive([dead], now=now())
    yield "get", lambda: queue.get([dead], now=now())
    yield "endings", lambda: queue.endings([dead], now=now())
    yield "find", lambda: queue.find(QUEUE, State.READY, now=now())
    yield "pause", lambda: _or_refused(lambda: queue.pause(QUEUE, Pause("full")))
    yield "resume", lambda: queue.resume(QUEUE)
    yield "due", lambda: backend.store.due([QUEUE], now=now() + 7200 * S, limit=10)
    yield "lock", lambda: _or_refused(lambda: backend.lock.acquire("scheduler", owner="me", ttl=S, now=now()))
    yield "roll", lambda: backend.life.roll(now=now())
    yield "settle the rest", lambda: queue.settle([(claim, Done(b"null")) for claim in claims], now=now())


def _or_refused(call: Callable[[], object]) -> None:
    """A pause and a lock are writes that grow: they may be refused, with the reason."""
    with suppress(errors.NotReady):
        call()
