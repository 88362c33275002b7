"""Promotion, claims and leases: what runs next, whose it is, and until when."""

from datetime import datetime
from functools import partial

import pytest
from attrs import evolve

from chronoq.domain.job import Claim, Ending, Options, Pause, Priority, State
from chronoq.domain.ports import BROUGHT, Claimed, Hold, Promoted, QueuePort
from chronoq.domain.verdict import Done, Retry, Verdict
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
    jid,
    job,
    keys,
    large,
    listed,
    seen,
    send,
    state,
    take,
    taken,
)


class Claiming(Chapter):
    def test_a_claim_says_whose_the_job_is_and_until_when(self, queue: QueuePort) -> None:
        """Q2"""
        add(queue, "a")
        (claim,) = queue.claim([(MAIL, 1)], worker="w1", lease=LEASE, now=NOW + MS).claims
        assert (claim.job, claim.token, claim.attempt, claim.crashes) == (job(), 1, 1, 0)
        assert (claim.worker, claim.expires_at) == ("w1", NOW + MS + LEASE)
        found = seen(queue)
        assert (found.state, found.worker, found.until) == (State.RUNNING, "w1", NOW + MS + LEASE)
        assert (found.token, found.attempt) == (1, 1)

    def test_an_empty_queue_grants_nothing(self, queue: QueuePort) -> None:
        assert queue.claim([(MAIL, 5)], worker="w1", lease=LEASE, now=NOW) == Claimed((), None)
        assert queue.claim([], worker="w1", lease=LEASE, now=NOW) == Claimed((), None)

    def test_no_job_is_granted_twice(self, queue: QueuePort) -> None:
        add(queue, "a", "b", "c")
        assert keys(take(queue, 2)) == ["a", "b"]
        assert keys(take(queue, 2)) == ["c"]
        assert take(queue, 2, now=NOW + HOUR) == ()

    def test_first_in_is_first_out(self, queue: QueuePort) -> None:
        """Q11"""
        add(queue, "c", "a")
        add(queue, "b")
        assert keys(take(queue, 3)) == ["c", "a", "b"]

    def test_priorities_are_strict_and_fair_within(self, queue: QueuePort) -> None:
        """Q11"""
        for n in range(3):
            batch = [job(f"{p.name.lower()}{n}", options=Options(p)) for p in reversed(Priority)]
            queue.submit(batch, now=NOW)
        want = [f"{p.name.lower()}{n}" for p in Priority for n in range(3)]
        assert listed(queue, State.READY) == want
        assert keys(take(queue, 7)) == want[:7]
        queue.submit([job("urgent", options=Options(Priority.CRITICAL))], now=NOW)
        assert keys(take(queue, 7)) == ["urgent", *want[7:]]

    def test_each_queue_grants_as_many_as_were_wanted_of_it(self, queue: QueuePort) -> None:
        for name in ("one", "two", "three"):
            queue.submit([job(f"{name}{n}", queue=name) for n in range(3)], now=NOW)
        granted = queue.claim(
            [("two", 1), ("none", 4), ("one", 2), ("three", 0)], worker="w1", lease=LEASE, now=NOW
        )
        assert keys(granted.claims) == ["two0", "one0", "one1"]
        assert [counts.ready for counts in queue.counts(["one", "two", "three"], now=NOW)] == [1, 2, 3]

    def test_of_heavy_jobs_a_claim_brings_some_and_the_others_stay_as_they_were(
        self, queue: QueuePort
    ) -> None:
        """Q11: each is brought by a later claim, in order, and has been claimed once"""
        payload, want = large(300_000), list[str]()
        for priority in Priority:
            names = [f"{priority.name.lower()}{n}" for n in range(9)]
            queue.submit([job(key, payload=payload, options=Options(priority)) for key in names], now=NOW)
            want += names
        queue.cancel([jid(want.pop(7)), jid(want.pop(20))], now=NOW)
        while want:
            granted = queue.claim([(MAIL, 100)], worker="w1", lease=LEASE, now=NOW)
            brought = keys(granted.claims)
            assert brought == want[: len(brought)]
            assert 1 <= len(brought) <= BROUGHT // len(payload)
            assert {(claim.token, claim.attempt, claim.job.payload) for claim in granted.claims} == {
                (1, 1, payload)
            }
            del want[: len(brought)]
            assert granted.more == bool(want)
            assert listed(queue, State.READY) == want
            assert not want or (seen(queue, want[0]).token, seen(queue, want[0]).attempt) == (0, 0)
        assert queue.counts([MAIL], now=NOW)[0].running == 34
        assert take(queue, 100) == ()

    def test_a_job_is_brought_however_heavy_it_is(self, queue: QueuePort) -> None:
        """One of each queue, so that none holds up another"""
        payload = large(BROUGHT + 1)
        queue.submit([job(key, payload=payload) for key in ("a", "b")], now=NOW)
        queue.submit([job("c", queue="other", payload=payload)], now=NOW)
        granted = queue.claim([(MAIL, 2), ("other", 2)], worker="w1", lease=LEASE, now=NOW)
        assert (keys(granted.claims), granted.more) == (["a", "c"], True)
        granted = queue.claim([(MAIL, 2), ("other", 2)], worker="w1", lease=LEASE, now=NOW)
        assert (keys(granted.claims), granted.more) == (["b"], False)

    def test_a_claim_of_many_queues_brings_no_more_than_that_of_one(self, queue: QueuePort) -> None:
        names = [f"q{n}" for n in range(8)]
        for name in names:
            queue.submit([job(f"j{n}", queue=name, payload=large(BROUGHT // 10)) for n in range(3)], now=NOW)
        granted = queue.claim([(name, 3) for name in names], worker="w1", lease=LEASE, now=NOW)
        assert [claim.id for claim in granted.claims] == [jid("j0", name) for name in names]
        assert granted.more

    def test_a_light_job_behind_heavy_ones_waits_for_its_turn(self, queue: QueuePort) -> None:
        """Q11"""
        sizes = {"small": 100, "a": 3 * BROUGHT // 4, "b": 3 * BROUGHT // 4, "tiny": 100}
        queue.submit([job(key, payload=large(size)) for key, size in sizes.items()], now=NOW)
        brought = list[str]()
        while found := keys(take(queue, 4)):
            assert not {"a", "b"} <= set(found)
            brought += found
        assert brought == list(sizes)

    def test_a_job_is_not_granted_before_it_is_due(self, queue: QueuePort) -> None:
        """Q9: to the millisecond, and part of one counts as a whole"""
        queue.submit([job("a", due=NOW + 2 * MS), job("b", due=NOW + 1.5 * MS)], now=NOW)
        assert take(queue, 2, now=NOW + MS) == ()
        assert sorted(keys(take(queue, 2, now=NOW + 2 * MS))) == ["a", "b"]

    def test_a_claim_promotes_what_is_due_first(self, queue: QueuePort) -> None:
        """Q11: the later one is urgent, so it is granted first"""
        queue.submit([job("a"), job("b", due=NOW + S), job("c", due=NOW + S)], now=NOW)
        queue.submit([job("d", due=NOW + 2 * S, options=Options(Priority.HIGH))], now=NOW)
        assert keys(take(queue, 3, now=NOW + 2 * S)) == ["d", "a", "b"]
        assert listed(queue, State.READY) == ["c"]

    def test_a_claim_says_when_the_next_job_of_those_queues_is_due(self, queue: QueuePort) -> None:
        queue.submit([job("a", due=NOW + HOUR), job("b", queue="other", due=NOW + S)], now=NOW)
        queue.submit([job("c", queue="third", due=NOW + MS)], now=NOW)
        ask = partial(queue.claim, [(MAIL, 1), ("other", 1)], worker="w1", lease=LEASE)
        assert ask(now=NOW).next == NOW + S
        granted = ask(now=NOW + S)
        assert (keys(granted.claims), granted.next) == (["b"], NOW + HOUR)
        granted = ask(now=NOW + HOUR)
        assert (keys(granted.claims), granted.next) == (["a"], None)

    def test_wanting_none_promotes_all_the_same(self, queue: QueuePort) -> None:
        queue.submit([job("a", due=NOW + S), job("b", due=NOW + HOUR)], now=NOW)
        assert queue.claim([(MAIL, 0)], worker="w1", lease=LEASE, now=NOW + S) == Claimed((), NOW + HOUR)
        assert [state(queue, "a"), state(queue, "b")] == [State.READY, State.DELAYED]

    def test_verdicts_that_come_with_a_claim_are_settled_before_it_grants(self, queue: QueuePort) -> None:
        done, again = taken(queue, "a"), taken(queue, "b")
        add(queue, "c")
        verdicts: list[tuple[Claim, Verdict]] = [(done, Done(b"1")), (again, Retry(NOW + S, FAILED))]
        granted = queue.claim([(MAIL, 5)], worker="w2", lease=LEASE, now=NOW + S, verdicts=verdicts)
        assert granted.settled == (True, True)
        assert [(claim.id.key, claim.token, claim.worker) for claim in granted.claims] == [
            ("c", 1, "w2"),
            ("b", 2, "w2"),
        ]
        assert queue.endings([jid("a")], now=NOW + S) == [Ending(jid("a"), State.DONE, NOW + S, b"1")]

    def test_verdicts_that_were_prepared_are_settled_as_any_others(self, queue: QueuePort) -> None:
        done, again = taken(queue, "a"), taken(queue, "b")
        verdicts: list[tuple[Claim, Verdict]] = [(done, Done(b"1")), (again, Retry(NOW + S, FAILED))]
        prepared = queue.prepare(verdicts, now=NOW)
        assert list(prepared) == verdicts
        assert [state(queue, "a"), state(queue, "b")] == [State.RUNNING, State.RUNNING]
        granted = queue.claim([(MAIL, 5)], worker="w2", lease=LEASE, now=NOW + S, verdicts=prepared)
        assert (granted.settled, keys(granted.claims)) == ((True, True), ["b"])
        (ending,) = queue.endings([jid("a")], now=NOW + S)
        assert ending is not None
        assert (ending.state, ending.result) == (State.DONE, b"1")
        assert queue.settle(prepared, now=NOW + S) == [False, False]

    def test_what_is_done_meanwhile_is_done_once_before_the_claim_has_its_answer(
        self, queue: QueuePort
    ) -> None:
        add(queue, "a", "b")
        done = list[str]()
        granted = queue.claim(
            [(MAIL, 5)], worker="w1", lease=LEASE, now=NOW, meanwhile=lambda: done.append("meanwhile")
        )
        done.append("answer")
        assert keys(granted.claims) == ["a", "b"]
        assert done == ["meanwhile", "answer"]

    def test_what_was_settled_with_a_claim_is_told_verdict_by_verdict(self, queue: QueuePort) -> None:
        """Q5: of queues that are claimed from, and of others; and twice is once"""
        queue.submit([job("x", queue="other"), job("y", queue="other")], now=NOW)
        x, y = take(queue, 2, name="other")
        late = taken(queue, "a")
        queue.release([late], now=NOW)
        b = taken(queue, "a", worker="w2")
        verdicts = [(y, Done()), (late, Done()), (b, Done()), (x, Done())]
        for settled in ((True, False, True, True), (False,) * 4):
            granted = queue.claim([(MAIL, 1)], worker="w1", lease=LEASE, now=NOW, verdicts=verdicts)
            assert granted == Claimed((), None, settled)
        assert [counts.done for counts in queue.counts([MAIL, "other"], now=NOW)] == [1, 2]

    def test_tokens_only_grow_whatever_becomes_of_the_job(self, queue: QueuePort) -> None:
        """L4"""
        tokens = [(claim := taken(queue)).token]
        queue.settle([(claim, Retry(NOW, FAILED))], now=NOW)
        tokens.append((claim := taken(queue)).token)
        queue.release([claim], now=NOW)
        tokens.append((claim := taken(queue)).token)
        queue.settle([(claim, Retry(NOW, FAILED, crash=True))], now=NOW)
        tokens.append((claim := taken(queue)).token)
        queue.settle([(claim, LAST[State.DEAD])], now=NOW)
        queue.revive([claim.id], now=NOW)
        tokens.append(taken(queue).token)
        assert tokens == [1, 2, 3, 4, 5]

    def test_promotion_moves_what_is_due_in_order_of_due_time(self, queue: QueuePort) -> None:
        """Q3"""
        due = {"a": 3, "b": 1, "c": 2, "d": 9}
        queue.submit([job(key, due=NOW + n * S) for key, n in due.items()], now=NOW)
        assert queue.promote([MAIL], now=NOW, limit=10) == [Promoted(0, NOW + S)]
        assert queue.promote([MAIL], now=NOW + 3 * S, limit=2) == [Promoted(2, NOW + 3 * S)]
        assert listed(queue, State.READY) == ["b", "c"]
        assert queue.promote([MAIL], now=NOW + 3 * S, limit=2) == [Promoted(1, NOW + 9 * S)]
        assert queue.promote([MAIL], now=NOW + 9 * S, limit=2) == [Promoted(1, None)]
        assert listed(queue, State.READY) == ["b", "c", "a", "d"]

    def test_promotion_is_by_the_millisecond(self, queue: QueuePort) -> None:
        """Q9"""
        queue.submit([job("a", due=NOW + 5 * MS)], now=NOW)
        assert queue.promote([MAIL], now=NOW + 4 * MS, limit=10) == [Promoted(0, NOW + 5 * MS)]
        assert queue.promote([MAIL], now=NOW + 5 * MS, limit=10) == [Promoted(1, None)]

    def test_promotion_answers_for_each_queue(self, queue: QueuePort) -> None:
        queue.submit([job("a", queue="one", due=NOW + S), job("b", queue="two", due=NOW + 2 * S)], now=NOW)
        want = [Promoted(0, NOW + 2 * S), Promoted(0, None), Promoted(1, None)]
        assert queue.promote(["two", "none", "one"], now=NOW + S, limit=10) == want
        assert queue.promote([], now=NOW, limit=10) == []

    def test_promotion_keeps_priorities(self, queue: QueuePort) -> None:
        batch = [job(p.name, due=NOW + S - p * MS, options=Options(p)) for p in Priority]
        queue.submit(batch, now=NOW)
        assert queue.promote([MAIL], now=NOW + S, limit=10)[0].moved == len(Priority)
        assert listed(queue, State.READY) == [p.name for p in Priority]

    def test_a_thousand_due_jobs_are_promoted_at_once(self, queue: QueuePort) -> None:
        names = [f"j{n:04}" for n in range(1_000)]
        queue.submit([job(key, due=NOW + S) for key in names], now=NOW)
        moved = 0
        while (answer := queue.promote([MAIL], now=NOW + S, limit=1_000)[0]).moved:
            moved += answer.moved
        assert (moved, answer.next) == (1_000, None)
        assert listed(queue, State.READY) == names

    def test_a_paused_queue_grants_nothing_but_promotes(self, queue: QueuePort) -> None:
        """Q9"""
        queue.submit([job("a"), job("b", due=NOW + S), job("c", queue="other")], now=NOW)
        queue.pause(MAIL, Pause("maintenance"))
        granted = queue.claim([(MAIL, 5), ("other", 5)], worker="w1", lease=LEASE, now=NOW + S)
        assert keys(granted.claims) == ["c"]
        assert listed(queue, State.READY) == ["a", "b"]
        assert queue.promote([MAIL], now=NOW + S, limit=5) == [Promoted(0, None)]
        assert queue.resume(MAIL)
        assert keys(take(queue, 5, now=NOW + S)) == ["a", "b"]

    def test_a_paused_queue_promotes_by_itself_too(self, queue: QueuePort) -> None:
        queue.submit([job("b", due=NOW + S)], now=NOW)
        queue.pause(MAIL, Pause())
        assert queue.promote([MAIL], now=NOW + S, limit=5) == [Promoted(1, None)]

    def test_a_pause_with_an_end_ends_by_itself(self, queue: QueuePort) -> None:
        """Q9"""
        add(queue, "a")
        queue.pause(MAIL, Pause("lunch", NOW + S))
        assert take(queue, now=NOW + S - MS) == ()
        assert keys(take(queue, now=NOW + S)) == ["a"]

    def test_a_claim_says_when_a_pause_ends_as_it_says_when_a_job_is_due(self, queue: QueuePort) -> None:
        def next_look(now: datetime) -> datetime | None:
            return queue.claim([(MAIL, 0), ("other", 0)], worker="w1", lease=LEASE, now=now).next

        queue.pause(MAIL, Pause("for good"))
        assert next_look(NOW) is None
        queue.pause(MAIL, Pause("lunch", NOW + 2 * S))
        assert next_look(NOW) == NOW + 2 * S
        assert next_look(NOW + 2 * S) is None
        queue.submit([job("late", due=NOW + HOUR)], now=NOW)
        assert next_look(NOW) == NOW + 2 * S
        queue.submit([job("soon", due=NOW + S)], now=NOW)
        assert next_look(NOW) == NOW + S
        assert next_look(NOW + 2 * S) == NOW + HOUR

    def test_the_later_pause_is_the_one_that_holds(self, queue: QueuePort) -> None:
        add(queue, "a")
        queue.pause(MAIL, Pause("short", NOW + S))
        queue.pause(MAIL, Pause("for good"))
        assert take(queue, now=NOW + HOUR) == ()
        queue.pause(MAIL, Pause("over", NOW))
        assert keys(take(queue, now=NOW + HOUR)) == ["a"]

    def test_only_a_pause_can_be_resumed(self, queue: QueuePort) -> None:
        assert queue.resume(MAIL) is False
        queue.pause(MAIL, Pause())
        assert queue.resume("other") is False
        assert queue.resume(MAIL) is True
        assert queue.resume(MAIL) is False

    def test_what_a_worker_holds_goes_on_during_a_pause(self, queue: QueuePort) -> None:
        """Q9"""
        claim = taken(queue)
        queue.pause(MAIL, Pause())
        assert queue.extend([claim], lease=LEASE, now=NOW) == [Hold.KEPT]
        assert queue.settle([(claim, LAST[State.DONE])], now=NOW) == [True]

    def test_extending_moves_the_end_of_the_lease(self, queue: QueuePort) -> None:
        claim = taken(queue)
        assert queue.extend([claim], lease=HOUR, now=NOW + S) == [Hold.KEPT]
        assert seen(queue).until == NOW + S + HOUR
        assert queue.expired([MAIL], now=NOW + LEASE, limit=5) == []
        assert queue.extend([claim], lease=MS, now=NOW + 2 * S) == [Hold.KEPT]
        assert seen(queue).until == NOW + 2 * S + MS

    def test_a_lease_that_ran_out_can_be_extended_until_someone_settles_it(self, queue: QueuePort) -> None:
        claim = taken(queue)
        late = NOW + LEASE + HOUR
        assert queue.extend([claim], lease=LEASE, now=late) == [Hold.KEPT]
        assert queue.expired([MAIL], now=late, limit=5) == []

    def test_extending_tells_whether_to_stop(self, queue: QueuePort) -> None:
        """Q8"""
        claims = (taken(queue, "a"), taken(queue, "b"))
        queue.cancel([jid("b")], now=NOW)
        for _ in range(2):
            assert queue.extend(claims, lease=HOUR, now=NOW) == [Hold.KEPT, Hold.STOP]
        assert seen(queue, "b").until == NOW + HOUR

    def test_a_stale_token_extends_nothing(self, queue: QueuePort) -> None:
        """L4"""
        old = taken(queue)
        queue.settle([(old, Retry(NOW, FAILED, crash=True))], now=NOW)
        new = taken(queue, worker="w2")
        assert queue.extend([old], lease=HOUR, now=NOW) == [Hold.LOST]
        assert queue.extend([evolve(new, token=new.token + 1)], lease=HOUR, now=NOW) == [Hold.LOST]
        assert seen(queue).until == NOW + LEASE

    def test_another_worker_extends_nothing_under_the_same_token(self, queue: QueuePort) -> None:
        """L4"""
        claim = taken(queue)
        assert queue.extend([evolve(claim, worker="another")], lease=HOUR, now=NOW) == [Hold.LOST]
        assert queue.expired([claim.id.queue], now=claim.expires_at, limit=9) == [claim]

    def test_a_stale_token_is_not_told_to_stop(self, queue: QueuePort) -> None:
        """L4"""
        old = taken(queue)
        queue.settle([(old, Retry(NOW, FAILED, crash=True))], now=NOW)
        taken(queue, worker="w2")
        queue.cancel([jid()], now=NOW)
        assert queue.extend([old], lease=HOUR, now=NOW) == [Hold.LOST]

    @pytest.mark.parametrize("where", [s for s in State if s is not State.RUNNING])
    def test_what_is_not_leased_is_lost(self, queue: QueuePort, where: State) -> None:
        claim = taken(queue)
        send(queue, claim, where)
        before = queue.get([jid()], now=NOW)
        assert queue.extend([claim], lease=HOUR, now=NOW) == [Hold.LOST]
        assert queue.get([jid()], now=NOW) == before
        assert listed(queue, State.RUNNING) == []

    def test_a_job_that_never_was_is_lost(self, queue: QueuePort) -> None:
        claim = taken(queue)
        ghost = evolve(claim, job=job("ghost"))
        stray = evolve(claim, job=job("a", queue="other"))
        assert queue.extend([ghost, claim, stray], lease=LEASE, now=NOW) == [Hold.LOST, Hold.KEPT, Hold.LOST]
        assert queue.extend([], lease=LEASE, now=NOW) == []

    def test_extensions_are_answered_in_order_over_queues(self, queue: QueuePort) -> None:
        queue.submit([job(f"{q}{n}", queue=q) for n in range(3) for q in "xyz"], now=NOW)
        claims = queue.claim([("z", 3), ("x", 3), ("y", 3)], worker="w1", lease=LEASE, now=NOW).claims
        mixed = sorted(claims, key=lambda claim: claim.id.key[1])
        lost = [claim for claim in mixed if claim.id.key in ("x1", "z2")]
        queue.release(lost, now=NOW)
        want = [Hold.LOST if claim in lost else Hold.KEPT for claim in mixed]
        assert queue.extend(mixed, lease=LEASE, now=NOW) == want

    def test_a_thousand_leases_are_extended_at_once(self, queue: QueuePort) -> None:
        add(queue, *(f"j{n}" for n in range(1_000)))
        claims = take(queue, 1_000)
        queue.cancel([claims[777].id], now=NOW)
        queue.release([claims[333]], now=NOW)
        holds = queue.extend(claims, lease=HOUR, now=NOW)
        assert [n for n, hold in enumerate(holds) if hold is Hold.STOP] == [777]
        assert [n for n, hold in enumerate(holds) if hold is Hold.LOST] == [333]
        assert queue.expired([MAIL], now=NOW + HOUR - MS, limit=5) == []

    def test_a_lease_that_ran_out_is_found_by_the_millisecond(self, queue: QueuePort) -> None:
        """L1"""
        claim = taken(queue)
        assert queue.expired([MAIL], now=NOW + LEASE - MS, limit=5) == []
        assert queue.expired([MAIL], now=NOW + LEASE, limit=5) == [claim]

    def test_looking_for_expired_leases_changes_nothing(self, queue: QueuePort) -> None:
        claim = taken(queue)
        late = NOW + LEASE + S
        for _ in range(2):
            assert queue.expired([MAIL], now=late, limit=5) == [claim]
        assert queue.settle([(claim, LAST[State.DONE])], now=late) == [True]
        assert queue.expired([MAIL], now=late, limit=5) == []

    def test_expired_leases_come_longest_overdue_first_and_at_most_so_many_a_queue(
        self, queue: QueuePort
    ) -> None:
        for n, (name, key) in enumerate([(MAIL, "c"), (MAIL, "a"), ("other", "o"), (MAIL, "b")]):
            queue.submit([job(key, queue=name)], now=NOW)
            take(queue, name=name, now=NOW + n * S)
        late = NOW + HOUR
        assert keys(queue.expired([MAIL, "none", "other"], now=late, limit=2)) == ["c", "a", "o"]
        assert keys(queue.expired(["other", MAIL], now=late, limit=5)) == ["o", "c", "a", "b"]
        assert queue.expired([], now=late, limit=5) == []

    def test_an_expired_claim_knows_its_history(self, queue: QueuePort) -> None:
        """L3"""
        queue.settle([(taken(queue), Retry(NOW, FAILED, crash=True))], now=NOW)
        queue.settle([(taken(queue), Retry(NOW, FAILED))], now=NOW)
        claim = taken(queue, worker="w7")
        assert (claim.token, claim.attempt, claim.crashes, claim.worker) == (3, 2, 1, "w7")
        assert queue.expired([MAIL], now=NOW + LEASE, limit=5) == [claim]
