"""Ask and answer: `app.call` on each backend, and what redis-allocator's task queue gets wrong."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from dependency_injector import providers

from chronoq import Context, Queue, Scheduler, current_job, errors
from chronoq.domain.job import Pause, Progress, State
from chronoq.domain.lease import Kind, Process
from chronoq.domain.ports import Backend, Submitted
from chronoq.domain.verdict import Done
from chronoq.testing.outage import Front
from tests.servers import Server, eventually

S = timedelta(seconds=1)


class Bench:
    """An application with a few tasks, and what they saw."""

    def __init__(self, url: str) -> None:
        self.app = app = Scheduler(url, lease="900ms", concurrency=2, queues=["apart"])
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.stopped = threading.Event()
        self.seen: list[Progress] = []
        self.heard = threading.Condition()
        self.ran: list[str] = []

        @app.task
        def place(context: Context) -> str:
            self.ran.append("here" if context.token == 0 else "there")
            return self.ran[-1]

        @app.task
        def nothing() -> None:
            self.ran.append("nothing")

        @app.task
        def fail(text: str) -> None:
            self.ran.append(text)
            raise ValueError(text)

        @app.task
        def steps(context: Context) -> int:
            for number in range(1, 4):
                context.progress(number, 3)
                with self.heard:  # told before the next one
                    while len(self.seen) < number and not context.cancelled:
                        self.heard.wait(0.05)
            return len(self.seen)

        @app.task
        def hold(context: Context) -> str:
            self.begun.set()
            while not self.gate.wait(0.01):
                if context.cancelled:
                    self.stopped.set()
                    return "stopped"
            return "done"

        @app.task
        async def later(context: Context) -> str:
            assert current_job() is context
            await asyncio.sleep(0)
            return "here" if context.token == 0 else "there"

        @app.task(queue="apart")
        def picky(context: Context) -> str:
            if context.token == 0:
                raise errors.NotHere("no such device in this process")
            return "there"

        self.place, self.nothing, self.fail, self.steps = place, nothing, fail, steps
        self.hold, self.later, self.picky = hold, later, picky

    @contextmanager
    def worker(self, **options: Any) -> Iterator[None]:
        self.gate.clear()
        worker = self.app.worker(**options)
        worker.start()
        try:
            eventually(lambda: any(one.process.id == worker.process.id for one in self.roll()))
            yield
        finally:
            self.gate.set()
            worker.stop(grace=5 * S)

    def roll(self) -> list[Any]:
        return self.backend.life.roll(now=self.now())

    @property
    def backend(self) -> Backend:
        return self.app.backend

    def now(self) -> Any:
        return self.backend.clock.now()

    def pretend(self) -> Process:
        """A worker on the roll that takes nothing."""
        process = self.app.process(Kind.WORKER)
        self.backend.life.birth(process, ttl=60 * S, now=self.now())
        return process

    def saw(self, progress: Progress) -> None:
        with self.heard:
            self.seen.append(progress)
            self.heard.notify_all()

    def left(self) -> list[tuple[str, State]]:
        """All jobs that are known, live or ended."""
        found = []
        for queue in self.backend.queue.queues():
            for state in State:
                page = self.backend.queue.find(queue, state, now=self.now())
                found += [(one.job.task, state) for one in page.items]
        return found

    def before(self, verb: str, act: Callable[..., Any]) -> None:
        """Let `act` happen whenever the queue is asked for `verb`; it is given the true queue and what was asked."""
        true = self.backend

        def call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if name == verb:
                act(true.queue, *args, **kwargs)
            return getattr(true.queue, name)(*args, **kwargs)

        self.app.container.backend.override(providers.Object(evolve(true, queue=Front(true.queue, call))))
        self.app.container.client.reset()

    def heal(self) -> None:
        self.app.container.backend.reset_last_overriding()
        self.app.container.client.reset()


@pytest.fixture(params=["memory", "sqlite", "valkey"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    match request.param:
        case "memory":
            return "memory://"
        case "sqlite":
            return f"sqlite:///{tmp_path}/jobs.db"
    return str(request.getfixturevalue("redis_url"))


@pytest.fixture
def bench(url: str) -> Iterator[Bench]:
    bench = Bench(url)
    yield bench
    bench.gate.set()
    bench.app.close()


# where it runs


def test_auto_goes_to_a_worker_that_listens_and_else_runs_here(bench: Bench) -> None:
    assert bench.app.call(bench.place) == "here"
    assert bench.app.has_listener(bench.place) is False
    with bench.worker():
        assert bench.app.has_listener(bench.place) is True
        assert bench.app.call(bench.place) == "there"
        assert bench.app.call(bench.place, policy="local") == "here"
        assert bench.app.call(bench.later, policy="local") == "here"
        assert bench.app.call(bench.later) == "there"
    assert bench.app.call(bench.place) == "here"
    assert bench.left() == []


def test_a_listener_is_there_for_its_tasks_and_keeps_being_there_while_it_is_busy(bench: Bench) -> None:
    with bench.worker(listen=[bench.picky.name]):
        assert bench.app.has_listener(bench.picky) is True
        assert bench.app.has_listener(bench.place) is False
    with bench.worker(), ThreadPoolExecutor(2) as pool:
        holds = [pool.submit(bench.app.call, bench.hold, policy="remote") for _ in range(2)]  # type: ignore[arg-type]
        eventually(lambda: bench.backend.queue.counts(["default"], now=bench.now())[0].running == 2)
        assert bench.app.has_listener(bench.place) is True
        asked = threading.Thread(target=lambda: bench.app.call(bench.place))
        asked.start()
        eventually(lambda: bench.backend.queue.counts(["default"], now=bench.now())[0].ready == 1)
        bench.gate.set()
        asked.join(20)
        assert bench.ran == ["there"]
        assert [hold.result(20) for hold in holds] == ["done", "done"]


def test_local_first_goes_to_a_worker_only_when_the_task_says_that_it_cannot_run_here(bench: Bench) -> None:
    with bench.worker():
        assert bench.app.call(bench.place, policy="local_first") == "here"
        assert bench.app.call(bench.picky, policy="local_first") == "there"
        with pytest.raises(errors.JobFailed, match="ValueError: once"):
            bench.app.call(bench.fail, "once", policy="local_first")
    assert bench.ran == ["here", "once"]


def test_remote_first_runs_here_at_once_when_nobody_listens(bench: Bench) -> None:
    assert bench.app.call(bench.place, policy="remote_first") == "here"
    assert bench.left() == []


# answers


def test_none_is_an_answer(bench: Bench) -> None:
    with bench.worker():
        assert bench.app.call(bench.nothing, policy="remote", timeout="20s") is None  # type: ignore[func-returns-value]
    assert bench.ran == ["nothing"]


def test_every_progress_is_told_not_only_the_first(bench: Bench) -> None:
    with bench.worker():
        assert bench.app.call(bench.steps, policy="remote", timeout="30s", on_progress=bench.saw) == 3
    assert bench.seen == [Progress(number, 3) for number in (1, 2, 3)]
    bench.seen.clear()
    assert bench.app.call(bench.steps, policy="local", on_progress=bench.saw) == 3
    assert bench.seen == [Progress(number, 3) for number in (1, 2, 3)]


def test_an_error_of_the_task_is_the_same_wherever_it_ran_and_is_told_at_the_first_attempt(
    bench: Bench,
) -> None:
    with pytest.raises(errors.JobFailed, match="ValueError: here") as here:
        bench.app.call(bench.fail, "here")
    assert isinstance(here.value.__cause__, ValueError)
    with bench.worker(), pytest.raises(errors.JobFailed, match="ValueError: there") as there:
        bench.app.call(bench.fail, "there")
    assert (here.value.type, there.value.type) == ("ValueError", "ValueError")
    assert "in fail" in here.value.traceback
    assert "in fail" in there.value.traceback
    assert bench.ran == ["here", "there"]
    assert bench.left() == []


def test_a_task_that_leaves_the_program_has_failed_and_the_program_goes_on(bench: Bench) -> None:
    @bench.app.task
    def leave() -> None:
        sys.exit(3)

    @bench.app.task
    async def leave_later() -> None:
        leave()

    async def ask() -> None:
        await bench.app.acall(leave_later)

    for ask_here in (
        lambda: bench.app.call(leave),
        lambda: bench.app.call(leave_later),
        lambda: asyncio.run(ask()),
    ):
        with pytest.raises(errors.JobFailed, match="SystemExit: 3"):
            ask_here()
    with bench.worker(), pytest.raises(errors.JobFailed, match="SystemExit: 3"):
        bench.app.call(leave, policy="remote")


def test_an_answer_read_once_is_gone_and_its_id_is_free(bench: Bench) -> None:
    with bench.worker():
        for _ in range(2):
            assert bench.app.call(bench.place.using(id="mine"), policy="remote") == "there"
            assert bench.app.job("mine").status() is None
            with pytest.raises(errors.ResultGone):
                bench.app.job("mine").result()
    assert bench.ran == ["there", "there"]


def test_an_answer_that_is_kept_answers_every_call_under_its_id(bench: Bench) -> None:
    mine = bench.place.using(id="mine")
    with bench.worker():
        assert bench.app.call(mine, policy="remote", once=False) == "there"
        assert bench.app.call(mine, policy="remote", once=False) == "there"
        with pytest.raises(errors.Conflict):
            bench.app.call(bench.fail.using(id="mine"), "else", policy="remote")
    for policy in ("auto", "local_first", "remote_first"):
        assert bench.app.call(mine, policy=policy, once=False) == "there"  # type: ignore[call-overload]
    assert bench.ran == ["there"]
    assert bench.app.job("mine").result() == "there"


# no answer


def test_a_request_that_timed_out_leaves_nothing_and_never_runs(bench: Bench) -> None:
    with pytest.raises(errors.CallTimeout, match=r"No worker has begun it, and none will\.") as late:
        bench.app.call(bench.place.using(id="mine"), policy="remote", timeout="50ms")
    assert (late.value.started, late.value.id) == (False, "default:mine")
    assert isinstance(late.value, TimeoutError)
    assert bench.left() == []
    with bench.worker():
        assert bench.app.call(bench.nothing.using(id="mine"), policy="remote") is None  # type: ignore[func-returns-value]
    assert bench.ran == ["nothing"]


def test_a_running_request_that_timed_out_is_asked_to_stop_and_its_answer_is_not_kept_as_one(
    bench: Bench,
) -> None:
    with bench.worker():
        with pytest.raises(errors.CallTimeout, match="A worker has it, and was asked to stop") as late:
            bench.app.call(bench.hold, policy="remote_first", timeout="300ms")
        assert late.value.started is True
        assert bench.stopped.wait(20)
        job = bench.app.job(late.value.id)
        eventually(lambda: job.status() is State.CANCELLED)
        snapshot = job.info()
        assert snapshot is not None
        with pytest.raises(errors.JobCancelled):
            job.result()


def test_nobody_begins_a_request_whose_caller_is_gone(bench: Bench) -> None:
    """Also when the caller died and could take nothing back"""
    bench.before("cancel", _refuse)
    with pytest.raises(errors.CallTimeout, match="is not known") as late:
        bench.app.call(bench.place, policy="remote", timeout="50ms")
    assert late.value.started is None
    with bench.worker():
        eventually(lambda: bench.app.job(late.value.id).status() is State.EXPIRED)
    assert bench.ran == []


def test_an_id_that_others_ask_by_is_left_alone(bench: Bench) -> None:
    mine = bench.place.using(id="mine")
    first = mine.enqueue()
    with pytest.raises(errors.CallTimeout, match="was asked before under that id"):
        bench.app.call(mine, policy="remote_first", timeout="50ms")
    with bench.worker():
        assert first.result(20) == "there"
    assert bench.ran == ["there"]


# falling back never runs a task twice


def test_what_no_worker_has_begun_is_taken_back_and_runs_here_alone(bench: Bench) -> None:
    with bench.worker():
        bench.backend.queue.pause("default", Pause())
        assert bench.app.call(bench.place, policy="remote_first", timeout="50ms") == "here"
        bench.backend.queue.resume("default")
        assert bench.app.call(bench.nothing, policy="remote") is None  # type: ignore[func-returns-value]
    assert bench.ran == ["here", "nothing"]
    assert bench.left() == []


def _claimed(queue: Any, now: Any) -> Any:
    (claim,) = queue.claim([("default", 1)], worker="fast", lease=60 * S, now=now).claims
    return claim


def _refuse(queue: Any, *args: Any, **kwargs: Any) -> None:
    raise errors.Unreachable("gone")


def _taken(queue: Any, ids: Any, *, now: Any) -> None:
    _claimed(queue, now)


def _given_back(queue: Any, ids: Any, *, now: Any) -> None:
    queue.release([_claimed(queue, now)], now=now)


def _cancelled_unheard(queue: Any, ids: Any, *, now: Any) -> None:
    queue.cancel(ids, now=now)
    raise errors.Unreachable("the reply was lost")


@pytest.mark.parametrize(
    ("meanwhile", "started", "says"),
    [
        (_taken, True, "A worker has it, and was asked to stop"),
        (_given_back, True, "A worker had it, and was lost or gave it back"),
        (_refuse, None, "is not known, so it was not run here"),
        (_cancelled_unheard, None, "is not known, so it was not run here"),
    ],
    ids=["claimed", "given back", "not sent", "not answered"],
)
def test_a_claim_that_comes_before_the_cancellation_forbids_to_run_it_here(
    bench: Bench, meanwhile: Callable[..., Any], started: bool | None, says: str
) -> None:
    bench.pretend()
    bench.before("cancel", meanwhile)
    with pytest.raises(errors.CallTimeout, match=says) as late:
        bench.app.call(bench.place, policy="remote_first", timeout="20ms")
    assert late.value.started is started
    assert bench.ran == []


def test_an_answer_that_comes_at_the_last_moment_is_the_answer(bench: Bench) -> None:
    def answered(queue: Any, ids: Any, *, now: Any) -> None:
        queue.settle([(_claimed(queue, now), Done(b'"there"'))], now=now)

    bench.pretend()
    bench.before("cancel", answered)
    assert bench.app.call(bench.place, policy="remote_first", timeout="20ms") == "there"
    assert bench.ran == []
    assert bench.left() == []


def test_a_reply_to_the_submission_that_was_lost_forbids_it_unless_the_job_is_found_and_taken_back(
    bench: Bench,
) -> None:
    def stored(queue: Any, jobs: Any, **kwargs: Any) -> None:
        sent.append(((jobs,), kwargs))
        queue.submit(jobs, **kwargs)
        raise errors.Unknown("lost")

    def not_yet(queue: Any, jobs: Any, **kwargs: Any) -> None:
        raise errors.Unknown("lost")

    bench.pretend()
    bench.before("submit", not_yet)
    with pytest.raises(errors.Unknown):
        bench.app.call(bench.place, policy="remote_first")
    assert bench.ran == []
    bench.heal()
    sent: list[Any] = []
    bench.before("submit", stored)
    assert bench.app.call(bench.place, policy="remote_first") == "here"
    bench.heal()
    (late,) = sent
    assert bench.backend.queue.submit(*late[0], **late[1]) == [Submitted.DUPLICATE]  # a copy comes after all
    with bench.worker():
        assert bench.app.call(bench.nothing) is None  # type: ignore[func-returns-value]
    assert bench.ran == ["here", "nothing"]


def test_a_backend_that_refuses_to_store_it_has_not_begun_it(bench: Bench) -> None:
    bench.pretend()
    bench.before("submit", _refuse)
    assert bench.app.call(bench.place, policy="remote_first") == "here"
    with pytest.raises(errors.Unreachable):
        bench.app.call(bench.place)
    assert bench.ran == ["here"]


# the async face


def test_the_async_face_answers_alike_and_never_blocks_the_loop(bench: Bench) -> None:
    async def ask() -> int:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.005)
                turns += 1
                if turns == 5:
                    bench.gate.set()

        turning = asyncio.create_task(turn())
        assert await bench.app.acall(bench.hold, policy="remote") == "done"
        bench.gate.clear()
        first = turns
        turns = 0
        assert await bench.app.acall(bench.hold, policy="local") == "done"
        assert await bench.app.acall(bench.later, policy="local") == "here"
        assert await bench.app.acall(bench.steps, policy="local", on_progress=bench.saw) == 3
        with pytest.raises(errors.JobFailed, match="ValueError: x"):
            await bench.app.acall(bench.fail, "x")
        with pytest.raises(errors.BadCall, match="acall"):
            bench.app.call(bench.later)
        turning.cancel()
        return min(first, turns)

    with bench.worker():
        assert asyncio.run(ask()) >= 5
        assert asyncio.run(bench.app.ahas_listener(bench.place)) is True
    with pytest.raises(errors.CallTimeout):
        asyncio.run(bench.app.acall(bench.place, policy="remote", timeout="30ms"))
    assert bench.left() == []


def test_who_stops_waiting_takes_back_what_was_asked(bench: Bench) -> None:
    async def waiting() -> None:
        asked = asyncio.create_task(bench.app.acall(bench.place, policy="remote", timeout=None))
        await asyncio.to_thread(eventually, bench.left)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    async def running(policy: Any) -> None:
        bench.begun.clear()
        bench.stopped.clear()
        asked = asyncio.create_task(bench.app.acall(bench.hold, policy=policy, timeout=None))
        await asyncio.to_thread(bench.begun.wait, 20)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await asyncio.to_thread(bench.stopped.wait, 20)

    asyncio.run(waiting())
    assert bench.left() == []
    with bench.worker():
        asyncio.run(running("remote"))
        asyncio.run(running("local"))
    assert bench.ran == []


def test_who_is_cancelled_while_the_job_is_being_stored_leaves_none(bench: Bench) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(queue: Any, jobs: Any, **kwargs: Any) -> None:
        inside.set()
        assert go_on.wait(20)

    async def ask() -> None:
        asked = asyncio.create_task(bench.app.acall(bench.place, policy="remote"))
        await asyncio.to_thread(inside.wait, 20)
        asked.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await asked

    bench.before("submit", slow)
    asyncio.run(ask())
    assert bench.left() == []


def test_an_error_of_who_follows_the_progress_takes_it_back(bench: Bench) -> None:
    def upset(progress: Progress) -> None:
        raise RuntimeError("upset")

    with bench.worker(), pytest.raises(RuntimeError, match="upset"):
        bench.app.call(bench.steps, policy="remote", on_progress=upset)
    assert [state for _, state in bench.left()] in ([], [State.CANCELLED])


# mistakes are met where they are made


def test_options_of_the_call_and_arguments_of_the_task_are_kept_apart() -> None:
    app = Scheduler()

    @app.task
    def wait(timeout: int, *, policy: str = "") -> str:
        return f"{timeout} {policy}"

    @app.task
    def send(to: str) -> str:
        return to

    assert app.call(wait, 5) == "5 "
    assert app.call(wait, 5, once=False) == "5 "
    assert app.calling(timeout="1s").call(wait, timeout=5, policy="mine") == "5 mine"
    assert app.call(send, to="a", timeout="1s") == "a"
    with pytest.raises(errors.BadCall, match=r"'timeout' is an option of the call and a parameter of"):
        app.call(wait, timeout=5)
    with pytest.raises(errors.BadCall, match="'send' is none"):
        app.has_listener("send")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"policy": "remot"}, errors.BadSetting, "Did you mean 'remote'"),
        ({"timeout": "soon"}, errors.BadDuration, "'soon' is not a duration"),
        ({"timeout": 0}, errors.BadSetting, "leaves no time"),
        ({"once": "no"}, errors.BadSetting, "once='no': give True or False"),
        ({"on_progress": "print"}, errors.BadSetting, "on_progress='print': give a function"),
        ({"polcy": "auto"}, errors.BadCall, "unexpected keyword argument 'polcy'"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], error: type[Exception], says: str) -> None:
    app = Scheduler()
    task = app.add_task(lambda: 1, name="number")
    with pytest.raises(error, match=says):
        app.call(task, **options)


def test_what_cannot_be_asked_is_refused_wherever_it_would_run() -> None:
    app = Scheduler()

    @app.task
    def show(what: object) -> object:
        return what

    assert app.call(show, (1, 2)) == [1, 2]  # as a worker would get it
    with pytest.raises(errors.NotStorable):
        app.call(show, threading.Lock())
    with pytest.raises(errors.BadCall, match="it is for now"):
        app.call(show.using(delay="1h"), 1)
    with pytest.raises(errors.BadCall, match="needs a task"):
        app.call(len, [])  # type: ignore[call-overload]


class Elsewhere:
    """An engine that takes jobs and gives no answers."""

    unregistered = False
    follow = False

    def connect(self, settings: Any, queue: str) -> Any:
        raise NotImplementedError


def test_an_engine_that_is_not_followed_gives_no_answers() -> None:
    app = Scheduler(queues=[Queue("mail", relay=Elsewhere())])
    task = app.add_task(lambda: "here", name="send", queue="mail")
    with pytest.raises(errors.BadSetting, match="relayed and not followed"):
        app.call(task)
    assert app.call(task, policy="local") == "here"


def test_a_worker_listens_to_no_less_than_lives_on_its_queues(bench: Bench) -> None:
    with pytest.raises(errors.BadSetting, match="lives on 'default' too"):
        bench.app.worker(listen=[bench.place.name])
    with pytest.raises(errors.BadSetting, match="There is no task 'nope' to listen to"):
        bench.app.worker(listen=["nope"])
    waits = bench.place.enqueue()
    with bench.worker(listen=[bench.picky.name]):
        assert bench.app.call(bench.picky) == "there"
        assert waits.status() is State.READY
    assert bench.ran == []


# on the server


def test_what_is_asked_and_answered_lies_in_the_store_as_json(valkey: Server, redis_url: str) -> None:
    bench, client, records = Bench(redis_url), valkey.client(), list[bytes]()
    bench.before("cancel", lambda queue, ids, *, now: records.extend(client.hvals("chronoq:{default}:jobs")))
    with pytest.raises(errors.CallTimeout):
        bench.app.call(bench.fail, "text", policy="remote", timeout="20ms")
    (record,) = records
    assert [json.loads(line) for line in record.splitlines()][-1] == [["text"], {}]
    bench.app.close()


def test_a_request_that_timed_out_is_in_no_list_of_the_server(valkey: Server, redis_url: str) -> None:
    bench, client = Bench(redis_url), valkey.client()
    for number in range(3):
        with pytest.raises(errors.CallTimeout):
            bench.app.call(bench.place.using(id=f"mine{number}"), policy="remote", timeout="20ms")
    keys = {key.decode() for key in client.scan_iter()}
    history = {"chronoq:{default}:recent", "chronoq:{default}:stats"}
    left = keys - history - {"chronoq:queues", "chronoq:schema", "chronoq:{default}:wake:work"}
    assert left == set()
    bench.app.close()
