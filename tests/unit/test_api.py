"""The face that people embed: declaring, calling, enqueueing, starting and stopping."""

import asyncio
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve

from chronoq import Context, Priority, RetryPolicy, Scheduler, Task, cron, errors, every
from chronoq.domain.job import State
from chronoq.domain.schedule import Put
from tests.servers import eventually
from tests.unit.made import DAY, HOUR, MINUTE, S

QUICKSTART = """
import asyncio
from chronoq import Scheduler, every

app = Scheduler()                            # memory://

@app.task(retries=3)
async def greet(name: str) -> str:
    return f"hello {name}"

@app.schedule(every("10s"))
def tick() -> None:
    print("tick")

async def main() -> None:
    async with app:                          # scheduler and worker in this process
        job = await greet.aenqueue("Ada")    # typed: ParamSpec
        print(await job.aresult(timeout=5))

asyncio.run(main())
"""


def test_the_quickstart_runs_as_it_is_pasted(tmp_path: Path) -> None:
    program = tmp_path / "quickstart.py"
    program.write_text(QUICKSTART)
    ran = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "hello Ada\n", "")


# tasks


def add(a: int, b: int = 1) -> int:
    return a + b


def test_a_decorated_function_is_still_called_here() -> None:
    app = Scheduler()
    assert app.task(add)(1, b=2) == 3
    assert app.backend.queue.queues() == []


def test_the_decorator_works_with_and_without_parentheses() -> None:
    assert isinstance(Scheduler().task(add), Task)
    assert isinstance(Scheduler().task()(add), Task)
    assert isinstance(Scheduler().task(retries=1)(add), Task)


def test_a_task_is_named_by_its_module_and_function_without_locals() -> None:
    app = Scheduler()

    @app.task
    def inner() -> None: ...

    assert app.task(add).name == f"{__name__}.add"
    assert inner.name == f"{__name__}.test_a_task_is_named_by_its_module_and_function_without_locals.inner"
    assert app.add_task(add, name="plus").name == "plus"
    assert repr(app.add_task(add, name="plus")) == "<Task plus>"


def test_a_script_and_the_command_line_agree_on_the_name(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(
        "from chronoq import Scheduler\napp = Scheduler()\n@app.task\ndef send(): ...\n"
        "if __name__ == '__main__': print(send.name)\n"
    )
    names = {
        subprocess.run(
            [sys.executable, *args], capture_output=True, text=True, cwd=tmp_path, check=True
        ).stdout.strip()
        for args in (["tasks.py"], ["-m", "tasks"], ["-c", "import tasks; print(tasks.send.name)"])
    }
    assert names == {"tasks.send"}


def test_e08_two_functions_of_one_name_are_refused() -> None:
    app = Scheduler()
    app.add_task(add, name="send")
    with pytest.raises(errors.DuplicateTask) as caught:
        app.add_task(lambda: None, name="send")
    assert caught.value.code == "E08"
    text = str(caught.value)
    assert text.startswith(
        f"Two functions are named 'send' (test_api.py:{add.__code__.co_firstlineno}, test_api.py:"
    )
    assert text.endswith("). Give one name=...")


def test_the_same_function_may_be_added_again() -> None:
    app = Scheduler()
    app.add_task(add, name="send")
    app.add_task(add, name="send", retries=1)
    assert app.tasks.tasks["send"].options.retry.retries == 1


def test_a_direct_call_of_a_task_with_a_context_gets_one() -> None:
    app = Scheduler()

    @app.task(name="told")
    def told(ctx: Context, name: str) -> tuple[str, int, str]:
        return ctx.task, ctx.attempt, name

    assert told("Ada") == ("told", 1, "Ada")


def test_a_direct_call_of_a_coroutine_is_awaited() -> None:
    app = Scheduler()

    @app.task
    async def told() -> int:
        return 7

    assert asyncio.run(told()) == 7


# options


def job_of(**options: Any) -> Any:
    app = Scheduler(queues=["mail"])
    return app.add_task(add, name="add").using(**options).job(1)


def test_options_of_a_task_hold_for_its_jobs_and_using_goes_before_them() -> None:
    app = Scheduler(queues=["mail"])
    task = app.add_task(
        add, name="add", queue="mail", priority="high", retries=7, timeout="5s", expires=60, result_ttl="2h"
    )
    options = task.job(1).options
    assert (options.priority, options.retry.retries, options.timeout) == (Priority.HIGH, 7, 5 * S)
    assert (options.expires, options.result_ttl) == (MINUTE, 2 * HOUR)
    assert task.job(1).id.queue == "mail"
    changed = task.using(priority="low", timeout=None, queue="default").job(1)
    assert (changed.options.priority, changed.options.timeout, changed.options.expires) == (
        Priority.LOW,
        None,
        MINUTE,
    )
    assert changed.id.queue == "default"


def test_many_jobs_have_a_handle_each_in_their_order() -> None:
    app = Scheduler()
    task = app.add_task(add, name="add")
    jobs = [task.job(number) for number in range(2_500)]
    assert [handle.job_id for handle in app.enqueue_many(jobs)] == [job.id for job in jobs]
    assert app.enqueue_many([]) == []


def test_the_jobs_of_one_using_share_what_it_says() -> None:
    """It is read once, however many they are"""
    task = Scheduler().add_task(add, name="add").using(retries=3, priority="high", meta={"tenant": 7})
    assert task.job(1).options is task.job(2).options


def test_using_can_be_used_again_and_does_not_change_the_task() -> None:
    app = Scheduler()
    task = app.add_task(add, name="add")
    both = task.using(priority="low").using(retries=9)
    assert (both.job(1).options.priority, both.job(1).options.retry.retries) == (Priority.LOW, 9)
    assert task.job(1).options.retry.retries == 3


def test_a_job_runs_now_or_after_a_delay_or_at_a_moment() -> None:
    at = datetime(2030, 1, 1, 9, tzinfo=ZoneInfo("Europe/Berlin"))
    assert job_of(at=at).due == datetime(2030, 1, 1, 8, tzinfo=UTC)
    job = job_of(delay="1h30m")
    assert timedelta(0) <= job.due - (job.enqueued_at + 90 * MINUTE) < timedelta(milliseconds=1)
    job = job_of(priority="low")
    assert job.due - job.enqueued_at < timedelta(milliseconds=1)


def test_backoff_is_a_base_a_list_or_a_policy() -> None:
    assert job_of(backoff="10s").options.retry == RetryPolicy.exponential("10s")
    assert job_of(backoff=["1s", 5]).options.retry == RetryPolicy.listed([1, 5])
    assert job_of(backoff=["1s", 5], retries=9).options.retry == RetryPolicy.listed([1, 5], retries=9)
    assert job_of(backoff=RetryPolicy.fixed("3s", retries=2)).options.retry == RetryPolicy.fixed(3, retries=2)
    assert job_of(backoff=RetryPolicy.fixed("3s"), retries=0).options.retry.retries == 0


def test_meta_travels_with_the_job() -> None:
    assert job_of(meta={"b": 1, "a": [None]}).options.meta == b'{"a":[null],"b":1}'
    with pytest.raises(errors.NotStorable, match="meta cannot be stored"):
        job_of(meta={"a": object()})


def test_an_id_of_ones_own_is_remembered_for_a_day() -> None:
    assert job_of(id="welcome-42").options.remember == DAY
    assert job_of(id="welcome-42").id.key == "welcome-42"
    assert job_of(delay=0).options.remember == timedelta(0)


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        (
            {"dealy": "5m"},
            errors.UnknownOption,
            "using has no option 'dealy'. Did you mean 'delay'? Options: at, backoff, ",
        ),
        ({"name": "x"}, errors.UnknownOption, "using has no option 'name'."),
        ({"at": datetime(2026, 11, 23, 9)}, errors.NaiveDatetime, "at=2026-11-23 09:00:00 has no time zone"),  # noqa: DTZ001
        (
            {"queue": "defualt"},
            errors.UnknownQueue,
            "Queue 'defualt' is not declared. Declared: default, mail. Did you mean 'default'?",
        ),
        (
            {"delay": "5 mins ago"},
            errors.BadDuration,
            "'5 mins ago' is not a duration. Examples: 30s, 5m, 1h30m, timedelta(minutes=5).",
        ),
        ({"timeout": "5 mins ago"}, errors.BadDuration, "timeout: '5 mins ago' is not a duration."),
        ({"expires": -1}, errors.BadDuration, "expires: -1 is not between nothing and a hundred years."),
        ({"result_ttl": True}, errors.BadDuration, "result_ttl: True is not a duration."),
        ({"backoff": ["1s", "x"]}, errors.BadDuration, "backoff: 'x' is not a duration."),
        (
            {"priority": "hgih"},
            errors.BadSetting,
            "priority='hgih': choose from critical, high, normal, low. Did you mean 'high'?",
        ),
        ({"retries": -1}, errors.BadSetting, "retries=-1"),
        ({"queue": None}, errors.BadName, "queue None is of type NoneType: give a text (str)"),
        ({"id": "a b"}, errors.BadName, "id 'a b' is not allowed"),
        ({"id": "tick@1"}, errors.BadName, "id 'tick@1' is not allowed"),
        ({"at": datetime(2026, 1, 1, tzinfo=UTC), "delay": 1}, errors.BadSetting, "give one of the two"),
    ],
)
def test_an_option_that_cannot_be_is_refused_where_it_is_written(
    options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    app = Scheduler(queues=["mail"])
    task = app.add_task(add, name="add")
    with pytest.raises(kind) as caught:
        task.using(**options)
    assert str(caught.value).startswith(text) or text in str(caught.value)


def test_a_delay_and_a_moment_are_not_mixed_in_two_steps_either() -> None:
    task = Scheduler().add_task(add, name="add").using(delay="5m")
    with pytest.raises(errors.BadSetting, match="give one of the two"):
        task.using(at=datetime(2026, 1, 1, tzinfo=UTC))


def test_the_codes_of_these_errors_are_stable() -> None:
    assert [kind.code for kind in (errors.NaiveDatetime, errors.UnknownQueue, errors.BadDuration)] == [
        "E16",
        "E17",
        "E18",
    ]


def test_e16_shows_how_to_put_it_right() -> None:
    with pytest.raises(errors.NaiveDatetime) as caught:
        job_of(at=datetime(2026, 11, 23, 9))  # noqa: DTZ001
    assert 'Add tzinfo=ZoneInfo("Europe/Berlin"), or tzinfo=UTC.' in str(caught.value)


@pytest.mark.parametrize(
    "declare",
    [
        lambda app: app.task(retires=1),
        lambda app: app.add_task(add, retires=1),
        lambda app: app.schedule(every("1m"), retires=1),
        lambda app: app.add_schedule("a", app.add_task(add), every("1m"), retires=1),
    ],
)
def test_an_unknown_option_is_refused_at_each_door_with_the_near_one(declare: Any) -> None:
    with pytest.raises(errors.UnknownOption, match=r"has no option 'retires'\. Did you mean 'retries'\?"):
        declare(Scheduler())


def test_an_unknown_setting_is_refused_with_the_near_one() -> None:
    with pytest.raises(errors.UnknownOption, match=r"Did you mean 'concurrency'\?"):
        Scheduler(concurency=3)


def test_a_task_of_an_undeclared_queue_is_refused() -> None:
    with pytest.raises(errors.UnknownQueue):
        Scheduler().add_task(add, queue="mail")
    assert Scheduler(allow_dynamic_queues=True).add_task(add, queue="mail").job(1).id.queue == "mail"
    with pytest.raises(errors.BadName):
        Scheduler(allow_dynamic_queues=True).add_task(add, queue="a:b")


def test_an_unknown_backend_is_refused_without_its_password() -> None:
    app = Scheduler("reddis://user:secret@host/0")
    with pytest.raises(errors.BadSetting) as caught:
        _ = app.backend
    assert "Did you mean 'redis'?" in str(caught.value)
    assert "secret" not in str(caught.value)


# schedules


def test_a_schedule_has_the_name_of_its_task_unless_told_otherwise() -> None:
    app = Scheduler()
    app.schedule(every("1m"), name="tick")(lambda: None)
    app.schedule(every("1m"), id="tock")(app.add_task(lambda: None, name="other"))
    app.add_schedule("tack", app.add_task(add, name="add"), cron("0 9 * * *"), args=[1], kwargs={"b": 2})
    assert sorted(app.declared.schedules) == ["tack", "tick", "tock"]
    assert app.declared.schedules["tack"].payload == b'[[1],{"b":2}]'


def test_a_schedule_whose_task_needs_arguments_is_refused_without_them() -> None:
    app = Scheduler()
    with pytest.raises(
        errors.BadCall,
        match=r"Schedule 'tick': add\(\) got a wrong call: missing 'a'.* Give args= or kwargs=",
    ):
        app.schedule(every("1m"), name="tick")(add)


def test_what_is_no_rhythm_is_refused() -> None:
    with pytest.raises(
        errors.BadSetting, match=r"A schedule needs a rhythm, and '0 9 \* \* \*' is none\. Use every"
    ):
        Scheduler().schedule("0 9 * * *", name="tick")  # type: ignore[arg-type]
    with pytest.raises(errors.BadSetting, match="needs a rhythm"):
        Scheduler().schedule(lambda: None)  # type: ignore[arg-type]


def test_queues_given_as_one_text_are_refused() -> None:
    with pytest.raises(errors.BadSetting, match=r"Give a list: queues=\['emails'\]"):
        Scheduler(queues="emails")


def test_what_is_no_function_cannot_be_a_task() -> None:
    with pytest.raises(errors.BadCall, match="3 is not a function"):
        Scheduler().task(3)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"at": "2026-01-01"}, errors.NaiveDatetime, "is no datetime"),
        ({"delay": "99999999d"}, errors.BadDuration, "a hundred years"),
        ({"timeout": 0}, errors.BadSetting, "leaves no time to run"),
    ],
)
def test_an_option_of_the_wrong_kind_is_refused_by_using(
    options: dict[str, Any], error: type[Exception], says: str
) -> None:
    task = Scheduler().add_task(lambda: None, name="task")
    with pytest.raises(error, match=says):
        task.using(**options)


def test_two_schedules_of_one_id_are_refused() -> None:
    app = Scheduler()
    task = app.add_task(lambda: None, name="task")
    app.add_schedule("tick", task, every("1m"))
    app.add_schedule("tick", task, every("1m"))
    with pytest.raises(errors.BadSetting, match="Two schedules are named 'tick'"):
        app.add_schedule("tick", task, every("2m"))


def test_schedules_are_stored_when_the_application_starts_and_kept_as_they_are_afterwards() -> None:
    app = Scheduler()
    app.schedule(every("1h"), name="tick")(lambda: None)
    assert [change.put for change in app.apply()] == [Put.CREATED]
    due = app.stored_schedule("tick").info().cursor.next
    assert [change.put for change in app.apply()] == [Put.UNCHANGED]
    assert app.stored_schedule("tick").info().cursor.next == due
    app.close()


def test_policies_are_read_as_people_write_them() -> None:
    app = Scheduler()
    task = app.add_task(lambda: None, name="task")
    app.schedule(
        every("1h"), id="tick", window="2h", jitter="5s", spread=3, overlap="queue_one", max_fires=5
    )(task)
    policy = app.declared.schedules["tick"].policy
    assert (policy.window, policy.jitter, policy.spread) == (2 * HOUR, 5 * S, 3 * S)
    with pytest.raises(
        errors.BadSetting, match=r"overlap='queue': choose from .* Did you mean 'queue_one'\?"
    ):
        app.schedule(every("1h"), id="tock", overlap="queue")(task)
    with pytest.raises(errors.NaiveDatetime, match="starts_at="):
        app.schedule(every("1h"), id="tock", starts_at=datetime(2026, 1, 1))(task)  # noqa: DTZ001


# running


def test_with_runs_a_scheduler_and_a_worker() -> None:
    app, ticks = Scheduler(), []
    double = app.add_task(lambda n: 2 * n, name="double")
    app.schedule(every("20ms"), name="tick")(lambda: ticks.append(1))
    with app:
        assert double.enqueue(21).result(timeout=10) == 42
        eventually(lambda: len(ticks) >= 3)
        kinds = {one.process.kind.value for one in eventually(lambda: _both(app))}
        assert kinds == {"scheduler", "worker"}
    assert app.backend.life.roll(now=app.backend.clock.now()) == []
    app.close()


def _both(app: Scheduler) -> Any:
    roll = app.backend.life.roll(now=app.backend.clock.now())
    return roll if len(roll) == 2 else None


def test_it_can_be_started_again_after_it_was_stopped() -> None:
    app = Scheduler()
    double = app.add_task(lambda n: 2 * n, name="double")
    for n in range(3):
        with app:
            assert double.enqueue(n).result(timeout=10) == 2 * n
    app.close()
    with app:
        assert double.enqueue(7).result(timeout=10) == 14
    app.close()


def test_it_cannot_be_started_twice_at_once() -> None:
    app = Scheduler()
    with app, pytest.raises(errors.BadSetting, match="running already"):
        app.start()
    assert app.stop()


def test_async_with_runs_coroutines_on_the_callers_loop() -> None:
    app = Scheduler()
    where: list[Any] = []

    @app.task(name="here")
    async def here() -> None:
        where.append(asyncio.get_running_loop())

    async def main() -> None:
        async with app:
            await (await here.aenqueue()).aresult(timeout=10)
            assert where == [asyncio.get_running_loop()]

    asyncio.run(main())


def test_with_runs_coroutines_on_a_loop_of_its_own() -> None:
    app = Scheduler()

    @app.task(name="here")
    async def here() -> str:
        return threading.current_thread().name

    with app:
        assert here.enqueue().result(timeout=10) == "chronoq-event-loop"
    eventually(lambda: not any(thread.name == "chronoq-event-loop" for thread in threading.enumerate()))


def test_a_graceful_stop_lets_what_runs_finish() -> None:
    app = Scheduler(concurrency=1)
    started, go_on = threading.Event(), threading.Event()

    @app.task(name="slow")
    def slow() -> str:
        started.set()
        go_on.wait(10)
        return "finished"

    worker = app.worker()
    worker.start()
    first, second = slow.enqueue(), slow.enqueue()
    assert started.wait(10)
    answers: list[bool] = []
    stopping = threading.Thread(target=lambda: answers.append(worker.stop()))
    stopping.start()
    eventually(lambda: worker.fetcher.stopping and second.status() is State.READY)
    go_on.set()
    stopping.join(10)
    assert answers == [True]
    assert (first.status(), second.status()) == (State.DONE, State.READY)
    app.close()


@pytest.mark.parametrize("is_async", [False, True])
def test_what_outlasts_the_grace_period_goes_back_to_its_queue(is_async: bool) -> None:
    app = Scheduler(grace=0)
    started, go_on = threading.Event(), threading.Event()

    @app.task(name="slow")
    def slow() -> None:
        started.set()
        go_on.wait(10)

    @app.task(name="aslow")
    async def aslow() -> None:
        started.set()
        await asyncio.sleep(60)

    app.start()
    job = (aslow if is_async else slow).enqueue()
    assert started.wait(10)
    assert not app.stop()
    assert job.status() is State.READY
    info = job.info()
    assert info is not None
    assert info.attempt == 0 or info.token - info.attempt == 1
    go_on.set()
    app.close()


def test_a_process_says_who_it_is() -> None:
    app = Scheduler(queues=["mail"], concurrency=3)
    app.add_task(add, name="add")
    process = app.worker(["mail"]).process
    assert (process.kind.value, process.queues, process.tasks, process.concurrency) == (
        "worker",
        ("mail",),
        ("add",),
        3,
    )
    assert app.scheduler().process.queues == ("default", "mail")
    assert app.worker().process.id != app.worker().process.id
    with pytest.raises(errors.UnknownQueue):
        app.worker(["mial"])


def test_a_backend_can_be_put_in_the_place_of_another() -> None:
    from chronoq.adapters.memory import open_backend

    app, other = Scheduler(), open_backend()
    task = app.add_task(add, name="add")
    with app.container.backend.override(evolve(other)):
        app.container.client.reset()
        task.enqueue(1)
    assert other.queue.queues() == ["default"]


def test_importing_chronoq_is_quick_and_starts_nothing() -> None:
    program = (
        "import sys, threading, chronoq; "
        "print(threading.active_count(), {'redis', 'click', 'rich', 'cattrs'} & {*sys.modules})"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "1 set()\n"


def test_a_program_read_from_standard_input_can_declare_tasks() -> None:
    program = "from chronoq import Scheduler\napp = Scheduler()\n@app.task\ndef f(): ...\nprint(f.name)"
    found = subprocess.run([sys.executable, "-"], input=program, text=True, capture_output=True, check=True)
    assert found.stdout == "main.f\n"
