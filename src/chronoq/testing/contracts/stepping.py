"""Firing: a step of a schedule is taken once, by whoever saw its cursor, and makes each job once."""

import pytest
from attrs import evolve

from chronoq.domain.identity import ScheduleId
from chronoq.domain.job import Options, Priority, State
from chronoq.domain.ports import LEDGER, Backend, Fired, StorePort, Submitted
from chronoq.domain.schedule import Cursor, Firing, Happened, Outcome, Stored
from chronoq.domain.stream import Stream
from chronoq.domain.verdict import Done
from chronoq.testing.contracts.chapter import Chapter
from chronoq.testing.contracts.keeping import EVERY_FIELD, FULL, keep
from chronoq.testing.contracts.values import (
    HOUR,
    MAIL,
    MS,
    NOW,
    TICK,
    S,
    bring,
    firing,
    keys,
    listed,
    outcome,
    run,
    schedule,
    state,
    take,
    together,
)

YES, MOVED, STALE = Fired


def after(step: Firing) -> Stored:
    """The schedule once the step is taken."""
    return Stored(step.id, step.cursor, schedule(step.id.key, queue=step.id.queue))


class Stepping(Chapter):
    def test_a_step_moves_the_cursor_makes_the_job_and_keeps_the_outcome(self, backend: Backend) -> None:
        """S1, S3"""
        step = firing(keep(backend.store), run())
        assert backend.store.fire([step], fence=1, now=NOW) == [YES]
        assert backend.store.get([TICK]) == [after(step)]
        assert backend.store.ledger(TICK) == [outcome()]
        assert backend.store.live(TICK) == [run().id]
        assert backend.store.due([MAIL], now=NOW, limit=5) == ([], [NOW + 60 * S])
        (counts,) = backend.queue.counts([MAIL], now=NOW)
        assert (counts.accepted, counts.ready) == (1, 1)
        (claim,) = take(backend.queue)
        assert claim.job == run()

    def test_a_step_may_make_no_job_or_several(self, backend: Backend) -> None:
        kept = keep(backend.store)
        step = firing(kept)
        assert backend.store.fire([step], fence=1, now=NOW) == [YES]
        made = [run(nominal=NOW + n * S) for n in range(3)]
        assert backend.store.fire([firing(after(step), *made)], fence=1, now=NOW + HOUR) == [YES]
        assert keys(take(backend.queue, 9, now=NOW + HOUR)) == [job.id.key for job in made]

    def test_a_schedule_whose_last_time_has_come_is_not_due_again(self, backend: Backend) -> None:
        step = firing(keep(backend.store), run())
        last = evolve(step, cursor=evolve(step.cursor, next=None))
        assert backend.store.fire([last], fence=1, now=NOW) == [YES]
        assert backend.store.due([MAIL], now=NOW + HOUR, limit=5) == ([], [None])
        assert backend.store.get([TICK]) == [after(last)]

    def test_a_run_for_later_is_delayed(self, backend: Backend) -> None:
        """Q7: jitter and spread"""
        late = run(due=NOW + 7 * MS)
        backend.store.fire([firing(keep(backend.store), late)], fence=1, now=NOW)
        assert listed(backend.queue, State.DELAYED) == [late.id.key]
        assert backend.store.live(TICK) == [late.id]
        assert take(backend.queue, now=NOW + 6 * MS) == ()
        assert keys(take(backend.queue, now=NOW + 7 * MS)) == [late.id.key]

    def test_runs_stand_in_line_like_any_other_job(self, backend: Backend) -> None:
        """Q11"""
        bring(backend.queue, State.READY)
        urgent = evolve(run(nominal=NOW - S), options=Options(Priority.HIGH))
        backend.store.fire([firing(keep(backend.store), run(), urgent)], fence=1, now=NOW)
        assert keys(take(backend.queue, 9)) == [urgent.id.key, "a", run().id.key]

    @EVERY_FIELD
    def test_a_step_from_another_cursor_is_refused(self, backend: Backend, other: Cursor) -> None:
        """S1, S4, S8"""
        kept = keep(backend.store, at=FULL)
        step = Firing(TICK, other, evolve(FULL, next=NOW + S), (run(),), (outcome(),), stop=True)
        assert backend.store.fire([step], fence=1, now=NOW) == [MOVED]
        assert backend.store.get([TICK]) == [kept]
        assert (backend.store.ledger(TICK), backend.store.live(TICK)) == ([], [])
        assert backend.queue.counts([MAIL], now=NOW)[0].accepted == 0
        assert names_due(backend.store) == ["tick"]

    def test_a_step_of_what_is_not_there_is_refused(self, backend: Backend) -> None:
        """S8: of a dropped schedule too"""
        kept = keep(backend.store)
        backend.store.drop([TICK])
        assert backend.store.fire([firing(kept, run())], fence=1, now=NOW) == [MOVED]
        assert backend.store.get([TICK]) == [None]
        assert backend.queue.counts([MAIL], now=NOW)[0].accepted == 0

    def test_the_same_step_is_taken_once(self, backend: Backend) -> None:
        """S1"""
        step = firing(keep(backend.store), run())
        assert backend.store.fire([step, step], fence=1, now=NOW) == [YES, MOVED]
        assert backend.store.fire([step], fence=2, now=NOW) == [MOVED]
        assert backend.store.ledger(TICK) == [outcome()]
        assert backend.queue.counts([MAIL], now=NOW)[0].accepted == 1

    def test_steps_may_still_be_decided_while_they_are_taken(self, backend: Backend) -> None:
        plans = [keep(backend.store, schedule(f"s{n}")) for n in range(3)]
        steps = Stream(firing(kept, run(kept.id.key)) for kept in plans)
        assert backend.store.fire(steps, fence=1, now=NOW) == [YES] * 3
        assert backend.store.fire(steps, fence=1, now=NOW) == [MOVED] * 3
        assert backend.store.fire(Stream([]), fence=1, now=NOW) == []

    def test_of_many_schedulers_one_takes_the_step(self, backend: Backend) -> None:
        """S2"""
        plans = [keep(backend.store, schedule(f"s{n}")) for n in range(10)]
        steps = [firing(kept, run(kept.id.key)) for kept in plans]
        answers = together([lambda: backend.store.fire(steps, fence=None, now=NOW)] * 8)
        for told in zip(*answers, strict=True):
            assert sorted(told) == [MOVED] * 7 + [YES]
        assert sorted(listed(backend.queue, State.READY)) == sorted(run(f"s{n}").id.key for n in range(10))

    def test_an_older_leader_is_refused(self, backend: Backend) -> None:
        """S2"""
        kept = keep(backend.store)
        other = keep(backend.store, schedule("other"))
        assert backend.store.fire([firing(other)], fence=5, now=NOW) == [YES]
        assert backend.store.fire([firing(kept, run())], fence=4, now=NOW) == [STALE]
        assert backend.store.get([TICK]) == [kept]
        assert (backend.store.ledger(TICK), backend.store.live(TICK)) == ([], [])
        assert backend.queue.counts([MAIL], now=NOW)[0].accepted == 0
        assert names_due(backend.store) == ["tick"]
        assert backend.store.fire([firing(kept, run())], fence=5, now=NOW) == [YES]

    def test_leaders_are_compared_as_numbers(self, store: StorePort) -> None:
        first = firing(keep(store))
        second = firing(after(first))
        assert store.fire([first], fence=9, now=NOW) == [YES]
        assert store.fire([second], fence=10, now=NOW) == [YES]
        assert store.fire([firing(after(second))], fence=9, now=NOW) == [STALE]

    def test_a_leader_is_not_forgotten_with_its_schedules(self, store: StorePort) -> None:
        """S2"""
        store.fire([firing(keep(store))], fence=5, now=NOW)
        store.drop([TICK])
        assert store.fire([firing(keep(store))], fence=4, now=NOW) == [STALE]

    def test_the_leaders_of_different_queues_are_compared_apart(self, store: StorePort) -> None:
        mine, other = keep(store), keep(store, schedule("tick", queue="other"))
        assert store.fire([firing(mine)], fence=5, now=NOW) == [YES]
        assert store.fire([firing(other)], fence=1, now=NOW) == [YES]

    def test_a_persons_own_step_needs_no_leadership(self, store: StorePort) -> None:
        first = firing(keep(store))
        second = firing(after(first))
        third = firing(after(second))
        assert store.fire([first], fence=5, now=NOW) == [YES]
        assert store.fire([second], fence=None, now=NOW) == [YES]
        assert store.fire([third], fence=4, now=NOW) == [STALE]
        assert store.fire([third], fence=5, now=NOW) == [YES]

    def test_a_persons_own_step_makes_no_leader(self, store: StorePort) -> None:
        first = firing(keep(store))
        assert store.fire([first], fence=None, now=NOW) == [YES]
        assert store.fire([firing(after(first))], fence=1, now=NOW) == [YES]

    @pytest.mark.parametrize("where", State)
    def test_a_run_that_is_there_already_is_not_made_again(self, backend: Backend, where: State) -> None:
        """S1: live or remembered"""
        bring(backend.queue, where, run())
        before = backend.queue.counts([MAIL], now=NOW)
        step = firing(keep(backend.store), run())
        assert backend.store.fire([step], fence=1, now=NOW) == [YES]
        assert backend.store.get([TICK]) == [after(step)]
        assert backend.queue.counts([MAIL], now=NOW) == before
        assert state(backend.queue, run().id.key) is where

    def test_a_run_that_was_cancelled_and_forgotten_does_not_come_back_by_itself(
        self, backend: Backend
    ) -> None:
        bring(backend.queue, State.READY, run())
        backend.queue.cancel([run().id], now=NOW)
        assert take(backend.queue, 5) == ()
        step = firing(keep(backend.store), run())
        assert backend.store.fire([step], fence=1, now=NOW + HOUR - MS) == [YES]
        assert take(backend.queue, 5, now=NOW + HOUR) == ()

    def test_a_run_that_was_forgotten_is_made_anew(self, backend: Backend) -> None:
        """S1: that no nominal time comes twice is the cursor's affair, for longer than endings are kept"""
        bring(backend.queue, State.DONE, run())
        step = firing(keep(backend.store), run())
        backend.store.fire([step], fence=1, now=NOW + HOUR - MS)
        assert take(backend.queue, now=NOW + HOUR) == ()
        backend.store.fire([firing(after(step), run())], fence=1, now=NOW + HOUR)
        assert keys(take(backend.queue, now=NOW + HOUR)) == [run().id.key]

    def test_a_run_that_was_cancelled_while_ready_and_forgotten_is_not_mixed_up(
        self, backend: Backend
    ) -> None:
        """Q1: before anyone claims, its key may be taken still; it is granted once at the most"""
        bring(backend.queue, State.READY, run())
        backend.queue.cancel([run().id], now=NOW)
        late = NOW + 2 * HOUR
        assert backend.store.fire([firing(keep(backend.store), run())], fence=1, now=late) == [YES]
        (counts,) = backend.queue.counts([MAIL], now=late)
        assert counts.ready == counts.accepted - 1
        assert len(listed(backend.queue, State.READY, now=late)) == counts.ready
        assert len(take(backend.queue, 5, now=late)) == counts.ready

    def test_one_step_does_not_make_the_same_job_twice(self, backend: Backend) -> None:
        """S1"""
        backend.store.fire([firing(keep(backend.store), run(), run())], fence=1, now=NOW)
        assert backend.queue.counts([MAIL], now=NOW)[0].accepted == 1
        assert len(take(backend.queue, 5)) == 1

    def test_a_fired_job_is_known_by_its_id(self, backend: Backend) -> None:
        """Q4"""
        backend.store.fire([firing(keep(backend.store), run())], fence=1, now=NOW)
        again = [run(), evolve(run(), task="other")]
        assert backend.queue.submit(again, now=NOW) == [Submitted.DUPLICATE, Submitted.CONFLICT]
        (claim,) = take(backend.queue)
        backend.queue.settle([(claim, Done(b"1"))], now=NOW)
        assert backend.queue.submit(again, now=NOW) == [Submitted.DUPLICATE, Submitted.CONFLICT]

    def test_steps_are_answered_in_order(self, backend: Backend) -> None:
        store = backend.store
        plans = {(q, k): keep(store, schedule(k, queue=q)) for q in ("one", "two", "three") for k in "ab"}
        store.fire([firing(keep(store, schedule("lead", queue="three")))], fence=9, now=NOW)
        steps = [
            firing(plans["two", "a"], run("a", queue="two")),
            firing(plans["three", "a"], run("a", queue="three")),
            firing(plans["one", "b"], run("b", queue="one")),
            firing(plans["two", "a"], run("a", queue="two")),
            evolve(firing(plans["one", "a"]), id=ScheduleId("one", "ghost")),
            firing(plans["one", "a"], run("a", queue="one")),
        ]
        assert store.fire(steps, fence=1, now=NOW) == [YES, STALE, YES, MOVED, MOVED, YES]
        assert store.fire([], fence=1, now=NOW) == []
        assert listed(backend.queue, State.READY, name="one") == [run("b").id.key, run("a").id.key]
        assert listed(backend.queue, State.READY, name="three") == []

    def test_a_schedule_may_take_several_steps_at_once(self, store: StorePort) -> None:
        first = firing(keep(store), run())
        second = firing(after(first), run(nominal=NOW + 60 * S))
        wrong = firing(after(first), run(nominal=NOW + 90 * S))
        assert store.fire([first, second, wrong], fence=1, now=NOW) == [YES, YES, MOVED]
        assert store.ledger(TICK) == [outcome(NOW + 60 * S), outcome(NOW)]
        assert len(store.live(TICK)) == 2

    def test_hundreds_of_steps_are_taken_at_once(self, backend: Backend) -> None:
        plans = [keep(backend.store, schedule(f"s{n:03}")) for n in range(600)]
        steps = [firing(kept, run(kept.id.key)) for kept in plans]
        steps[300] = evolve(steps[300], expected=evolve(steps[300].expected, version=9))
        told = backend.store.fire(steps, fence=1, now=NOW)
        assert told == [MOVED if n == 300 else YES for n in range(600)]
        assert backend.store.fire(steps, fence=1, now=NOW) == [MOVED] * 600
        assert listed(backend.queue, State.READY) == [run(f"s{n:03}").id.key for n in range(600) if n != 300]

    def test_a_step_may_make_hundreds_of_jobs(self, backend: Backend) -> None:
        made = [run(nominal=NOW - n * S) for n in range(700)]
        assert backend.store.fire([firing(keep(backend.store), *made)], fence=1, now=NOW) == [YES]
        assert listed(backend.queue, State.READY) == [job.id.key for job in made]
        assert sorted(backend.store.live(TICK)) == sorted(job.id for job in made)

    def test_the_ledger_shows_the_latest_outcome_first(self, store: StorePort) -> None:
        """S3"""
        told = [
            Outcome(NOW - HOUR, Happened.MISSED, NOW, last=NOW - S, count=None, note="výpadek\n\U0001f50c"),
            Outcome(NOW - S, Happened.OVERLAP, NOW, last=NOW, count=3),
            outcome(NOW),
        ]
        step = evolve(firing(keep(store)), outcomes=tuple(told))
        store.fire([step], fence=1, now=NOW)
        store.fire([firing(after(step))], fence=1, now=NOW)
        want = [outcome(NOW + 60 * S), *reversed(told)]
        assert store.ledger(TICK) == want
        assert store.ledger(TICK, limit=2) == want[:2]
        assert store.ledger(TICK, limit=1) == want[:1]

    def test_a_ledger_keeps_the_latest_outcomes(self, store: StorePort) -> None:
        keep(store, schedule("other"))
        step = firing(keep(store))
        for n in range(3):
            told = tuple(outcome(NOW + (400 * n + m) * S) for m in range(400))
            step = evolve(step, outcomes=told)
            assert store.fire([step], fence=1, now=NOW) == [YES]
            step = firing(after(step))
        want = [outcome(NOW + n * S) for n in range(1199, 1199 - LEDGER, -1)]
        assert store.ledger(TICK, limit=2 * LEDGER) == want
        assert store.ledger(TICK) == want[:100]
        assert store.ledger(ScheduleId(MAIL, "other")) == []


def names_due(store: StorePort) -> list[str]:
    return [due.stored.id.key for due in store.due([MAIL], now=NOW, limit=5)[0]]
