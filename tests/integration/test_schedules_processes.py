"""Schedules on a real server: several scheduler processes at once, and what people do through the API.

This module is also the application of its processes, by `--factory --app`: see `slow`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve

from chronoq import Context, Scheduler, cron, errors, every
from chronoq.api.control import ScheduleHandle
from chronoq.api.task import Task
from chronoq.app.schedules import CHUNK, NoSuchSchedule, Schedules
from chronoq.domain.control import Backfill
from chronoq.domain.errors import Unreachable
from chronoq.domain.job import Priority, State
from chronoq.domain.ports import Fired, StorePort
from chronoq.domain.schedule import Firing, Happened, Outcome, Overlap, Put
from tests.faults_app import ROOT, Fact, Folder
from tests.proc import Process, chronoq
from tests.servers import eventually

INTERVAL = timedelta(milliseconds=200)
LENGTH = 0.5
"""Seconds that a run takes: longer than two intervals."""

OVERLAPS = ("skip", "queue_one", "queue_all", "cancel_running")
DAY = timedelta(days=1)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


def slow() -> Scheduler:
    """A schedule for each overlap policy, whose runs take longer than its interval."""
    app = Scheduler(queues=["work"])
    here = Folder(Path(os.environ["FAULTS_FOLDER"]))

    @app.task(name="work", queue="work", retries=0)
    def work(context: Context) -> None:
        assert context.nominal
        here.ledger.note(f"start-{context.schedule}", context, context.nominal.isoformat())
        deadline = time.monotonic() + (30 if context.schedule == "cancel_running" else LENGTH)
        while time.monotonic() < deadline and not context.cancelled:
            time.sleep(0.005)
        here.ledger.note(f"end-{context.schedule}", context, context.nominal.isoformat())

    for overlap in OVERLAPS:
        app.add_schedule(overlap, work, every(INTERVAL), overlap=overlap)
    return app


@define
class Office:
    """What the test sees of the processes."""

    app: Scheduler
    folder: Folder
    env: dict[str, str]

    def process(self, command: str, *args: str) -> Process:
        here = "tests.integration.test_schedules_processes:slow"
        return chronoq(command, "--factory", "--app", here, *args, env=self.env, cwd=ROOT)

    def ended(self, schedule: str) -> int:
        return self.folder.ledger.count(f"end-{schedule}")

    def runs(self, schedule: str) -> list[tuple[Fact, Fact]]:
        """Each run of the schedule by its two facts, in the order of their starts."""
        starts = self.folder.ledger.of(f"start-{schedule}")
        ends = {fact.key: fact for fact in self.folder.ledger.of(f"end-{schedule}")}
        return [(fact, ends[fact.key]) for fact in starts]

    def outcomes(self, schedule: str) -> list[Outcome]:
        return list(self.app.stored_schedule(schedule).ledger(1000))[::-1]


@pytest.fixture
def office(redis_url: str, tmp_path: Path) -> Iterator[Office]:
    env = {
        "CHRONOQ_URL": redis_url,
        "FAULTS_FOLDER": str(tmp_path),
        "CHRONOQ_LEASE": "2s",
        "CHRONOQ_LOCK_TTL": "1s",
        "CHRONOQ_CONCURRENCY": "8",
    }
    app = Scheduler(redis_url, queues=["work"])
    yield Office(app, Folder(tmp_path), env)
    app.close()


def test_each_overlap_policy_holds_under_several_schedulers(office: Office) -> None:
    """S1, S3, S10: the leader is killed in between; what handlers wrote is compared with the ledger."""
    with office.process("worker") as worker, ExitStack() as stack:
        schedulers = [stack.enter_context(office.process("scheduler")) for _ in range(3)]
        eventually(lambda: all(office.ended(name) >= 2 for name in OVERLAPS), within=60)
        next(one for one in schedulers if any("♔" in line for line in one.err)).sigkill()
        before = {name: office.ended(name) for name in OVERLAPS}
        eventually(lambda: all(office.ended(name) >= before[name] + 2 for name in OVERLAPS), within=60)
        for one in schedulers:
            if one.alive:
                one.sigterm()
                assert one.wait(20) == 0, one.err
        for name in OVERLAPS:
            for id in office.app.backend.store.live(office.app.stored_schedule(name).info().id):
                office.app.job(str(id)).cancel()  # one would wait for half a minute
        eventually(lambda: not live(office), within=30)
        worker.sigterm()
        assert worker.wait(20) == 0, worker.err
    for name in OVERLAPS:
        check(office, name)
    told = {name: {outcome.what for outcome in office.outcomes(name)} for name in OVERLAPS}
    assert Happened.OVERLAP in told["skip"]
    assert Happened.OVERLAP in told["queue_one"]
    assert told["queue_all"] == {Happened.FIRED}
    counts = office.app.backend.queue.counts(["work"], now=office.app.backend.clock.now())[0]
    assert counts.balanced
    assert counts.cancelled >= 3


def live(office: Office) -> int:
    counts = office.app.backend.queue.counts(["work"], now=office.app.backend.clock.now())[0]
    return counts.delayed + counts.ready + counts.running


def check(office: Office, name: str) -> None:
    """No two runs at once, each in the ledger; each nominal time has one fate, in order, none between."""
    runs = office.runs(name)
    assert all(earlier[1].at <= later[0].at for earlier, later in pairwise(runs)), name
    outcomes = office.outcomes(name)
    fired = [one.nominal for one in outcomes if one.what is Happened.FIRED]
    ran = [datetime.fromisoformat(start.note) for start, _ in runs]
    assert set(ran) <= set(fired)
    assert len(set(ran)) == len(ran)
    assert len(fired) - len(ran) <= 1  # the last one was perhaps cancelled before it began
    info = office.app.stored_schedule(name).info()
    open = info.cursor.since + INTERVAL
    for outcome in outcomes:
        assert outcome.nominal == open, name
        end = outcome.last or outcome.nominal
        open += ((end - open) // INTERVAL + 1) * INTERVAL
    assert info.cursor.next == open


# through the API


@pytest.fixture(params=["memory", "redis"])
def app(request: pytest.FixtureRequest) -> Iterator[Scheduler]:
    """An application on each backend; nobody fires its schedules but the test."""
    url = "memory://" if request.param == "memory" else request.getfixturevalue("redis_url")
    app = Scheduler(url)
    app.task(name="work")(lambda number=0: None)
    yield app
    app.close()


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Call a verb, or its twin for async code."""

    def sync(target: object, verb: str, *args: Any, **given: Any) -> Any:
        return getattr(target, verb)(*args, **given)

    def twin(target: object, verb: str, *args: Any, **given: Any) -> Any:
        async def main() -> Any:
            answer: Awaitable[Any] = getattr(target, f"a{verb}")(*args, **given)
            return await answer

        return asyncio.run(main())

    return sync if request.param == "sync" else twin


def work(app: Scheduler) -> Task[..., Any, Any]:
    task = app.tasks.find("work")
    assert task
    return Task(app, task)


def nightly(app: Scheduler, **options: Any) -> ScheduleHandle:
    app.put_schedule("nightly", work(app), cron("0 3 * * *"), **options)
    return app.stored_schedule("nightly")


def test_a_schedule_is_put_once_and_updated_when_it_differs(app: Scheduler, call: Callable[..., Any]) -> None:
    told = [call(app, "put_schedule", "p", work(app), every("1h"), args=[number]) for number in (1, 1, 2, 2)]
    assert told == [Put.CREATED, Put.UNCHANGED, Put.UPDATED, Put.UNCHANGED]
    assert call(app.stored_schedule("p"), "info").cursor.version == 2


def test_a_pause_holds_with_its_note_until_it_is_resumed(app: Scheduler, call: Callable[..., Any]) -> None:
    schedule = nightly(app)
    until = datetime(2099, 1, 1, tzinfo=UTC)
    coming = call(schedule, "next", 2)
    call(schedule, "pause", "lunch", until=until)
    pause = call(schedule, "info").cursor.pause
    assert (pause.note, pause.until) == ("lunch", until)
    assert call(schedule, "why", coming[0]).because == "paused"
    call(schedule, "resume")
    assert call(schedule, "info").cursor.pause is None
    assert call(schedule, "next", 2) == coming
    assert call(schedule, "why", coming[0]).because == "not due yet"


def test_resuming_what_is_not_paused_changes_nothing(app: Scheduler, call: Callable[..., Any]) -> None:
    app.put_schedule("fast", work(app), every("1ms"))
    schedule = app.stored_schedule("fast")
    before = schedule.info()
    eventually(lambda: app.backend.clock.now() > (before.cursor.next or MIDNIGHT))
    call(schedule, "resume")
    assert schedule.info() == before
    assert schedule.ledger() == []


def test_a_trigger_runs_at_once_and_leaves_the_rhythm_alone(app: Scheduler, call: Callable[..., Any]) -> None:
    schedule = nightly(app)
    before = schedule.info()
    handle = call(schedule, "trigger")
    assert call(handle, "status") is State.READY
    snapshot = handle.info()
    assert snapshot.job.origin.schedule == before.id
    assert snapshot.job.options.priority is Priority.NORMAL
    assert schedule.info() == before
    (outcome,) = call(schedule, "ledger")
    assert (outcome.what, outcome.note) == (Happened.MANUAL, handle.job_id.key)


def test_a_backfill_makes_each_day_up_once_at_low_priority(app: Scheduler, call: Callable[..., Any]) -> None:
    schedule = nightly(app)
    expected = [
        (MIDNIGHT + timedelta(hours=3) + (day - 1) * DAY, MIDNIGHT + timedelta(hours=3) + day * DAY)
        for day in range(3)
    ]
    assert call(schedule, "backfill", MIDNIGHT, MIDNIGHT + 3 * DAY, dry_run=True) == expected
    assert schedule.ledger() == []
    assert call(schedule, "backfill", MIDNIGHT, MIDNIGHT + 3 * DAY) == expected
    assert call(schedule, "backfill", MIDNIGHT, MIDNIGHT + 3 * DAY) == []
    assert call(schedule, "backfill", MIDNIGHT, MIDNIGHT + 4 * DAY, name="more")[-1][1].day == 5
    jobs = app.backend.queue.find("default", State.READY, now=app.backend.clock.now()).items
    assert len(jobs) == 3 + 4
    assert {one.job.options.priority for one in jobs} == {Priority.LOW}
    assert [(one.job.origin.start, one.job.origin.end) for one in jobs[:3] if one.job.origin] == expected
    assert app.backend.store.live(schedule.info().id) == []  # it does not hold the schedule back


@define
class Dying:
    """A store whose second step is its last, carried out or not: what a killed process leaves behind."""

    true: StorePort
    after: bool
    steps: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.true, name)

    def fire(self, firings: list[Firing], *, fence: int | None, now: datetime) -> list[Fired]:
        self.steps += 1
        if self.steps == 2 and not self.after:
            raise Unreachable("killed before the step")
        answers = self.true.fire(firings, fence=fence, now=now)
        if self.steps == 2:
            raise Unreachable("killed after the step")
        return answers


@pytest.mark.parametrize("after", [False, True])
def test_a_backfill_that_was_cut_short_is_taken_up_by_the_same_call(app: Scheduler, after: bool) -> None:
    app.put_schedule("hourly", work(app), cron("0 * * * *"))
    end = MIDNIGHT + 250 * timedelta(hours=1)
    dying = Schedules(evolve(app.backend, store=Dying(app.backend.store, after)))
    wish = Backfill(MIDNIGHT, end, f"{MIDNIGHT:%Y%m%dT%H%M%S}-{end:%Y%m%dT%H%M%S}")
    with pytest.raises(Unreachable):
        dying.backfill("hourly", wish)
    left = 250 - (2 if after else 1) * CHUNK
    schedule = app.stored_schedule("hourly")
    assert len(schedule.backfill(MIDNIGHT, end)) == left
    assert schedule.backfill(MIDNIGHT, end) == []
    counts = app.backend.queue.counts(["default"], now=app.backend.clock.now())[0]
    assert counts.accepted == counts.ready == 250


def test_a_backfill_that_was_killed_is_taken_up_again(office: Office) -> None:
    """A process dies in the middle; the same call from another one makes up for what is missing."""
    app = office.app
    task = app.task(name="work", queue="work")(lambda: None)
    app.put_schedule("hourly", task, cron("0 * * * *"), queue="work")
    end = MIDNIGHT + 950 * timedelta(hours=1)
    args = ("schedules", "backfill", "hourly", "--from", f"{MIDNIGHT}", "--to", f"{end}", "--yes")
    with chronoq(*args, env=office.env) as process:
        queue = app.backend.queue
        eventually(lambda: queue.counts(["work"], now=app.backend.clock.now())[0].accepted, within=30)
        process.sigkill()
    app.stored_schedule("hourly").backfill(MIDNIGHT, end)
    counts = queue.counts(["work"], now=app.backend.clock.now())[0]
    assert counts.accepted == counts.ready == 950


def test_a_removed_schedule_is_gone_with_its_ledger_and_its_jobs_stay(
    app: Scheduler, call: Callable[..., Any]
) -> None:
    schedule = nightly(app)
    handle = schedule.trigger()
    assert call(schedule, "remove") is True
    assert handle.status() is State.READY
    for verb, *args in (("info",), ("remove",), ("pause",), ("resume",), ("trigger",), ("ledger",)):
        with pytest.raises(NoSuchSchedule):
            call(schedule, verb, *args)
    nightly(app)
    assert schedule.ledger() == []


def test_a_spent_schedule_shows_no_coming_times(app: Scheduler) -> None:
    schedule = nightly(app, max_fires=2)
    assert len(schedule.next(5)) == 2


def test_what_names_no_moment_is_refused(app: Scheduler) -> None:
    schedule = nightly(app)
    naive = MIDNIGHT.replace(tzinfo=None)
    for refused in (
        lambda: schedule.pause(until=naive),
        lambda: schedule.backfill(naive, MIDNIGHT),
        lambda: schedule.why(naive),
    ):
        with pytest.raises(errors.NaiveDatetime):
            refused()


# plan and apply


def declared(url: str, **intervals: str) -> Scheduler:
    app = Scheduler(url)
    task = app.task(name="work")(lambda: None)
    for id, interval in intervals.items():
        app.add_schedule(id, task, every(interval))
    return app


def test_a_restart_keeps_the_due_time_of_what_has_not_changed(redis_url: str) -> None:
    first = declared(redis_url, kept="1h", changed="1h", gone="1h")
    assert {change.put for change in first.apply()} == {Put.CREATED}
    before = {stored.id.key: stored.cursor for stored in first.stored.all()}
    first.close()

    second = declared(redis_url, kept="1h", changed="2h", new="1h")
    plan = [(change.id.key, change.put, change.fields) for change in second.plan()]
    assert plan == [
        ("changed", Put.UPDATED, ("rhythm",)),
        ("kept", Put.UNCHANGED, ()),
        ("new", Put.CREATED, ()),
        ("gone", None, ()),
    ]
    assert {stored.id.key: stored.cursor for stored in second.stored.all()} == before  # a plan only looks
    assert [(change.id.key, change.put) for change in second.apply()] == [one[:2] for one in plan]
    after = {stored.id.key: stored.cursor for stored in second.stored.all()}
    assert after["kept"] == before["kept"]
    assert after["gone"] == before["gone"]
    assert after["changed"].version == 2
    assert after["changed"].since > before["changed"].since
    second.apply(prune=True)
    assert sorted(stored.id.key for stored in second.stored.all()) == ["changed", "kept", "new"]
    second.close()


def test_an_update_keeps_a_pause_and_what_has_fired(app: Scheduler) -> None:
    schedule = nightly(app)
    schedule.pause("lunch")
    nightly(app, jitter="1m")
    info = schedule.info()
    assert info.cursor.pause
    assert info.cursor.pause.note == "lunch"
    assert info.cursor.version == 2
    assert info.schedule
    assert info.schedule.policy.overlap is Overlap.SKIP
