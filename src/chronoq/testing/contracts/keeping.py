"""Schedules at rest: saving, dropping, looking, and which of them are due."""

from datetime import datetime, timedelta
from functools import partial

import pytest
from attrs import evolve

from chronoq.domain.identity import ScheduleId
from chronoq.domain.job import Options, Pause, Priority
from chronoq.domain.ports import Backend, StorePort
from chronoq.domain.rhythm import cron, every
from chronoq.domain.schedule import Cursor, Due, Overlap, Policy, Schedule, Stored
from chronoq.testing.contracts.chapter import Chapter
from chronoq.testing.contracts.values import (
    HOUR,
    MAIL,
    MS,
    NOW,
    TICK,
    S,
    cursor,
    firing,
    run,
    schedule,
    together,
)

FULL = Cursor(3, NOW, NOW - HOUR, last=NOW - 60 * S, fires=7, held=False, pause=None)
EVERY_FIELD = pytest.mark.parametrize(
    "other",
    [
        evolve(FULL, version=4),
        evolve(FULL, next=NOW + MS),
        evolve(FULL, next=None),
        evolve(FULL, since=NOW),
        evolve(FULL, last=None),
        evolve(FULL, last=NOW - 59 * S),
        evolve(FULL, fires=8),
        evolve(FULL, held=True),
        evolve(FULL, pause=Pause()),
        evolve(FULL, pause=Pause("x", NOW)),
    ],
    ids=["version", "next", "no next", "since", "no last", "last", "fires", "held", "pause", "long pause"],
)


def keep(store: StorePort, plan: Schedule | None = None, *, at: Cursor | None = None) -> Stored:
    """Save a new schedule."""
    plan, at = plan or schedule(), at or cursor()
    assert store.put(plan, cursor=at, expected=None, now=NOW) is True
    return Stored(plan.id, at, plan)


def names(found: list[Due]) -> list[str]:
    return [due.stored.id.key for due in found]


class Keeping(Chapter):
    def test_a_schedule_is_kept_as_it_is(self, store: StorePort) -> None:
        policy = Policy(
            catch_up=7,
            window=HOUR,
            overlap=Overlap.QUEUE_ONE,
            jitter=S,
            spread=3 * MS,
            pause_after=4,
            starts_at=NOW,
            ends_at=NOW + 48 * HOUR,
            max_fires=5,
        )
        options = Options(Priority.HIGH, timeout=S, expires=HOUR, meta='{"who":"ž"}'.encode())
        payload = b'[[9007199254740993,1.50,[]],{"a":{}}]'
        for n, rhythm in enumerate(
            [every("90s"), every("1h", anchor=NOW), cron("*/5 8-17 * * 1-5", tz="Europe/Prague")]
        ):
            plan = Schedule(ScheduleId(MAIL, f"s{n}"), rhythm, "sweep", payload, policy, options)
            at = Cursor(3, NOW + MS, NOW - S, last=NOW - MS, fires=2, held=True, pause=Pause("ž", NOW + S))
            kept = keep(store, plan, at=at)
            assert store.get([plan.id]) == [kept]
        assert keep(store, schedule("plain")) == store.get([ScheduleId(MAIL, "plain")])[0]

    def test_a_new_schedule_must_be_new(self, store: StorePort) -> None:
        """S4"""
        kept = keep(store)
        assert store.put(schedule(task="other"), cursor=cursor(version=2), expected=None, now=NOW) is False
        assert store.get([TICK]) == [kept]

    @EVERY_FIELD
    def test_a_schedule_is_changed_only_from_the_cursor_that_was_seen(
        self, store: StorePort, other: Cursor
    ) -> None:
        """S4, S8"""
        kept = keep(store, at=FULL)
        assert store.put(schedule(task="other"), cursor=cursor(), expected=other, now=NOW) is False
        assert store.get([TICK]) == [kept]
        assert store.put(schedule(task="other"), cursor=other, expected=FULL, now=NOW) is True
        assert store.get([TICK]) == [Stored(TICK, other, schedule(task="other"))]
        assert store.put(schedule(), cursor=FULL, expected=FULL, now=NOW) is False
        assert store.put(schedule(), cursor=FULL, expected=other, now=NOW) is True

    def test_what_is_not_there_cannot_be_changed(self, store: StorePort) -> None:
        """S4"""
        assert store.put(schedule(), cursor=cursor(version=2), expected=cursor(), now=NOW) is False
        assert store.get([TICK]) == [None]
        assert store.due([MAIL], now=NOW + HOUR, limit=5) == ([], [None])

    def test_of_many_changes_one_wins(self, store: StorePort) -> None:
        """S4"""
        keep(store)
        calls = [
            partial(
                store.put, schedule(task=f"t{n}"), cursor=cursor(version=2 + n), expected=cursor(), now=NOW
            )
            for n in range(8)
        ]
        answers = together(calls)
        assert answers.count(True) == 1
        (kept,) = store.get([TICK])
        assert kept is not None
        assert kept.cursor.version == 2 + answers.index(True)

    def test_schedules_are_found_in_the_order_asked(self, store: StorePort) -> None:
        one, two = keep(store, schedule("one")), keep(store, schedule("two", queue="other"))
        asked = [two.id, ScheduleId(MAIL, "two"), one.id, ScheduleId("nowhere", "one")]
        assert store.get(asked) == [two, None, one, None]
        assert store.get([]) == []

    def test_all_schedules_of_a_queue_are_found_by_id(self, store: StorePort) -> None:
        kept = [keep(store, schedule(key)) for key in ("b", "c", "a", "B")]
        keep(store, schedule("d", queue="other"))
        assert store.find(MAIL) == sorted(kept, key=lambda stored: stored.id)
        assert store.find("nowhere") == []

    def test_a_queue_with_a_schedule_is_known(self, backend: Backend) -> None:
        keep(backend.store)
        assert backend.queue.queues() == [MAIL]

    def test_a_dropped_schedule_is_gone(self, backend: Backend) -> None:
        """S8: the jobs that it made stay"""
        store = backend.store
        kept = keep(store)
        store.fire([firing(kept, run())], fence=None, now=NOW)
        keep(store, schedule("other"))
        assert store.drop([ScheduleId(MAIL, "ghost"), TICK, TICK]) == [False, True, False]
        assert store.drop([]) == []
        assert store.get([TICK]) == [None]
        assert store.ledger(TICK) == []
        assert names(store.due([MAIL], now=NOW + HOUR, limit=5)[0]) == ["other"]
        assert [found and found.job for found in backend.queue.get([run().id], now=NOW)] == [run()]

    def test_a_dropped_schedule_can_be_saved_anew(self, store: StorePort) -> None:
        kept = keep(store)
        store.fire([firing(kept)], fence=None, now=NOW)
        store.drop([TICK])
        assert store.put(schedule(), cursor=cursor(), expected=cursor(), now=NOW) is False
        again = keep(store, schedule(task="again"))
        assert store.get([TICK]) == [again]
        assert store.ledger(TICK) == []
        assert store.due([MAIL], now=NOW, limit=5)[0][0].failures == 0

    def test_a_schedule_is_due_at_its_moment(self, store: StorePort) -> None:
        kept = keep(store, at=cursor(NOW + 5 * MS))
        assert store.due([MAIL], now=NOW + 4 * MS, limit=5) == ([], [NOW + 5 * MS])
        assert store.due([MAIL], now=NOW + 5 * MS, limit=5) == ([Due(kept)], [None])
        assert store.due([MAIL], now=NOW + HOUR, limit=5) == ([Due(kept)], [None])

    def test_what_is_due_comes_in_order_of_its_moment(self, store: StorePort) -> None:
        """S9"""
        for key, after in {"a": 3, "b": 1, "c": 2, "d": 9}.items():
            keep(store, schedule(key), at=cursor(NOW + after * S))
        found, nexts = store.due([MAIL], now=NOW + 3 * S, limit=5)
        assert (names(found), nexts) == (["b", "c", "a"], [NOW + 9 * S])
        found, nexts = store.due([MAIL], now=NOW + 3 * S, limit=2)
        assert (names(found), nexts) == (["b", "c"], [NOW + 3 * S])

    def test_what_is_due_is_told_for_each_queue(self, store: StorePort) -> None:
        for name in ("one", "two"):
            for n in range(3):
                keep(store, schedule(f"{name}{n}", queue=name), at=cursor(NOW + n * S))
        found, nexts = store.due(["two", "none", "one"], now=NOW + S, limit=1)
        assert (names(found), nexts) == (["two0", "one0"], [NOW + S, None, NOW + S])
        found, nexts = store.due(["one", "two"], now=NOW + S, limit=5)
        assert (names(found), nexts) == (["one0", "one1", "two0", "two1"], [NOW + 2 * S] * 2)
        assert store.due([], now=NOW, limit=5) == ([], [])

    @pytest.mark.parametrize(
        ("at", "wake"),
        [
            (cursor(None), None),
            (evolve(cursor(), held=True), NOW),
            (evolve(cursor(), pause=Pause()), None),
            (evolve(cursor(), pause=Pause("", NOW + S)), NOW + S),
            (evolve(cursor(NOW + HOUR), pause=Pause("", NOW + S)), NOW + S),
        ],
        ids=["exhausted", "held by nothing", "paused", "paused until", "paused with more to come"],
    )
    def test_what_stands_still_is_due_when_it_says(
        self, store: StorePort, at: Cursor, wake: datetime | None
    ) -> None:
        keep(store, at=at)
        if wake is None:
            assert store.due([MAIL], now=NOW + timedelta(days=999), limit=5) == ([], [None])
            return
        if wake > NOW:
            assert store.due([MAIL], now=wake - MS, limit=5) == ([], [wake])
        found, nexts = store.due([MAIL], now=wake, limit=5)
        assert (names(found), nexts) == (["tick"], [None])

    def test_a_change_moves_the_moment_at_which_it_is_due(self, store: StorePort) -> None:
        """S8"""
        keep(store)
        later = cursor(NOW + HOUR, version=2)
        store.put(schedule(), cursor=later, expected=cursor(), now=NOW)
        assert store.due([MAIL], now=NOW, limit=5) == ([], [NOW + HOUR])
        paused = evolve(later, pause=Pause())
        store.put(schedule(), cursor=paused, expected=later, now=NOW)
        assert store.due([MAIL], now=NOW + HOUR, limit=5) == ([], [None])
        store.put(schedule(), cursor=later, expected=paused, now=NOW)
        assert names(store.due([MAIL], now=NOW + HOUR, limit=5)[0]) == ["tick"]

    def test_looking_for_what_is_due_changes_nothing(self, store: StorePort) -> None:
        kept = keep(store)
        for _ in range(3):
            assert store.due([MAIL], now=NOW, limit=5) == ([Due(kept)], [None])
        assert store.get([TICK]) == [kept]

    def test_five_hundred_schedules_are_due_at_once(self, store: StorePort) -> None:
        for n in range(500):
            keep(store, schedule(f"s{n:03}"), at=cursor(NOW + n * MS))
        found, nexts = store.due([MAIL], now=NOW + 498 * MS, limit=1_000)
        assert (names(found), nexts) == ([f"s{n:03}" for n in range(499)], [NOW + 499 * MS])
        assert [stored.id.key for stored in store.find(MAIL)] == [f"s{n:03}" for n in range(500)]

    def test_the_ledger_of_nothing_is_empty(self, store: StorePort) -> None:
        keep(store)
        assert (store.ledger(TICK), store.live(TICK)) == ([], [])
        assert (store.ledger(ScheduleId(MAIL, "ghost")), store.live(ScheduleId(MAIL, "ghost"))) == ([], [])
