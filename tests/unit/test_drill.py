"""The whole system in memory and in virtual time; and stories that are told with it."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chronoq import Context, Scheduler, cron, current_job, errors, every
from chronoq.domain.job import State
from chronoq.domain.ports import Cancel
from chronoq.domain.schedule import Happened
from chronoq.domain.time import to_ms
from chronoq.testing import START, Drill
from tests.unit.made import HOUR, MINUTE, S


class App:
    """An application whose handlers take notes of when they ran."""

    def __init__(self, **settings: Any) -> None:
        self.app = Scheduler(queues=["mail"], **settings)
        self.notes: list[tuple[float, str]] = []
        self.drill: Drill
        self.send = self.app.add_task(self._send, name="send")
        self.work = self.app.add_task(self._work, name="work", retries=2, backoff=["1m", "5m"])
        self.wait = self.app.add_task(self._wait, name="wait")

    def note(self, text: str) -> None:
        self.notes.append(((self.drill.now - START).total_seconds(), text))

    def start(self, **given: Any) -> Drill:
        self.drill = Drill(self.app, **given)
        return self.drill

    def _send(self, to: str) -> str:
        self.note(to)
        return f"sent to {to}"

    def _work(self, takes: str, fail: bool = False) -> None:
        """Spend virtual time."""
        self.note("begin")
        self.drill.advance(takes)
        self.note("end")
        if fail:
            raise ValueError("no")

    async def _wait(self, seconds: float) -> str:
        self.note("begin")
        await asyncio.sleep(seconds)
        self.note("end")
        return "waited"


# the drill itself


def test_a_job_runs_when_it_is_due_and_not_before() -> None:
    app = App()
    with app.start() as drill:
        app.send.using(delay="1d").enqueue("Ada")
        drill.advance("23h59m59s")
        assert app.notes == []
        drill.advance("1s")
        assert app.notes == [(86_400, "Ada")]


def test_run_pending_does_what_can_be_done_now_and_moves_no_clock() -> None:
    app = App()
    with app.start() as drill:
        app.send.enqueue("Ada")
        app.send.using(delay="1ms").enqueue("Bob")
        drill.run_pending()
        assert app.notes == [(0, "Ada")]
        assert drill.now == START


def test_a_result_can_be_waited_for_in_virtual_time() -> None:
    app = App()
    with app.start() as drill:
        assert app.send.using(delay="1h").enqueue("Ada").result() == "sent to Ada"
        assert drill.now == START + HOUR


def test_a_result_that_does_not_come_is_a_timeout() -> None:
    app = App()
    with (
        app.start(workers=0),
        pytest.raises(errors.ResultTimeout, match="within 24h of virtual time"),
    ):
        app.send.enqueue("Ada").result()


def test_run_until_stops_as_soon_as_it_is_so() -> None:
    app = App()
    with app.start() as drill:
        for minutes in range(10):
            app.send.using(delay=60 * minutes + 60).enqueue(f"{minutes}")
        assert drill.run_until(lambda: len(app.notes) == 3) == START + 3 * MINUTE


def test_run_until_gives_up_with_the_figures() -> None:
    app = App()
    with app.start() as drill:
        app.send.using(delay="2h").enqueue("Ada")
        with pytest.raises(
            AssertionError, match=r"Not within 1h .* default: 1 delayed, 0 ready, 0 running, 0 dead, 0 done"
        ):
            drill.run_until(lambda: app.notes, within="1h")


def test_time_does_not_go_back() -> None:
    app = App()
    with app.start() as drill:
        drill.advance("1h")
        with pytest.raises(errors.Invalid, match="does not go back"):
            drill.move_to(START)


def test_it_shows_the_jobs_and_what_is_enqueued() -> None:
    app = App()
    with app.start(workers=0) as drill:
        app.send.enqueue("Ada")
        app.send.using(delay="1h", queue="mail").enqueue(to="Bob")
        app.wait.enqueue(1)
        assert [(one.args, one.kwargs, one.due) for one in drill.enqueued(app.send)] == [
            (("Ada",), {}, START),
            ((), {"to": "Bob"}, START + HOUR),
        ]
        assert [one.job.id.key for one in drill.jobs("ready")] == ["job-1", "job-3"]
        assert [one.job.id.key for one in drill.jobs(queue="mail")] == ["job-2"]
        assert len(drill.jobs()) == 3


def test_no_thread_is_started() -> None:
    app, before = App(), threading.active_count()
    with app.start(workers=2, schedulers=2) as drill:
        app.wait.enqueue(5)
        app.send.enqueue("Ada").result()
        drill.advance("1h")
        assert threading.active_count() == before


def test_the_application_has_its_own_backend_back_afterwards() -> None:
    app = App()
    own, client = app.app.backend, app.app.client
    with app.start():
        assert app.app.backend is not own
        app.send.enqueue("Ada")
    assert app.app.backend is own
    assert app.app.client is client
    assert app.app.backend.queue.queues() == []
    assert len(app.send.job("x").id.key) == 16


def test_a_drill_can_make_an_application_of_its_own() -> None:
    with Drill() as drill:
        double = drill.app.add_task(lambda n: 2 * n, name="double")
        assert double.enqueue(21).result() == 42


def test_the_same_drill_tells_the_same_story_twice() -> None:
    def story() -> list[Any]:
        app = App()

        @app.app.task(name="flaky", retries=5)
        def flaky(n: int) -> None:
            app.note(f"flaky {n}")
            if current_job().attempt < 4:
                raise ValueError

        @app.app.schedule(every("90s", anchor=START), jitter="20s", name="tick")
        def tick() -> None:
            app.note("tick")

        with app.start(workers=3, schedulers=2, seed=7) as drill:
            for n in range(20):
                flaky.using(delay="10s").enqueue(n)
            drill.advance("50s")
            drill.kill_worker(1)
            drill.kill_scheduler(0)
            drill.advance("10m")
        return app.notes

    first = story()
    assert len(first) > 80
    assert first == story()


def test_retries_draw_their_jitter_from_the_seed() -> None:
    def when(seed: int) -> list[Any]:
        app = App()

        @app.app.task(name="fails")
        def fails() -> None:
            app.note("tried")
            raise ValueError

        with app.start(seed=seed) as drill:
            fails.enqueue()
            drill.advance("1h")
        return app.notes

    assert len(when(1)) == 4
    assert when(1) == when(1) != when(2)


def test_a_quiet_year_is_leapt_over_and_misses_nothing() -> None:
    app = App()

    @app.app.schedule(cron("0 9 1 * *"), name="monthly")
    def monthly() -> None:
        app.note("rent")

    with app.start(workers=2, schedulers=2) as drill:
        drill.advance("365d")
        assert len(app.notes) == 12
        assert drill.leader == 0
        assert drill.schedulers[0].ticker.lease is not None
        assert drill.schedulers[0].ticker.lease.token == to_ms(START) + 1
        roll = drill.backend.life.roll(now=drill.now)
        assert [one.process.id for one in roll] == ["scheduler-0", "scheduler-1", "worker-0", "worker-1"]


def test_a_handler_spends_time_by_moving_the_clock() -> None:
    app = App()
    with app.start() as drill:
        app.work.enqueue("30m")
        app.send.using(delay="10m").enqueue("Ada")
        drill.advance("1h")
        assert app.notes == [(0, "begin"), (600, "Ada"), (1800, "end")]
        assert drill.jobs("done")[0].job.task == "work"


def test_a_worker_never_runs_more_than_its_slots() -> None:
    app = App(concurrency=2)
    with app.start() as drill:
        for _ in range(4):
            app.wait.enqueue(60)
        drill.run_pending()
        assert [text for _, text in app.notes] == ["begin"] * 2
        drill.advance("2m")
        assert [when for when, text in app.notes if text == "end"] == [60, 60, 120, 120]


def test_a_coroutine_may_enqueue_and_wait_for_another_job() -> None:
    app = App()

    @app.app.task(name="outer")
    async def outer() -> str:
        await asyncio.sleep(10)
        job = await app.send.using(delay="1m").aenqueue("Ada")
        return await job.aresult()

    with app.start() as drill:
        assert outer.enqueue().result() == "sent to Ada"
        assert drill.now == START + 70 * S


def test_a_coroutine_past_its_timeout_fails_in_virtual_time() -> None:
    app = App()
    strict = app.wait.using(timeout="10s", retries=0)
    with app.start() as drill:
        with pytest.raises(errors.JobFailed, match="longer than its timeout of 10s"):
            strict.enqueue(60).result()
        assert drill.now == START + 10 * S


def test_a_thread_past_its_timeout_is_given_up_in_virtual_time() -> None:
    app = App()
    with app.start() as drill:
        job = app.work.using(timeout="10s", retries=0).enqueue("1h")
        drill.run_until(lambda: app.notes[-1:] == [(3600, "end")])
        assert job.status() is State.DEAD
        assert drill.jobs("dead")[0].until == START + 10 * S


def test_a_running_coroutine_that_is_cancelled_stops_within_a_second() -> None:
    app = App()
    with app.start() as drill:
        job = app.wait.enqueue(3600)
        drill.advance("10s")
        assert job.cancel() is Cancel.ASKED
        with pytest.raises(errors.JobCancelled):
            job.result()
        assert drill.now <= START + 11 * S


def test_a_waiting_job_that_is_cancelled_never_starts() -> None:
    app = App()
    with app.start() as drill:
        job = app.send.using(delay="1h").enqueue("Ada")
        assert job.cancel() is Cancel.CANCELLED
        drill.advance("2h")
        assert app.notes == []
        assert job.cancel() is Cancel.GONE


def test_delays_of_a_list_are_kept_to_the_second() -> None:
    app = App()
    with app.start() as drill:
        app.work.enqueue("1s", fail=True)
        drill.advance("1h")
        assert [when for when, text in app.notes if text == "begin"] == [0, 61, 362]
        assert drill.jobs("dead")


# crashes


def test_a_killed_worker_loses_nothing_and_costs_no_retry() -> None:
    app = App()
    seen: list[tuple[int, int]] = []

    @app.app.task(name="long")
    async def long(ctx: Context) -> None:
        seen.append((ctx.attempt, ctx.crashes))
        await asyncio.sleep(600)

    with app.start(workers=2) as drill:
        job = long.enqueue()
        drill.advance("5m")
        drill.kill_worker(0)
        job.result()
        assert seen == [(1, 0), (1, 1)]
        assert START + 900 * S < drill.now <= START + timedelta(seconds=300 + 30 + 10 + 600)


def test_a_job_that_kills_its_worker_does_so_three_times_and_charges_a_neighbour_once_at_most() -> None:
    """L3"""
    app = App()
    deaths: list[int] = []

    @app.app.task(name="poison")
    def poison() -> None:
        place = next(n for n, worker in enumerate(app.drill.workers) if len(deaths) == n)
        deaths.append(place)
        app.drill.kill_worker(place)
        app.note("it goes on")

    with app.start() as drill:
        job = poison.enqueue()
        others = [app.wait.enqueue(1) for _ in range(3)]
        while job.status() is not State.DEAD:
            drill.advance("1m")
            if len(drill.workers) == len(deaths):
                drill.add_worker()
        assert deaths == [0, 1, 2]
        assert (0, "it goes on") not in app.notes
        drill.run_until(lambda: len(drill.jobs("done")) == 3)
        assert drill.jobs("dead")[0].crashes == 3
        assert all(other.result() == "waited" for other in others)


def test_a_stopped_worker_finishes_what_runs_and_gives_back_the_rest() -> None:
    app = App(concurrency=1)
    with app.start() as drill:
        first, second = app.wait.enqueue(20), app.wait.enqueue(20)
        drill.advance("1s")
        assert drill.stop_worker(0)
        assert (first.status(), second.status()) == (State.DONE, State.READY)


def test_what_outlasts_the_grace_period_goes_back_without_losing_an_attempt() -> None:
    app = App(grace="10s")
    with app.start() as drill:
        job = app.wait.enqueue(60)
        drill.advance("1s")
        assert not drill.stop_worker(0)
        assert job.status() is State.READY
        drill.add_worker()
        job.result()
        assert drill.now == START + 71 * S


def test_a_standby_takes_over_from_a_killed_scheduler() -> None:
    app = App()

    @app.app.schedule(every("1m", anchor=START), name="tick")
    def tick() -> None:
        app.note("tick")

    with app.start(schedulers=2) as drill:
        drill.advance("150s")
        assert drill.leader == 0
        drill.kill_scheduler(0)
        drill.advance("20s")
        assert drill.leader == 1
        drill.advance("190s")
        assert [when for when, _ in app.notes] == [60, 120, 180, 240, 300, 360]


def test_without_any_scheduler_schedules_wait_and_are_caught_up_by_their_policy() -> None:
    app = App()

    @app.app.schedule(every("1m", anchor=START), name="tick", catch_up=3, overlap="allow")
    def tick(ctx: Context) -> None:
        assert ctx.nominal is not None
        app.note(f"{(ctx.nominal - START) // MINUTE}")

    with app.start() as drill:
        drill.kill_scheduler(0)
        drill.advance("1h30s")
        assert app.notes == []
        drill.add_scheduler()
        drill.run_pending()
        assert [text for _, text in app.notes] == ["58", "59", "60"]


# schedules


def test_the_ledger_tells_what_became_of_each_nominal_time() -> None:
    app = App()

    @app.app.schedule(every("1m", anchor=START), name="slow")
    async def slow() -> None:
        await asyncio.sleep(90)

    with app.start() as drill:
        drill.advance("4m")
        assert [one.what for one in drill.ledger("slow")] == [
            Happened.FIRED,
            Happened.OVERLAP,
            Happened.FIRED,
            Happened.OVERLAP,
        ]


@pytest.mark.parametrize(
    ("overlap", "starts"),
    [
        ("allow", [60, 120, 180, 240, 300]),
        ("skip", [60, 180, 300]),
        ("queue_one", [60, 150, 240]),
        ("queue_all", [60, 150, 240]),
        ("cancel_running", [60, 120, 180, 240, 300]),
    ],
)
def test_each_overlap_policy_in_virtual_time(overlap: Any, starts: list[float]) -> None:
    app = App()

    @app.app.schedule(every("1m", anchor=START), name="slow", overlap=overlap)
    async def slow() -> None:
        app.note("begin")
        await asyncio.sleep(90)

    with app.start() as drill:
        drill.advance("302s")
        assert [when // 1 - when // 1 % 30 for when, _ in app.notes] == starts


def test_a_schedule_that_fails_too_often_is_set_aside() -> None:
    app = App()

    @app.app.schedule(every("1m", anchor=START), name="bad", retries=0, pause_after=3)
    def bad() -> None:
        raise ValueError

    with app.start() as drill:
        drill.advance("1h")
        assert len(drill.jobs("dead")) == 3
        assert drill.ledger("bad")[-1].what is Happened.SET_ASIDE


def test_a_schedule_keeps_its_wall_clock_time_through_the_spring() -> None:
    app = App()
    ran: list[datetime] = []

    @app.app.schedule(cron("30 2 * * *", tz="Europe/Berlin"), name="nightly")
    def nightly() -> None:
        ran.append(app.drill.now)

    with app.start(start=datetime(2026, 3, 28, tzinfo=UTC)) as drill:
        drill.advance("3d")
        assert ran == [
            datetime(2026, 3, 28, 1, 30, tzinfo=UTC),
            datetime(2026, 3, 29, 1, 0, tzinfo=UTC),
            datetime(2026, 3, 30, 0, 30, tzinfo=UTC),
        ]


# outages


def test_nothing_is_lost_in_an_outage_and_it_is_two_lines_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App()
    with app.start(schedulers=0) as drill:
        app.work.enqueue("1s")
        for n in range(20):
            app.send.using(delay=n).enqueue(f"{n}")
        drill.advance("5s")
        drill.queue.fail()
        drill.advance("20s")
        drill.queue.heal()
        drill.advance("1m")
        assert len(drill.jobs("done")) == 21
        lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert len(lines) == 2, lines
        assert "Trying again" in lines[0]
        assert "answers again after" in lines[1]


def test_a_worker_cut_off_for_longer_than_its_lease_stops_its_jobs_before_another_takes_them() -> None:
    """L7"""
    app = App()
    with app.start() as drill:
        job = app.wait.enqueue(300)
        drill.advance("10s")
        drill.queue.fail("extend", "settle", "claim", "release")
        drill.advance("40s")
        assert not drill.workers[0].hands.held
        drill.queue.heal()
        job.result()
        assert [text for _, text in app.notes] == ["begin", "begin", "end"]


def test_a_submission_whose_reply_was_lost_is_unknown_and_can_be_made_again() -> None:
    """A1, Q4"""
    app = App()
    with app.start() as drill:
        drill.queue.fail("submit", times=1, after=True)
        once = app.send.using(id="welcome")
        with pytest.raises(errors.Unknown) as caught:
            once.enqueue("Ada")
        assert caught.value.ids == ("default:welcome",)
        assert once.enqueue("Ada").result() == "sent to Ada"
        assert len(app.notes) == 1


def test_each_kind_of_outage_heals_within_seconds() -> None:
    """A2"""
    for verb in ("settle", "claim", "extend", "expired", "promote", "wait_ready", "wait_due", "queues"):
        for after in (False, True):
            app = App()
            with app.start() as drill:
                drill.queue.fail(verb, times=3, after=after)
                for n in range(5):
                    app.send.using(delay=n).enqueue(f"{n}")
                drill.advance("2m")
                assert len(drill.jobs("done")) == 5, verb


def test_ten_long_jobs_spread_evenly_over_five_idle_workers_although_one_prefetches() -> None:
    app = Scheduler(concurrency=2)

    def quick() -> None: ...

    async def long() -> None:
        await asyncio.sleep(1)

    short, slow = app.add_task(quick, name="quick"), app.add_task(long, name="long")
    with Drill(app, workers=5) as drill:
        for _ in range(200):
            short.enqueue()
        drill.run_pending()
        done = [worker.hands.done for worker in drill.workers]
        assert any(worker.hands.pace.depth > 5 for worker in drill.workers)
        for _ in range(10):
            slow.enqueue()
        drill.advance("3s")
        assert [worker.hands.done - before for worker, before in zip(drill.workers, done, strict=True)] == [
            2
        ] * 5
