"""Waiting with a claim in one's hand. A backend may also only wait: then whoever waited claims."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from threading import Barrier

from chronoq.domain.job import Claim, Pause, State
from chronoq.domain.ports import Claimed, QueuePort
from chronoq.domain.verdict import Retry
from chronoq.testing.contracts.chapter import Chapter
from chronoq.testing.contracts.values import (
    FAILED,
    HOUR,
    LEASE,
    MAIL,
    NOW,
    PATIENCE,
    Background,
    S,
    add,
    job,
    keys,
    seen,
    state,
    take,
    taken,
)

LONG = 8 * S
"""More than who waits has to be woken within."""
SHORT = timedelta(milliseconds=30)


class LongPolling(Chapter):
    def test_who_waits_with_a_claim_has_the_work_that_comes(self, queue: QueuePort) -> None:
        waiter = Background(partial(_wait, queue))
        add(queue, "a", "b")
        (claim,) = _claims(queue, waiter.answer())
        assert (claim.id.key, claim.token, claim.attempt, claim.worker) == ("a", 1, 1, "w1")
        assert seen(queue).worker == "w1"
        assert keys(take(queue, 2)) == ["b"]

    def test_who_comes_after_the_work_has_it_at_once(self, queue: QueuePort) -> None:
        add(queue, "a")
        assert keys(_claims(queue, _wait(queue))) == ["a"]

    def test_of_several_queues_each_may_give(self, queue: QueuePort) -> None:
        waiter = Background(partial(_wait, queue, wants=[("other", 1), (MAIL, 1)]))
        queue.submit([job("x", queue="other"), job("a")], now=NOW)
        claims = _claims(queue, waiter.answer(), [("other", 1), (MAIL, 1)])
        assert set(keys(claims)) == {"x", "a"}

    def test_a_lease_lasts_from_the_end_of_the_longest_wait_on(self, queue: QueuePort) -> None:
        waiter = Background(partial(_wait, queue))
        add(queue, "a")
        if (answer := waiter.answer()) is None:
            return  # it only waits
        (claim,) = answer.claims
        assert claim.expires_at == NOW + LONG + LEASE == seen(queue).until
        assert queue.expired([MAIL], now=NOW + LONG + LEASE - timedelta(milliseconds=1), limit=9) == []
        assert keys(queue.expired([MAIL], now=NOW + LONG + LEASE, limit=9)) == ["a"]

    def test_who_waits_with_a_claim_has_nothing_early(self, queue: QueuePort) -> None:
        queue.submit([job("later", due=NOW + S)], now=NOW)
        answer = _wait(queue, timeout=SHORT)
        assert answer is None or (list(answer.claims), answer.next) == ([], NOW + S)
        assert state(queue, "later") is State.DELAYED

    def test_who_waits_with_a_claim_has_nothing_of_a_paused_queue(self, queue: QueuePort) -> None:
        """Q9"""
        add(queue, "a")
        queue.pause(MAIL, Pause())
        answer = _wait(queue, timeout=SHORT)
        assert answer is None or not answer.claims
        assert state(queue) is State.READY

    def test_a_suspect_that_comes_is_known_as_one(self, queue: QueuePort) -> None:
        queue.settle([(taken(queue), Retry(NOW, FAILED, crash=True))], now=NOW)
        (claim,) = _claims(queue, _wait(queue))
        assert (claim.token, claim.attempt, claim.crashes) == (2, 1, 1)

    def test_waiting_with_a_claim_comes_to_an_end(self, queue: QueuePort) -> None:
        for timeout in (SHORT, timedelta(0), timedelta(microseconds=1)):
            answer = Background(partial(_wait, queue, timeout=timeout)).answer()
            assert answer is None or not answer.claims

    def test_who_is_called_back_is_granted_nothing_more(self, queue: QueuePort) -> None:
        waiter = Background(partial(_wait, queue, timeout=S))
        queue.recall("w1")
        if (answer := waiter.answer(within=PATIENCE)) is not None:
            assert not answer.claims
        add(queue, "a")
        assert state(queue) is State.READY
        answer = Background(partial(_wait, queue, timeout=SHORT)).answer()
        assert answer is None or not answer.claims
        assert keys(take(queue)) == ["a"]

    def test_one_worker_is_called_back_and_the_others_wait_on(self, queue: QueuePort) -> None:
        waiter = Background(partial(_wait, queue, worker="w2"))
        queue.recall("w1")
        add(queue, "a")
        assert keys(_claims(queue, waiter.answer(), worker="w2")) == ["a"]

    def test_what_comes_while_its_worker_is_called_back_is_granted_or_ready(self, queue: QueuePort) -> None:
        """Nothing is granted that nobody hears of: it would wait for the end of its lease, as after a crash."""
        for number in range(40):
            worker, start = f"w{number}", Barrier(2)
            waiter = Background(partial(_wait, queue, worker=worker))
            caller = Background(partial(_call_back, queue, worker, start))
            start.wait()
            add(queue, f"j{number}")
            coming = caller.answer()
            answer = waiter.answer(within=PATIENCE)
            granted = keys(answer.claims) if answer else []
            assert coming or not granted, "nobody would wait for it"
            assert granted in ([], [f"j{number}"])
            assert state(queue, f"j{number}") is (State.RUNNING if granted else State.READY)
            assert len(granted) + len(take(queue, 9, worker="other")) == 1
            assert queue.counts([MAIL], now=NOW + HOUR)[0].running == number + 1


def _call_back(queue: QueuePort, worker: str, start: Barrier) -> bool:
    start.wait()
    return queue.recall(worker)


def _wait(
    queue: QueuePort,
    *,
    wants: Sequence[tuple[str, int]] = ((MAIL, 1),),
    worker: str = "w1",
    timeout: timedelta = LONG,
) -> Claimed | None:
    return queue.wait_claim(wants, worker=worker, lease=LEASE, now=NOW, timeout=timeout)


def _claims(
    queue: QueuePort,
    answer: Claimed | None,
    wants: Sequence[tuple[str, int]] = ((MAIL, 1),),
    worker: str = "w1",
) -> list[Claim]:
    """What was claimed with the wait, or is now, where a backend only waits."""
    more = (
        wants
        if answer is None
        else [(name, 1 - sum(claim.id.queue == name for claim in answer.claims)) for name, _ in wants]
    )
    rest = queue.claim(more, worker=worker, lease=LEASE, now=NOW).claims
    return [*(answer.claims if answer else ()), *rest]
