"""The timeline of all schedules, without running a handler."""

from datetime import UTC, datetime
from typing import Any

import pytest

from chronoq import Scheduler, cron, every, once
from chronoq.domain.errors import Invalid, NaiveDatetime
from chronoq.domain.schedule import Happened
from chronoq.testing import Run, Timeline, simulate
from tests.unit.made import DAY, HOUR, MINUTE, NOW, S


def timeline(takes: Any = 0, *, slots: int | None = None, hours: float = 1, **options: Any) -> Timeline:
    app = Scheduler()

    @app.schedule(every("10m", anchor=NOW), name="report", **options)
    def report() -> None:
        pytest.fail("it was called")

    return simulate(app, NOW, NOW + hours * HOUR, {report: takes}, slots=slots)


def test_each_fire_is_a_run_of_the_length_that_was_said() -> None:
    found = timeline("3m")
    assert found.runs[0] == Run("report", NOW + 10 * MINUTE, NOW + 10 * MINUTE, NOW + 13 * MINUTE)
    assert found.fires == {"report": 6}
    assert found.skips == ()
    assert found.overlaps == []
    assert found.busiest == (NOW + 10 * MINUTE, 1)


def test_without_a_length_a_run_takes_no_time() -> None:
    assert {run.end - run.start for run in timeline().runs} == {0 * S}
    assert timeline().busiest == (NOW + 10 * MINUTE, 1)


def test_skips_are_shown_with_their_reason() -> None:
    found = timeline("15m")
    assert [run.start for run in found.runs] == [NOW + m * MINUTE for m in (10, 30, 50)]
    assert [(skip.nominal, skip.why) for skip in found.skips] == [
        (NOW + m * MINUTE, Happened.OVERLAP) for m in (20, 40, 60)
    ]
    assert found.skipped == {"report": 3}


def test_overlaps_are_shown_in_pairs() -> None:
    found = timeline("15m", overlap="allow")
    assert len(found.runs) == 6
    assert [(a.nominal, b.nominal) for a, b in found.overlaps][:2] == [
        (NOW + 10 * MINUTE, NOW + 20 * MINUTE),
        (NOW + 20 * MINUTE, NOW + 30 * MINUTE),
    ]
    assert found.busiest == (NOW + 20 * MINUTE, 2)


def test_queue_one_starts_when_the_run_before_has_ended() -> None:
    starts = [run.start for run in timeline("15m", overlap="queue_one").runs]
    assert starts == [NOW + m * MINUTE for m in (10, 25, 40, 55)]


def test_with_few_slots_runs_wait_for_each_other() -> None:
    app = Scheduler()
    task = app.add_task(lambda: None, name="task")
    for name in "abc":
        app.add_schedule(name, task, once(NOW + MINUTE))
    found = simulate(app, NOW, NOW + HOUR, {"task": "5m"}, slots=1)
    assert [run.start for run in found.runs] == [NOW + m * MINUTE for m in (1, 6, 11)]
    assert found.busiest == (NOW + MINUTE, 1)


def test_a_run_under_way_at_the_end_is_shown() -> None:
    assert timeline("30m", hours=0.2).runs == (
        Run("report", NOW + 10 * MINUTE, NOW + 10 * MINUTE, NOW + 40 * MINUTE),
    )


def test_several_queues_are_played_together() -> None:
    app = Scheduler(queues=["mail"])
    for queue in ("mail", "default"):
        task = app.add_task(lambda: None, name=queue, queue=queue)
        app.add_schedule(f"on-{queue}", task, cron("0 * * * *"))
    found = simulate(app, NOW, NOW + DAY)
    assert found.fires == {"on-mail": 24, "on-default": 24}
    assert [run.start for run in found.runs] == sorted(run.start for run in found.runs)
    assert found.busiest == (NOW + HOUR, 2)


def test_an_application_without_schedules_has_an_empty_timeline() -> None:
    found = simulate(Scheduler(), NOW, NOW + DAY)
    assert (found.runs, found.skips, found.busiest) == ((), (), None)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(Invalid, match="is before start"):
        simulate(Scheduler(), NOW, NOW - S)
    with pytest.raises(NaiveDatetime, match="start="):
        simulate(Scheduler(), datetime(2026, 1, 1), NOW)  # noqa: DTZ001
    app = Scheduler()
    app.add_task(lambda: None, name="report")
    with pytest.raises(Invalid, match="Did you mean 'report'"):
        simulate(app, NOW, NOW + S, {"reprot": "1m"})


def test_some_days_of_fifty_schedules_is_played() -> None:
    app = Scheduler()
    task = app.add_task(lambda: None, name="task")
    start = datetime(2026, 3, 1, tzinfo=UTC)
    for n in range(50):
        app.add_schedule(f"s{n}", task, every("45m", anchor=start) if n % 2 else cron(f"{n} */2 * * *"))
    found = simulate(app, start, start + 3 * DAY, {"task": "20m"})
    assert {found.fires[f"s{n}"] for n in range(1, 50, 2)} == {96}
    assert {found.fires[f"s{n}"] for n in range(0, 50, 2)} == {36}
    assert not found.skips
