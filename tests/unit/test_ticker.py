"""The scheduler's actor."""

import logging
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve, frozen

from chronoq.adapters.memory import open_backend
from chronoq.app.scheduler import SchedulerService
from chronoq.app.ticker import AGAIN, REFRESH, TRIES, Ticker
from chronoq.config import Settings
from chronoq.domain.errors import Unreachable
from chronoq.domain.identity import ScheduleId
from chronoq.domain.job import State
from chronoq.domain.lease import Kind, Process
from chronoq.domain.ports import LockPort, StorePort
from chronoq.domain.rhythm import Rhythm, every, once
from chronoq.domain.rhythm_base import Spec
from chronoq.domain.schedule import Happened, Schedule, planned
from chronoq.domain.verdict import Done
from chronoq.testing import ManualClock, Outage
from chronoq.testing.outage import Front
from tests.unit.made import MINUTE, NOW, S, job, plan

TTL = 10 * S


class Office:
    """Two schedulers on one store."""

    def __init__(self) -> None:
        self.clock = ManualClock(start=NOW)
        self.backend = open_backend()
        self.lock: Outage[LockPort] = Outage(self.backend.lock)
        self.store: Outage[StorePort] = Outage(self.backend.store)
        self.told: list[tuple[str, bool]] = []
        self.first, self.second = self.ticker("first"), self.ticker("second")

    def ticker(self, owner: str) -> Ticker:
        return Ticker(
            self.backend.queue,
            self.store.port,
            self.lock.port,
            owner,
            TTL,
            ("default",),
            lambda leads: self.told.append((owner, leads)),
        )

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def save(self, schedule: Schedule) -> ScheduleId:
        _, cursor = planned(None, schedule, now=self.now)
        assert self.backend.store.put(schedule, cursor=cursor, expected=None, now=self.now)
        return schedule.id

    def step(self, ticker: Ticker) -> timedelta:
        return ticker.step(self.now) - self.now

    def settle_down(self, ticker: Ticker) -> timedelta:
        """Step until it wants to rest; for how long."""
        for _ in range(100):
            if (rest := self.step(ticker)) > timedelta(0):
                return rest
        raise AssertionError("it never rests")

    def made(self) -> list[str]:
        found = [
            self.backend.queue.find("default", state, now=self.now).items
            for state in (State.DELAYED, State.READY)
        ]
        return sorted(one.job.id.key for items in found for one in items)


def tick(key: str = "tick", rhythm: Rhythm | None = None, **policy: object) -> Schedule:
    return evolve(plan(rhythm, **policy), id=ScheduleId("default", key))


@frozen
class Broken(Rhythm):
    """Fires once and then never finds out when next."""

    at: datetime = NOW + S
    spoilt: bool = False

    def spec(self) -> Spec:
        return {}

    def describe(self) -> str:
        return "broken"

    def _next(self, moment: datetime) -> datetime | None:
        if moment >= self.at:
            raise ValueError("the moon is down")
        return self.at


def test_only_the_leader_fires() -> None:
    office = Office()
    office.save(tick(overlap="allow"))
    office.settle_down(office.first)
    for _ in range(20):
        office.clock.advance("3s")
        office.settle_down(office.second)
        assert office.made() == []
        if office.now < NOW + MINUTE:
            office.settle_down(office.first)
    office.settle_down(office.first)
    assert len(office.made()) == 1


@frozen
class Watched(Rhythm):
    """Each minute; into `asked`, which schedules were asked for their next time."""

    name: str
    asked: list[str]

    def spec(self) -> Spec:
        return {}

    def describe(self) -> str:
        return "watched"

    def _next(self, moment: datetime) -> datetime | None:
        self.asked.append(self.name)
        return every("1m", anchor=NOW).next_after(moment)


def test_the_store_has_the_first_steps_before_the_last_are_decided() -> None:
    office, asked, seen = Office(), list[str](), list[list[str]]()

    def call(verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        if verb == "fire":
            assert args[0][0].id.key == "a"
            seen.append(sorted(set(asked)))
        return getattr(office.backend.store, verb)(*args, **kwargs)

    ticker = evolve(office.first, store=Front(office.backend.store, call))
    office.settle_down(ticker)
    for key in "abc":
        office.save(tick(key, Watched(key, asked)))
    office.clock.advance(MINUTE)
    asked.clear()
    office.settle_down(ticker)
    assert seen == [["a"]]
    assert [key.partition("@")[0] for key in office.made()] == ["a", "b", "c"]


def test_the_leader_renews_its_lock_each_half_of_its_life() -> None:
    office = Office()
    assert office.settle_down(office.first) == TTL / 2
    assert office.first.lease is not None
    first = office.first.lease.token
    for _ in range(20):
        office.clock.advance(TTL / 2)
        office.settle_down(office.first)
        office.settle_down(office.second)
    assert office.first.leader
    assert not office.second.leader
    assert office.first.lease is not None
    assert office.first.lease.token == first
    assert office.told == [("first", True)]


def test_a_standby_takes_over_within_the_locks_life() -> None:
    office = Office()
    office.settle_down(office.first)
    assert office.first.lease is not None
    first = office.first.lease.token
    died = office.now
    rest = office.settle_down(office.second)
    assert rest == TTL / 3
    while not office.second.leader:
        office.clock.advance(rest)
        rest = office.settle_down(office.second)
        assert office.now <= died + TTL + TTL / 3
    assert office.second.lease is not None
    assert office.second.lease.token == first + 1


def test_who_resigns_lets_another_lead_at_once() -> None:
    office = Office()
    office.settle_down(office.first)
    office.first.resign()
    assert not office.first.leader
    office.settle_down(office.second)
    assert office.second.leader
    assert office.told == [("first", True), ("first", False), ("second", True)]


def test_a_leader_that_slept_past_its_lock_is_deposed(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()
    office.settle_down(office.first)
    office.clock.advance("1h")
    office.settle_down(office.second)
    office.settle_down(office.first)
    assert not office.first.leader
    assert office.second.leader
    assert "⚠ first leads no more: another scheduler took over" in caplog.text
    assert office.told[-1] == ("first", False)


def test_a_leader_that_does_not_know_it_was_replaced_is_refused_and_deposed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """S2: no firing passes the fence under an older token, however the clocks stand."""
    office = Office()
    office.save(tick(overlap="allow"))
    office.settle_down(office.first)
    office.clock.advance("65s")
    office.settle_down(office.second)
    assert len(office.made()) == 1
    office.first.renewed = office.now  # its lock is fresh, it believes
    office.clock.advance("1m")
    office.first.renewed = office.now
    office.first.wake(["default"])
    office.step(office.first)
    assert not office.first.leader
    assert len(office.made()) == 1
    assert "leads no more" in caplog.text


def test_two_leaders_that_believe_it_make_each_job_once() -> None:
    office = Office()
    office.save(tick(overlap="allow"))
    office.settle_down(office.first)
    office.second.lease, office.second.renewed = office.first.lease, NOW
    for _ in range(5):
        office.clock.advance("1m")
        for ticker in (office.first, office.second):
            ticker.renewed = office.now
            ticker.wake(["default"])
            office.settle_down(ticker)
    assert len(office.made()) == 5


def test_it_promotes_what_has_come_due() -> None:
    office = Office()
    office.backend.queue.submit([job("later", due=NOW + S)], now=NOW)
    assert office.settle_down(office.first) == S
    office.clock.advance("1s")
    office.settle_down(office.first)
    assert office.backend.queue.counts(["default"], now=office.now)[0].ready == 1


def test_a_promotion_too_large_for_one_step_goes_on_at_once() -> None:
    office = Office()
    office.backend.queue.submit([job(f"{n}", due=NOW + S) for n in range(1_200)], now=NOW)
    office.settle_down(office.first)
    office.clock.advance("1s")
    office.settle_down(office.first)
    assert office.backend.queue.counts(["default"], now=office.now)[0].ready == 1_200


def test_it_rests_until_the_next_schedule_is_due() -> None:
    office = Office()
    office.save(tick(rhythm=every("2s")))
    assert office.settle_down(office.first) == 2 * S


def test_an_earlier_submission_wakes_it() -> None:
    office = Office()
    office.save(tick())
    office.settle_down(office.first)
    office.backend.queue.submit([job("soon", due=NOW + S)], now=NOW)
    assert office.step(office.first) > S
    woken = office.backend.queue.wait_due(["default"], timeout=timedelta(0))
    office.first.wake(woken)
    assert office.step(office.first) == S


def test_a_lost_wake_up_costs_one_refresh_at_the_most() -> None:
    office = Office()
    office.settle_down(office.first)
    office.backend.queue.submit([job("soon", due=NOW + S)], now=NOW)
    office.clock.advance(REFRESH)
    office.settle_down(office.first)
    assert office.backend.queue.counts(["default"], now=office.now)[0].ready == 1


def test_a_queue_that_nobody_declared_is_served_too() -> None:
    office = Office()
    office.settle_down(office.first)
    office.backend.queue.submit([job("a", queue="other", due=NOW + S)], now=NOW)
    office.clock.advance(REFRESH)
    office.settle_down(office.first)
    assert office.backend.queue.counts(["other"], now=office.now)[0].ready == 1


def test_a_broken_schedule_never_delays_the_others_and_is_set_aside_after_three_tries(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """S9"""
    office = Office()
    broken = office.save(tick("broken", Broken()))
    office.save(tick("sound", every("1s"), overlap="allow"))
    office.settle_down(office.first)
    for seconds in range(1, 5):
        office.clock.advance(AGAIN)
        office.settle_down(office.first)
        assert len([key for key in office.made() if key.startswith("sound@")]) == seconds
    (stored,) = office.backend.store.get([broken])
    assert stored is not None
    assert stored.cursor.pause is not None
    assert stored.cursor.pause.note == "cannot be fired: the moon is down"
    assert caplog.text.count("cannot be fired (try") == TRIES
    assert "⚠ schedule default:broken is set aside: cannot be fired: the moon is down" in caplog.text
    assert [one.what for one in office.backend.store.ledger(broken)] == [Happened.SET_ASIDE]


def test_a_schedule_that_recovers_is_not_set_aside() -> None:
    office = Office()
    id = office.save(tick("tick", Broken()))
    office.settle_down(office.first)
    office.clock.advance("1s")
    office.settle_down(office.first)
    assert office.first.errors[id] == 1
    (stored,) = office.backend.store.get([id])
    assert stored is not None
    sound = tick("tick", once(NOW + 5 * S))
    put, cursor = planned(stored, sound, now=office.now)
    assert office.backend.store.put(sound, cursor=cursor, expected=stored.cursor, now=office.now), put
    office.clock.advance("4s")
    office.settle_down(office.first)
    assert not office.first.errors
    assert len(office.made()) == 1


def test_a_schedule_that_somebody_changed_meanwhile_is_looked_at_again() -> None:
    """S8: the firing of the old version is refused."""
    office = Office()
    id = office.save(tick())
    office.settle_down(office.first)
    office.clock.advance("1m")
    true, changed = office.backend.store, []

    class Between:
        def __getattr__(self, name: str) -> object:
            return getattr(true, name)

        def fire(self, *args: object, **kwargs: object) -> object:
            if not changed:
                (stored,) = true.get([id])
                assert stored is not None
                new = tick(rhythm=every("1h"))
                _, cursor = planned(stored, new, now=office.now)
                changed.append(true.put(new, cursor=cursor, expected=stored.cursor, now=office.now))
            return true.fire(*args, **kwargs)  # type: ignore[arg-type]

    office.first.store = Between()  # type: ignore[assignment]
    office.settle_down(office.first)
    assert changed == [True]
    assert office.made() == []


def test_a_firing_whose_reply_was_lost_makes_no_second_job() -> None:
    office = Office()
    office.save(tick(overlap="allow"))
    office.settle_down(office.first)
    office.clock.advance("1m")
    office.store.fail("fire", times=1, after=True)
    with pytest.raises(Unreachable):
        office.settle_down(office.first)
    office.settle_down(office.first)
    assert len(office.made()) == 1


def test_a_firing_that_was_lost_is_made_up_for() -> None:
    office = Office()
    office.save(tick(overlap="allow"))
    office.settle_down(office.first)
    office.clock.advance("1m")
    office.store.fail("fire", times=1)
    with pytest.raises(Unreachable):
        office.settle_down(office.first)
    office.settle_down(office.first)
    assert len(office.made()) == 1


def test_a_lock_that_does_not_answer_does_not_depose_the_leader_by_itself() -> None:
    office = Office()
    office.settle_down(office.first)
    office.lock.fail(times=1)
    office.clock.advance(TTL / 2)
    with pytest.raises(Unreachable):
        office.step(office.first)
    office.settle_down(office.first)
    assert office.first.leader
    assert office.told == [("first", True)]


def test_a_run_that_ends_frees_the_schedule_that_it_held_back() -> None:
    office = Office()
    office.save(tick(overlap="queue_one", rhythm=every("1m")))
    office.settle_down(office.first)
    office.clock.advance("1m")
    office.settle_down(office.first)
    queue = office.backend.queue
    (run,) = queue.claim([("default", 1)], worker="w", lease=MINUTE * 60, now=office.now).claims
    office.clock.advance("90s")
    office.settle_down(office.first)
    assert office.made() == []
    queue.settle([(run, Done())], now=office.now)
    office.first.wake(queue.wait_due(["default"], timeout=timedelta(0)))
    office.settle_down(office.first)
    assert len(office.made()) == 1


def test_each_job_that_a_schedule_makes_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "chronoq.scheduler")
    office = Office()
    office.save(tick())
    office.settle_down(office.first)
    office.clock.advance("1m")
    office.settle_down(office.first)
    assert "♔ first leads (term " in caplog.text
    assert f"⏱ tick  {office.made()[0]}" in caplog.text


def test_a_leader_in_an_outage_tries_again_each_sixth_of_its_locks_life() -> None:
    clock, lock = ManualClock(start=NOW), Outage(open_backend().lock)
    backend = evolve(open_backend(), clock=clock, lock=lock)
    settings = Settings()
    card = Process("first", Kind.SCHEDULER, "here", 1, NOW, "0")
    loop = SchedulerService(backend, settings, card).loops["ticker"]
    loop.turn()
    over, tries = clock.now() + settings.lock_ttl, list[datetime]()
    lock.fail()
    clock.advance(settings.lock_ttl / 2)
    while clock.now() < over:
        tries.append(clock.now())
        clock.advance(loop.turn() - clock.now())
    assert len(tries) > 3
    assert max(after - before for before, after in pairwise([*tries, over])) <= settings.lock_ttl / 6
