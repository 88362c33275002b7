"""Many at once: each transition is one step, so of several that race for a job one wins."""

from collections import Counter
from functools import partial

from chronoq.domain.job import Claim, State
from chronoq.domain.ports import Cancel, QueuePort, Submitted
from chronoq.domain.verdict import Dead, Done
from chronoq.testing.contracts.chapter import Chapter
from chronoq.testing.contracts.values import (
    FAILED,
    LEASE,
    MAIL,
    NOW,
    add,
    jids,
    job,
    keys,
    listed,
    take,
    taken,
    together,
)

MANY = 8


class Racing(Chapter):
    def test_each_job_is_granted_to_one_of_many_workers(self, queue: QueuePort) -> None:
        """Q2"""
        names = [f"j{n}" for n in range(200)]
        add(queue, *names)

        def work(worker: str) -> list[Claim]:
            mine: list[Claim] = []
            while granted := queue.claim([(MAIL, 3)], worker=worker, lease=LEASE, now=NOW).claims:
                mine += granted
            return mine

        shares = together([partial(work, f"w{n}") for n in range(MANY)])
        assert Counter(keys(c for share in shares for c in share)) == Counter(names)
        assert all(claim.worker == f"w{n}" for n, share in enumerate(shares) for claim in share)

    def test_each_job_is_promoted_and_granted_once(self, queue: QueuePort) -> None:
        """Q3"""
        names = [f"j{n}" for n in range(100)]
        queue.submit([job(key, due=NOW + LEASE) for key in names], now=NOW)
        late = NOW + LEASE

        def promote() -> list[str]:
            queue.promote([MAIL], now=late, limit=7)
            return []

        def work() -> list[str]:
            mine: list[str] = []
            while granted := take(queue, 2, now=late):
                mine += keys(granted)
            return mine

        shares = together([work, promote] * (MANY // 2))
        assert Counter(key for share in shares for key in share) == Counter(names)

    def test_of_many_submissions_of_one_id_one_is_accepted(self, queue: QueuePort) -> None:
        """Q4"""
        names = [f"j{n}" for n in range(20)]
        answers = together([lambda: queue.submit([job(key) for key in names], now=NOW)] * MANY)
        for told in zip(*answers, strict=True):
            assert Counter(told) == {Submitted.ACCEPTED: 1, Submitted.DUPLICATE: MANY - 1}
        assert sorted(listed(queue, State.READY)) == sorted(names)

    def test_many_submissions_do_not_overfill_a_queue(self, queue: QueuePort) -> None:
        calls = [
            partial(queue.submit, [job(f"w{n}j{m}") for m in range(10)], now=NOW, room={MAIL: 25})
            for n in range(MANY)
        ]
        answers = together(calls)
        assert Counter(answer for told in answers for answer in told) == {
            Submitted.ACCEPTED: 25,
            Submitted.FULL: 55,
        }

    def test_cancel_against_claim_has_one_winner(self, queue: QueuePort) -> None:
        """Q8"""
        names = [f"j{n}" for n in range(150)]
        add(queue, *names)
        granted: list[str] = []
        told: list[Cancel] = []

        def work() -> None:
            while len(granted) + told.count(Cancel.CANCELLED) < len(names):
                granted.extend(keys(take(queue, 1)))

        def cancel() -> None:
            for one in reversed(jids(names)):
                told.extend(queue.cancel([one], now=NOW))

        together([work, cancel])
        cancelled = {
            key for key, answer in zip(reversed(names), told, strict=True) if answer is Cancel.CANCELLED
        }
        asked = {key for key, answer in zip(reversed(names), told, strict=True) if answer is Cancel.ASKED}
        assert (cancelled | set(granted), cancelled & set(granted)) == (set(names), set())
        assert asked <= set(granted)
        assert set(listed(queue, State.CANCELLED, limit=200)) == cancelled

    def test_of_many_verdicts_one_wins(self, queue: QueuePort) -> None:
        """Q5"""
        claims = [taken(queue, f"j{n}") for n in range(20)]
        verdicts = [Done(str(n).encode()) if n % 2 else Dead(FAILED) for n in range(MANY)]
        answers = together(
            [partial(queue.settle, [(claim, verdict) for claim in claims], now=NOW) for verdict in verdicts]
        )
        endings = queue.endings([claim.id for claim in claims], now=NOW)
        for told, ending in zip(zip(*answers, strict=True), endings, strict=True):
            assert told.count(True) == 1
            verdict = verdicts[told.index(True)]
            assert ending is not None
            assert ending.result == (verdict.result if isinstance(verdict, Done) else b"")
