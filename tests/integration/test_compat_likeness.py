"""The same calls on rq-scheduler itself and on its familiar face, and the same answers."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
import rq_scheduler
from rq import Queue as RqQueue
from rq import SimpleWorker

from chronoq.compat.rq_scheduler import Scheduler
from tests.compat_jobs import fail, greet, succeeded
from tests.servers import Server, eventually

NOW = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
H = timedelta(hours=1)
PAST = NOW - 300 * H


def caught(call: Callable[[], Any]) -> str:
    try:
        call()
    except ValueError:
        return "ValueError"
    return "fine"


def listed(s: Any, **given: Any) -> list[tuple[str, datetime]]:
    return [(job.id, at) for job, at in s.get_jobs(with_times=True, **given)]


def four(s: Any) -> list[Any]:
    return [
        s.enqueue_at(NOW + n * H, greet, f"{n}", job_id=f"j{n}", queue_name=f"q{n % 2}") for n in range(1, 5)
    ]


def seen(job: Any) -> list[Any]:
    names = ["id", "origin", "func_name", "kwargs", "meta", "description", "timeout", "result_ttl", "ttl"]
    return [*(getattr(job, name) for name in names), list(job.args), bool(job.enqueue_at_front)]


def looking(s: Any) -> Any:
    jobs = four(s)
    yield [job in s for job in jobs], "j1" in s, "never" in s
    for until in (None, NOW + 2 * H, NOW, timedelta(hours=2.5), PAST):
        yield s.count(until), [job.id for job in s.get_jobs(until)]
    yield s.count(int((NOW + 3 * H).replace(tzinfo=UTC).timestamp()))
    yield listed(s)
    for offset, length in [(0, 1), (1, 2), (3, 9), (9, 1), (0, 0), (1, -1)]:
        yield listed(s, offset=offset, length=length)


def cancelling(s: Any) -> Any:
    jobs = four(s)
    for one in (jobs[0], "j2", "never", jobs[0]):
        s.cancel(one)
        yield s.count(), jobs[0] in s, "j2" in s


def moving(s: Any) -> Any:
    jobs = four(s)
    for to in (NOW + 9 * H, NOW + 5 * H, PAST):
        s.change_execution_time(jobs[0], to)
        yield [job.id for job in s.get_jobs()], s.count(NOW)
    s.cancel(jobs[1])
    yield caught(lambda: s.change_execution_time(jobs[1], NOW))


def delivering(s: Any) -> Any:
    four(s)
    s.enqueue_at(PAST, greet, "a", job_id="due")
    s.cron("0 0 1 1 *", greet, ["a"], id="cron")
    yield [(job.id, at) for job, at in s.get_jobs_to_queue(with_times=True)]
    s.enqueue_jobs()
    queue = RqQueue("default", connection=s.connection)
    yield queue.job_ids, "due" in s, [job.id for job in s.get_jobs()]
    s.enqueue_job(next(iter(s.get_jobs())))
    yield RqQueue("q1", connection=s.connection).job_ids, "j1" in s
    s.schedule(PAST, greet, ["b"], id="front", at_front=True)
    s.enqueue_jobs()
    yield queue.job_ids


def again(s: Any) -> Any:
    s.enqueue_at(NOW + H, greet, "a", job_id="x")
    s.enqueue_at(NOW + 2 * H, greet, "b", job_id="x")
    yield listed(s), [list(job.args) for job in s.get_jobs()]
    s.schedule(NOW + 3 * H, greet, ["c"], id="x", interval=60)
    yield listed(s), [job.meta for job in s.get_jobs()]
    s.cron("0 0 1 1 *", greet, ["d"], id="x")
    yield s.count(), [job.meta for job in s.get_jobs()]


def what_jobs_are(s: Any) -> Any:
    told = {"timeout": 7, "meta": {"k": 1}, "queue_name": "high", "on_success": succeeded}
    yield seen(
        s.enqueue_at(NOW + H, greet, "a", greeting="b", job_id="a", job_ttl=8, job_result_ttl=9, **told)
    )
    yield seen(s.enqueue_in(H, "tests.compat_jobs.greet", "a", job_id="b", job_description="says", **told))
    yield seen(
        s.schedule(
            NOW + H, greet, ["a"], {"greeting": "b"}, id="c", ttl=8, result_ttl=9, at_front=True, **told
        )
    )
    yield seen(s.schedule(NOW + H, fail, id="d", interval=90, repeat=3, result_ttl=9))
    yield seen(s.cron("0 0 * * *", fail, id="e", repeat=3, result_ttl=9))
    yield [seen(job) for job in sorted(s.get_jobs(), key=lambda job: str(job.id))]


def refusals(s: Any) -> Any:
    yield caught(lambda: s.schedule(NOW, fail, repeat=2))
    yield caught(lambda: s.cron("0 25 * * *", fail))
    yield caught(lambda: type(s)())
    s.register_birth()
    yield caught(s.register_birth)
    s.register_death()
    yield caught(s.register_birth)
    yield bool(s.acquire_lock()), bool(type(s)(connection=s.connection).acquire_lock())
    s.remove_lock()
    yield bool(type(s)(connection=s.connection).acquire_lock())


CRON = [
    "0 0 13 * 5",
    "30 4 1,15 * *",
    "0 12 1 1 * 2095",
    "30 0 12 1 1 * 2095",
    "0 0 L * *",
    "0 0 * * L5",
    "@yearly",
]
CRON += ["0 0 1 * */2", "0 5-7/2 1 jan,JUL mon-fri", "15 3 29 2 *", "0 0 ? 12 7", "0 0 31 * *"]


def cron_lines(s: Any) -> Any:
    for n, line in enumerate(CRON):
        s.cron(line, fail, id=f"line-{n}")
    yield sorted(listed(s))


ALIKE = [looking, cancelling, moving, delivering, again, what_jobs_are, refusals, cron_lines]


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """rq-scheduler reads cron lines on the clock of the machine."""
    with monkeypatch.context() as context:
        context.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def both(script: Callable[[Any], Any], client: redis.Redis) -> list[list[Any]]:
    found = []
    for kind in (rq_scheduler.Scheduler, Scheduler):
        client.flushall()
        scheduler: Any = kind(connection=client)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is deprecated in rq-scheduler
            found.append(list(script(scheduler)))
        if isinstance(scheduler, Scheduler):
            scheduler.close()
    return found


@pytest.mark.parametrize("script", ALIKE)
def test_both_answer_alike(
    script: Callable[[Any], Any], valkey: Server, redis_url: str, in_utc: None
) -> None:
    theirs, ours = both(script, valkey.client())
    assert ours == theirs


@pytest.mark.parametrize("repeat", [None, 0, 1, 2])
def test_both_repeat_as_often(repeat: int | None, valkey: Server, redis_url: str, in_utc: None) -> None:
    client = valkey.client()
    worker = SimpleWorker(["default"], connection=client)

    def script(s: Any) -> Any:
        s.schedule(NOW + H, greet, ["a"], id="x", interval=3600, repeat=repeat)
        for _ in range(2 if repeat == 2 else 1):
            s.change_execution_time(next(iter(s.get_jobs())), PAST)

            def ran() -> bool:
                s.enqueue_jobs()  # ours waits until it has seen that the run before is over
                return bool(worker.work(burst=True, logging_level="ERROR"))

            eventually(ran)
            yield "x" in s, [job.meta for job in s.get_jobs()]

    theirs, ours = both(script, client)
    assert ours == theirs
