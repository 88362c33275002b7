"""Cancelling, reviving and purging: what people do to jobs."""

from datetime import timedelta

import pytest
from attrs import evolve

from chronoq.domain.job import ENDED, LIVE, Ending, Options, Pause, Priority, State
from chronoq.domain.ports import Cancel, Hold, QueuePort, Submitted
from chronoq.domain.verdict import Cancelled, Dead, Done, Expired, Retry, Snooze, Verdict, after_lapse
from chronoq.testing.contracts.chapter import Chapter
from chronoq.testing.contracts.values import (
    FAILED,
    HOUR,
    LAST,
    LEASE,
    MAIL,
    NOW,
    S,
    add,
    bring,
    jid,
    jids,
    job,
    keys,
    listed,
    seen,
    send,
    state,
    take,
    taken,
)

CANCELLED, STOPPED, ASKED, GONE = Cancel


class Cancelling(Chapter):
    @pytest.mark.parametrize("where", [State.DELAYED, State.READY])
    def test_a_waiting_job_is_cancelled_for_good(self, queue: QueuePort, where: State) -> None:
        """Q8"""
        bring(queue, where)
        assert queue.cancel([jid()], now=NOW + S) == [CANCELLED]
        assert queue.endings([jid()], now=NOW + S) == [Ending(jid(), State.CANCELLED, NOW + S)]
        assert queue.counts([MAIL], now=NOW)[0].cancelled == 1
        assert listed(queue, where) == []
        assert take(queue, 5, now=NOW + 2 * HOUR) == ()
        assert queue.cancel([jid()], now=NOW) == [GONE]

    @pytest.mark.parametrize(
        "verdict",
        [Retry(NOW, FAILED), Retry(NOW + S, FAILED), Retry(NOW, FAILED, crash=True), Snooze(NOW + S)],
    )
    def test_a_cancelled_job_that_a_worker_had_before_is_told_apart(
        self, queue: QueuePort, verdict: Verdict
    ) -> None:
        """Q8: only CANCELLED says that it never began"""
        queue.settle([(taken(queue), verdict)], now=NOW)
        assert queue.cancel([jid()], now=NOW) == [STOPPED]
        assert queue.endings([jid()], now=NOW) == [Ending(jid(), State.CANCELLED, NOW)]
        assert take(queue, 5, now=NOW + HOUR) == ()

    def test_a_job_that_was_given_back_may_have_begun(self, queue: QueuePort) -> None:
        queue.release([taken(queue)], now=NOW)
        assert queue.cancel([jid()], now=NOW) == [STOPPED]

    def test_a_running_job_is_asked_to_stop(self, queue: QueuePort) -> None:
        """Q8"""
        claim = taken(queue)
        assert seen(queue).stopping is False
        for _ in range(2):
            assert queue.cancel([jid()], now=NOW) == [ASKED]
        found = seen(queue)
        assert (found.state, found.stopping) == (State.RUNNING, True)
        assert queue.endings([jid()], now=NOW) == [None]
        assert queue.settle([(claim, Cancelled())], now=NOW) == [True]
        assert queue.endings([jid()], now=NOW) == [Ending(jid(), State.CANCELLED, NOW)]

    def test_a_job_whose_lease_ran_out_is_asked_to_stop_too(self, queue: QueuePort) -> None:
        taken(queue)
        assert queue.cancel([jid()], now=NOW + HOUR) == [ASKED]

    @pytest.mark.parametrize("where", [State.DEAD, *ENDED])
    def test_what_is_over_cannot_be_cancelled(self, queue: QueuePort, where: State) -> None:
        """Q1: an ending never changes"""
        bring(queue, where)
        before = seen(queue), queue.counts([MAIL], now=NOW)
        assert queue.cancel([jid()], now=NOW + S) == [GONE]
        assert (seen(queue), queue.counts([MAIL], now=NOW)) == before

    def test_what_never_was_cannot_be_cancelled(self, queue: QueuePort) -> None:
        assert queue.cancel([jid("ghost"), jid("a", "nowhere")], now=NOW) == [GONE, GONE]
        assert queue.cancel([], now=NOW) == []

    @pytest.mark.parametrize(
        "verdict",
        [
            Retry(NOW, FAILED),
            Retry(NOW + HOUR, FAILED),
            Retry(NOW, FAILED, crash=True),
            Snooze(NOW),
            Snooze(NOW + S),
        ],
    )
    def test_a_job_that_was_asked_to_stop_does_not_run_again(
        self, queue: QueuePort, verdict: Verdict
    ) -> None:
        """Q8"""
        claim = taken(queue)
        queue.cancel([jid()], now=NOW)
        assert queue.settle([(claim, verdict)], now=NOW + S) == [True]
        assert queue.endings([jid()], now=NOW + S) == [Ending(jid(), State.CANCELLED, NOW + S)]
        counts = queue.counts([MAIL], now=NOW)[0]
        assert (counts.cancelled, counts.retried) == (1, 0)
        assert take(queue, 5, now=NOW + 2 * HOUR) == ()

    def test_a_release_of_a_job_that_was_asked_to_stop_ends_it(self, queue: QueuePort) -> None:
        """Q8"""
        add(queue, "a", "b", "c")
        claims = take(queue, 3)
        queue.cancel([jid("b")], now=NOW)
        assert queue.release(claims, now=NOW + S) == [True, True, True]
        assert queue.endings([jid("b")], now=NOW + S) == [Ending(jid("b"), State.CANCELLED, NOW + S)]
        assert keys(take(queue, 5, now=NOW + S)) == ["a", "c"]

    def test_a_job_that_was_asked_to_stop_and_lost_its_worker_ends(self, queue: QueuePort) -> None:
        """Q8, L1"""
        taken(queue)
        queue.cancel([jid()], now=NOW)
        late = NOW + LEASE
        (lapsed,) = queue.expired([MAIL], now=late, limit=5)
        assert queue.settle([(lapsed, after_lapse(lapsed, now=late, max_crashes=3))], now=late) == [True]
        assert state(queue, now=late) is State.CANCELLED

    @pytest.mark.parametrize("verdict", [Done(b"1"), Dead(FAILED), Expired()])
    def test_a_job_that_comes_to_its_end_before_it_stops_ended_so(
        self, queue: QueuePort, verdict: Verdict
    ) -> None:
        claim = taken(queue)
        queue.cancel([jid()], now=NOW)
        assert queue.settle([(claim, verdict)], now=NOW) == [True]
        found = seen(queue)
        assert LAST[found.state] == verdict or found.state is State.DONE
        assert found.stopping is False

    @pytest.mark.parametrize("where", list(LAST))
    def test_nobody_asks_a_new_job_under_an_old_id_to_stop(self, queue: QueuePort, where: State) -> None:
        claim = taken(queue)
        queue.cancel([jid()], now=NOW)
        send(queue, claim, where)
        queue.purge([jid()], now=NOW)
        add(queue, "a", now=NOW + HOUR)
        again = taken(queue, now=NOW + HOUR)
        assert seen(queue, now=NOW + HOUR).stopping is False
        assert queue.extend([again], lease=LEASE, now=NOW + HOUR) == [Hold.KEPT]

    def test_cancellations_are_answered_in_order(self, queue: QueuePort) -> None:
        add(queue, "run", "dead")
        send(queue, take(queue, 2)[1], State.DEAD)
        queue.submit([job("later", due=NOW + S), job("ready"), job("ready", queue="other")], now=NOW)
        asked = [
            jid("ready", "other"),
            jid("ghost"),
            jid("run"),
            jid("ready"),
            jid("ready"),
            jid("dead"),
            jid("later"),
            jid("ghost", "other"),
            jid("run"),
        ]
        want = [CANCELLED, GONE, ASKED, CANCELLED, GONE, GONE, CANCELLED, GONE, ASKED]
        assert queue.cancel(asked, now=NOW) == want

    def test_a_thousand_jobs_are_cancelled_at_once(self, queue: QueuePort) -> None:
        names = [f"j{n:03}" for n in range(1_000)]
        queue.submit([job(key, due=NOW + (n % 2) * S) for n, key in enumerate(names)], now=NOW)
        assert (
            queue.cancel(jids([*names[10:], "ghost", *names[:5]]), now=NOW)
            == [CANCELLED] * 990 + [GONE] + [CANCELLED] * 5
        )
        assert sorted(keys(take(queue, 1_000, now=NOW + S))) == names[5:10]

    def test_a_cancelled_job_is_passed_over(self, queue: QueuePort) -> None:
        """Q8: as many are granted as were wanted, if there are"""
        add(queue, "a", "b", "c", "d", "e")
        queue.cancel(jids("ac"), now=NOW)
        assert listed(queue, State.READY) == ["b", "d", "e"]
        assert queue.counts([MAIL], now=NOW)[0].ready == 3
        assert keys(take(queue, 2)) == ["b", "d"]
        assert queue.counts([MAIL], now=NOW)[0].ready == 1
        assert keys(take(queue, 2)) == ["e"]

    def test_many_cancelled_jobs_before_one_do_not_hide_it(self, queue: QueuePort) -> None:
        names = [f"j{n}" for n in range(1_000)]
        add(queue, *names, "last")
        queue.cancel(jids(names), now=NOW)
        granted: list[str] = []
        for _ in range(100):
            granted += keys(take(queue, 1))
        assert granted == ["last"]
        assert queue.counts([MAIL], now=NOW)[0].ready == 0

    def test_a_job_is_cancelled_on_a_paused_queue_too(self, queue: QueuePort) -> None:
        add(queue, "a")
        queue.pause(MAIL, Pause())
        assert queue.cancel([jid()], now=NOW) == [CANCELLED]
        queue.resume(MAIL)
        assert take(queue, 5) == ()

    def test_a_cancelled_job_is_forgotten_in_time(self, queue: QueuePort) -> None:
        queue.submit([job(due=NOW + HOUR, options=Options(result_ttl=90 * S))], now=NOW)
        queue.cancel([jid()], now=NOW)
        assert queue.endings([jid()], now=NOW + 89 * S) != [None]
        assert queue.endings([jid()], now=NOW + 90 * S) == [None]

    def test_a_revived_job_starts_anew_at_the_back(self, queue: QueuePort) -> None:
        claim = taken(queue)
        queue.settle([(claim, Retry(NOW, FAILED, crash=True))], now=NOW)
        queue.settle([(taken(queue), Retry(NOW, FAILED))], now=NOW)
        queue.settle([(taken(queue), Dead(FAILED))], now=NOW)
        add(queue, "b")
        assert queue.revive([jid()], now=NOW + S) == [True]
        assert queue.endings([jid()], now=NOW + S) == [None]
        found = seen(queue)
        assert (found.job, found.state, found.attempt, found.crashes) == (job(), State.READY, 0, 0)
        assert listed(queue, State.DEAD) == []
        _, again = take(queue, 2)
        assert (again.id, again.token, again.attempt, again.crashes) == (jid(), 4, 1, 0)

    @pytest.mark.parametrize("where", [s for s in State if s is not State.DEAD])
    def test_only_dead_letters_are_revived_or_purged(self, queue: QueuePort, where: State) -> None:
        bring(queue, where)
        before = seen(queue), queue.counts([MAIL], now=NOW)
        assert queue.revive([jid(), jid("ghost")], now=NOW) == [False, False]
        assert queue.purge([jid(), jid("ghost")], now=NOW) == [False, False]
        assert (seen(queue), queue.counts([MAIL], now=NOW)) == before

    def test_a_claim_from_before_the_revival_is_stale(self, queue: QueuePort) -> None:
        """Q5, L4"""
        old = taken(queue)
        queue.settle([(old, Dead(FAILED))], now=NOW)
        queue.revive([jid()], now=NOW)
        taken(queue, worker="w2")
        assert queue.settle([(old, Done())], now=NOW) == [False]
        assert queue.extend([old], lease=HOUR, now=NOW) == [Hold.LOST]

    def test_a_revived_job_is_not_asked_to_stop_any_more(self, queue: QueuePort) -> None:
        claim = taken(queue)
        queue.cancel([jid()], now=NOW)
        queue.settle([(claim, Dead(FAILED))], now=NOW)
        queue.revive([jid()], now=NOW)
        again = taken(queue)
        assert queue.extend([again], lease=LEASE, now=NOW) == [Hold.KEPT]
        assert queue.settle([(again, Retry(NOW, FAILED))], now=NOW) == [True]
        assert state(queue) is State.READY

    def test_a_purged_job_is_gone_and_its_id_is_free(self, queue: QueuePort) -> None:
        bring(queue, State.DEAD)
        assert queue.purge([jid()], now=NOW) == [True]
        assert queue.get([jid()], now=NOW) == [None]
        assert queue.endings([jid()], now=NOW) == [None]
        counts = queue.counts([MAIL], now=NOW)[0]
        assert (counts.dead, counts.purged) == (0, 1)
        assert queue.purge([jid()], now=NOW) == [False]
        assert queue.submit([job(task="other")], now=NOW) == [Submitted.ACCEPTED]

    def test_revivals_and_purges_are_answered_in_order(self, queue: QueuePort) -> None:
        for name, key in [(MAIL, "a"), ("other", "a"), (MAIL, "b"), (MAIL, "c")]:
            bring(queue, State.DEAD, job(key, queue=name))
        asked = [jid("ghost"), jid("a", "other"), jid("b"), jid("b"), jid("a")]
        assert queue.revive(asked, now=NOW) == [False, True, True, False, True]
        assert listed(queue, State.READY) == ["b", "a"]
        assert queue.purge([jid("a"), jid("c"), jid("c"), jid("a", "other")], now=NOW) == [
            False,
            True,
            False,
            False,
        ]
        assert queue.revive([], now=NOW) == queue.purge([], now=NOW) == []

    @pytest.mark.parametrize("verb", ["revive", "purge"])
    def test_a_thousand_dead_letters_are_dealt_with_at_once(self, queue: QueuePort, verb: str) -> None:
        names = [f"j{n:03}" for n in range(1_000)]
        add(queue, *names)
        queue.settle([(claim, Dead(FAILED)) for claim in take(queue, 1_000)], now=NOW)
        assert getattr(queue, verb)(jids([*names, "ghost"]), now=NOW) == [True] * 1_000 + [False]
        assert listed(queue, State.READY) == (names if verb == "revive" else [])
        assert listed(queue, State.DEAD) == []

    @pytest.mark.parametrize("where", ENDED)
    def test_a_forgotten_ending_leaves_nothing_and_its_id_is_free(
        self, queue: QueuePort, where: State
    ) -> None:
        bring(queue, where)
        before = queue.counts([MAIL], now=NOW)
        assert queue.forget([jid()], now=NOW) == [True]
        assert queue.endings([jid()], now=NOW) == [None]
        assert queue.get([jid()], now=NOW) == [None]
        assert listed(queue, where) == []
        assert queue.counts([MAIL], now=NOW) == before
        assert queue.forget([jid()], now=NOW) == [False]
        assert queue.submit([job(task="other")], now=NOW) == [Submitted.ACCEPTED]

    @pytest.mark.parametrize("after", [timedelta(), HOUR])
    @pytest.mark.parametrize("priority", [Priority.HIGH, Priority.NORMAL, Priority.LOW])
    def test_an_id_that_was_cancelled_in_line_is_free_when_nobody_remembers_it(
        self, queue: QueuePort, after: timedelta, priority: Priority
    ) -> None:
        """Q1, Q4: although no claim has passed its place in line meanwhile"""
        options, later = Options(result_ttl=90 * S), NOW + 90 * S
        queue.submit([job(name, options=options) for name in "abc"], now=NOW)
        queue.cancel(jids("ab"), now=NOW)
        again = job("a", task="other", due=later + after, options=evolve(options, priority=priority))
        assert queue.submit([again, job("d", options=options)], now=later) == [Submitted.ACCEPTED] * 2
        counts = queue.counts([MAIL], now=later)[0]
        assert (counts.accepted, counts.ready + counts.delayed, counts.cancelled) == (5, 3, 2)
        found = keys(take(queue, 5, now=later))
        due = {
            Priority.HIGH: ["a", "c", "d"],
            Priority.NORMAL: ["c", "a", "d"],
            Priority.LOW: ["c", "d", "a"],
        }
        assert found == (list("cd") if after else due[priority])
        if after:
            assert keys(take(queue, 5, now=later + after)) == ["a"]

    @pytest.mark.parametrize("forgotten", [False, True])
    def test_several_that_follow_one_that_was_cancelled_in_line_keep_their_own_order(
        self, queue: QueuePort, forgotten: bool
    ) -> None:
        """Q1, Q4: a new job takes neither the place of the one before it, nor its end; so many wait on both sides"""
        before = Options(result_ttl=90 * S)
        many = [job(f"n{place}", options=before) for place in range(2_200)]
        queue.submit(many, now=NOW)
        queue.cancel([jid("n1100")], now=NOW)
        later = NOW if forgotten else NOW + 90 * S
        assert queue.forget([jid("n1100")] * forgotten, now=NOW) == [True] * forgotten
        urgent = [job(name, options=Options(Priority.HIGH)) for name in ("n1100", "c")]
        assert queue.submit(urgent, now=later) == [Submitted.ACCEPTED] * 2
        assert keys(take(queue, 3, now=later)) == ["n1100", "c", "n0"]

    @pytest.mark.parametrize("where", LIVE)
    def test_what_lives_is_not_forgotten(self, queue: QueuePort, where: State) -> None:
        bring(queue, where)
        before = seen(queue), queue.counts([MAIL], now=NOW)
        assert queue.forget([jid(), jid("ghost"), jid("a", "nowhere")], now=NOW) == [False, False, False]
        assert (seen(queue), queue.counts([MAIL], now=NOW)) == before

    def test_a_forgotten_cancellation_leaves_its_id_free(self, queue: QueuePort) -> None:
        """Who asks again under the same id is not taken for the one that was cancelled"""
        add(queue, "a", "b", "c")
        queue.cancel(jids("bc"), now=NOW)
        assert queue.forget(jids("bcb"), now=NOW) == [True, True, False]
        assert queue.counts([MAIL], now=NOW)[0].ready == 1
        assert queue.submit([job("b", task="other")], now=NOW) == [Submitted.ACCEPTED]
        assert keys(take(queue, 5)) == ["a", "b"]

    def test_an_ending_that_nobody_may_ask_for_any_more_counts_as_forgotten(self, queue: QueuePort) -> None:
        queue.submit([job(due=NOW + HOUR, options=Options(result_ttl=90 * S))], now=NOW)
        queue.cancel([jid()], now=NOW)
        assert queue.forget([jid()], now=NOW + 90 * S) == [False]

    def test_a_token_of_the_future_is_as_stale_as_one_of_the_past(self, queue: QueuePort) -> None:
        """L4"""
        claim = evolve(taken(queue), token=2)
        assert queue.release([claim], now=NOW) == [False]
        assert queue.settle([(claim, Done())], now=NOW) == [False]
