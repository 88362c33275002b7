"""Runs and their schedule: how many live, how many failed, what holds it back and what sets it free."""

from datetime import datetime

import pytest
from attrs import evolve

from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Claim, Job, Pause, State
from chronoq.domain.ports import Backend, Cancel, Fired, Hold
from chronoq.domain.schedule import Due
from chronoq.domain.verdict import Dead, Done, Retry, Snooze, Verdict
from chronoq.testing.contracts.chapter import Chapter
from chronoq.testing.contracts.keeping import keep
from chronoq.testing.contracts.stepping import after
from chronoq.testing.contracts.values import (
    FAILED,
    HOUR,
    LAST,
    MAIL,
    MS,
    NOW,
    TICK,
    S,
    cursor,
    firing,
    job,
    run,
    schedule,
    state,
    take,
)

FAR = NOW + 12 * HOUR


def due(backend: Backend) -> Due:
    """The schedule as the scheduler sees it."""
    (found,) = backend.store.due([MAIL], now=FAR, limit=5)[0]
    return found


def fired(backend: Backend, many: int = 1, *, held: bool = False) -> list[Claim]:
    """A schedule whose runs are all running."""
    made = [run(nominal=NOW - n * S) for n in range(many)]
    assert backend.store.fire([firing(keep(backend.store), *made, held=held)], fence=1, now=NOW) == [
        Fired.YES
    ]
    return list(take(backend.queue, many))


class Overlapping(Chapter):
    def test_a_run_lives_until_it_ends_or_dies(self, backend: Backend) -> None:
        """S10"""
        delayed = run(nominal=NOW - S, due=NOW + HOUR)
        backend.store.fire([firing(keep(backend.store), run(), delayed)], fence=1, now=NOW)
        other = keep(backend.store, schedule("other"))
        backend.store.fire([firing(other, run("other", NOW + S))], fence=1, now=NOW)
        assert sorted(backend.store.live(TICK)) == sorted([run().id, delayed.id])
        (claim,) = take(backend.queue)
        assert len(backend.store.live(TICK)) == 2
        backend.queue.settle([(claim, Retry(NOW + S, FAILED))], now=NOW)
        assert len(backend.store.live(TICK)) == 2
        (claim,) = take(backend.queue, now=NOW + S)
        backend.queue.settle([(claim, Done())], now=NOW + S)
        left = {run().id, delayed.id, run("other", NOW + S).id} - {claim.id}
        assert {*backend.store.live(TICK), *backend.store.live(other.id)} == left

    @pytest.mark.parametrize("more", [[], [job("other")]], ids=["alone", "among others"])
    @pytest.mark.parametrize("later", [NOW, NOW + HOUR], ids=["ready", "delayed"])
    def test_a_run_counts_however_it_was_stored(
        self, backend: Backend, later: datetime, more: list[Job]
    ) -> None:
        keep(backend.store)
        backend.queue.submit([run(due=later), *more], now=NOW)
        assert (due(backend).live, backend.store.live(TICK)) == (1, [run().id])
        backend.queue.cancel([run().id], now=NOW)
        assert (due(backend).live, backend.store.live(TICK)) == (0, [])

    @pytest.mark.parametrize("where", list(LAST))
    def test_a_run_that_is_over_does_not_count(self, backend: Backend, where: State) -> None:
        one, two = fired(backend, 2)
        assert due(backend).live == 2
        backend.queue.settle([(one, LAST[where])], now=NOW)
        assert (due(backend).live, backend.store.live(TICK)) == (1, [two.id])

    def test_a_run_cancelled_while_it_waits_does_not_count(self, backend: Backend) -> None:
        late = run(nominal=NOW - S, due=NOW + HOUR)
        backend.store.fire([firing(keep(backend.store), run(), late)], fence=1, now=NOW)
        backend.queue.cancel([run().id], now=NOW)
        assert backend.store.live(TICK) == [late.id]
        backend.queue.cancel([late.id], now=NOW)
        assert (due(backend).live, backend.store.live(TICK)) == (0, [])

    @pytest.mark.parametrize(
        "verdict", [Retry(NOW, FAILED), Retry(NOW + S, FAILED, crash=True), Snooze(NOW + S)]
    )
    def test_a_run_that_will_run_again_still_lives(self, backend: Backend, verdict: Verdict) -> None:
        (claim,) = fired(backend)
        backend.queue.settle([(claim, verdict)], now=NOW)
        assert (due(backend).live, due(backend).failures) == (1, 0)

    def test_a_released_run_still_lives(self, backend: Backend) -> None:
        backend.queue.release(fired(backend), now=NOW)
        assert due(backend).live == 1

    def test_a_revived_run_lives_again(self, backend: Backend) -> None:
        (claim,) = fired(backend)
        backend.queue.settle([(claim, Dead(FAILED))], now=NOW)
        backend.queue.revive([claim.id], now=NOW)
        assert backend.store.live(TICK) == [claim.id]
        (again,) = take(backend.queue)
        backend.queue.settle([(again, Done())], now=NOW)
        assert backend.store.live(TICK) == []

    def test_failures_in_a_row_are_counted(self, backend: Backend) -> None:
        claims = fired(backend, 5)
        for n, verdict in enumerate([Dead(FAILED), Dead(FAILED, crash=True), LAST[State.CANCELLED]]):
            backend.queue.settle([(claims[n], verdict)], now=NOW)
        assert due(backend).failures == 2
        backend.queue.settle([(claims[3], Done())], now=NOW)
        assert due(backend).failures == 0
        backend.queue.settle([(claims[4], Dead(FAILED))], now=NOW)
        assert due(backend).failures == 1

    def test_a_step_can_forget_failures(self, backend: Backend) -> None:
        """So that a schedule that was set aside for them gets as many again."""
        for claim in fired(backend, 2):
            backend.queue.settle([(claim, Dead(FAILED))], now=NOW)
        found = due(backend)
        assert found.failures == 2
        step = firing(found.stored)
        assert backend.store.fire([step], fence=1, now=NOW) == [Fired.YES]
        assert due(backend).failures == 2
        step = evolve(firing(due(backend).stored), forgive=True)
        assert backend.store.fire([step], fence=1, now=NOW) == [Fired.YES]
        assert due(backend).failures == 0

    def test_a_step_can_forgive_the_failures_so_far(self, backend: Backend) -> None:
        claims = fired(backend, 3)
        other = keep(backend.store, schedule("other"), at=cursor(FAR))
        backend.store.fire([firing(other, run("other"))], fence=1, now=NOW)
        backend.queue.settle(
            [(claim, Dead(FAILED)) for claim in (*claims[:2], *take(backend.queue))], now=NOW
        )
        (kept, others) = backend.store.get([TICK, other.id])
        assert kept is not None
        assert others is not None
        step = firing(kept)
        moved = evolve(step, expected=evolve(step.expected, version=9), forgive=True)
        assert backend.store.fire([moved], fence=1, now=NOW) == [Fired.MOVED]
        assert backend.store.fire([evolve(step, forgive=True)], fence=0, now=NOW) == [Fired.STALE]
        assert backend.store.fire([step], fence=1, now=NOW) == [Fired.YES]
        assert due(backend).failures == 2
        again = firing(after(step))
        assert backend.store.fire([evolve(again, forgive=True)], fence=1, now=NOW) == [Fired.YES]
        assert due(backend).failures == 0
        backend.queue.settle([(claims[2], Dead(FAILED))], now=NOW)
        assert due(backend).failures == 1
        backend.store.put(schedule("other"), cursor=cursor(version=2), expected=others.cursor, now=NOW)
        (theirs,) = backend.store.due([MAIL], now=NOW, limit=5)[0]
        assert (theirs.stored.id, theirs.failures) == (other.id, 1)

    def test_a_stale_verdict_counts_for_nothing(self, backend: Backend) -> None:
        """Q5"""
        (claim,) = fired(backend)
        backend.queue.settle([(evolve(claim, token=9), Dead(FAILED))], now=NOW)
        assert (due(backend).live, due(backend).failures) == (1, 0)

    def test_each_schedule_has_its_own_runs_and_failures(self, backend: Backend) -> None:
        other = keep(backend.store, schedule("other"))
        backend.store.fire([firing(other, run("other"))], fence=1, now=NOW)
        (theirs,) = take(backend.queue)
        fired(backend)
        backend.queue.settle([(theirs, Dead(FAILED))], now=NOW)
        found = {due.stored.id.key: due for due in backend.store.due([MAIL], now=FAR, limit=5)[0]}
        assert (found["other"].failures, found["other"].live) == (1, 0)
        assert (found["tick"].failures, found["tick"].live) == (0, 1)

    def test_a_job_of_nobody_counts_for_no_schedule(self, backend: Backend) -> None:
        fired(backend)
        backend.queue.submit([job()], now=NOW)
        (claim,) = take(backend.queue)
        backend.queue.settle([(claim, Dead(FAILED))], now=NOW)
        assert (due(backend).live, due(backend).failures) == (1, 0)

    @pytest.mark.parametrize("where", list(LAST))
    def test_a_held_schedule_is_due_when_its_last_run_is_over(self, backend: Backend, where: State) -> None:
        """S10"""
        one, two = fired(backend, 2, held=True)
        assert backend.store.due([MAIL], now=FAR, limit=5) == ([], [None])
        backend.queue.settle([(one, LAST[where])], now=NOW + S)
        assert backend.store.due([MAIL], now=FAR, limit=5) == ([], [None])
        backend.queue.settle([(two, LAST[where])], now=NOW + 2 * S)
        found, nexts = backend.store.due([MAIL], now=NOW + 2 * S, limit=5)
        assert [(due.stored.id, due.live) for due in found] == [(TICK, 0)]
        assert nexts == [None]

    @pytest.mark.parametrize("later", [NOW, NOW + HOUR], ids=["ready", "delayed"])
    def test_a_held_schedule_is_due_when_its_last_run_is_cancelled(
        self, backend: Backend, later: object
    ) -> None:
        """S10"""
        made = run(due=later)  # type: ignore[arg-type]  # pytest hands over objects
        backend.store.fire([firing(keep(backend.store), made, held=True)], fence=1, now=NOW)
        assert backend.store.due([MAIL], now=FAR, limit=5) == ([], [None])
        assert backend.queue.cancel([made.id], now=NOW + S) == [Cancel.CANCELLED]
        assert len(backend.store.due([MAIL], now=NOW + S, limit=5)[0]) == 1

    @pytest.mark.parametrize("verb", ["retry", "release"])
    def test_a_held_schedule_is_due_when_its_last_run_was_asked_to_stop_and_came_back(
        self, backend: Backend, verb: str
    ) -> None:
        """Q8, S10"""
        (claim,) = fired(backend, held=True)
        backend.queue.cancel([claim.id], now=NOW)
        if verb == "release":
            backend.queue.release([claim], now=NOW)
        else:
            backend.queue.settle([(claim, Retry(NOW, FAILED))], now=NOW)
        assert len(backend.store.due([MAIL], now=NOW, limit=5)[0]) == 1

    def test_a_held_schedule_stays_so_while_one_of_its_runs_is_left(self, backend: Backend) -> None:
        """S10"""
        made = [run(), run(nominal=NOW - S, due=NOW + HOUR)]
        backend.store.fire([firing(keep(backend.store), *made, held=True)], fence=1, now=NOW)
        backend.queue.cancel([made[0].id], now=NOW)
        assert backend.store.due([MAIL], now=FAR, limit=5) == ([], [None])
        backend.queue.cancel([made[1].id], now=NOW)
        assert len(backend.store.due([MAIL], now=NOW, limit=5)[0]) == 1

    def test_a_schedule_that_is_not_held_keeps_its_moment_when_a_run_is_cancelled(
        self, backend: Backend
    ) -> None:
        backend.store.fire([firing(keep(backend.store), run())], fence=1, now=NOW)
        backend.queue.cancel([run().id], now=NOW)
        assert backend.store.due([MAIL], now=NOW, limit=5) == ([], [NOW + 60 * S])

    def test_a_backfill_runs_beside_its_schedule(self, backend: Backend) -> None:
        """S10: its jobs, with a plus in their keys, count neither as runs nor as failures"""
        extra = evolve(run(), id=JobId(MAIL, f"{run().id.key}+b1"))
        backend.store.fire([firing(keep(backend.store), extra)], fence=None, now=NOW)
        assert (due(backend).live, backend.store.live(TICK)) == (0, [])
        (claim,) = take(backend.queue)
        assert claim.job == extra
        backend.queue.settle([(claim, Dead(FAILED))], now=NOW)
        assert due(backend).failures == 0
        backend.queue.revive([claim.id], now=NOW)
        assert backend.store.live(TICK) == []

    def test_a_held_schedule_stays_so_while_its_run_is_retried(self, backend: Backend) -> None:
        (claim,) = fired(backend, held=True)
        backend.queue.settle([(claim, Retry(NOW, FAILED))], now=NOW)
        assert backend.store.due([MAIL], now=FAR, limit=5) == ([], [None])

    def test_a_schedule_that_is_not_held_keeps_its_moment_when_a_run_ends(self, backend: Backend) -> None:
        (claim,) = fired(backend)
        backend.queue.settle([(claim, Done())], now=NOW)
        assert backend.store.due([MAIL], now=NOW, limit=5) == ([], [NOW + 60 * S])

    def test_a_paused_schedule_is_not_due_when_its_run_ends(self, backend: Backend) -> None:
        (claim,) = fired(backend)
        (kept,) = backend.store.get([TICK])
        assert kept is not None
        paused = evolve(kept.cursor, pause=Pause())
        backend.store.put(schedule(), cursor=paused, expected=kept.cursor, now=NOW)
        backend.queue.settle([(claim, Done())], now=NOW)
        assert backend.store.due([MAIL], now=FAR, limit=5) == ([], [None])

    def test_the_end_of_another_schedules_run_frees_nothing(self, backend: Backend) -> None:
        fired(backend, held=True)
        other = keep(backend.store, schedule("other"), at=cursor(NOW - S))
        backend.store.fire([firing(other, run("other"))], fence=1, now=NOW)
        (claim,) = take(backend.queue)
        backend.queue.settle([(claim, Done())], now=NOW)
        assert backend.store.due([MAIL], now=NOW, limit=5) == ([], [NOW + 59 * S])

    def test_a_schedule_that_is_held_by_nothing_is_due_at_once(self, backend: Backend) -> None:
        """S4: its run ended while we decided"""
        kept = keep(backend.store)
        assert backend.store.fire([firing(kept, held=True)], fence=1, now=NOW) == [Fired.YES]
        assert len(backend.store.due([MAIL], now=NOW, limit=5)[0]) == 1

    def test_a_schedule_that_is_saved_as_held_waits_for_its_run(self, backend: Backend) -> None:
        (claim,) = fired(backend)
        (kept,) = backend.store.get([TICK])
        assert kept is not None
        held = evolve(kept.cursor, held=True)
        assert backend.store.put(schedule(), cursor=held, expected=kept.cursor, now=NOW) is True
        assert backend.store.due([MAIL], now=FAR, limit=5) == ([], [None])
        backend.queue.settle([(claim, Done())], now=NOW)
        assert len(backend.store.due([MAIL], now=NOW, limit=5)[0]) == 1

    def test_a_freed_schedule_stays_due_until_it_takes_its_step(self, backend: Backend) -> None:
        (claim,) = fired(backend, held=True)
        backend.queue.settle([(claim, Done())], now=NOW)
        found = due(backend)
        assert backend.store.due([MAIL], now=FAR, limit=5)[0] == [found]
        step = firing(found.stored, run(nominal=NOW + 60 * S))
        assert backend.store.fire([step], fence=1, now=NOW) == [Fired.YES]
        assert backend.store.due([MAIL], now=NOW, limit=5) == ([], [NOW + 120 * S])

    def test_a_freed_schedule_can_be_held_again(self, backend: Backend) -> None:
        (claim,) = fired(backend, held=True)
        backend.queue.settle([(claim, Done())], now=NOW)
        step = firing(due(backend).stored, run(nominal=NOW - HOUR), held=True)
        assert backend.store.fire([step], fence=1, now=NOW) == [Fired.YES]
        assert backend.store.due([MAIL], now=FAR, limit=5) == ([], [None])

    def test_the_end_of_a_run_after_its_schedule_was_dropped_is_no_trouble(self, backend: Backend) -> None:
        (claim,) = fired(backend, held=True)
        backend.store.drop([TICK])
        assert backend.queue.settle([(claim, Done())], now=NOW) == [True]
        assert backend.store.due([MAIL], now=FAR, limit=5) == ([], [None])
        keep(backend.store)
        assert due(backend).live == 0

    def test_a_step_can_ask_the_live_runs_to_stop(self, backend: Backend) -> None:
        """S10"""
        claims = fired(backend, 2)
        (kept,) = backend.store.get([TICK])
        other = keep(backend.store, schedule("other"))
        backend.store.fire([firing(other, run("other"))], fence=1, now=NOW)
        (theirs,) = take(backend.queue)
        assert kept is not None
        assert backend.store.fire([firing(kept, held=True, stop=True)], fence=1, now=NOW) == [Fired.YES]
        holds = backend.queue.extend([*claims, theirs], lease=HOUR, now=NOW)
        assert holds == [Hold.STOP, Hold.STOP, Hold.KEPT]
        assert backend.store.due([MAIL], now=FAR, limit=5)[0] != []
        backend.queue.settle([(claim, Retry(NOW, FAILED)) for claim in claims], now=NOW)
        assert [state(backend.queue, claim.id.key) for claim in claims] == [State.CANCELLED] * 2
        assert TICK in [due.stored.id for due in backend.store.due([MAIL], now=NOW, limit=5)[0]]

    def test_a_refused_step_stops_nothing(self, backend: Backend) -> None:
        """S8"""
        claims = fired(backend)
        (kept,) = backend.store.get([TICK])
        assert kept is not None
        step = firing(kept, held=True, stop=True)
        moved = evolve(step, expected=evolve(step.expected, version=9))
        assert backend.store.fire([moved], fence=1, now=NOW) == [Fired.MOVED]
        assert backend.store.fire([step], fence=0, now=NOW) == [Fired.STALE]
        assert backend.queue.extend(claims, lease=HOUR, now=NOW) == [Hold.KEPT]

    @pytest.mark.parametrize("held", [True, False])
    def test_a_step_that_asks_nobody_to_stop_stops_nobody(self, backend: Backend, held: bool) -> None:
        claims = fired(backend)
        (kept,) = backend.store.get([TICK])
        assert kept is not None
        assert backend.store.fire([firing(kept, held=held)], fence=1, now=NOW) == [Fired.YES]
        assert backend.queue.extend(claims, lease=HOUR, now=NOW) == [Hold.KEPT]

    def test_a_step_that_stops_runs_leaves_waiting_ones_alone(self, backend: Backend) -> None:
        """S10: who has not started has nothing to stop"""
        waiting = [run(), run(nominal=NOW - S, due=NOW + HOUR)]
        step = firing(keep(backend.store), *waiting)
        backend.store.fire([step], fence=1, now=NOW)
        assert backend.store.fire([firing(after(step), held=True, stop=True)], fence=1, now=NOW) == [
            Fired.YES
        ]
        assert backend.store.due([MAIL], now=FAR, limit=5) == ([], [None])
        claims = take(backend.queue, 5, now=NOW + HOUR)
        assert {claim.id for claim in claims} == {one.id for one in waiting}
        assert backend.queue.extend(claims, lease=HOUR, now=NOW + HOUR) == [Hold.KEPT, Hold.KEPT]

    def test_a_step_does_not_stop_the_runs_that_it_makes(self, backend: Backend) -> None:
        step = firing(keep(backend.store), run(), held=True, stop=True)
        backend.store.fire([step], fence=1, now=NOW)
        assert backend.queue.extend(take(backend.queue), lease=HOUR, now=NOW) == [Hold.KEPT]

    def test_runs_of_unknown_schedules_are_none(self, backend: Backend) -> None:
        assert backend.store.live(ScheduleId(MAIL, "ghost")) == []
        fired(backend)
        nowhere: list[JobId] = backend.store.live(ScheduleId("nowhere", "tick"))
        assert nowhere == []
        assert backend.store.due([MAIL], now=NOW - MS, limit=5)[0] == []
