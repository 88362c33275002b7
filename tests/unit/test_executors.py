"""Where handlers run: real threads, and a real event loop."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chronoq import Scheduler, errors
from chronoq.adapters.system import SystemClock, elapsed
from chronoq.app import threads as watched
from chronoq.app.coroutines import Coroutines
from chronoq.app.hands import Hands, Pace, Run
from chronoq.app.runner import LAG, Runner
from chronoq.app.tasks import Registry, TaskDef
from chronoq.app.threads import LEAST, SHYEST, Threads
from chronoq.domain.job import State
from chronoq.domain.verdict import Cancelled, Done, Retry
from tests.servers import eventually
from tests.unit.made import NOW, S, claim, options


class Shop:
    """Handlers that wait until a test lets them go on."""

    def __init__(self, slots: int) -> None:
        self.registry = Registry()
        self.hands = Hands(slots)
        self.runner = Runner(self.registry, self.hands, SystemClock(NOW - elapsed()), lambda: 0.5)
        self.threads, self.coroutines = Threads(self.runner, slots), Coroutines(self.runner, slots)
        self.begun: list[str] = []
        self.go_on = threading.Event()
        self.registry.add(TaskDef("wait", self._wait, "default"))
        self.registry.add(TaskDef("await", self._await, "default"))

    def _wait(self, key: str) -> None:
        self.begun.append(key)
        assert self.go_on.wait(20)

    async def _await(self, key: str) -> None:
        self.begun.append(key)
        while not self.go_on.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.001)

    def run(self, key: str, task: str = "wait") -> Run:
        return self.hands.take(claim(key, task=task, payload=f'[["{key}"],{{}}]'.encode()))


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop(2)
    shop.threads.start()
    shop.coroutines.start()
    yield shop
    shop.go_on.set()
    shop.threads.stop()
    shop.coroutines.stop()


@pytest.mark.parametrize("task", ["wait", "await"])
def test_no_more_run_at_a_time_than_there_are_slots(shop: Shop, task: str) -> None:
    executor = shop.threads if task == "wait" else shop.coroutines
    executor.give([shop.run(key, task) for key in "abc"])
    eventually(lambda: len(shop.begun) == 2)
    assert [run.claim.id.key for run in executor.take_back()] == ["c"]
    shop.go_on.set()
    eventually(lambda: len(shop.hands.outbox) == 2)
    assert sorted(shop.begun) == ["a", "b"]


@pytest.mark.parametrize("task", ["wait", "await"])
def test_what_waits_starts_when_a_slot_is_free(shop: Shop, task: str) -> None:
    executor = shop.threads if task == "wait" else shop.coroutines
    executor.give([shop.run(key, task) for key in "abcdef"])
    shop.go_on.set()
    eventually(lambda: len(shop.hands.outbox) == 6)
    assert sorted(shop.begun) == list("abcdef")
    assert {type(verdict) for _, verdict in shop.hands.outbox} == {Done}


def test_however_long_all_are_busy_no_more_than_one_ring_waits_for_them(shop: Shop) -> None:
    """A worker that always has more to do would else keep each ring until its memory is full."""
    for key in "abcdef":
        shop.threads.give([shop.run(key)])
    eventually(lambda: len(shop.begun) == 2)
    for number in range(50):
        shop.threads.give([shop.run(f"j{number}")])
    assert shop.threads.bell.qsize() <= 1
    shop.go_on.set()
    eventually(lambda: len(shop.hands.outbox) == 56)


@pytest.mark.parametrize("task", ["wait", "await"])
def test_a_run_that_was_asked_to_stop_while_it_waited_ends_as_cancelled_unstarted(
    shop: Shop, task: str
) -> None:
    """Without a verdict it would be held, and its lease kept, for ever."""
    executor = shop.threads if task == "wait" else shop.coroutines
    runs = [shop.run(key, task) for key in "abc"]
    executor.give(runs)
    eventually(lambda: len(shop.begun) == 2)
    runs[2].ask_to_stop()
    shop.go_on.set()
    eventually(lambda: not shop.hands.held)
    assert {claim.id.key: verdict for claim, verdict in shop.hands.outbox}["c"] == Cancelled()
    assert "c" not in shop.begun


def test_a_slot_is_adrift_while_the_thread_of_a_run_that_was_given_up_goes_on(shop: Shop) -> None:
    told: list[int] = []
    run = shop.run("a")
    shop.threads.give([run])
    eventually(lambda: shop.begun)
    assert shop.threads.adrift == 0
    shop.runner.give_up(run)
    assert shop.threads.adrift == 1
    assert not shop.threads.stuck
    shop.hands.changed = lambda: told.append(1)
    shop.go_on.set()
    eventually(lambda: shop.threads.adrift == 0)
    eventually(lambda: told)


def test_a_slot_is_adrift_while_the_thread_of_a_run_whose_lease_was_lost_goes_on(shop: Shop) -> None:
    run = shop.run("a")
    shop.threads.give([run])
    eventually(lambda: shop.begun)
    shop.hands.drop(run)
    run.ask_to_stop()
    assert shop.threads.adrift == 1
    shop.go_on.set()
    eventually(lambda: shop.threads.adrift == 0)
    assert not shop.hands.outbox


def test_a_run_that_is_only_asked_to_stop_still_has_its_slot(shop: Shop) -> None:
    run = shop.run("a")
    shop.threads.give([run])
    eventually(lambda: shop.begun)
    run.ask_to_stop()
    assert shop.threads.adrift == 0


def test_all_threads_are_stuck_when_every_run_was_given_up(shop: Shop) -> None:
    runs = [shop.run(key) for key in "ab"]
    shop.threads.give(runs)
    eventually(lambda: len(shop.begun) == 2)
    shop.runner.give_up(runs[0])
    assert not shop.threads.stuck
    shop.runner.give_up(runs[1])
    assert shop.threads.stuck
    assert shop.threads.adrift == 2


def test_a_loop_that_a_handler_blocks_does_not_turn_and_its_job_has_a_deadline_all_the_same(
    shop: Shop,
) -> None:
    async def block() -> None:
        shop.begun.append("block")
        assert shop.go_on.wait(20)

    shop.registry.add(TaskDef("block", block, "default"))
    assert shop.coroutines.turns(), "nothing runs there"
    run = shop.hands.take(claim("a", task="block", payload=b"[[],{}]", options=options(timeout=S)))
    shop.coroutines.give([run])
    eventually(lambda: shop.begun)
    assert run.deadline is not None
    assert run.started is not None
    assert run.deadline == run.started + S + LAG
    assert not shop.coroutines.turns(within=0.05)
    assert shop.runner.give_up(run)
    ((_, verdict),) = shop.hands.outbox
    assert isinstance(verdict, Retry)
    assert "JobTimeout" in verdict.failure.type
    shop.go_on.set()
    eventually(shop.coroutines.turns)


class Instant(Pace):
    """However long a busy machine lets them take."""

    instant = True


def test_where_jobs_end_at_once_one_thread_goes_on_alone(shop: Shop) -> None:
    shop.hands.pace = Instant()
    alone = list[bool]()
    shop.registry.add(TaskDef("note", lambda key: alone.append(shop.threads.alone), "default"))
    shop.threads.give([shop.run(f"j{number}", "note") for number in range(500)])
    eventually(lambda: len(shop.hands.outbox) == 500)
    assert any(alone)
    eventually(lambda: not shop.threads.alone)


def test_a_job_among_them_that_does_not_end_holds_up_no_other(shop: Shop) -> None:
    shop.hands.pace = Instant()
    shop.registry.add(TaskDef("note", lambda key: None, "default"))
    shop.threads.give([shop.run("held"), *(shop.run(f"j{number}", "note") for number in range(50))])
    eventually(lambda: len(shop.hands.outbox) == 50)  # though nothing was given after, and nobody rang
    assert shop.begun == ["held"]


def test_nobody_waits_for_the_end_of_all_when_one_of_them_takes_long(shop: Shop) -> None:
    shop.hands.pace = Instant()
    shop.registry.add(TaskDef("note", lambda key: None, "default"))
    runs = [shop.run("held"), *(shop.run(f"j{number}", "note") for number in range(50))]
    shop.hands.through.set()
    waiting = threading.Thread(target=shop.hands.breathe, args=(10**9,))
    waiting.start()
    eventually(lambda: not shop.hands.through.is_set())
    shop.threads.give(runs)
    waiting.join(20)
    assert not waiting.is_alive()
    assert runs[0] in shop.hands.held


def test_when_one_goes_on_alone_the_others_leave_it_all_to_that_one() -> None:
    shop, freed, by = Shop(2), threading.Event(), list[int]()
    shop.hands.pace = Instant()

    def first() -> None:  # of those that the one thread runs: the other one ends what it has in hand
        by.append(threading.get_ident())
        freed.set()
        eventually(lambda: None in shop.threads.current.values())

    def note() -> None:
        by.append(threading.get_ident())
        time.sleep(0.0001)  # whoever else wants to run one can

    for name, fn in (("held", lambda: freed.wait(20)), ("first", first), ("note", note)):
        shop.registry.add(TaskDef(name, fn, "default"))
    tasks = ["held", "first", *["note"] * 300]
    runs = [shop.hands.take(claim(f"j{at}", task=task, payload=b"[[],{}]")) for at, task in enumerate(tasks)]
    with unwatched(shop.threads):  # a watch would find that the first takes too long
        shop.threads.give(runs[:1])
        eventually(lambda: runs[0] in shop.threads.current.values())
        shop.threads.give(runs[1:])
        eventually(lambda: len(shop.hands.outbox) == len(runs))
    assert len(set(by)) == 1


@contextmanager
def unwatched(threads: Threads) -> Iterator[None]:
    """Its threads, and nobody who looks after the one that goes on alone."""
    for slot in range(threads.slots):
        threads.current[slot] = None
        threads.free.append(slot)
        threading.Thread(target=threads._work, daemon=True).start()
    yield
    threads.stop()


def trials(threads: Threads, runs: int, *, shown: bool = False) -> list[int]:
    """At which of so many runs, each of which finds others waiting, one thread goes on alone to see what they take.

    `shown`: it goes on so, for they end at once; else they turn out to be long.
    """
    pace, found = threads.runner.hands.pace, list[int]()
    for number in range(1, runs + 1):
        threads.begun += 1
        if not threads.alone:
            threads._part(0)
            if threads.alone:
                found.append(number)
        if not shown:
            pace.delay = pace.LONG
            threads.alone = False  # as the watch does
    pace.delay = pace.LONG
    threads.alone = False
    return found


def test_it_is_tried_ever_more_seldom_whether_long_runs_are_short_one_after_the_other() -> None:
    shop = Shop(1)
    shop.hands.pace.mean = 0.0001
    assert trials(shop.threads, 8 * LEAST) == [LEAST, 3 * LEAST, 7 * LEAST]


def test_after_a_trial_that_has_shown_it_the_next_come_soon() -> None:
    shop = Shop(1)
    shop.hands.pace.mean = 0.0001
    assert trials(shop.threads, 3 * LEAST) == [LEAST, 3 * LEAST]
    assert trials(shop.threads, 40 * LEAST, shown=True) == [4 * LEAST]
    assert trials(shop.threads, 2 * LEAST) == [1, LEAST + 1]


def test_nothing_is_tried_where_runs_are_long() -> None:
    shop = Shop(1)
    shop.hands.pace.mean = 2 * Pace.SHORT
    assert trials(shop.threads, 8 * LEAST) == []


def lending(shop: Shop, run: Run) -> threading.Thread:
    """A thread of its own that lends itself for a run."""
    thread = threading.Thread(target=shop.threads.run_here, args=(run,))
    thread.start()
    return thread


def test_a_run_in_a_lent_thread_runs_there(shop: Shop) -> None:
    by = list[int]()
    shop.registry.add(TaskDef("note", lambda key: by.append(threading.get_ident()), "default"))
    run = shop.run("a", "note")
    assert shop.threads.run_here(run)
    assert by == [threading.get_ident()]
    assert run.on_thread, "its timeout is watched as that of any other"
    assert len(shop.hands.outbox) == 1


def test_a_lent_thread_takes_a_slot_and_starts_nothing_before_what_waits() -> None:
    shop = Shop(1)
    shop.threads.start()
    lent = lending(shop, shop.run("lent"))
    eventually(lambda: shop.begun == ["lent"])
    assert not shop.threads.run_here(shop.run("no slot is free"))
    shop.threads.give([shop.run("given")])
    eventually(lambda: shop.threads.bell.empty())  # its thread is awake, and finds no slot
    assert shop.begun == ["lent"]
    shop.go_on.set()
    lent.join(20)
    eventually(lambda: shop.begun == ["lent", "given"])
    eventually(lambda: len(shop.threads.free) == 1)
    shop.threads.waiting.append(shop.run("waits"))
    assert not shop.threads.run_here(claimed(shop, "behind it", "brief"))
    shop.threads.stop()


def test_no_thread_is_lent_beside_one_that_goes_on_alone(shop: Shop) -> None:
    shop.threads.alone = True
    assert not shop.threads.run_here(claimed(shop, "a", "brief"))
    shop.threads.alone = False
    assert shop.threads.run_here(claimed(shop, "b", "brief"))


def test_a_lent_thread_is_relieved_once_when_its_run_takes_longer_than_a_moment(shop: Shop) -> None:
    relieved = list[int]()
    shop.threads.relieve = lambda: relieved.append(threading.get_ident())
    lent = lending(shop, shop.run("long"))
    eventually(lambda: relieved)
    assert shop.threads.lent is None
    second = lending(shop, claimed(shop, "other", "brief"))  # the one that took over lends itself, too
    second.join(20)
    shop.go_on.set()
    lent.join(20)
    assert len(relieved) == 1
    assert shop.threads.lent is None
    eventually(lambda: len(shop.threads.free) == 2)


def claimed(shop: Shop, key: str, task: str) -> Run:
    shop.registry.add(TaskDef(task, lambda key: None, "default"))
    return shop.run(key, task)


def test_the_end_of_a_run_whose_thread_was_relieved_leaves_the_watch_over_the_next_alone(shop: Shop) -> None:
    relieved = list[int]()
    shop.threads.relieve = lambda: relieved.append(1)
    also = threading.Event()
    shop.registry.add(TaskDef("also", lambda key: also.wait(20), "default"))
    first = lending(shop, shop.run("long"))
    eventually(lambda: len(relieved) == 1)
    with shop.threads.guard:  # nobody is relieved meanwhile
        second = lending(shop, shop.run("next", "also"))
        eventually(lambda: shop.threads.lent is not None)
        shop.go_on.set()
    first.join(20)
    eventually(lambda: len(relieved) == 2)
    also.set()
    second.join(20)


def test_a_task_that_held_up_a_lent_thread_is_left_to_others_ever_longer(shop: Shop) -> None:
    relieved = threading.Event()
    shop.threads.relieve = relieved.set
    given = list[int]()
    for turn in range(3):
        shop.go_on.clear()
        relieved.clear()
        lent = lending(shop, shop.run(f"long {turn}"))
        assert relieved.wait(20)
        shop.go_on.set()
        lent.join(20)
        given.append(0)
        assert not shop.threads.run_here(shop.run(f"next {turn}"))
        given[-1] += 1
        while not shop.threads.run_here(claimed(shop, f"{turn}, {given[-1]}", "other")):
            given[-1] += 1
        while shop.threads._is_shy(shop.run(f"again {turn}, {given[-1]}")):
            given[-1] += 1
    assert given == [8, 16, 32], "others of its task, and none of any other"


def test_a_task_that_always_holds_up_its_thread_is_tried_now_and_then_all_the_same(shop: Shop) -> None:
    shop.threads.shy["wait"] = 0, SHYEST
    lending(shop, shop.run("long"))
    eventually(lambda: shop.threads.shy["wait"][0])
    assert shop.threads.shy["wait"] == (SHYEST, SHYEST)


def test_a_task_that_ended_soon_in_a_lent_thread_is_no_longer_shy(shop: Shop) -> None:
    shop.go_on.set()
    shop.threads.shy["wait"] = 0, 512
    eventually(lambda: shop.threads.run_here(shop.run("soon")))
    assert not shop.threads.shy


def test_a_lent_thread_that_nobody_can_relieve_comes_back_by_itself(shop: Shop) -> None:
    tries = list[int]()

    def relieve() -> None:
        tries.append(1)
        raise RuntimeError("can't start new thread")

    shop.threads.relieve = relieve
    lent = lending(shop, shop.run("long"))
    eventually(lambda: tries)
    shop.go_on.set()
    lent.join(20)
    assert len(tries) == 1, "it is not tried again every two milliseconds"
    assert "wait" in shop.threads.shy
    shop.threads.relieve = tries.clear  # the watch goes on
    shop.go_on.clear()
    shop.threads.shy.clear()
    lent = lending(shop, shop.run("another"))
    eventually(lambda: not tries)
    shop.go_on.set()
    lent.join(20)


def test_a_thread_that_found_no_slot_leaves_the_run_to_the_one_that_gives_its_slot_back(shop: Shop) -> None:
    missed = list[int]()

    class Slots(deque[int]):
        def popleft(self) -> int:
            if not self:
                missed.append(1)
            return super().popleft()

        def append(self, slot: int) -> None:
            if not missed:
                shop.threads.give([shop.run("left")])
                eventually(lambda: missed)  # another took the ring
            super().append(slot)

    lending(shop, shop.run("lent"))
    eventually(lambda: shop.begun == ["lent"])
    shop.threads.free = Slots(shop.threads.free)
    shop.threads.give([claimed(shop, "given", "brief")])
    eventually(lambda: shop.begun == ["lent", "left"])


def test_a_run_that_was_lent_while_the_watch_looked_at_another_has_its_own_moment(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments, relieved = list[Run | None](), list[Run | None]()
    shop.threads.relieve = lambda: relieved.append(moments[-1])
    first, second = threading.Event(), threading.Event()
    shop.registry.add(TaskDef("first", lambda key: first.wait(20), "default"))
    shop.registry.add(TaskDef("second", lambda key: second.wait(20), "default"))
    runs = [shop.run("a", "first"), shop.run("b", "second")]

    def moment(_: float) -> None:
        moments.append(shop.threads.lent)
        if len(moments) == 1:
            first.set()
            eventually(lambda: shop.threads.lent is None)
            lending(shop, runs[1])
            eventually(lambda: shop.threads.lent is runs[1])

    monkeypatch.setattr(watched, "sleep", moment)
    lending(shop, runs[0])
    eventually(lambda: relieved)
    second.set()
    assert moments[:2] == runs
    assert relieved == runs[1:]


def test_the_watch_stays_for_as_long_as_one_goes_on_alone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = list[float]()

    def moment(seconds: float) -> None:
        moments.append(seconds)
        shop.threads.begun += len(moments) < 3

    monkeypatch.setattr(watched, "sleep", moment)
    shop.hands.pace = Instant()
    shop.threads.alone = True
    shop.threads._have_watched()
    eventually(lambda: not shop.threads.alone)
    assert len(moments) == 3


def test_whoever_took_over_may_lend_itself_before_the_watch_is_done_with_the_one_before(shop: Shop) -> None:
    """Else nobody would relieve it, and nobody listen, for as long as its run takes."""
    relieved, threads = list[int](), list[threading.Thread]()

    def relieve() -> None:
        relieved.append(1)
        if len(relieved) == 1:
            threads.append(lending(shop, shop.run("second", "also")))
            eventually(lambda: "second" in begun)

    begun = list[str]()

    def also(key: str) -> None:
        begun.append(key)
        assert shop.go_on.wait(20)

    shop.registry.add(TaskDef("also", also, "default"))
    shop.threads.relieve = relieve
    threads.append(lending(shop, shop.run("first")))
    eventually(lambda: len(relieved) == 2)
    shop.go_on.set()
    for thread in threads:
        thread.join(20)


def test_what_came_in_the_moment_in_which_one_stops_going_on_alone_is_shared(shop: Shop) -> None:
    """Whoever gave it saw one that goes on alone, and did not ring."""

    class Late(deque[Run]):
        def popleft(self) -> Run:
            if not self and not given:
                given.extend(["a", "b"])
                self.extend(shop.run(key) for key in given)
                raise IndexError
            return super().popleft()

    given = list[str]()
    shop.threads.waiting = Late()
    with shop.threads.guard:  # nobody watches meanwhile
        shop.threads.lone, shop.threads.alone = 0, True
    assert shop.threads._slot() == 0
    first = shop.threads._next(0, None)
    assert first is not None
    eventually(lambda: shop.begun == ["b"])
    shop.threads.free.append(0)


def test_threads_end_when_they_are_stopped() -> None:
    shop = Shop(2)
    before = set(threading.enumerate())
    shop.threads.start()
    shop.threads.stop()
    eventually(lambda: not {*threading.enumerate()} - before)


def test_an_event_loop_that_is_stopped_cancels_what_is_left() -> None:
    shop = Shop(2)
    shop.coroutines.start()
    shop.coroutines.give([shop.run("a", "await")])
    eventually(lambda: shop.begun)
    shop.coroutines.stop()
    assert shop.coroutines.own is not None
    assert not shop.coroutines.own.is_alive()


def test_a_worker_whose_threads_are_all_stuck_says_so_and_claims_nothing_more() -> None:
    app = Scheduler(concurrency=1, grace=0)
    go_on = threading.Event()
    stuck = app.add_task(lambda: go_on.wait(20), name="stuck", timeout="20ms", retries=0)
    quick = app.add_task(lambda: None, name="quick")
    worker = app.worker()
    worker.start()
    with pytest.raises(errors.JobFailed, match="longer than its timeout of 20ms"):
        stuck.enqueue().result(timeout=10)
    assert worker.failed.wait(10)
    waiting = quick.enqueue()
    eventually(lambda: worker.fetcher.heard is False)
    assert waiting.status() is State.READY
    go_on.set()
    assert waiting.result(timeout=10) is None
    worker.stop()
    app.close()


def test_a_thread_outlives_whatever_its_handler_raises() -> None:
    app = Scheduler(concurrency=1)

    class Mute(BaseException):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def bad() -> None:
        raise Mute

    task, double = app.add_task(bad, name="bad", retries=0), app.add_task(lambda n: 2 * n, name="double")
    with app:
        with pytest.raises(errors.JobFailed, match="its text cannot be made"):
            task.enqueue().result(timeout=10)
        assert double.enqueue(4).result(timeout=10) == 8
    app.close()
