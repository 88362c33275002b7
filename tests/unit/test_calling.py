"""Where a call runs, and what follows from the answers to it, without any backend."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from chronoq import Context, Scheduler, errors
from chronoq.domain.calling import Begun, Policy, Terms, begun
from chronoq.domain.job import Options
from chronoq.domain.lease import Kind, Presence, Process, Vitals, listened
from chronoq.domain.ports import Cancel
from chronoq.testing import Drill

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("policy", "alone", "listened"),
    [
        (Policy.AUTO, False, True),
        (Policy.LOCAL, False, False),
        (Policy.REMOTE, True, True),
        (Policy.LOCAL_FIRST, False, False),
        (Policy.REMOTE_FIRST, False, True),
    ],
)
def test_where_the_first_attempt_is_made(policy: Policy, alone: bool, listened: bool) -> None:
    assert (policy.goes_away(listened=False), policy.goes_away(listened=True)) == (alone, listened)


def test_only_a_request_that_nobody_had_may_run_elsewhere() -> None:
    assert {answer: begun(answer) for answer in Cancel} == {
        Cancel.CANCELLED: Begun.NEVER,
        Cancel.STOPPED: Begun.ONCE,
        Cancel.ASKED: Begun.RUNS,
        Cancel.GONE: Begun.OVER,
    }


NOW = datetime(2026, 3, 1, tzinfo=UTC)
LISTENER = Presence(
    Process("w", Kind.WORKER, "h", 1, NOW, "1", queues=("heavy",), tasks=("render",)), Vitals(running=8), NOW
)


@pytest.mark.parametrize(
    ("one", "there"),
    [
        (LISTENER, True),
        (evolve(LISTENER, vitals=Vitals(stopping=True)), False),
        (evolve(LISTENER, process=evolve(LISTENER.process, tasks=("greet",))), False),
        (evolve(LISTENER, process=evolve(LISTENER.process, queues=("light",))), False),
        (evolve(LISTENER, process=evolve(LISTENER.process, kind=Kind.SCHEDULER)), False),
    ],
)
def test_who_listens_is_a_worker_with_that_task_and_queue_which_goes_on(one: Presence, there: bool) -> None:
    assert listened([one], task="render", queue="heavy") is there


@pytest.mark.parametrize(
    ("terms", "options", "expires", "kept"),
    [
        (Terms(), Options(), 5 * MINUTE, 5 * MINUTE),
        (Terms(timeout=MINUTE / 6), Options(), MINUTE / 6, MINUTE),
        (Terms(timeout=None), Options(), None, 60 * MINUTE),
        (Terms(), Options(expires=MINUTE, result_ttl=timedelta(0)), MINUTE, 5 * MINUTE),
        (Terms(once=False), Options(result_ttl=30 * MINUTE), 5 * MINUTE, 30 * MINUTE),
        (Terms(once=False), Options(result_ttl=timedelta(0)), 5 * MINUTE, MINUTE),
    ],
)
def test_nothing_of_a_call_outlives_those_who_may_wait_for_it(
    terms: Terms, options: Options, expires: timedelta | None, kept: timedelta
) -> None:
    treated = terms.treat(options)
    assert (treated.expires, treated.result_ttl) == (expires, kept)


def test_a_listener_that_is_busy_is_there_all_the_time() -> None:
    app = Scheduler(concurrency=1)

    @app.task
    async def long() -> None:
        await asyncio.sleep(3600)

    with Drill(app) as drill:
        long.enqueue()
        for _ in range(3):
            drill.advance("30s")  # longer than a silent worker stays on the roll
            assert app.has_listener(long)
        drill.kill_worker()
        drill.advance("1m")
        assert not app.has_listener(long)


def test_in_a_drill_a_worker_answers_and_one_that_is_lost_is_not_replaced_by_the_caller() -> None:
    app = Scheduler()
    ran = []

    @app.task
    def place(context: Context) -> str:
        ran.append(context.token)
        return "there" if context.token else "here"

    @app.task
    def fatal(context: Context) -> None:
        ran.append(context.token)
        drill.kill_worker()

    with Drill(app) as drill:
        drill.run_pending()
        assert app.call(place) == "there"
        with pytest.raises(errors.CallTimeout) as late:
            app.call(fatal, policy="remote_first", timeout="1h")
        assert late.value.started is not False
        assert ran == [1, 1]
        assert app.call(place) == "here"
