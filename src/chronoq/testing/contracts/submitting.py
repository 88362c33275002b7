"""Submission: what is stored, what is refused, and what the second time is told."""

from datetime import timedelta

import pytest

from chronoq.domain.job import LIVE, Options, Origin, Priority, State
from chronoq.domain.ports import Cancel, QueuePort, Submitted
from chronoq.domain.retry import RetryPolicy
from chronoq.domain.verdict import Retry
from chronoq.testing.contracts.chapter import Chapter
from chronoq.testing.contracts.values import (
    FAILED,
    HOUR,
    MAIL,
    MS,
    NOW,
    TICK,
    S,
    add,
    bring,
    jid,
    jids,
    job,
    keys,
    listed,
    seen,
    state,
    take,
    taken,
)

ACCEPTED, DUPLICATE, CONFLICT, FULL = Submitted
EVERYWHERE = pytest.mark.parametrize("where", State)
WHILE_LIVE = pytest.mark.parametrize("where", LIVE)


class Submitting(Chapter):
    def test_a_job_that_is_due_is_ready(self, queue: QueuePort) -> None:
        assert queue.submit([job("a", due=NOW), job("b", due=NOW - HOUR)], now=NOW) == [ACCEPTED, ACCEPTED]
        assert listed(queue, State.READY) == ["a", "b"]

    def test_a_job_for_later_is_delayed(self, queue: QueuePort) -> None:
        """Q7"""
        assert queue.submit([job(due=NOW + MS)], now=NOW) == [ACCEPTED]
        found = seen(queue)
        assert (found.state, found.until) == (State.DELAYED, NOW + MS)

    def test_nothing_to_submit_is_no_trouble(self, queue: QueuePort) -> None:
        assert queue.submit([], now=NOW) == []

    @EVERYWHERE
    def test_the_same_job_again_is_a_duplicate_wherever_it_is(self, queue: QueuePort, where: State) -> None:
        """Q4"""
        bring(queue, where)
        before = queue.get([jid()], now=NOW), queue.counts([MAIL], now=NOW)
        for _ in range(3):
            assert queue.submit([job()], now=NOW) == [DUPLICATE]
        assert (queue.get([jid()], now=NOW), queue.counts([MAIL], now=NOW)) == before

    @EVERYWHERE
    @pytest.mark.parametrize("other", [job(task="other"), job(payload=b"[[1],{}]")], ids=["task", "payload"])
    def test_the_same_id_for_other_work_is_a_conflict_wherever_it_is(
        self, queue: QueuePort, where: State, other: object
    ) -> None:
        """Q4"""
        bring(queue, where)
        before = queue.get([jid()], now=NOW), queue.counts([MAIL], now=NOW)
        assert queue.submit([other], now=NOW) == [CONFLICT]  # type: ignore[list-item]  # pytest hands over objects
        assert (queue.get([jid()], now=NOW), queue.counts([MAIL], now=NOW)) == before

    @EVERYWHERE
    def test_another_due_time_or_priority_is_no_conflict(self, queue: QueuePort, where: State) -> None:
        """Q4"""
        bring(queue, where)
        again = job(due=NOW + HOUR, options=Options(Priority.LOW, timeout=S))
        assert queue.submit([again], now=NOW) == [DUPLICATE]
        assert state(queue) is where

    @pytest.mark.parametrize("first", [NOW, NOW + HOUR], ids=["due", "later"])
    def test_a_batch_is_answered_as_if_one_came_after_the_other(
        self, queue: QueuePort, first: object
    ) -> None:
        batch = [job("a", due=first), job("a"), job("a", task="other"), job("b")]  # type: ignore[arg-type]  # pytest hands over objects
        assert queue.submit(batch, now=NOW) == [ACCEPTED, DUPLICATE, CONFLICT, ACCEPTED]
        assert queue.counts([MAIL], now=NOW)[0].accepted == 2

    def test_the_answers_come_in_the_order_of_the_questions(self, queue: QueuePort) -> None:
        add(queue, "old")
        batch = [
            job("a", queue="z"),
            job("old"),
            job("b", queue="a"),
            job("old", task="other"),
            job("c", queue="z"),
            job("old", queue="z"),
            job("d"),
        ]
        assert queue.submit(batch, now=NOW, room={"z": 2}) == [
            ACCEPTED,
            DUPLICATE,
            ACCEPTED,
            CONFLICT,
            ACCEPTED,
            FULL,
            ACCEPTED,
        ]
        assert listed(queue, State.READY, name="z") == ["a", "c"]
        assert listed(queue, State.READY, name="a") == ["b"]
        assert listed(queue, State.READY) == ["old", "d"]

    def test_the_same_key_in_two_queues_names_two_jobs(self, queue: QueuePort) -> None:
        assert queue.submit([job(queue="one"), job(queue="two", task="other")], now=NOW) == [
            ACCEPTED,
            ACCEPTED,
        ]
        assert [counts.ready for counts in queue.counts(["one", "two"], now=NOW)] == [1, 1]

    @pytest.mark.parametrize("where", [State.DONE, State.CANCELLED, State.EXPIRED])
    def test_an_id_is_taken_for_as_long_as_its_ending_is_remembered(
        self, queue: QueuePort, where: State
    ) -> None:
        """Q4"""
        options = Options(result_ttl=10 * S, remember=90 * S)
        bring(queue, where, job(options=options))
        assert queue.submit([job()], now=NOW + 90 * S - MS) == [DUPLICATE]
        assert queue.submit([job(task="other")], now=NOW + 90 * S - MS) == [CONFLICT]
        again = job(task="other", options=Options(Priority.LOW))
        assert queue.submit([again], now=NOW + 90 * S) == [ACCEPTED]
        assert seen(queue, now=NOW + 90 * S).job == again
        assert queue.endings([jid()], now=NOW + 90 * S) == [None]

    @pytest.mark.parametrize("where", [State.DONE, State.CANCELLED, State.EXPIRED])
    def test_an_id_is_taken_by_an_ending_also_among_new_ones(self, queue: QueuePort, where: State) -> None:
        """Q4"""
        bring(queue, where, job(options=Options(remember=2 * HOUR)))
        late = NOW + 2 * HOUR
        assert queue.submit([job("b"), job(), job("c")], now=late - MS) == [ACCEPTED, DUPLICATE, ACCEPTED]
        assert queue.submit([job(task="other"), job("d")], now=late - MS) == [CONFLICT, ACCEPTED]
        assert queue.submit([job("e"), job(task="other")], now=late) == [ACCEPTED, ACCEPTED]
        assert listed(queue, State.READY) == list("bcdea")
        assert seen(queue, now=late).job.task == "other"

    @pytest.mark.parametrize("names", ["a", "abc"])
    def test_what_is_done_meanwhile_is_done_once_before_a_submission_has_its_answer(
        self, queue: QueuePort, names: str
    ) -> None:
        done = list[str]()
        for _ in range(2):  # the first time on this queue, and later
            queue.submit([job(name) for name in names], now=NOW, meanwhile=lambda: done.append("meanwhile"))
            done.append("answer")
        assert done == ["meanwhile", "answer"] * 2

    def test_every_id_is_remembered_for_a_minute_at_least(self, queue: QueuePort) -> None:
        bring(queue, State.DONE, job(options=Options(result_ttl=timedelta(0))))
        assert queue.submit([job()], now=NOW + 60 * S - MS) == [DUPLICATE]
        assert queue.submit([job()], now=NOW + 60 * S) == [ACCEPTED]

    def test_a_dead_letter_is_never_forgotten(self, queue: QueuePort) -> None:
        bring(queue, State.DEAD)
        assert queue.submit([job()], now=NOW + 24 * 365 * HOUR) == [DUPLICATE]

    def test_a_job_cancelled_while_ready_does_not_come_back_under_its_id(self, queue: QueuePort) -> None:
        """Q8: also when that is forgotten before anyone claims; until then the id may stay taken"""
        bring(queue, State.READY)
        assert queue.cancel([jid()], now=NOW) == [Cancel.CANCELLED]
        later = NOW + 2 * HOUR
        answer = queue.submit([job()], now=later)
        assert answer in ([DUPLICATE], [ACCEPTED])
        assert keys(take(queue, 5, now=later)) == (["a"] if answer == [ACCEPTED] else [])
        assert queue.submit([job()], now=later) == ([DUPLICATE] if answer == [ACCEPTED] else [ACCEPTED])

    def test_an_id_that_was_cancelled_twice_while_ready_never_starts(self, queue: QueuePort) -> None:
        """Q8: the second time it may stand where the first one still does"""
        bring(queue, State.READY)
        queue.cancel([jid()], now=NOW)
        later = NOW + 2 * HOUR
        queue.submit([job()], now=later)
        queue.cancel([jid()], now=later)
        assert take(queue, 5, now=later) == ()
        assert queue.counts([MAIL], now=later)[0].balanced

    def test_an_id_that_was_cancelled_while_ready_is_free_when_it_is_forgotten_and_passed_over(
        self, queue: QueuePort
    ) -> None:
        bring(queue, State.READY)
        queue.cancel([jid()], now=NOW)
        assert take(queue, 5) == ()
        assert queue.submit([job()], now=NOW + HOUR - MS) == [DUPLICATE]
        assert queue.submit([job()], now=NOW + HOUR) == [ACCEPTED]
        assert keys(take(queue, 5, now=NOW + HOUR)) == ["a"]

    @WHILE_LIVE
    def test_a_queue_is_full_when_its_live_jobs_fill_the_room(self, queue: QueuePort, where: State) -> None:
        bring(queue, where)
        before = queue.counts([MAIL], now=NOW)
        assert queue.submit([job("b")], now=NOW, room={MAIL: 1}) == [FULL]
        assert (queue.get([jid("b")], now=NOW), queue.counts([MAIL], now=NOW)) == ([None], before)
        assert queue.submit([job("b")], now=NOW, room={MAIL: 2}) == [ACCEPTED]

    @pytest.mark.parametrize("where", [State.DONE, State.CANCELLED, State.EXPIRED])
    def test_a_job_that_ended_takes_no_room(self, queue: QueuePort, where: State) -> None:
        bring(queue, where)
        assert queue.submit([job("b")], now=NOW, room={MAIL: 1}) == [ACCEPTED]

    def test_a_job_cancelled_while_ready_takes_no_room(self, queue: QueuePort) -> None:
        bring(queue, State.READY)
        queue.cancel([jid()], now=NOW)
        assert queue.submit([job("b")], now=NOW, room={MAIL: 1}) == [ACCEPTED]

    def test_the_room_is_filled_in_order(self, queue: QueuePort) -> None:
        batch = [job("a", due=NOW + HOUR), job("a"), job("b"), job("c"), job("b"), job("b", task="other")]
        answers = queue.submit(batch, now=NOW, room={MAIL: 2})
        assert answers == [ACCEPTED, DUPLICATE, ACCEPTED, FULL, DUPLICATE, CONFLICT]

    def test_a_full_queue_still_knows_its_own(self, queue: QueuePort) -> None:
        """Q4: a replay hears the same answer"""
        bring(queue, State.DONE, job("done"))
        add(queue, "a")
        again = [job("a"), job("a", task="other"), job("done"), job("new")]
        assert queue.submit(again, now=NOW, room={MAIL: 1}) == [DUPLICATE, CONFLICT, DUPLICATE, FULL]

    def test_room_is_for_the_queue_that_it_names(self, queue: QueuePort) -> None:
        batch = [job("a"), job("a", queue="other"), job("b", queue="other")]
        assert queue.submit(batch, now=NOW, room={MAIL: 0, "third": 0}) == [FULL, ACCEPTED, ACCEPTED]

    def test_everything_in_a_job_arrives(self, queue: QueuePort) -> None:
        retry = RetryPolicy(
            7,
            (S, 90 * MS),
            factor=1.5,
            cap=HOUR,
            jitter=False,
            retry_on=("OSError",),
            give_up_on=("KeyError",),
        )
        options = Options(
            Priority.CRITICAL,
            retry,
            timeout=250 * MS,
            expires=HOUR,
            result_ttl=3 * S,
            remember=5 * HOUR,
            meta=b'{"x":1}',
        )
        origin = Origin(TICK, NOW, NOW - HOUR, NOW + MS)
        new = job(
            "A.z_0-9@1+b", payload=b'[[1.5],{"k":null}]', due=NOW - 7 * MS, options=options, origin=origin
        )
        plain = job("plain", origin=Origin(TICK, NOW))
        queue.submit([new, plain], now=NOW)
        assert [found and found.job for found in queue.get([new.id, plain.id], now=NOW)] == [new, plain]
        assert [claim.job for claim in take(queue, 2)] == [new, plain]

    @pytest.mark.parametrize(
        "payload",
        [
            b"[]",
            b'[[],{"a":[]}]',
            b"[[9007199254740993,18446744073709551615,1e400,-0.0],{}]",
            '[["žluťoučký \U0001f40e \\u0000 \u2028"],{}]'.encode(),
            b'[["' + b"x" * 1_000_000 + b'"],{}]',
        ],
        ids=["list", "empty list within", "numbers", "unicode", "a million bytes"],
    )
    def test_a_payload_comes_back_byte_for_byte(self, queue: QueuePort, payload: bytes) -> None:
        new = job(payload=payload)
        assert queue.submit([new], now=NOW) == [ACCEPTED]
        assert queue.submit([new], now=NOW) == [DUPLICATE]
        assert seen(queue).job == new
        claim = taken(queue)
        assert claim.job == new
        queue.settle([(claim, Retry(NOW, FAILED))], now=NOW)
        assert taken(queue).job == new

    def test_a_thousand_jobs_go_in_at_once(self, queue: QueuePort) -> None:
        """Q11: and come out in order"""
        batch = [job(f"j{n}") for n in range(1_000)]
        assert queue.submit([*batch, job("j999"), job("j0", task="other")], now=NOW) == [
            *[ACCEPTED] * 1_000,
            DUPLICATE,
            CONFLICT,
        ]
        assert queue.submit(batch, now=NOW) == [DUPLICATE] * 1_000
        assert [
            found and found.job for found in queue.get(jids(f"j{n}" for n in range(1_000)), now=NOW)
        ] == batch
        assert keys(take(queue, 1_000)) == [f"j{n}" for n in range(1_000)]

    def test_a_thousand_jobs_for_later_go_in_at_once(self, queue: QueuePort) -> None:
        batch = [job(f"j{n}", due=NOW + (1_000 - n) * MS) for n in range(1_000)]
        assert queue.submit(batch, now=NOW, room={MAIL: 900}) == [ACCEPTED] * 900 + [FULL] * 100
        assert listed(queue, State.DELAYED) == [f"j{n}" for n in range(899, -1, -1)]

    def test_a_thousand_queues_are_not_mixed_up(self, queue: QueuePort) -> None:
        names = [f"q{n % 50:02}" for n in range(500)]
        assert (
            queue.submit([job(f"j{n}", queue=name) for n, name in enumerate(names)], now=NOW)
            == [ACCEPTED] * 500
        )
        for n, name in enumerate(sorted(set(names))):
            assert listed(queue, State.READY, name=name) == [f"j{m}" for m in range(n, 500, 50)]
