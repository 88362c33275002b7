"""F12: a server that says no, in every way there is, to every call of the ports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from time import monotonic, sleep

from attrs import frozen

from chronoq import errors
from chronoq.adapters.redis import open_backend
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Claim, Job, Pause, Progress, State
from chronoq.domain.lease import Kind, Lease, Process, Vitals
from chronoq.domain.ports import Backend
from chronoq.domain.verdict import Done
from tests.chaos import roles
from tests.chaos.fleet import Fleet
from tests.chaos.roles import QUEUE
from tests.chaos.row import Row
from tests.chaos.stage import on_stage
from tests.fake_server import CUT, FakeServer, error

S = timedelta(seconds=1)
TRIES = 6
"""Requests that one call may make: of two scripts, each once more where that does no harm, and the time twice."""

ANSWERS: dict[str, tuple[bytes, type[errors.ChronoqError]]] = {
    "READONLY": (error("READONLY You can't write against a read only replica."), errors.NotReady),
    "LOADING": (error("LOADING Redis is loading the dataset in memory"), errors.NotReady),
    "MOVED": (error("MOVED 3999 127.0.0.1:6381"), errors.BackendError),
    "ASK": (error("ASK 3999 127.0.0.1:6381"), errors.BackendError),
    "TRYAGAIN": (error("TRYAGAIN Multiple keys request during rehashing of slot"), errors.NotReady),
    "CLUSTERDOWN": (error("CLUSTERDOWN The cluster is down"), errors.NotReady),
    "BUSY": (error("BUSY Redis is busy running a script."), errors.NotReady),
    "MISCONF": (error("MISCONF Errors writing to the AOF file: No space left on device"), errors.NotReady),
    "NOREPLICAS": (error("NOREPLICAS Not enough good replicas to write."), errors.NotReady),
    "OOM": (error("OOM command not allowed when used memory > 'maxmemory'."), errors.NotReady),
    "NOAUTH": (error("NOAUTH Authentication required."), errors.LoginRefused),
    "NOPERM": (
        error("NOPERM this user has no permissions to run the 'evalsha' command"),
        errors.BackendError,
    ),
    "MAXCLIENTS": (error("ERR max number of clients reached"), errors.NotReady),
    "ERR": (error("ERR something else"), errors.BackendError),
    "end": (CUT, errors.ChronoqError),
    "garbage": (b"\x00\xff\x17 hello\r\n", errors.ChronoqError),
    "web server": (b"HTTP/1.1 400 Bad Request\r\n\r\n", errors.ChronoqError),
    "too long": (b"$99999999999999999999\r\n", errors.ChronoqError),
    "wrong type": (b":7\r\n", errors.ChronoqError),
}
SHAPES = ("wrong type",)
"""Answers of a form that no server gives to these commands: any exception will do, but no hang."""


@frozen(kw_only=True)
class Answers:
    lived: Sequence[str] = tuple(ANSWERS)
    """With which of them a worker and a scheduler have to live for a while."""
    name: str = "F12"
    title: str = "every refusal to every call"
    seconds: float = 3
    busy: int = 150
    """Requests that a worker or scheduler may make in that time: it tries again with growing pauses."""

    def run(self, seed: int) -> Row:
        row, began = Row(self.name, self.title), monotonic()
        for name, (answer, kind) in ANSWERS.items():
            with FakeServer() as fake:
                backend = open_backend(f"{fake.url}?socket_timeout=2")
                for call, made in calls(backend):
                    fake.says(answer)
                    self._ask(row, fake, f"{call} answered {name}", made, kind, name in SHAPES)
                    fake.behaves()
                backend.close()
        self._live_with(row, seed)
        row.took = monotonic() - began
        return row

    def _ask(
        self,
        row: Row,
        fake: FakeServer,
        what: str,
        call: Callable[[], object],
        kind: type[Exception],
        any_error: bool,
    ) -> None:
        before = fake.asked.total() - fake.asked["CLIENT"]
        row.faults[what.rpartition(" answered ")[2]] += 1
        try:
            call()
            row.expect(any_error, f"{what}: no error")
        except kind:
            pass
        except Exception as error:
            row.expect(any_error, f"{what}: {type(error).__name__}: {str(error)[:200]}, not {kind.__name__}")
        asked = fake.asked.total() - fake.asked["CLIENT"] - before
        row.expect(asked <= TRIES, f"{what}: {asked} requests for one call")

    def _live_with(self, row: Row, seed: int) -> None:
        """A worker and a scheduler on each such server: nobody falls, nobody spins."""
        with on_stage(self.name, seed) as stage, ExitStack() as stack:
            crews: list[tuple[str, FakeServer, Fleet]] = []
            for name in self.lived:
                for role in (roles.work, roles.tick):
                    fake = stack.enter_context(FakeServer())
                    plan = roles.Plan(fake.url, stage.folder, {"concurrency": 2})
                    crews.append((name, fake, stage.fleet(role, 1, plan)))
            for name, fake, _ in crews:
                begun = stage.until(lambda: fake.asked["EVALSHA"] > 2, 60)  # noqa: B023
                row.expect(begun, f"nobody came to the server that will answer {name}")
                fake.says(ANSWERS[name][0])
            sleep(0.5)  # what was under way is answered by now
            before = [(fleet.pids, fake.asked.total()) for _, fake, fleet in crews]
            sleep(self.seconds)
            for (name, fake, fleet), (pids, asked) in zip(crews, before, strict=True):
                row.expect(fleet.pids == pids, f"a process has fallen, answered {name}")
                made = fake.asked.total() - asked
                row.expect(made <= self.busy, f"{made} requests in {self.seconds} s, answered {name}")
            row.expect("Traceback" not in stage.said, f"a traceback: {stage.said[-2000:]}")


def calls(backend: Backend) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each verb of the ports that asks the server."""
    queue, store, lock, life = backend.queue, backend.store, backend.lock, backend.life
    now = backend.clock.now()
    id, schedule = JobId(QUEUE, "a"), ScheduleId(QUEUE, "s")
    job = Job(id, "work", b"[[],{}]", now, now)
    claim = Claim(job, 1, 1, "w", now + S)
    lease = Lease("scheduler", "me", 1, now + S)
    yield "submit", lambda: queue.submit([job], now=now)
    yield "promote", lambda: queue.promote([QUEUE], now=now, limit=1)
    yield "claim", lambda: queue.claim([(QUEUE, 1)], worker="w", lease=S, now=now)
    yield "extend", lambda: queue.extend([claim], lease=S, now=now)
    yield "settle", lambda: queue.settle([(claim, Done())], now=now)
    yield "release", lambda: queue.release([claim], now=now)
    yield "report", lambda: queue.report(claim, Progress(1))
    yield "expired", lambda: queue.expired([QUEUE], now=now, limit=1)
    yield "cancel", lambda: queue.cancel([id], now=now)
    yield "revive", lambda: queue.revive([id], now=now)
    yield "purge", lambda: queue.purge([id], now=now)
    yield "pause", lambda: queue.pause(QUEUE, Pause())
    yield "resume", lambda: queue.resume(QUEUE)
    yield "endings", lambda: queue.endings([id], now=now)
    yield "get", lambda: queue.get([id], now=now)
    yield "find", lambda: queue.find(QUEUE, State.READY, now=now)
    yield "counts", lambda: queue.counts([QUEUE], now=now)
    yield "queues", queue.queues
    yield "wait_ready", lambda: queue.wait_ready([QUEUE], timeout=S / 10)
    yield "wait_due", lambda: queue.wait_due([QUEUE], timeout=S / 10)
    yield "wait_ended", lambda: queue.wait_ended([QUEUE], timeout=S / 10)
    yield "drop", lambda: store.drop([schedule])
    yield "due", lambda: store.due([QUEUE], now=now, limit=1)
    yield "get schedules", lambda: store.get([schedule])
    yield "find schedules", lambda: store.find(QUEUE)
    yield "live", lambda: store.live(schedule)
    yield "ledger", lambda: store.ledger(schedule)
    yield "acquire", lambda: lock.acquire("scheduler", owner="me", ttl=S, now=now)
    yield "renew", lambda: lock.renew(lease, ttl=S, now=now)
    yield "unlock", lambda: lock.release(lease)
    yield "birth", lambda: life.birth(Process("p", Kind.WORKER, "h", 1, now, "0"), ttl=S, now=now)
    yield "beat", lambda: life.beat("p", Vitals(), ttl=S, now=now)
    yield "death", lambda: life.death("p")
    yield "roll", lambda: life.roll(now=now)
