"""Taking over: jobs of another store keep their place and their history."""

import pytest
from attrs import evolve

from chronoq.domain.job import Job, Options, Priority, Snapshot, State
from chronoq.domain.ports import Backend, QueuePort, Submitted
from chronoq.domain.verdict import Dead, Done, Retry, Snooze, Verdict
from chronoq.testing.contracts.chapter import Chapter
from chronoq.testing.contracts.values import (
    FAILED,
    HOUR,
    MAIL,
    NOW,
    PATIENCE,
    TICK,
    Background,
    S,
    add,
    bring,
    cursor,
    jid,
    job,
    keys,
    listed,
    run,
    schedule,
    seen,
    take,
    taken,
)


def elsewhere(one: Snapshot, key: str, *, queue: str = MAIL) -> Snapshot:
    """The same job as another store may have it."""
    return evolve(one, job=evolve(one.job, id=jid(key, queue)))


def fresh(new: Job, state: State = State.READY) -> Snapshot:
    return Snapshot(new, state, until=None if state is State.READY else new.due)


class Adopting(Chapter):
    @pytest.mark.parametrize("where", [State.DELAYED, State.READY, State.DEAD])
    def test_a_job_is_taken_over_with_its_place_and_its_history(self, queue: QueuePort, where: State) -> None:
        claim = taken(queue)
        verdicts: dict[State, Verdict] = {
            State.DELAYED: Retry(NOW + HOUR, FAILED),
            State.READY: Snooze(NOW, "not yet"),
            State.DEAD: Dead(FAILED),
        }
        queue.settle([(claim, verdicts[where])], now=NOW)
        there = elsewhere(seen(queue), "copy")
        assert queue.adopt([there], now=NOW) == [Submitted.ACCEPTED]
        assert seen(queue, "copy") == there
        assert listed(queue, where) in (["a", "copy"], ["copy", "a"])

    def test_tokens_and_attempts_go_on_where_they_were(self, queue: QueuePort) -> None:
        """L4"""
        there = evolve(fresh(job()), token=7, attempt=3, crashes=2, worker="w9")
        assert queue.adopt([there], now=NOW) == [Submitted.ACCEPTED]
        (claim,) = take(queue)
        assert (claim.token, claim.attempt, claim.crashes) == (8, 4, 2)

    def test_a_job_that_never_ran_has_no_history_here_either(self, queue: QueuePort) -> None:
        assert queue.adopt([fresh(job())], now=NOW) == [Submitted.ACCEPTED]
        assert seen(queue) == fresh(job())
        (claim,) = take(queue)
        assert (claim.token, claim.attempt, claim.crashes) == (1, 1, 0)

    @pytest.mark.parametrize("where", [State.DELAYED, State.READY, State.RUNNING, State.DEAD, State.DONE])
    def test_taking_over_twice_is_once(self, queue: QueuePort, where: State) -> None:
        """Q4"""
        bring(queue, where)
        before = seen(queue)
        same, other = fresh(job()), fresh(job(task="other"))
        answers = [Submitted.DUPLICATE, Submitted.CONFLICT, Submitted.DUPLICATE]
        assert queue.adopt([same, other, same], now=NOW) == answers
        assert seen(queue) == before
        assert queue.counts([MAIL], now=NOW)[0].accepted == 1

    def test_an_id_is_free_again_when_it_is_forgotten(self, queue: QueuePort) -> None:
        bring(queue, State.DONE)
        last = NOW + HOUR
        assert queue.adopt([fresh(job())], now=last - S) == [Submitted.DUPLICATE]
        assert queue.adopt([fresh(job(task="other"))], now=last) == [Submitted.ACCEPTED]

    def test_of_two_of_one_id_the_first_is_taken(self, queue: QueuePort) -> None:
        asked = [fresh(job()), fresh(job()), fresh(job(task="other")), fresh(job("b"))]
        told = [Submitted.ACCEPTED, Submitted.DUPLICATE, Submitted.CONFLICT, Submitted.ACCEPTED]
        assert queue.adopt(asked, now=NOW) == told
        assert queue.adopt([], now=NOW) == []
        assert listed(queue, State.READY) == ["a", "b"]

    def test_ready_jobs_come_last_in_their_order(self, queue: QueuePort) -> None:
        """Q11"""
        add(queue, "first")
        low = job("low", options=Options(Priority.LOW))
        high = job("high", options=Options(Priority.HIGH))
        queue.adopt([fresh(low), fresh(job("b")), fresh(job("a")), fresh(high)], now=NOW)
        assert keys(take(queue, 9)) == ["high", "first", "b", "a", "low"]

    def test_delayed_jobs_come_when_they_are_due(self, queue: QueuePort) -> None:
        """Q9: and what has come due on the way is ready"""
        later = [job(key, due=NOW + n * S) for n, key in enumerate("abc")]
        queue.adopt([fresh(one, State.DELAYED) for one in later], now=NOW + S)
        assert (listed(queue, State.READY), listed(queue, State.DELAYED)) == (["a", "b"], ["c"])
        assert keys(take(queue, 9, now=NOW + 2 * S)) == ["a", "b", "c"]

    def test_queues_are_told_apart_and_known(self, queue: QueuePort) -> None:
        asked = [fresh(job("a", queue="one")), fresh(job("a", queue="two")), fresh(job("a", queue="one"))]
        told = [Submitted.ACCEPTED, Submitted.ACCEPTED, Submitted.DUPLICATE]
        assert queue.adopt(asked, now=NOW) == told
        assert queue.queues() == ["one", "two"]
        assert [one.accepted for one in queue.counts(["one", "two"], now=NOW)] == [1, 1]

    def test_a_run_is_one_of_its_schedule_unless_it_is_dead(self, backend: Backend) -> None:
        """S10"""
        queue, store = backend.queue, backend.store
        store.put(schedule(), cursor=cursor(), expected=None, now=NOW)
        made = [run(nominal=NOW + n * S) for n in range(3)]
        states = (State.READY, State.DELAYED, State.DEAD)
        queue.adopt([fresh(one, state) for one, state in zip(made, states, strict=True)], now=NOW)
        assert store.live(TICK) == [made[0].id, made[1].id]
        queue.revive([made[2].id], now=NOW)
        assert store.live(TICK) == [one.id for one in made]

    def test_a_dead_letter_that_was_taken_over_can_be_revived_and_purged(self, queue: QueuePort) -> None:
        bring(queue, State.DEAD)
        there = seen(queue)
        queue.adopt([elsewhere(there, "b"), elsewhere(there, "c")], now=NOW)
        assert [one and one.failure for one in queue.endings([jid("b")], now=NOW)] == [FAILED]
        assert queue.purge([jid("c")], now=NOW) == [True]
        assert queue.revive([jid("b")], now=NOW) == [True]
        (claim,) = take(queue)
        assert (claim.id, claim.token, claim.attempt) == (jid("b"), 2, 1)
        assert queue.settle([(claim, Done())], now=NOW) == [True]

    def test_a_thousand_are_taken_over_at_once(self, queue: QueuePort) -> None:
        names = [f"j{n:03}" for n in range(1_000)]
        told = queue.adopt([fresh(job(name)) for name in names], now=NOW)
        assert told == [Submitted.ACCEPTED] * 1_000
        assert listed(queue, State.READY) == names

    def test_who_waits_is_woken(self, queue: QueuePort) -> None:
        add(queue, "a")
        take(queue, 5)
        take(queue)
        waiter = Background(lambda: queue.wait_ready([MAIL], timeout=PATIENCE))
        queue.adopt([fresh(job("b"))], now=NOW)
        waiter.answer()
        for _ in range(20):
            if not queue.wait_due([MAIL], timeout=S / 30):
                break
        due = Background(lambda: queue.wait_due([MAIL], timeout=PATIENCE))
        queue.adopt([fresh(job("c", due=NOW + HOUR), State.DELAYED)], now=NOW)
        assert due.answer() == [MAIL]
