"""A shelf that was damaged by hand is mended, and the sweeper goes its rounds."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import pytest
from attrs import evolve

from chronoq.adapters.memory import open_backend
from chronoq.adapters.memory.shelf import Shelf
from chronoq.app.presence import Presence as Presenter
from chronoq.app.sweeper import HURRY, PACE, ROUND, Sweeper, eldest
from chronoq.domain.errors import NotAllowed
from chronoq.domain.firing import fire
from chronoq.domain.job import LIVE, Options, State
from chronoq.domain.lease import Kind, Presence, Process, Vitals
from chronoq.domain.ports import Backend
from chronoq.domain.retry import RetryPolicy
from chronoq.domain.schedule import Overlap, planned
from chronoq.domain.sweep import LOST_PLACE, LOST_RECORD, Mend, Mended, Swept, replaced
from chronoq.domain.verdict import Dead
from chronoq.testing.contracts.values import (
    FAILED,
    HOUR,
    LEASE,
    MAIL,
    NOW,
    TICK,
    S,
    accounts_balance,
    add,
    bring,
    jid,
    job,
    keys,
    listed,
    schedule,
    seen,
    take,
    taken,
)


@pytest.fixture
def backend() -> Backend:
    return open_backend()


@pytest.fixture
def shelf(backend: Backend) -> Shelf:
    return backend.queue.room.shelves[MAIL]  # type: ignore[attr-defined, no-any-return]


def sweep(backend: Backend, now: datetime = NOW) -> set[tuple[str, str]]:
    mended = (*backend.queue.sweep(MAIL, now=now).mended, *backend.store.sweep(MAIL, now=now).mended)
    assert backend.queue.sweep(MAIL, now=now) == backend.store.sweep(MAIL, now=now) == Swept()
    accounts_balance(backend)
    return {(one.what.value, one.key) for one in mended}


def test_what_stands_nowhere_is_put_back(backend: Backend, shelf: Shelf) -> None:
    bring(backend.queue, State.RUNNING, job("run"))
    bring(backend.queue, State.DEAD, job("dead", options=Options(retry=RetryPolicy(retries=0))))
    add(backend.queue, "a", "b")
    backend.queue.submit([job("late", due=NOW + HOUR)], now=NOW)
    for place in (shelf.leases, shelf.dead, shelf.delayed, *shelf.ready):
        place.clear()
    assert sweep(backend) == {("replaced", key) for key in ("run", "dead", "a", "b", "late")}
    assert {place: listed(backend.queue, place) for place in LIVE} == {
        State.READY: ["run", "a", "b"],
        State.DELAYED: ["late"],
        State.RUNNING: [],
        State.DEAD: ["dead"],
    }
    assert seen(backend.queue, "a").reason == LOST_PLACE
    assert seen(backend.queue, "dead").failure == FAILED


def test_what_has_lost_its_record_is_buried(backend: Backend, shelf: Shelf) -> None:
    claim = taken(backend.queue, "run")
    add(backend.queue, "a", "gone")
    backend.queue.submit([job("late", due=NOW + HOUR)], now=NOW)
    backend.queue.cancel([jid("gone")], now=NOW)
    shelf.jobs.clear()
    shelf.skips.clear()
    assert sweep(backend) == {("buried", "a"), ("buried", "late"), ("marked", "run"), ("cleared", "gone")}
    assert listed(backend.queue, State.DEAD) == ["late", "a"]
    assert seen(backend.queue, "a").failure == LOST_RECORD
    assert backend.queue.settle([(claim, Dead(FAILED))], now=NOW) == [False], "its token is lost too"
    assert backend.queue.expired([MAIL], now=NOW + LEASE, limit=9)
    assert take(backend.queue, 9) == ()


def test_marks_and_remains_of_nothing_go(backend: Backend, shelf: Shelf) -> None:
    add(backend.queue, "a")
    shelf.skips.add("ghost")
    shelf.stops.add("ghost")
    assert sweep(backend) == {("cleared", "ghost")}


def test_the_books_are_corrected(backend: Backend, shelf: Shelf) -> None:
    add(backend.queue, "a", "b")
    del shelf.jobs["a"], shelf.ready[2]["a"]
    assert backend.queue.sweep(MAIL, now=NOW).lost == 1
    assert backend.queue.counts([MAIL], now=NOW)[0].lost == 1
    shelf.stats.clear()
    assert backend.queue.sweep(MAIL, now=NOW).lost == -1
    sweep(backend)


@pytest.mark.parametrize("damage", ["runs", "dues", "jobs"])
def test_schedules_are_looked_at_again(backend: Backend, shelf: Shelf, damage: str) -> None:
    plan = schedule(overlap=Overlap.QUEUE_ONE)
    backend.store.put(plan, cursor=planned(None, plan, now=NOW)[1], expected=None, now=NOW)
    now = NOW + 60 * S
    for _ in range(2):
        dues, _nexts = backend.store.due([MAIL], now=now, limit=9)
        backend.store.fire([fire(due, now=now) for due in dues], fence=None, now=now)
        now += 60 * S
    (run,) = backend.store.live(TICK)
    if damage == "runs":
        shelf.runs.clear()
        assert sweep(backend, now) == {("joined", run.key)}
        assert backend.store.live(TICK) == [run]
    elif damage == "jobs":
        del shelf.jobs[run.key], shelf.ready[2][run.key]
        backend.queue.sweep(MAIL, now=now)
        assert sweep(backend, now) == {("cleared", run.key)}
        assert backend.store.due([MAIL], now=now, limit=9)[0]
    else:
        backend.queue.cancel([run], now=now)
        shelf.dues.clear()
        assert sweep(backend, now) == {("watched", "tick")}
        assert backend.store.due([MAIL], now=now, limit=9)[0]


def test_where_a_job_belongs_that_stands_nowhere() -> None:
    late = job(due=NOW + HOUR)
    assert replaced(late, attempt=0, failure=None, now=NOW) == NOW + HOUR
    assert replaced(late, attempt=1, failure=FAILED, now=NOW + 2 * HOUR) == NOW + 2 * HOUR
    once = evolve(late, options=Options(retry=RetryPolicy(retries=0)))
    assert replaced(once, attempt=1, failure=FAILED, now=NOW) == Dead(FAILED)
    assert replaced(once, attempt=1, failure=None, now=NOW) == NOW + HOUR


class Steps:
    """Answers of a port, in turn."""

    def __init__(self, *answers: Swept) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []

    def sweep(self, queue: str, *, now: datetime, mark: str = "", limit: int = 500) -> Swept:
        self.asked.append((queue, mark))
        return self.answers.pop(0) if self.answers else Swept()

    def queues(self) -> list[str]:
        return ["a"]


def sweeper(steps: Steps, turn: bool = True) -> Sweeper:
    return Sweeper((steps.sweep, steps.sweep), lambda: ["b", *steps.queues()], lambda _: turn)


def test_a_round_goes_over_all_queues_and_rests() -> None:
    steps = Steps()
    assert sweeper(steps).step(NOW) == NOW + ROUND
    assert steps.asked == [("a", ""), ("a", ""), ("b", ""), ("b", "")]


def test_a_long_round_goes_on_where_it_was_and_hurries_where_something_is_amiss() -> None:
    steps = Steps(Swept(mark="m1"), Swept(mark="m2", hurry=True))
    one = sweeper(steps)
    assert one.step(NOW) == NOW + PACE
    assert one.step(NOW + PACE) == NOW + PACE + HURRY
    assert one.step(NOW + PACE + HURRY) == NOW + PACE + HURRY + ROUND
    assert steps.asked[:4] == [("a", ""), ("a", "m1"), ("a", "m2"), ("a", "")]


def test_whose_turn_it_is_not_does_nothing() -> None:
    steps = Steps()
    assert sweeper(steps, turn=False).step(NOW) == NOW + ROUND
    assert steps.asked == []


def test_whose_user_may_not_leaves_it_to_others() -> None:
    def refused(*_: object, **__: object) -> Swept:
        raise NotAllowed("no")

    one = Sweeper((refused,), lambda: ["a"], lambda _: True)
    assert one.step(NOW) == NOW + ROUND
    assert one.step(NOW + ROUND) == NOW + 2 * ROUND
    assert not one.todo


def test_the_eldest_worker_goes_the_rounds_where_no_scheduler_lives() -> None:
    def living(*ids: str) -> list[Presence]:
        kinds = {"s": Kind.SCHEDULER, "w": Kind.WORKER}
        return [Presence(Process(id, kinds[id[0]], "h", 1, NOW, "0.1"), Vitals(), NOW) for id in ids]

    assert eldest(living("w1", "w2"), "w1")
    assert not eldest(living("w1", "w2"), "w2")
    assert not eldest(living("w1", "s1"), "w1")
    assert not eldest([], "w1")


def test_it_says_what_it_mended(caplog: pytest.LogCaptureFixture) -> None:
    mended = tuple(Mended(Mend.REPLACED, f"j{n}") for n in range(5))
    with caplog.at_level(logging.WARNING, logger="chronoq.sweeper"):
        sweeper(Steps(Swept(mended), Swept(lost=2), Swept(lost=-3))).step(NOW)
    assert caplog.messages == [
        "⚠ queue a was damaged: 5 stood nowhere: back where they belong (j0, j1, j2 ...)",
        "⚠ queue a was damaged: of 2 jobs nothing is left",
        "⚠ queue b was damaged: its books know 3 jobs too few, corrected",
    ]


def test_who_was_forgotten_says_so_and_looks_to_what_else_is_gone(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    returned: list[bool] = []
    process = Process("p1", Kind.SCHEDULER, "host", 1, NOW, "0.1")
    presence = Presenter(backend.life, process, Vitals, lambda: returned.append(True))
    presence.step(NOW)
    presence.step(NOW + S)
    assert returned == []
    backend.life.death("p1")
    with caplog.at_level(logging.WARNING, logger="chronoq.presence"):
        presence.step(NOW + 2 * S)
    assert returned == [True]
    assert "not on the roll any more" in caplog.text
    assert backend.life.roll(now=NOW + timedelta(seconds=3))


def test_a_sweep_of_many_finds_the_one(backend: Backend, shelf: Shelf) -> None:
    add(backend.queue, *(f"j{n}" for n in range(2000)))
    del shelf.ready[2]["j777"]
    assert sweep(backend) == {("replaced", "j777")}
    assert len(keys(take(backend.queue, 2001))) == 2000
