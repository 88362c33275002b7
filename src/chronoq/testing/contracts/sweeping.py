"""A sweep of what is sound: it changes nothing, disturbs nobody, and comes to an end (L6)."""

from collections.abc import Callable

import pytest

from chronoq.domain.job import LIVE, State
from chronoq.domain.ports import Backend, QueuePort
from chronoq.domain.sweep import Mended, Swept
from chronoq.domain.verdict import Done
from chronoq.testing.contracts.chapter import Chapter
from chronoq.testing.contracts.values import (
    HOUR,
    MAIL,
    NOW,
    add,
    bring,
    firing,
    jid,
    job,
    keys,
    listed,
    run,
    schedule,
    take,
    together,
)
from chronoq.testing.contracts.values import cursor as at


def sweep(step: Callable[..., Swept], limit: int = 500) -> Swept:
    """A whole round, as if it were one step."""
    mended: list[Mended] = []
    lost, mark = 0, ""
    for _ in range(10_000):
        swept = step(MAIL, now=NOW, mark=mark, limit=limit)
        mended += swept.mended
        lost += swept.lost
        mark = swept.mark
        if not mark:
            return Swept(tuple(mended), lost)
    raise AssertionError("the round never came to an end")


class Sweeping(Chapter):
    @pytest.mark.parametrize("limit", [1, 500])
    def test_a_sweep_of_what_is_sound_changes_nothing(self, backend: Backend, limit: int) -> None:
        """Q1, L6"""
        queue, store = backend.queue, backend.store
        for place in (*LIVE, State.DONE, State.CANCELLED):
            if place is not State.READY:
                bring(queue, place, job(place.value))
        add(queue, *"abc")
        queue.cancel([jid("b"), jid("running")], now=NOW)
        assert store.put(schedule(), cursor=at(), expected=None, now=NOW)
        (stored,) = store.find(MAIL)
        store.fire([firing(stored, run(), held=True)], fence=None, now=NOW)
        before = {place: listed(queue, place) for place in State}
        figures, plans, live = queue.counts([MAIL], now=NOW), store.find(MAIL), store.live(stored.id)

        assert sweep(queue.sweep, limit) == Swept()
        assert sweep(store.sweep, limit) == Swept()

        assert {place: listed(queue, place) for place in State} == before
        assert (queue.counts([MAIL], now=NOW), store.find(MAIL), store.live(stored.id)) == (
            figures,
            plans,
            live,
        )
        assert keys(take(queue, 9)) == ["a", "c", run().id.key]

    def test_a_queue_that_never_was_stays_so(self, backend: Backend) -> None:
        assert sweep(backend.queue.sweep) == sweep(backend.store.sweep) == Swept()
        assert backend.queue.queues() == []

    def test_sweeping_beside_the_workers_makes_no_job_run_twice(self, queue: QueuePort) -> None:
        """Q1, Q2"""
        names = [f"j{n}" for n in range(120)]
        add(queue, *names[:60])
        queue.submit([job(key, due=NOW + HOUR) for key in names[60:]], now=NOW)

        def work() -> list[str]:
            ran: list[str] = []
            for _ in range(12):
                claims = take(queue, 5, now=NOW + HOUR)
                queue.release(claims[4:], now=NOW)
                done = queue.settle([(claim, Done()) for claim in claims[:4]], now=NOW + HOUR)
                ran += [claim.id.key for claim, yes in zip(claims, done, strict=False) if yes]
            return ran

        def clean() -> list[str]:
            return [one.key for _ in range(6) for one in sweep(queue.sweep, 10).mended]

        first, second, third, *mended = together([work, work, work, clean, clean])
        ran = first + second + third + work()
        assert len(ran) == len(set(ran)) == 120
        assert mended == [[], []]
