"""Waiting: who waits is woken. Hints may come early or be missed, so callers look again after each."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from time import monotonic

import pytest
from attrs import evolve

from chronoq.domain.identity import JobId
from chronoq.domain.job import Claim, Pause, Snapshot, State
from chronoq.domain.ports import BROUGHT, Backend, Fired, QueuePort
from chronoq.domain.schedule import Firing, Stored
from chronoq.domain.verdict import Done, Retry, Snooze
from chronoq.testing.contracts.chapter import Chapter
from chronoq.testing.contracts.values import (
    FAILED,
    HOUR,
    LAST,
    MAIL,
    MS,
    NOW,
    PATIENCE,
    TICK,
    Background,
    S,
    add,
    bring,
    cursor,
    firing,
    jid,
    jids,
    job,
    keys,
    large,
    run,
    schedule,
    take,
    taken,
)

Deed = Callable[[Backend], object]
SHORT = timedelta(milliseconds=30)


def _submit(backend: Backend) -> None:
    backend.queue.submit([job("new")], now=NOW)


def _promote(backend: Backend) -> None:
    backend.queue.promote([MAIL], now=NOW + HOUR, limit=5)


def _revive(backend: Backend) -> None:
    backend.queue.revive([jid("dead")], now=NOW)


def _fire(backend: Backend) -> None:
    backend.store.fire([firing(_plan(backend), run())], fence=None, now=NOW)


class Waiting(Chapter):
    @pytest.mark.parametrize("deed", [_submit, _promote, _revive, _fire])
    def test_who_waits_for_work_is_woken(self, backend: Backend, deed: Deed) -> None:
        queue = backend.queue
        bring(queue, State.DEAD, job("dead"))
        queue.submit([job("later", due=NOW + HOUR)], now=NOW)
        backend.store.put(schedule(), cursor=cursor(), expected=None, now=NOW)
        take(queue)
        queue.wait_ready([MAIL], timeout=SHORT)
        waiter = Background(lambda: queue.wait_ready(["other", MAIL], timeout=PATIENCE))
        deed(backend)
        waiter.answer()

    @pytest.mark.parametrize("verb", ["release", "retry", "snooze"])
    def test_who_waits_for_work_is_woken_by_what_is_given_back(self, queue: QueuePort, verb: str) -> None:
        claim = taken(queue)
        take(queue)
        queue.wait_ready([MAIL], timeout=SHORT)
        waiter = Background(lambda: queue.wait_ready([MAIL], timeout=PATIENCE))
        if verb == "release":
            queue.release([claim], now=NOW)
        else:
            queue.settle([(claim, Retry(NOW, FAILED) if verb == "retry" else Snooze(NOW))], now=NOW)
        waiter.answer()

    def test_who_comes_after_the_work_does_not_wait(self, queue: QueuePort) -> None:
        add(queue, "a")
        Background(lambda: queue.wait_ready([MAIL], timeout=PATIENCE)).answer()

    def test_what_a_claim_leaves_for_its_weight_is_somebodys_to_hear_of(self, queue: QueuePort) -> None:
        queue.submit([job(key, payload=large(3 * BROUGHT // 4)) for key in ("a", "b")], now=NOW)
        assert keys(take(queue, 5)) == ["a"]
        Background(lambda: queue.wait_ready([MAIL], timeout=PATIENCE)).answer()

    @pytest.mark.parametrize("verb", ["submit", "promote", "claim", "revive", "release", "resume", "fire"])
    def test_every_one_of_several_waiters_is_woken_when_there_is_work_for_each(
        self, backend: Backend, verb: str
    ) -> None:
        queue, names, later = backend.queue, [f"j{n}" for n in range(4)], NOW + HOUR
        claims: Sequence[Claim] = ()
        match verb:
            case "promote" | "claim":
                queue.submit([job(key, due=later) for key in names], now=NOW)
            case "revive":
                add(queue, *names)
                queue.settle([(claim, LAST[State.DEAD]) for claim in take(queue, 4)], now=NOW)
            case "release":
                add(queue, *names)
                claims = take(queue, 4)
            case "resume":
                queue.pause(MAIL, Pause())
                add(queue, *names)
            case "fire":
                backend.store.put(schedule(), cursor=cursor(), expected=None, now=NOW)
        _forget(queue)
        waiters = [Background(lambda: queue.wait_ready([MAIL], timeout=PATIENCE)) for _ in names]
        match verb:
            case "submit":
                add(queue, *names)
            case "promote":
                queue.promote([MAIL], now=later, limit=5)
            case "claim":
                take(queue, 0, now=later)
            case "revive":
                queue.revive(jids(names), now=NOW)
            case "release":
                queue.release(claims, now=NOW)
            case "resume":
                queue.resume(MAIL)
            case _:
                made = [run(nominal=NOW + n * S, due=NOW) for n in range(4)]
                backend.store.fire([firing(_plan(backend), *made)], fence=None, now=NOW)
        for waiter in waiters:
            waiter.answer()

    @pytest.mark.parametrize(
        "verb", ["submit", "promote", "claim", "revive", "release", "retry", "resume", "fire"]
    )
    def test_more_work_than_anyone_waits_for_is_no_trouble(self, backend: Backend, verb: str) -> None:
        queue, later = backend.queue, NOW + HOUR
        bring(queue, State.DEAD, job("dead"))
        claim = taken(queue, "held")
        queue.submit([job("later", due=later)], now=NOW)
        add(queue, *(f"j{n}" for n in range(200)))
        match verb:
            case "submit":
                add(queue, "new")
            case "promote":
                queue.promote([MAIL], now=later, limit=5)
            case "claim":
                take(queue, 0, now=later)
            case "revive":
                queue.revive([jid("dead")], now=NOW)
            case "release":
                queue.release([claim], now=NOW)
            case "retry":
                queue.settle([(claim, Retry(NOW, FAILED))], now=NOW)
            case "resume":
                queue.pause(MAIL, Pause())
                add(queue, "new")
                queue.resume(MAIL)
            case _:
                backend.store.put(schedule(), cursor=cursor(), expected=None, now=NOW)
                backend.store.fire([firing(_plan(backend), run())], fence=None, now=NOW)
        assert queue.counts([MAIL], now=NOW)[0].ready == 201

    def test_who_leaves_work_behind_lets_the_next_one_hear_of_it(self, queue: QueuePort) -> None:
        add(queue, "a", "b", "c")
        _forget(queue)
        take(queue)
        Background(lambda: queue.wait_ready([MAIL], timeout=PATIENCE)).answer()

    def test_who_finds_nothing_waits_in_peace(self, queue: QueuePort) -> None:
        add(queue, *(f"j{n}" for n in range(300)))
        take(queue, 300)
        _come_to_rest(queue)

    @pytest.mark.parametrize("batch", [1, 2])
    def test_hints_of_work_do_not_pile_up(self, queue: QueuePort, batch: int) -> None:
        for n in range(200):
            add(queue, *(f"j{n}x{m}" for m in range(batch)))
        _forget(queue)

    @pytest.mark.parametrize("wanted", [1, 0])
    def test_a_paused_queue_leaves_its_workers_in_peace(self, queue: QueuePort, wanted: int) -> None:
        """Q9"""
        add(queue, "a", "b", "c")
        queue.pause(MAIL, Pause())
        _come_to_rest(queue, wanted)

    def test_cancelled_jobs_leave_the_workers_in_peace(self, queue: QueuePort) -> None:
        add(queue, "a", "b", "c")
        queue.cancel(jids("abc"), now=NOW)
        _come_to_rest(queue)

    def test_waiting_for_work_comes_to_an_end(self, queue: QueuePort) -> None:
        for timeout in (SHORT, timedelta(0), timedelta(microseconds=1)):
            Background(partial(queue.wait_ready, [MAIL, "other"], timeout=timeout)).answer()

    def test_the_scheduler_is_woken_for_a_job_that_is_due_before_all_others(self, queue: QueuePort) -> None:
        queue.submit([job("far", due=NOW + 2 * HOUR)], now=NOW)
        _settle_down(queue)
        waiter = Background(lambda: queue.wait_due(["other", MAIL], timeout=PATIENCE))
        queue.submit([job("near", due=NOW + HOUR)], now=NOW)
        assert waiter.answer() == [MAIL]

    def test_the_scheduler_is_woken_for_a_retry_that_is_due_before_all_others(self, queue: QueuePort) -> None:
        claim = taken(queue)
        _settle_down(queue)
        waiter = Background(lambda: queue.wait_due([MAIL], timeout=PATIENCE))
        queue.settle([(claim, Retry(NOW + S, FAILED))], now=NOW)
        assert waiter.answer() == [MAIL]

    def test_the_scheduler_is_woken_for_a_new_schedule(self, backend: Backend) -> None:
        _settle_down(backend.queue)
        waiter = Background(lambda: backend.queue.wait_due([MAIL], timeout=PATIENCE))
        backend.store.put(schedule(), cursor=cursor(NOW + HOUR), expected=None, now=NOW)
        assert waiter.answer() == [MAIL]

    def test_the_scheduler_is_woken_when_a_run_ends_that_held_its_schedule_back(
        self, backend: Backend
    ) -> None:
        queue, store = backend.queue, backend.store
        store.put(schedule(), cursor=cursor(), expected=None, now=NOW)
        store.fire([firing(_plan(backend), run(), held=True)], fence=None, now=NOW)
        (claim,) = take(queue)
        _settle_down(queue)
        waiter = Background(lambda: queue.wait_due([MAIL], timeout=PATIENCE))
        queue.settle([(claim, LAST[State.DONE])], now=NOW)
        assert waiter.answer() == [MAIL]

    def test_the_scheduler_is_woken_for_a_run_that_is_due_before_all_others(self, backend: Backend) -> None:
        backend.store.put(schedule(), cursor=cursor(), expected=None, now=NOW)
        paused = evolve(cursor(), pause=Pause())
        _settle_down(backend.queue)
        waiter = Background(lambda: backend.queue.wait_due([MAIL], timeout=PATIENCE))
        step = Firing(TICK, cursor(), paused, (run(due=NOW - S + MS),))
        assert backend.store.fire([step], fence=None, now=NOW - S) == [Fired.YES]
        assert waiter.answer() == [MAIL]

    def test_the_scheduler_is_woken_for_a_schedule_that_is_due_earlier_now(self, backend: Backend) -> None:
        backend.store.put(schedule(), cursor=cursor(NOW + HOUR), expected=None, now=NOW)
        _settle_down(backend.queue)
        waiter = Background(lambda: backend.queue.wait_due([MAIL], timeout=PATIENCE))
        step = Firing(TICK, cursor(NOW + HOUR), cursor(NOW + S, version=2))
        assert backend.store.fire([step], fence=None, now=NOW) == [Fired.YES]
        assert waiter.answer() == [MAIL]

    @pytest.mark.parametrize("later", [NOW, NOW + HOUR], ids=["ready", "delayed"])
    def test_the_scheduler_is_woken_when_a_run_is_cancelled_that_held_its_schedule_back(
        self, backend: Backend, later: datetime
    ) -> None:
        queue, store = backend.queue, backend.store
        store.put(schedule(), cursor=cursor(), expected=None, now=NOW)
        store.fire([firing(_plan(backend), run(due=later), held=True)], fence=None, now=NOW)
        _settle_down(queue)
        waiter = Background(lambda: queue.wait_due([MAIL], timeout=PATIENCE))
        queue.cancel([run().id], now=NOW)
        assert waiter.answer() == [MAIL]

    @pytest.mark.parametrize("verb", ["submit", "adopt", "retry", "put", "fire", "cancel", "done"])
    def test_hints_do_not_pile_up(self, backend: Backend, verb: str) -> None:
        """However much happens while nobody listens, who comes back is busy with it for a moment only."""
        queue, store = backend.queue, backend.store
        for n in range(100):
            soon = NOW + (1_000 - n) * S
            plan, step = schedule(f"s{n}"), cursor(soon)
            match verb:
                case "submit":
                    queue.submit([job(f"j{n}", due=soon)], now=NOW)
                case "adopt":
                    there = Snapshot(job(f"j{n}", due=soon), State.DELAYED, until=soon)
                    queue.adopt([there], now=NOW)
                case "retry":
                    queue.settle([(taken(queue, f"j{n}"), Retry(soon, FAILED))], now=NOW)
                case "put":
                    store.put(plan, cursor=step, expected=None, now=NOW)
                case "fire":
                    store.put(plan, cursor=cursor(NOW + HOUR), expected=None, now=NOW)
                    store.fire([Firing(plan.id, cursor(NOW + HOUR), step)], fence=None, now=NOW)
                case _:
                    made = run(f"s{n}")
                    store.put(plan, cursor=cursor(), expected=None, now=NOW)
                    held = firing(Stored(plan.id, cursor(), plan), made, held=True)
                    store.fire([held], fence=None, now=NOW)
                    if verb == "cancel":
                        queue.cancel([made.id], now=NOW)
                    else:
                        queue.settle([(claim, Done()) for claim in take(queue)], now=NOW)
        _settle_down(queue)

    def test_waiting_for_a_moment_comes_to_an_end(self, queue: QueuePort) -> None:
        for timeout in (SHORT, timedelta(0), timedelta(microseconds=1)):
            Background(partial(queue.wait_due, [MAIL, "other"], timeout=timeout)).answer()
        _settle_down(queue)

    def test_who_waits_for_an_end_hears_of_it(self, queue: QueuePort) -> None:
        assert queue.wait_ended([MAIL, "other"], timeout=timedelta(0)) == []
        queue.submit([job("a"), job("b"), job("c", queue="other"), job("d", due=NOW + S)], now=NOW)
        claims = queue.claim([(MAIL, 2), ("other", 1)], worker="w1", lease=HOUR, now=NOW).claims
        want = {jid("a"), jid("b"), jid("c", "other"), jid("d")}
        heard: set[JobId] = set()
        waiter = Background(lambda: _hear(queue, want, heard))
        queue.settle(
            [(claims[0], Done()), (claims[1], LAST[State.DEAD]), (claims[2], LAST[State.EXPIRED])], now=NOW
        )
        queue.cancel([jid("d")], now=NOW)
        waiter.answer()
        assert heard == want

    def test_nobody_hears_of_jobs_that_run_again(self, queue: QueuePort) -> None:
        assert queue.wait_ended([MAIL], timeout=timedelta(0)) == []
        add(queue, "a", "b", "c")
        again, back, last = take(queue, 3)
        queue.settle([(again, Retry(NOW, FAILED))], now=NOW)
        queue.release([back], now=NOW)
        queue.settle([(last, Done())], now=NOW)
        heard: set[JobId] = set()
        _hear(queue, {jid("c")}, heard)
        assert heard == {jid("c")}

    def test_waiting_for_an_end_comes_to_an_end(self, queue: QueuePort) -> None:
        for timeout in (timedelta(0), SHORT, timedelta(microseconds=1)):
            waiter = Background(partial(queue.wait_ended, [MAIL], timeout=timeout))
            assert waiter.answer() == []

    def test_nobody_hears_of_queues_that_he_did_not_ask_for(self, queue: QueuePort) -> None:
        assert queue.wait_ended([MAIL], timeout=timedelta(0)) == []
        bring(queue, State.DONE, job(queue="other"))
        bring(queue, State.DONE, job("a"))
        heard: set[JobId] = set()
        _hear(queue, {jid("a")}, heard)
        assert heard == {jid("a")}
        queue.submit([job("b", queue="other", due=NOW + S)], now=NOW)
        assert "other" not in queue.wait_due([MAIL], timeout=SHORT)


def _plan(backend: Backend) -> Stored:
    (plan,) = backend.store.get([TICK])
    assert plan is not None
    return plan


def _forget(queue: QueuePort) -> None:
    """Take up what is left of the hints that there is work."""
    for _ in range(100):
        if _waits_in_vain(queue):
            return
    raise AssertionError("there is no end of hints though nothing happens")


def _come_to_rest(queue: QueuePort, wanted: int = 1) -> None:
    """Work as a worker does that is granted nothing: before long it hears of nothing either."""
    for _ in range(100):
        take(queue, wanted)
        if _waits_in_vain(queue):
            return
    raise AssertionError("it is woken again and again for nothing")


def _waits_in_vain(queue: QueuePort) -> bool:
    """Whether a wait lasts until its end: only a hint makes it shorter."""
    began = monotonic()
    queue.wait_ready([MAIL], timeout=SHORT)
    return monotonic() - began >= SHORT.total_seconds() * 0.9


def _settle_down(queue: QueuePort) -> None:
    """Take up the hints that are left from what happened so far."""
    for _ in range(20):
        if not queue.wait_due([MAIL, "other"], timeout=SHORT):
            return
    raise AssertionError("there is no end of hints though nothing happens")


def _hear(queue: QueuePort, want: set[JobId], heard: set[JobId]) -> None:
    """Listen until all that is wanted was heard of; the caller allows so much time."""
    for _ in range(100):
        heard.update(queue.wait_ended([MAIL, "other"] if len(want) > 1 else [MAIL], timeout=PATIENCE / 100))
        if heard >= want:
            return
