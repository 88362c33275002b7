"""Handles: results, states and cancelling, synchronous and asynchronous, against a real worker in threads."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from dependency_injector import providers

from chronoq import Context, Queue, Scheduler, errors
from chronoq.app.client import Client
from chronoq.app.listener import Listener, Tell
from chronoq.app.payload import decoded
from chronoq.domain.errors import ChronoqError
from chronoq.domain.identity import JobId
from chronoq.domain.job import Job, State
from chronoq.domain.ports import Cancel
from chronoq.domain.verdict import Done
from chronoq.testing import Drill
from tests.servers import eventually
from tests.unit.made import S


@pytest.fixture
def app() -> Iterator[Scheduler]:
    app = Scheduler(concurrency=4, grace="5s")
    yield app
    app.close()


def end(app: Scheduler, key: str, result: bytes = b"") -> None:
    """End a ready job without a worker."""
    now = app.backend.clock.now()
    claims = app.backend.queue.claim([("default", 100)], worker="w", lease=30 * S, now=now).claims
    for claim in claims:
        if claim.id.key == key:
            app.backend.queue.settle([(claim, Done(result))], now=now)
        else:
            app.backend.queue.release([claim], now=now)


def test_a_result_of_none_is_none(app: Scheduler) -> None:
    nothing = app.add_task(lambda: None, name="nothing")
    with app:
        assert nothing.enqueue().result(timeout=10) is None


def test_a_result_comes_back_as_its_annotation_says(app: Scheduler) -> None:
    @app.task(name="pair")
    def pair() -> tuple[int, str]:
        return (1, "a")

    with app:
        assert pair.enqueue().result(timeout=10) == (1, "a")


def test_a_result_that_is_there_already_is_handed_out_at_once(app: Scheduler) -> None:
    nothing = app.add_task(lambda: None, name="nothing")
    job = nothing.using(id="a").enqueue()
    end(app, "a", b"7")
    assert job.result(timeout=0) == 7


def test_a_failed_job_tells_type_message_and_traceback(app: Scheduler) -> None:
    @app.task(name="fails", retries=0)
    def fails() -> None:
        raise ValueError("no such address")

    with app, pytest.raises(errors.JobFailed) as caught:
        fails.enqueue().result(timeout=10)
    assert (caught.value.type, caught.value.message) == ("ValueError", "no such address")
    assert "in fails" in caught.value.traceback
    assert str(caught.value) == "ValueError: no such address"


def test_a_cancelled_job_says_so(app: Scheduler) -> None:
    nothing = app.add_task(lambda: None, name="nothing")
    job = nothing.using(delay="1h").enqueue()
    assert job.cancel() is Cancel.CANCELLED
    with pytest.raises(errors.JobCancelled):
        job.result(timeout=10)
    assert job.status() is State.CANCELLED


def test_a_running_job_that_is_cancelled_hears_of_it(app: Scheduler) -> None:
    started = threading.Event()

    @app.task(name="patient")
    def patient(ctx: Context) -> None:
        started.set()
        eventually(lambda: ctx.cancelled)

    with app:
        job = patient.enqueue()
        assert started.wait(10)
        assert job.status() is State.RUNNING
        assert job.cancel() is Cancel.ASKED
        with pytest.raises(errors.JobCancelled):
            job.result(timeout=10)


def test_a_job_that_expired_says_so(app: Scheduler) -> None:
    nothing = app.add_task(lambda: None, name="nothing")
    job = nothing.using(expires=0).enqueue()
    with app, pytest.raises(errors.JobExpired):
        job.result(timeout=10)


def test_a_result_that_does_not_come_in_time_is_a_timeout_and_the_job_goes_on(app: Scheduler) -> None:
    nothing = app.add_task(lambda: None, name="nothing")
    job = nothing.enqueue()
    with pytest.raises(errors.ResultTimeout, match="has not ended within"):
        job.result(timeout="10ms")
    with pytest.raises(TimeoutError):
        job.result(timeout=0)
    with app:
        assert job.result(timeout=10) is None


def test_a_job_that_nobody_knows_has_no_result(app: Scheduler) -> None:
    with pytest.raises(errors.ResultGone, match=r"Job default:nobody is not known \(any more\)"):
        app.job("nobody").result(timeout=10)
    assert app.job("nobody").status() is None
    assert app.job("nobody").info() is None
    assert app.job("nobody").cancel() is Cancel.GONE


def test_a_job_that_is_purged_while_somebody_waits_is_gone(app: Scheduler) -> None:
    nothing = app.add_task(lambda: None, name="nothing")
    job = nothing.enqueue()
    found: list[object] = []

    def wait() -> None:
        try:
            found.append(job.result(timeout=10))
        except ChronoqError as error:
            found.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: app.client.listener.waiting)
    end(app, job.job_id.key)
    thread.join(10)
    assert found == [None]


def test_who_waits_in_many_threads_is_told_each_by_the_same_listener(app: Scheduler) -> None:
    double = app.add_task(_double, name="double")
    before = set(threading.enumerate())
    with app:
        jobs = [double.enqueue(n) for n in range(50)]
        found: dict[int, Any] = {}
        threads = [
            threading.Thread(target=lambda n=n, job=job: found.__setitem__(n, job.result(timeout=20)))
            for n, job in enumerate(jobs)
        ]
        for thread in threads:
            thread.start()
        assert sum(thread.name == "chronoq-listener" for thread in {*threading.enumerate()} - before) <= 1
        for thread in threads:
            thread.join(20)
    assert found == {n: 2 * n for n in range(50)}


def _double(n: int) -> int:
    return 2 * n


def test_the_listener_ends_when_nobody_waits_and_starts_again(app: Scheduler) -> None:
    nothing = app.add_task(lambda: None, name="nothing")
    with app:
        for _ in range(2):
            assert nothing.enqueue().result(timeout=10) is None
            eventually(lambda: not app.client.listener.running)
            assert not app.client.listener.waiting


def test_who_stops_waiting_is_forgotten(app: Scheduler) -> None:
    job = app.add_task(lambda: None, name="nothing").enqueue()
    with pytest.raises(errors.ResultTimeout):
        job.result(timeout=0)
    assert not app.client.listener.waiting


# the async face


def test_two_hundred_coroutines_wait_on_one_thread(app: Scheduler) -> None:
    double = app.add_task(_double, name="double")

    async def main() -> list[Any]:
        async with app:
            jobs = await app.aenqueue_many([double.job(n) for n in range(200)])
            return await asyncio.gather(*(job.aresult(timeout=20) for job in jobs))

    assert asyncio.run(main()) == [2 * n for n in range(200)]


def test_each_verb_has_its_twin(app: Scheduler) -> None:
    nothing = app.add_task(lambda: None, name="nothing")

    async def main() -> None:
        job = await nothing.using(delay="1h").aenqueue()
        assert await job.astatus() is State.DELAYED
        assert (await job.aprogress()) is None
        info = await job.ainfo()
        assert info is not None
        assert info.job.id == job.job_id
        assert await job.acancel() is Cancel.CANCELLED
        with pytest.raises(errors.JobCancelled):
            await job.aresult(timeout=10)

    asyncio.run(main())


def test_an_async_result_that_does_not_come_is_a_timeout(app: Scheduler) -> None:
    nothing = app.add_task(lambda: None, name="nothing")

    async def main() -> None:
        job = await nothing.aenqueue()
        with pytest.raises(errors.ResultTimeout, match="has not ended within 10ms"):
            await job.aresult(timeout="10ms")
        with pytest.raises(errors.ResultGone):
            await app.job("nobody").aresult(timeout=10)

    asyncio.run(main())
    assert not app.client.listener.waiting


@pytest.mark.parametrize("turns", [0, 1, 2, 50])
def test_an_async_wait_that_is_cancelled_is_forgotten(app: Scheduler, turns: int) -> None:
    """However far it had come."""
    nothing = app.add_task(lambda: None, name="nothing")

    async def main() -> None:
        job = await nothing.aenqueue()
        waiting = asyncio.create_task(job.aresult())
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    eventually(lambda: not app.client.listener.waiting)


def test_an_async_wait_that_is_cancelled_while_it_begins_is_forgotten(app: Scheduler) -> None:
    beginning, go_on = threading.Event(), threading.Event()
    nothing = app.add_task(lambda: None, name="nothing")

    class Slow(Listener):
        def wait(self, id: JobId, tell: Tell) -> Callable[[], None]:
            beginning.set()
            assert go_on.wait(10)
            return super().wait(id, tell)

    slow = app.client.listener = Slow(app.backend.queue, app.backend.clock)

    async def main() -> None:
        job = await nothing.aenqueue()
        waiting = asyncio.create_task(job.aresult())
        while not beginning.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go_on.set()

    asyncio.run(main())
    app._pool.shutdown()
    assert not slow.waiting


def test_a_loop_that_was_closed_does_not_silence_the_others(app: Scheduler) -> None:
    """The listener's thread must outlive whoever it cannot reach."""
    nothing = app.add_task(lambda: None, name="nothing")
    first, second = nothing.using(id="first").enqueue(), nothing.using(id="second").enqueue()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(first.aresult())
    while not app.client.listener.waiting:
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(second.result(timeout=10)))
    thread.start()
    eventually(lambda: len(app.client.listener.waiting) == 2)
    end(app, "first")
    end(app, "second", b"2")
    thread.join(10)
    assert found == [2]
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]


def test_the_event_loop_is_never_blocked(app: Scheduler) -> None:
    blocked, go_on = threading.Event(), threading.Event()
    nothing = app.add_task(lambda: None, name="nothing")

    class Slow(Client):
        def submit(self, job: Job) -> None:
            blocked.set()
            assert go_on.wait(10)
            super().submit(job)

    app.container.client.override(providers.Object(Slow(app.backend)))

    async def main() -> None:
        sending = asyncio.create_task(nothing.aenqueue())
        while not blocked.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0)
        go_on.set()
        assert await sending

    asyncio.run(main())


# submitting


def test_the_same_id_is_one_job(app: Scheduler) -> None:
    """Q4"""
    double = app.add_task(_double, name="double")
    once = double.using(id="once")
    assert once.enqueue(1).id == once.enqueue(1).id == "default:once"
    assert once.using(delay="1h", priority="low").enqueue(1).id == "default:once"
    assert app.backend.queue.counts(["default"], now=app.backend.clock.now())[0].accepted == 1


def test_the_same_id_with_other_work_is_a_conflict(app: Scheduler) -> None:
    double, triple = app.add_task(_double, name="double"), app.add_task(_double, name="triple")
    double.using(id="once").enqueue(1)
    for other in (lambda: double.using(id="once").enqueue(2), lambda: triple.using(id="once").enqueue(1)):
        with pytest.raises(
            errors.Conflict, match="Id 'default:once' is taken by a job with another task or other arg"
        ):
            other()


def test_an_id_stays_taken_after_the_end(app: Scheduler) -> None:
    double = app.add_task(_double, name="double", result_ttl=0)
    double.using(id="once").enqueue(1)
    end(app, "once")
    with pytest.raises(errors.Conflict):
        double.using(id="once").enqueue(2)
    (ending,) = app.backend.queue.endings(
        [JobId("default", "once")], now=app.backend.clock.now() + timedelta(hours=23)
    )
    assert ending is not None


def test_a_full_queue_refuses(app: Scheduler) -> None:
    app = Scheduler(queues=[Queue("small", max_length=2)])
    double = app.add_task(_double, name="double", queue="small")
    double.enqueue(1)
    double.enqueue(2)
    with pytest.raises(
        errors.QueueFull, match=r"Queue 'small' is full \(max_length 2\)\. Nothing was enqueued\."
    ):
        double.enqueue(3)


def test_a_batch_is_tried_to_its_end_and_answers_for_each(app: Scheduler) -> None:
    double = app.add_task(_double, name="double")
    double.using(id="taken").enqueue(1)
    jobs = [double.using(id=id).job(10 + n) for n, id in enumerate(["a", "taken", "b", "a"])]
    with pytest.raises(
        errors.BatchError, match="2 of 4 jobs were not enqueued; the first because: Id 'default:taken'"
    ) as caught:
        app.enqueue_many(jobs)
    kinds = [type(answer).__name__ for answer in caught.value.answers]
    assert kinds == ["JobHandle", "Conflict", "JobHandle", "Conflict"]
    assert app.job("b").status() is State.READY


def test_a_batch_of_more_than_a_chunk_comes_back_in_order(app: Scheduler) -> None:
    double = app.add_task(_double, name="double")
    handles = app.enqueue_many([double.using(id=f"n{n}").job(n) for n in range(1_234)])
    assert [handle.job_id.key for handle in handles] == [f"n{n}" for n in range(1_234)]
    assert app.backend.queue.counts(["default"], now=app.backend.clock.now())[0].ready == 1_234
    assert app.enqueue_many([]) == []


def test_a_chunk_that_is_lost_is_an_answer_for_each_of_its_jobs(app: Scheduler) -> None:
    double = app.add_task(_double, name="double")
    with Drill(app, workers=0) as drill:
        drill.queue.fail("submit", times=1)
        with pytest.raises(errors.BatchError) as caught:
            app.enqueue_many([double.job(n) for n in range(1_200)])
        kinds = [type(answer).__name__ for answer in caught.value.answers]
        assert kinds == ["Unreachable"] * 1_200
    assert "were not sent" in str(caught.value.answers[-1])
    assert app.backend.queue.counts(["default"], now=app.backend.clock.now())[0].accepted == 0


def test_what_is_unknown_is_not_called_refused(app: Scheduler) -> None:
    double = app.add_task(_double, name="double")
    with Drill(app, workers=0) as drill:
        drill.queue.fail("submit", times=1, after=True)
        with pytest.raises(errors.BatchError, match=r"^of 2 it is not known whether they were"):
            app.enqueue_many(double.job(n) for n in range(2))


def test_only_jobs_can_be_enqueued_in_bulk(app: Scheduler) -> None:
    double = app.add_task(_double, name="double")
    with pytest.raises(errors.BadCall, match=r"takes jobs, not <Task double>\. Make one with task\.job"):
        app.enqueue_many([double])  # type: ignore[list-item]


def test_a_handle_is_found_again_by_its_id(app: Scheduler) -> None:
    double = app.add_task(_double, name="double")
    job = double.using(id="a").enqueue(1)
    assert app.job(job.id).job_id == app.job("a").job_id == job.job_id
    assert repr(job) == "<JobHandle default:a>"
    with pytest.raises(errors.BadName):
        app.job("default:")


def test_what_a_job_was_enqueued_with_can_be_seen(app: Scheduler) -> None:
    double = app.add_task(_double, name="double")
    found = double.enqueue(4).info()
    assert found is not None
    assert decoded(found.job.payload) == [[4], {}]
