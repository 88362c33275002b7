"""From claim to verdict."""

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest

from chronoq import Context, current_job, errors
from chronoq.app.hands import Run
from chronoq.app.runner import LAG, failure_of, line
from chronoq.domain.errors import ChronoqError
from chronoq.domain.identity import ScheduleId
from chronoq.domain.job import Origin
from chronoq.domain.retry import Failure, RetryPolicy
from chronoq.domain.verdict import Cancelled, Dead, Done, Expired, Retry, Snooze, Verdict
from chronoq.testing.virtual import VirtualLoop
from tests.unit.bench import Bench
from tests.unit.made import DAY, HOUR, MINUTE, NOW, S, claim, job, options


def ran(fn: Callable[..., Any], *, bench: Bench | None = None, **given: Any) -> Verdict:
    """The verdict on one run of `fn`."""
    bench = bench or Bench()
    bench.task("it", fn)
    run = bench.hands.take(claim(**{"task": "it", **given}))
    if asyncio.iscoroutinefunction(fn):
        arun(bench, run)
    else:
        assert bench.runner.run(run)
    (verdict,) = bench.verdicts()
    return verdict


def arun(bench: Bench, run: Run) -> None:
    """Run a coroutine task to its end, in virtual time."""
    loop = VirtualLoop(bench.clock)
    task = loop.create_task(bench.runner.arun(run))
    run.interrupt = task.cancel
    while (moment := loop.pump()) is not None or not task.done():
        assert moment is not None
        bench.clock.move_to(moment)
    loop.close()


def test_a_function_that_returns_is_done_with_its_result_as_json() -> None:
    assert ran(lambda: {"a": [1, None]}) == Done(b'{"a":[1,null]}')
    assert ran(lambda: None) == Done(b"null")


def test_a_coroutine_that_returns_is_done_too() -> None:
    async def it(name: str) -> str:
        await asyncio.sleep(3600)
        return f"hello {name}"

    assert ran(it, payload=b'[["Ada"],{}]') == Done(b'"hello Ada"')


def test_the_arguments_arrive_as_they_were_annotated() -> None:
    def it(first: tuple[int, ...], *, second: float) -> list[str]:
        return [repr(first), repr(second)]

    assert ran(it, payload=b'[[[1,2]],{"second":3}]') == Done(b'["(1, 2)","3.0"]')


def test_a_job_whose_lease_has_run_out_meanwhile_is_not_started(caplog: pytest.LogCaptureFixture) -> None:
    """L7: the process stood still, and the heart has not noticed yet."""
    bench = Bench()
    bench.task("it", lambda: bench.ran.append("it"))
    run = bench.hands.take(claim(task="it"))
    bench.clock.move_to(run.until)
    assert not bench.runner.run(run)
    assert (bench.ran, bench.verdicts(), bench.hands.empty) == ([], [], True)
    assert "not started: its lease had run out" in caplog.text


def test_a_result_that_nobody_wants_is_not_stored() -> None:
    assert ran(lambda: object(), options=options(result_ttl=0 * S)) == Done(b"")


def test_an_exception_is_a_failure_that_is_retried() -> None:
    def it() -> None:
        raise ValueError("no such address")

    verdict = ran(it)
    assert isinstance(verdict, Retry)
    assert verdict.at == NOW + 0.5 * S
    assert (verdict.failure.type, verdict.failure.message) == ("ValueError", "no such address")
    assert verdict.failure.lineage == ("Exception", "BaseException")
    assert "in it" in verdict.failure.traceback


def test_the_last_failure_leads_to_the_dead_letters() -> None:
    def it() -> None:
        raise KeyError("x")

    assert isinstance(ran(it, attempt=4), Dead)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException("odd")])
def test_what_would_end_the_program_ends_the_job_only(error: BaseException) -> None:
    def it() -> None:
        raise error

    async def coroutine() -> None:
        raise error

    assert isinstance(ran(it), Retry)
    if not isinstance(error, SystemExit | KeyboardInterrupt):  # those asyncio passes on by itself
        assert isinstance(ran(coroutine), Retry)


def test_an_error_whose_text_cannot_be_made_is_a_failure_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def it() -> None:
        raise Mute

    verdict = ran(it)
    assert isinstance(verdict, Retry)
    assert verdict.failure.message == "its text cannot be made"


def test_a_failure_with_half_a_character_can_be_stored() -> None:
    failure = failure_of(ValueError("\ud800"))
    assert failure.message == "\\ud800"
    assert failure.traceback.encode()


def test_a_failure_without_an_end_is_cut_short() -> None:
    def deep(n: int) -> None:
        if n:
            deep(n - 1)
        raise ValueError("x" * 10**6)

    with pytest.raises(ValueError) as caught:
        deep(300)
    failure = failure_of(caught.value)
    assert len(failure.message) == 2_000
    assert len(failure.traceback) == 8_000
    assert failure.traceback.endswith("x" * 100 + "\n")


def test_a_failure_names_the_classes_with_their_modules() -> None:
    failure = failure_of(errors.ResultTimeout("late"))
    assert failure.type == "chronoq.domain.errors.ResultTimeout"
    assert "TimeoutError" in failure.lineage
    assert failure.is_a(["ResultTimeout"])
    assert failure.is_a(["OSError"])


def test_a_coroutine_past_its_timeout_fails() -> None:
    async def it() -> None:
        await asyncio.sleep(60)

    bench = Bench()
    verdict = ran(it, bench=bench, options=options(timeout=10 * S))
    assert isinstance(verdict, Retry)
    assert verdict.failure.type == "chronoq.domain.errors.JobTimeout"
    assert verdict.failure.message == "the job ran longer than its timeout of 10s"
    assert bench.now == NOW + 10 * S


def test_a_timeout_of_the_handlers_own_is_told_from_the_jobs() -> None:
    async def it() -> None:
        async with asyncio.timeout(1):
            await asyncio.sleep(60)

    verdict = ran(it, options=options(timeout=10 * S))
    assert isinstance(verdict, Retry)
    assert verdict.failure.type == "TimeoutError"


def test_a_thread_past_its_timeout_is_given_up_and_what_it_says_later_is_dropped() -> None:
    bench = Bench()

    def it() -> str:
        bench.clock.advance("11s")
        bench.heart.step(bench.now)
        assert len(bench.hands.outbox) == 1
        return "too late"

    bench.task("it", it)
    run = bench.hands.take(claim(task="it", options=options(timeout=10 * S)))
    run.on_thread = True
    assert not bench.runner.run(run)
    (verdict,) = bench.verdicts()
    assert isinstance(verdict, Retry)
    assert verdict.failure.type == "chronoq.domain.errors.JobTimeout"
    assert run.given_up
    assert bench.timeouts == [1]


def test_a_handler_can_ask_for_another_run_later_at_no_cost() -> None:
    def it() -> None:
        raise errors.Snooze("5m", "the printer is busy")

    assert ran(it, attempt=9) == Snooze(NOW + 5 * MINUTE, "the printer is busy")


def test_a_snooze_without_a_sensible_delay_is_a_failure() -> None:
    def it() -> None:
        raise errors.Snooze("a while")

    verdict = ran(it)
    assert isinstance(verdict, Retry)
    assert "not a duration" in verdict.failure.message


@pytest.mark.parametrize("outcome", ["returns", "raises", "snoozes"])
def test_a_job_that_was_asked_to_stop_ends_as_cancelled_however_it_ends(outcome: str) -> None:
    bench = Bench()

    def it() -> None:
        (run,) = bench.hands.held
        run.ask_to_stop()
        assert current_job().cancelled
        if outcome == "raises":
            raise ValueError
        if outcome == "snoozes":
            raise errors.Snooze("1s")

    assert ran(it, bench=bench) == Cancelled()


def test_a_coroutine_that_is_asked_to_stop_is_cancelled() -> None:
    bench, reached = Bench(), []

    async def it() -> None:
        (run,) = bench.hands.held
        asyncio.get_running_loop().call_later(5, run.ask_to_stop)
        await asyncio.sleep(3600)
        reached.append("the end")

    assert ran(it, bench=bench) == Cancelled()
    assert bench.now == NOW + 5 * S
    assert not reached


def test_a_job_that_was_asked_to_stop_before_it_began_never_begins() -> None:
    """Q8: it may have waited in a worker's hands."""
    for fn in (lambda: pytest.fail("it ran"), _never):
        bench = Bench()
        bench.task("it", fn)
        run = bench.hands.take(claim(task="it"))
        run.ask_to_stop()
        arun(bench, run) if fn is _never else bench.runner.run(run)
        assert bench.verdicts() == [Cancelled()]


async def _never() -> None:
    pytest.fail("it ran")


def test_a_run_whose_lease_was_lost_before_it_began_never_begins() -> None:
    """L7: somebody else may run it by now."""
    bench = Bench()
    (run,) = bench.held("a")
    bench.hands.drop(run)
    run.ask_to_stop()
    assert not bench.runner.run(run)
    assert not bench.ran
    assert not bench.hands.outbox


def test_e07_an_unknown_task_is_parked_with_the_near_name() -> None:
    bench = Bench()
    bench.runner.run(bench.hands.take(claim(task="sned")))
    (verdict,) = bench.verdicts()
    assert verdict == Snooze(
        NOW + S, "E07 task 'sned' is unknown to this worker. Did you mean 'send'? Parked, not lost."
    )


def test_an_unknown_task_is_given_up_after_park_for() -> None:
    bench = Bench(park_for=HOUR)
    bench.runner.run(bench.hands.take(claim(task="sned", token=66, attempt=1)))
    (verdict,) = bench.verdicts()
    assert isinstance(verdict, Dead)
    assert verdict.failure.type == "UnknownTask"


def test_a_record_that_cannot_be_read_goes_to_the_dead_letters() -> None:
    verdict = ran(lambda: pytest.fail("it ran"), defect="not JSON at byte 3")
    assert verdict == Dead(Failure("BadRecord", "not JSON at byte 3"))


def test_arguments_that_do_not_fit_go_to_the_dead_letters_without_a_retry() -> None:
    def it(to: str) -> None: ...

    verdict = ran(it, payload=b"[[42],{}]")
    assert isinstance(verdict, Dead)
    assert verdict.failure.type == "BadArgument"
    assert verdict.failure.message.startswith("Argument 'to' of it() expected str, got int.")


def test_a_call_with_arguments_that_the_function_does_not_take_any_more_goes_to_the_dead_letters() -> None:
    def it() -> None: ...

    verdict = ran(it, payload=b"[[1],{}]")
    assert isinstance(verdict, Dead)
    assert verdict.failure.type == "BadArgument"


def test_a_result_that_cannot_be_stored_goes_to_the_dead_letters() -> None:
    verdict = ran(lambda: object())
    assert isinstance(verdict, Dead)
    assert verdict.failure.type == "NotStorable"
    verdict = ran(lambda: "x" * 300_000)
    assert isinstance(verdict, Dead)
    assert verdict.failure.type == "TooLarge"


def test_a_job_that_nobody_wants_any_more_is_not_run() -> None:
    assert ran(lambda: pytest.fail("it ran"), due=NOW - HOUR, options=options(expires=HOUR)) == Expired()


def test_the_context_tells_a_handler_about_its_job() -> None:
    seen: list[Context] = []

    def it(ctx: Context, name: str) -> None:
        assert current_job() is ctx
        seen.append(ctx)

    origin = Origin(ScheduleId("default", "daily"), NOW, NOW - DAY, NOW)
    ran(
        it,
        payload=b'[["Ada"],{}]',
        token=5,
        attempt=2,
        crashes=1,
        origin=origin,
        options=options(meta=b'{"trace":"7"}'),
    )
    (ctx,) = seen
    assert (ctx.id, ctx.key, ctx.queue, ctx.task) == ("default:a", "a", "default", "it")
    assert (ctx.attempt, ctx.crashes, ctx.token) == (2, 1, 5)
    assert (ctx.schedule, ctx.nominal, ctx.interval) == ("daily", NOW, (NOW - DAY, NOW))
    assert (ctx.enqueued_at, ctx.due, ctx.meta, ctx.cancelled) == (NOW, NOW, {"trace": "7"}, False)


def test_a_job_of_no_schedule_has_no_nominal_time() -> None:
    def it(ctx: Context) -> list[Any]:
        return [ctx.schedule, ctx.nominal, ctx.interval, ctx.meta]

    assert ran(it) == Done(b"[null,null,null,{}]")


def test_outside_a_job_there_is_no_current_one() -> None:
    ran(lambda: None)
    with pytest.raises(ChronoqError, match="outside a job"):
        current_job()


def test_only_the_first_verdict_on_a_run_counts() -> None:
    bench = Bench()
    (run,) = bench.held("a")
    assert bench.hands.finish(run, Done(), now=NOW)
    assert not bench.hands.finish(run, Cancelled(), now=NOW)
    assert bench.verdicts() == [Done()]


def test_a_run_that_was_dropped_says_nothing() -> None:
    bench = Bench()
    (run,) = bench.held("a")
    bench.hands.drop(run)
    assert not bench.hands.finish(run, Done(), now=NOW)
    assert not bench.hands.outbox


def test_arguments_never_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "chronoq")

    def it(password: str) -> None:
        raise ValueError("no")

    ran(it, payload=b'[["hunter2"],{}]')
    assert len(caplog.records) == 2
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (Done(), "✔ send  a  1.41s"),
        (
            Retry(NOW + 8 * S, Failure("smtp.SMTPError", "451\nlater")),
            "✖ send  a  SMTPError: 451 · retry 1 of 3 in 8s",
        ),
        (Dead(Failure("KeyError")), "✖ send  a  KeyError · given up, in the dead letters"),
        (Snooze(NOW + MINUTE, ""), "⏾ send  a  snoozed · again in 1m"),
        (Cancelled(), "⊘ send  a  cancelled after 1.41s"),
        (Expired(), "⊘ send  a  expired before it started"),
    ],
)
def test_each_attempt_is_one_line_of_the_log(verdict: Verdict, text: str) -> None:
    assert line(claim(), verdict, 1.41 * S, now=NOW) == text


def test_the_runner_never_raises_even_for_a_handler_that_breaks_the_stack() -> None:
    def it() -> None:
        sys.setrecursionlimit(sys.getrecursionlimit())
        it()

    assert isinstance(ran(it, options=options(retry=RetryPolicy(retries=0))), Dead)


def test_every_start_says_how_late_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "chronoq")
    ran(lambda: None, due=NOW - 3 * S)
    assert "▶ it  a  late 3s" in caplog.text


def test_a_deadline_is_watched_closely_only_where_a_thread_runs_it() -> None:
    """A loop keeps its own timeouts; the deadline, a little later, is for one that is blocked."""
    bench, watched = Bench(), []
    bench.runner.watch = lambda: watched.append(1)
    for key, timeout, on_thread in (("a", None, True), ("b", S, False), ("c", S, True)):
        (run,) = bench.held(job(key, options=options(timeout=timeout)))
        run.on_thread = on_thread
        bench.runner.run(run)
        assert run.deadline == {"a": None, "b": NOW + S + LAG, "c": NOW + S}[key]
    assert watched == [1]


def test_a_later_attempt_is_not_called_late_by_its_backoff(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "chronoq")
    ran(lambda: None, token=2, attempt=2, due=NOW - HOUR)
    assert "▶ it  a  attempt 2" in caplog.text
