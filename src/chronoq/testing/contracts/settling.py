"""Verdicts, releases and progress: how a lease ends, and who may end it."""

from datetime import timedelta

import pytest
from attrs import evolve

from chronoq.domain.job import ENDED, Claim, Counts, Ending, Options, Priority, Progress, State
from chronoq.domain.ports import Hold, QueuePort
from chronoq.domain.retry import Failure
from chronoq.domain.verdict import Cancelled, Dead, Done, Expired, Retry, Snooze, Verdict, after_lapse
from chronoq.testing.contracts.chapter import Chapter
from chronoq.testing.contracts.values import (
    FAILED,
    HOUR,
    LAST,
    LEASE,
    MAIL,
    MS,
    NOW,
    S,
    add,
    bring,
    jid,
    job,
    keys,
    listed,
    seen,
    send,
    state,
    take,
    taken,
)

EVERY_VERDICT = pytest.mark.parametrize(
    "verdict",
    [
        Done(b"1"),
        Retry(NOW, FAILED),
        Retry(NOW + HOUR, FAILED),
        Retry(NOW, FAILED, crash=True),
        Snooze(NOW, "not now"),
        Snooze(NOW + HOUR),
        Dead(FAILED),
        Dead(FAILED, crash=True),
        Cancelled(),
        Expired(),
    ],
    ids=lambda verdict: type(verdict).__name__,
)
NOT_RUNNING = pytest.mark.parametrize("where", [s for s in State if s is not State.RUNNING])


def figures(queue: QueuePort) -> Counts:
    return queue.counts([MAIL], now=NOW)[0]


class Settling(Chapter):
    def test_a_result_is_stored_with_the_end_of_its_job(self, queue: QueuePort) -> None:
        """Q13"""
        claim = taken(queue)
        assert queue.endings([jid()], now=NOW) == [None]
        assert queue.settle([(claim, Done(b'{"n":9007199254740993}'))], now=NOW + S) == [True]
        ending = Ending(jid(), State.DONE, NOW + S, b'{"n":9007199254740993}')
        assert queue.endings([jid()], now=NOW + S) == [ending]
        assert figures(queue) == Counts(MAIL, accepted=1, done=1)

    def test_of_several_jobs_that_are_done_only_those_end_that_are_held(self, queue: QueuePort) -> None:
        """Q5: a stale verdict leaves no ending behind, and the same one twice counts once"""
        stale, good = taken(queue, "a"), taken(queue, "b")
        queue.release([stale], now=NOW)
        taken(queue, "a", worker="w2")
        verdicts = [(one, Done(result)) for one, result in ((good, b"1"), (stale, b"2"), (good, b"3"))]
        assert queue.settle(verdicts, now=NOW) == [True, False, False]
        assert queue.endings([jid("a"), jid("b")], now=NOW) == [None, Ending(jid("b"), State.DONE, NOW, b"1")]
        assert figures(queue) == Counts(MAIL, accepted=2, done=1, running=1)

    def test_a_job_may_end_without_a_result(self, queue: QueuePort) -> None:
        queue.settle([(taken(queue), Done())], now=NOW)
        assert queue.endings([jid()], now=NOW) == [Ending(jid(), State.DONE, NOW)]

    def test_a_result_of_a_million_bytes_arrives(self, queue: QueuePort) -> None:
        result = b'"' + "é".encode() * 500_000 + b'"'
        queue.settle([(taken(queue), Done(result))], now=NOW)
        (ending,) = queue.endings([jid()], now=NOW)
        assert ending is not None
        assert ending.result == result

    @pytest.mark.parametrize(
        ("verdict", "where"), [(Cancelled(), State.CANCELLED), (Expired(), State.EXPIRED)]
    )
    def test_a_job_may_end_without_being_done(self, queue: QueuePort, verdict: Verdict, where: State) -> None:
        claim = taken(queue)
        assert queue.settle([(claim, verdict)], now=NOW + S) == [True]
        assert queue.endings([jid()], now=NOW + S) == [Ending(jid(), where, NOW + S)]
        assert (figures(queue).cancelled, figures(queue).expired) == (
            where is State.CANCELLED,
            where is State.EXPIRED,
        )

    @pytest.mark.parametrize("where", list(LAST))
    def test_a_new_job_under_an_old_id_has_no_history(self, queue: QueuePort, where: State) -> None:
        queue.settle([(taken(queue), Retry(NOW, FAILED, crash=True))], now=NOW)
        queue.settle([(taken(queue), Retry(NOW, FAILED))], now=NOW)
        claim = taken(queue)
        queue.report(claim, Progress(1))
        send(queue, claim, where)
        queue.purge([jid()], now=NOW)
        add(queue, "a", now=NOW + HOUR)
        found = seen(queue, now=NOW + HOUR)
        assert (found.token, found.attempt, found.crashes, found.failure) == (0, 0, 0, None)
        again = taken(queue, now=NOW + HOUR)
        assert (again.token, again.attempt, again.crashes) == (1, 1, 0)
        assert seen(queue, now=NOW + HOUR).progress is None

    @pytest.mark.parametrize("where", ENDED)
    def test_an_ending_is_kept_for_as_long_as_was_asked(self, queue: QueuePort, where: State) -> None:
        bring(queue, where, job(options=Options(result_ttl=90 * S)))
        for known in (queue.endings, queue.get):
            assert known([jid()], now=NOW + 90 * S - MS) != [None]
            assert known([jid()], now=NOW + 90 * S) == [None]
        assert listed(queue, where, now=NOW + 90 * S - MS) == ["a"]
        assert listed(queue, where, now=NOW + 90 * S) == []

    def test_a_dead_letter_keeps_everything(self, queue: QueuePort) -> None:
        """Q13"""
        claim = taken(queue)
        assert queue.settle([(claim, Dead(FAILED))], now=NOW + S) == [True]
        found = seen(queue)
        assert (found.job, found.state, found.until, found.failure) == (job(), State.DEAD, NOW + S, FAILED)
        assert (found.attempt, found.token, found.crashes) == (1, 1, 0)
        forever = NOW + timedelta(days=3650)
        assert queue.endings([jid()], now=forever) == [Ending(jid(), State.DEAD, NOW + S, failure=FAILED)]
        assert take(queue, 5, now=forever) == ()

    @pytest.mark.parametrize("verdict", [Retry(NOW, FAILED), Dead(FAILED)])
    def test_a_failure_takes_the_place_of_the_reason_of_a_snooze(
        self, queue: QueuePort, verdict: Verdict
    ) -> None:
        queue.settle([(taken(queue), Snooze(NOW, "later"))], now=NOW)
        queue.settle([(taken(queue), verdict)], now=NOW)
        assert (seen(queue).failure, seen(queue).reason) == (FAILED, "")

    def test_a_failure_arrives_to_the_letter(self, queue: QueuePort) -> None:
        failure = Failure(
            "pkg.Bäd", 'a "quoted"\n\t\U0001f4a5 \\ message\x00', "x" * 100_000, ("pkg.Bäd", "Exception")
        )
        queue.settle([(taken(queue), Dead(failure))], now=NOW)
        assert seen(queue).failure == failure
        (ending,) = queue.endings([jid()], now=NOW)
        assert ending is not None
        assert ending.failure == failure

    def test_a_retry_waits_for_its_moment(self, queue: QueuePort) -> None:
        """Q3, Q9"""
        claim = taken(queue)
        assert queue.settle([(claim, Retry(NOW + 5 * MS, FAILED))], now=NOW) == [True]
        found = seen(queue)
        assert (found.state, found.until, found.failure) == (State.DELAYED, NOW + 5 * MS, FAILED)
        assert (found.job, found.attempt, found.token) == (job(), 1, 1)
        assert take(queue, now=NOW + 4 * MS) == ()
        (again,) = take(queue, worker="w2", now=NOW + 5 * MS)
        assert again == Claim(job(), 2, 2, "w2", NOW + 5 * MS + LEASE)
        assert figures(queue).retried == 1

    @pytest.mark.parametrize("at", [NOW, NOW - HOUR])
    def test_a_retry_at_once_goes_to_the_back(self, queue: QueuePort, at: object) -> None:
        add(queue, "a", "b")
        claim = taken(queue)
        assert queue.settle([(claim, Retry(at, FAILED))], now=NOW) == [True]  # type: ignore[arg-type]  # pytest hands over objects
        assert listed(queue, State.READY) == ["b", "a"]

    def test_a_retry_keeps_its_priority(self, queue: QueuePort) -> None:
        queue.submit(
            [job("low", options=Options(Priority.LOW)), job("high", options=Options(Priority.HIGH))], now=NOW
        )
        claims = take(queue, 2)
        queue.settle([(claims[1], Retry(NOW, FAILED)), (claims[0], Retry(NOW + S, FAILED))], now=NOW)
        assert keys(take(queue, 2, now=NOW + S)) == ["high", "low"]

    def test_a_crash_is_counted_and_costs_no_attempt(self, queue: QueuePort) -> None:
        """L3"""
        for n in range(3):
            claim = taken(queue)
            assert (claim.token, claim.attempt, claim.crashes) == (n + 1, 1, n)
            queue.settle([(claim, Retry(NOW, FAILED, crash=True))], now=NOW)
        assert (figures(queue).crashed, figures(queue).retried) == (3, 0)
        queue.settle([(taken(queue), Dead(FAILED, crash=True))], now=NOW)
        found = seen(queue)
        assert (found.crashes, found.attempt, found.token) == (4, 0, 4)
        assert figures(queue).crashed == 4

    def test_a_snooze_costs_no_attempt_and_says_why(self, queue: QueuePort) -> None:
        claim = taken(queue)
        assert queue.settle([(claim, Snooze(NOW + S, "später ☂"))], now=NOW) == [True]
        found = seen(queue)
        assert (found.state, found.until, found.reason) == (State.DELAYED, NOW + S, "später ☂")
        again = taken(queue, now=NOW + S)
        assert (again.token, again.attempt, again.crashes) == (2, 1, 0)
        assert (figures(queue).retried, figures(queue).crashed) == (0, 0)

    def test_a_snooze_until_now_goes_to_the_back(self, queue: QueuePort) -> None:
        add(queue, "a", "b")
        queue.settle([(taken(queue), Snooze(NOW))], now=NOW)
        assert listed(queue, State.READY) == ["b", "a"]

    @EVERY_VERDICT
    def test_a_stale_token_settles_nothing(self, queue: QueuePort, verdict: Verdict) -> None:
        """Q5: a zombie cannot settle a job that was taken again"""
        old = taken(queue)
        queue.settle([(old, Retry(NOW, FAILED, crash=True))], now=NOW)
        new = taken(queue, worker="w2")
        before = seen(queue), figures(queue)
        assert queue.settle([(old, verdict)], now=NOW) == [False]
        assert queue.settle([(evolve(new, token=new.token + 1), verdict)], now=NOW) == [False]
        assert (seen(queue), figures(queue)) == before
        assert queue.settle([(new, Done())], now=NOW) == [True]

    @EVERY_VERDICT
    def test_another_worker_settles_nothing_under_the_same_token(
        self, queue: QueuePort, verdict: Verdict
    ) -> None:
        """L4: an id may be used again, and its tokens begin anew; whose they are tells them apart"""
        claim = taken(queue)
        before = seen(queue), figures(queue)
        other = evolve(claim, worker="another")
        assert queue.settle([(other, verdict)], now=NOW) == [False]
        assert queue.release([other], now=NOW) == [False]
        assert queue.report(other, Progress(1)) is False
        assert (seen(queue), figures(queue)) == before
        assert queue.settle([(claim, Done())], now=NOW) == [True]

    @EVERY_VERDICT
    @NOT_RUNNING
    def test_a_job_that_is_not_leased_cannot_be_settled(
        self, queue: QueuePort, where: State, verdict: Verdict
    ) -> None:
        """Q5"""
        claim = taken(queue)
        send(queue, claim, where)
        before = seen(queue), figures(queue), queue.endings([jid()], now=NOW)
        assert queue.settle([(claim, verdict)], now=NOW) == [False]
        assert (seen(queue), figures(queue), queue.endings([jid()], now=NOW)) == before

    def test_a_job_that_never_was_cannot_be_settled(self, queue: QueuePort) -> None:
        claim = taken(queue)
        ghosts = [evolve(claim, job=job("ghost")), evolve(claim, job=job(queue="other"))]
        assert queue.settle([(ghost, Done()) for ghost in ghosts], now=NOW) == [False, False]
        assert queue.settle([], now=NOW) == []
        assert state(queue) is State.RUNNING

    def test_of_two_verdicts_the_first_wins(self, queue: QueuePort) -> None:
        """Q5: in one batch too"""
        claim = taken(queue)
        assert queue.settle(
            [(claim, Dead(FAILED)), (claim, Done()), (claim, Retry(NOW, FAILED))], now=NOW
        ) == [
            True,
            False,
            False,
        ]
        assert state(queue) is State.DEAD

    def test_a_late_verdict_wins_until_the_lapse_is_settled(self, queue: QueuePort) -> None:
        """Q5, L1"""
        claim = taken(queue)
        late = NOW + LEASE + HOUR
        (lapsed,) = queue.expired([MAIL], now=late, limit=5)
        assert queue.settle([(claim, Done())], now=late) == [True]
        assert queue.settle([(lapsed, after_lapse(lapsed, now=late, max_crashes=3))], now=late) == [False]
        assert state(queue) is State.DONE

    def test_a_holder_that_extended_after_the_sweep_had_looked_is_not_robbed(self, queue: QueuePort) -> None:
        """L2"""
        claim = taken(queue)
        late = NOW + LEASE
        (lapsed,) = queue.expired([MAIL], now=late, limit=5)
        assert queue.extend([claim], lease=LEASE, now=late) == [Hold.KEPT]
        assert queue.settle([(lapsed, Retry(late, FAILED, crash=True))], now=late) == [False]
        assert queue.settle([(lapsed, Dead(FAILED, crash=True))], now=late) == [False]
        assert (seen(queue).state, seen(queue).crashes) == (State.RUNNING, 0)
        assert queue.settle([(claim, Done())], now=late) == [True]

    def test_a_zombie_cannot_settle_what_the_reaper_took_from_it(self, queue: QueuePort) -> None:
        """Q5, L1, L3"""
        claim = taken(queue)
        late = NOW + LEASE
        (lapsed,) = queue.expired([MAIL], now=late, limit=5)
        assert queue.settle([(lapsed, after_lapse(lapsed, now=late, max_crashes=3))], now=late) == [True]
        assert queue.settle([(claim, Done())], now=late) == [False]
        again = taken(queue, worker="w2", now=late)
        assert (again.token, again.attempt, again.crashes) == (2, 1, 1)
        assert queue.settle([(claim, Done())], now=late) == [False]
        assert queue.release([claim], now=late) == [False]
        assert seen(queue).worker == "w2"

    @pytest.mark.parametrize("last", [Done(b"1"), Retry(NOW + HOUR, FAILED)], ids=["done", "retry"])
    def test_a_verdict_that_was_prepared_counts_if_the_lease_is_held_when_it_is_settled(
        self, queue: QueuePort, last: Verdict
    ) -> None:
        lost, extended, third = (taken(queue, key) for key in "abc")
        prepared = queue.prepare([(lost, Done(b"1")), (extended, Done(b"1")), (third, last)], now=NOW)
        assert queue.extend([extended], lease=LEASE, now=NOW + S) == [Hold.KEPT]
        assert queue.release([lost], now=NOW + S) == [True]
        again = taken(queue, "a", worker="w2", now=NOW + S)
        assert queue.settle(prepared, now=NOW + S) == [False, True, True]
        assert (seen(queue, "a").state, seen(queue, "a").worker) == (State.RUNNING, "w2")
        assert state(queue, "b") is State.DONE
        assert queue.settle([(again, Done(b"2"))], now=NOW + S) == [True]
        (ending,) = queue.endings([jid("a")], now=NOW + S)
        assert ending is not None
        assert ending.result == b"2"

    def test_each_verdict_of_a_batch_stands_for_itself(self, queue: QueuePort) -> None:
        queue.submit([job(f"j{n}", queue=MAIL if n % 2 else "other") for n in range(12)], now=NOW)
        claims = queue.claim([("other", 6), (MAIL, 6)], worker="w1", lease=LEASE, now=NOW).claims
        order = sorted(claims, key=lambda claim: int(claim.id.key[1:]))
        verdicts: list[Verdict] = [
            Done(b"0"),
            Retry(NOW, FAILED),
            Snooze(NOW + S),
            Dead(FAILED),
            Cancelled(),
            Expired(),
        ] * 2
        pairs = list(zip(order, verdicts, strict=True))
        pairs[3] = (evolve(order[3], token=7), Done())
        pairs[8] = (evolve(order[8], job=job("ghost", queue="other")), Done())
        assert queue.settle(pairs, now=NOW) == [n not in (3, 8) for n in range(12)]
        states = [State.DONE, State.READY, State.DELAYED, State.DEAD, State.CANCELLED, State.EXPIRED] * 2
        states[3] = states[8] = State.RUNNING
        found = queue.get([claim.id for claim in order], now=NOW)
        assert [one and one.state for one in found] == states

    @pytest.mark.parametrize(
        "verdict", [Done(b"1"), Retry(NOW, FAILED), Retry(NOW + S, FAILED), Dead(FAILED)]
    )
    def test_a_thousand_jobs_are_settled_at_once(self, queue: QueuePort, verdict: Verdict) -> None:
        add(queue, *(f"j{n:04}" for n in range(1_000)))
        claims = take(queue, 1_000)
        pairs = [
            (evolve(claim, token=9) if n % 100 == 50 else claim, verdict) for n, claim in enumerate(claims)
        ]
        assert queue.settle(pairs, now=NOW) == [n % 100 != 50 for n in range(1_000)]
        where = {Done: State.DONE, Dead: State.DEAD}.get(
            type(verdict), State.READY if verdict == Retry(NOW, FAILED) else State.DELAYED
        )
        assert sorted(listed(queue, where)) == [f"j{n:04}" for n in range(1_000) if n % 100 != 50]
        assert len(listed(queue, State.RUNNING)) == 10

    def test_released_jobs_are_first_again_in_the_order_given(self, queue: QueuePort) -> None:
        """Q11"""
        add(queue, "a", "b", "c", "d")
        a, b, c = take(queue, 3)
        assert queue.release([b, a], now=NOW) == [True, True]
        assert listed(queue, State.READY) == ["b", "a", "d"]
        assert queue.release([c], now=NOW) == [True]
        assert keys(take(queue, 4)) == ["c", "b", "a", "d"]

    def test_a_release_costs_no_attempt(self, queue: QueuePort) -> None:
        queue.release([taken(queue)], now=NOW)
        found = seen(queue)
        assert (found.state, found.attempt, found.token) == (State.READY, 0, 1)
        again = taken(queue)
        assert (again.token, again.attempt, again.crashes) == (2, 1, 0)
        assert (figures(queue).retried, figures(queue).crashed) == (0, 0)

    def test_a_job_given_back_twice_is_given_back_once(self, queue: QueuePort) -> None:
        add(queue, "a", "b")
        claims = take(queue, 2)
        assert sorted(queue.release([claims[0], claims[1], claims[0]], now=NOW)) == [False, True, True]
        assert sorted(listed(queue, State.READY)) == ["a", "b"]

    def test_a_release_keeps_what_is_known_of_the_job(self, queue: QueuePort) -> None:
        queue.settle([(taken(queue), Retry(NOW, FAILED))], now=NOW)
        queue.release([taken(queue)], now=NOW)
        assert seen(queue).failure == FAILED

    def test_a_release_keeps_priorities(self, queue: QueuePort) -> None:
        queue.submit(
            [job("low", options=Options(Priority.LOW)), job("high", options=Options(Priority.HIGH))], now=NOW
        )
        high, low = take(queue, 2)
        queue.release([low, high], now=NOW)
        assert listed(queue, State.READY) == ["high", "low"]

    def test_only_what_is_held_can_be_released(self, queue: QueuePort) -> None:
        """L4"""
        old = taken(queue)
        queue.release([old], now=NOW)
        assert queue.release([old], now=NOW) == [False]
        new = taken(queue, worker="w2")
        ghost = evolve(new, job=job("ghost"))
        before = seen(queue), figures(queue)
        assert queue.release([old, ghost, evolve(new, token=9)], now=NOW) == [False, False, False]
        assert (seen(queue), figures(queue)) == before
        assert queue.release([ghost, new, old], now=NOW) == [False, True, False]
        assert queue.release([], now=NOW) == []
        assert listed(queue, State.READY) == ["a"]

    @NOT_RUNNING
    def test_a_job_that_is_not_leased_cannot_be_released(self, queue: QueuePort, where: State) -> None:
        claim = taken(queue)
        send(queue, claim, where)
        before = seen(queue), figures(queue)
        assert queue.release([claim], now=NOW) == [False]
        assert (seen(queue), figures(queue)) == before

    def test_a_thousand_jobs_over_two_queues_are_released_in_order(self, queue: QueuePort) -> None:
        queue.submit([job(f"j{n:03}", queue="xy"[n % 2]) for n in range(1_000)], now=NOW)
        claims = queue.claim([("x", 500), ("y", 500)], worker="w1", lease=LEASE, now=NOW).claims
        given = list(reversed(claims))
        stale = evolve(given[0], token=9)
        assert queue.release([*given, stale], now=NOW) == [True] * 1_000 + [False]
        for name in "xy":
            assert listed(queue, State.READY, name=name) == [c.id.key for c in given if c.id.queue == name]

    def test_progress_is_kept_while_the_job_runs(self, queue: QueuePort) -> None:
        claim = taken(queue)
        assert queue.report(claim, Progress(1.5, 10.0)) is True
        assert seen(queue).progress == Progress(1.5, 10.0)
        assert queue.report(claim, Progress(2.25)) is True
        assert seen(queue).progress == Progress(2.25)

    def test_only_the_holder_reports_progress(self, queue: QueuePort) -> None:
        """L4"""
        old = taken(queue)
        queue.settle([(old, Retry(NOW, FAILED))], now=NOW)
        assert queue.report(old, Progress(1)) is False
        new = taken(queue)
        before = seen(queue)
        assert queue.report(old, Progress(1)) is False
        assert queue.report(evolve(new, token=9), Progress(1)) is False
        assert queue.report(evolve(new, job=job("ghost")), Progress(1)) is False
        assert seen(queue) == before

    @NOT_RUNNING
    def test_a_job_that_is_not_leased_makes_no_progress(self, queue: QueuePort, where: State) -> None:
        claim = taken(queue)
        send(queue, claim, where)
        before = seen(queue)
        assert queue.report(claim, Progress(1)) is False
        assert seen(queue) == before
