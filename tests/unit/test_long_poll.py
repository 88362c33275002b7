"""What a worker's long poll may bring, and what becomes of it."""

from datetime import timedelta
from threading import Event, Thread
from typing import Any
from unittest.mock import Mock

import pytest

from chronoq import Scheduler
from chronoq.app import fetcher as fetching
from chronoq.app.fetcher import LATE, POLL
from chronoq.app.hands import Hands, Run
from chronoq.app.long_poll import LONGEST, MOST, SHARE, LongPoll
from chronoq.domain.errors import BackendError
from chronoq.domain.job import State
from chronoq.domain.ports import Claimed
from chronoq.domain.retry import Failure
from chronoq.domain.time import MS
from chronoq.domain.verdict import Retry
from chronoq.testing.virtual import Inline
from tests.servers import eventually
from tests.unit.bench import LEASE, Bench
from tests.unit.made import HOUR, S, job

PATIENCE = 0 * S


def poll(bench: Bench, *, at_home: bool = False) -> LongPoll:
    return LongPoll(bench.fetcher, bench.clock, at_home)


def waiting(bench: Bench) -> list[str]:
    return [run.claim.id.key for run in bench.threads.waiting]


def out(bench: Bench, many: int = 1) -> bool:
    """Have the long poll go out."""
    return bench.fetcher.reserve(many, LEASE + S, bench.clock) is not None


def come_home(bench: Bench, *keys: str) -> list[Run]:
    """Have it come back with these jobs, which are ready."""
    bench.put(*keys)
    before = set(bench.hands.held)
    bench.fetcher.bring(bench.take(len(keys)), bench.clock)
    return [run for run in bench.hands.held if run not in before]


def suspect(bench: Bench, key: str) -> None:
    bench.put(key)
    lost = [(claim, Retry(bench.now, Failure("WorkerLost"), crash=True)) for claim in bench.take()]
    assert bench.backend.queue.settle(lost, now=bench.now) == [True]


def test_what_it_brings_is_handed_over_at_once() -> None:
    bench = Bench()
    bench.put("a", "b")
    found = poll(bench).listen(5 * S)
    assert found is not None
    assert waiting(bench) == ["a"], "one of each queue, whatever else there is"
    (run,) = bench.hands.held
    assert run.until == bench.now + LONGEST + LEASE


def test_what_it_brings_alone_runs_in_its_own_thread_if_that_is_no_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lent = list[str]()

    def run_here(inline: Inline, run: Run) -> bool:
        lent.append(run.claim.id.key)
        return run.claim.id.key != "long"

    monkeypatch.setattr(Inline, "run_here", run_here)
    bench = Bench(queues=["default", "other"])
    for keys in (["short"], ["long"], ["one", "of two"]):
        come_home(bench, *keys)
    assert lent == ["short", "long"]
    assert waiting(bench) == ["long", "one", "of two"]


def test_what_is_no_plain_function_runs_where_it_belongs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def coroutine() -> None: ...

    lent = list[str]()
    monkeypatch.setattr(Inline, "run_here", lambda inline, run: lent.append(run.claim.id.key) or True)
    bench = Bench()
    bench.task("await", coroutine)
    processes = bench.fetcher.processes = Inline(bench.runner, 4)
    bench.task("elsewhere", lambda: None).executor = "process"
    bench.put(job("a", task="await"), job("b", task="elsewhere"))
    for _ in "ab":
        bench.fetcher.bring(bench.take(), bench.clock)
    assert [run.claim.id.key for run in bench.coroutines.waiting] == ["a"]
    assert not processes.waiting, "they are the fetcher's to begin"
    bench.fetch()
    assert [run.claim.id.key for run in processes.waiting] == ["b"]
    assert not lent


def test_a_suspect_among_others_that_it_brings_is_left_to_the_fetcher() -> None:
    bench = Bench()
    suspect(bench, "poison")
    bench.put("a")
    bench.fetcher.bring(bench.take(2), bench.clock)
    assert [run.claim.id.key for run in bench.fetcher.brought] == ["poison", "a"]
    assert not waiting(bench)


def test_a_job_that_it_runs_and_that_takes_long_holds_up_no_other() -> None:
    app = Scheduler()
    begun, held = list[str](), Event()

    def work(key: str, *, wait: bool) -> None:
        begun.append(key)
        if wait:
            held.wait(20)

    task = app.add_task(work, name="work")
    worker = app.worker(["default"])
    worker.start()
    ear = worker.loops["ear"]
    try:
        eventually(lambda: worker.fetcher.out is not None)
        first = ear.thread
        task.enqueue("long", wait=True)
        eventually(lambda: ear.thread is not first)
        eventually(lambda: worker.fetcher.out is not None)  # the new one listens
        task.enqueue("next", wait=False)
        eventually(lambda: begun == ["long", "next"])
        held.set()
        assert first is not None
        first.join(20)
        assert not first.is_alive()
        eventually(lambda: worker.hands.done == 2)
    finally:
        held.set()
        assert worker.stop()


def test_whoever_takes_over_is_asked_to_listen_at_once() -> None:
    """The fetcher was told of what came, and not woken: it would look seconds later."""
    worker = Scheduler().worker(["default"])  # not started: nobody answers the ring
    worker._relieve()
    assert worker.loops["fetcher"].wake.is_set()
    ear = worker.loops["ear"]
    assert ear.thread is not None
    ear.stop()
    worker.ear.wanted.set()
    worker.backend.queue.recall(worker.process.id)
    ear.join()


def test_without_a_thread_to_take_over_the_fetcher_looks_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    worker = Scheduler().worker(["default"])
    monkeypatch.setattr(Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        worker._relieve()
    assert worker.loops["fetcher"].wake.is_set()


def test_it_stands_aside_for_what_it_brought_and_for_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    held = list[int]()
    monkeypatch.setattr(Hands, "stand_aside", lambda hands, _: held.append(len(hands.held)))
    bench = Bench()
    bench.put("a")
    poll(bench).listen(5 * S)
    assert held == [1]
    bench.backend.queue.recall(bench.fetcher.worker)
    assert poll(bench).listen(5 * S) == Claimed((), None)
    assert held == [1]


def test_it_waits_no_longer_than_a_part_of_the_lease_that_it_makes_longer() -> None:
    bench = Bench()
    bench.put("a")
    bench.fetcher.lease = lease = 4 * S
    poll(bench).listen(LEASE)
    (run,) = bench.hands.held
    assert run.until == bench.now + lease / SHARE + lease


def test_what_it_may_bring_is_not_claimed_by_the_fetcher_too() -> None:
    bench = Bench(slots=2)
    assert out(bench)
    bench.put("a", "b", "c")
    bench.fetch()
    assert waiting(bench) == ["a"]
    bench.fetcher.bring(bench.take(), bench.clock)
    assert waiting(bench) == ["a", "b"]
    bench.fetch()
    assert waiting(bench) == ["a", "b"]


@pytest.mark.parametrize("slots", [1, 2])
def test_it_stays_at_home_when_no_slot_is_free(slots: int) -> None:
    bench = Bench(slots=slots)
    bench.put(*(f"j{n}" for n in range(slots)))
    bench.fetch()
    bench.put("more")
    assert poll(bench).listen(PATIENCE) is None
    assert bench.state("more") is State.READY
    assert bench.fetcher.out is None


def test_it_stays_at_home_with_more_queues_than_free_slots_or_than_are_worth_it() -> None:
    for slots, count in ((1, 2), (MOST + 2, MOST + 1)):
        bench = Bench(slots=slots, queues=[f"q{n}" for n in range(count)])
        bench.put(job("a", queue="q0"))
        assert poll(bench).listen(5 * S) is None
        assert bench.state("a", "q0") is State.READY


def test_it_stays_at_home_while_the_fetcher_claims_all_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "CLAIMED", timedelta())
    bench = Bench(slots=2)
    bench.fetcher.asked = 2
    assert not out(bench)


def test_it_waits_for_what_comes_of_a_claim_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "CLAIMED", HOUR)
    bench = Bench(slots=2)
    under_way, went = Event(), list[bool]()
    poller = Thread(target=lambda: went.append(under_way.wait(10) and out(bench)), daemon=True)
    poller.start()
    claim = bench.fetcher.queue.claim

    def while_claiming(*args: Any, **options: Any) -> Claimed:
        under_way.set()
        eventually(lambda: bool(bench.fetcher.guard._waiters))  # type: ignore[attr-defined]
        assert not went
        return claim(*args, **options)

    monkeypatch.setattr(bench.fetcher, "queue", Mock(wraps=bench.fetcher.queue, claim=while_claiming))
    bench.fetch()
    poller.join(10)
    assert went == [True]


def test_it_stays_at_home_of_a_worker_that_leaves_when_it_is_idle() -> None:
    """What is on its way while it leaves would be left behind."""
    bench = Bench()
    bench.put("a")
    assert poll(bench, at_home=True).listen(5 * S) is None
    assert bench.state("a") is State.READY


def test_with_a_single_slot_that_it_may_fill_the_fetcher_still_has_it_hear_of_what_is_due() -> None:
    bench = Bench(slots=1)
    bench.put(job("later", due=bench.now + S))
    assert bench.fetch() == S
    assert out(bench)
    bench.clock.advance(S)
    bench.fetch()
    assert (bench.state("later"), waiting(bench)) == (State.READY, [])
    bench.fetcher.bring((), bench.clock)
    assert poll(bench).listen(PATIENCE + 5 * S) is not None
    assert waiting(bench) == ["later"]


def test_a_suspect_that_it_brings_runs_alone() -> None:
    bench = Bench()
    bench.put("a")
    bench.fetch()
    suspect(bench, "poison")
    assert out(bench)
    bench.fetcher.bring(bench.take(), bench.clock)
    assert waiting(bench) == ["a"]
    bench.fetch()
    assert (waiting(bench), bench.state("a")) == (["poison"], State.READY), "what had not started went back"


def test_what_it_brings_beside_a_suspect_goes_back() -> None:
    bench = Bench()
    assert out(bench)
    suspect(bench, "poison")
    bench.fetch()
    come_home(bench, "a")
    bench.fetch()
    assert waiting(bench) == ["poison"]
    assert (bench.state("a"), bench.seen("a").crashes, bench.seen("a").attempt) == (State.READY, 0, 0)


def test_it_stays_at_home_while_a_suspect_is_in_hand() -> None:
    bench = Bench()
    suspect(bench, "poison")
    bench.fetch()
    assert not out(bench)


def test_what_it_brings_to_a_worker_that_stops_goes_back() -> None:
    bench = Bench()
    assert out(bench)
    bench.fetcher.stopping = True
    bench.fetch()
    assert not bench.fetcher.drained.is_set(), "it may still bring something"
    come_home(bench, "a")
    bench.fetch()
    assert bench.fetcher.drained.is_set()
    assert (waiting(bench), bench.state("a"), bench.seen("a").crashes) == ([], State.READY, 0)


def test_a_worker_that_stops_does_not_wait_for_it_for_ever() -> None:
    bench = Bench()
    assert out(bench)
    bench.fetcher.stopping = True
    bench.fetch()
    bench.clock.advance(POLL)
    bench.fetch()
    assert bench.fetcher.drained.is_set()


@pytest.mark.parametrize("late", [True, False])
def test_what_it_brings_after_the_last_step_goes_back(late: bool) -> None:
    bench = Bench()
    assert out(bench)
    bench.fetcher.stopping = True
    if late:
        bench.fetcher.give_up(bench.now)
    come_home(bench, "a")
    if not late:
        bench.fetcher.give_up(bench.now)
    assert (bench.state("a"), bench.hands.empty) == (State.READY, True)


def test_it_does_not_go_out_for_a_worker_that_stops() -> None:
    bench = Bench()
    bench.fetcher.stopping = True
    assert not out(bench)
    assert (bench.fetcher.out, bench.fetcher.reserved) == (None, 0)


def test_a_worker_is_not_idle_while_it_is_out() -> None:
    bench = Bench()
    assert out(bench)
    bench.fetch()
    assert not bench.fetcher.idle


def test_what_it_was_granted_without_hearing_of_it_is_given_back_and_runs() -> None:
    bench = Bench()
    bench.put("a")
    bench.outage.fail("wait_claim", times=1, after=True)
    with pytest.raises(BackendError):
        poll(bench).listen(5 * S)
    assert (bench.state("a"), bench.fetcher.out) == (State.RUNNING, None)
    bench.fetch()
    assert bench.state("a") is State.RUNNING, "the server may grant something still"

    bench.clock.advance(11 * S)
    bench.fetch()
    bench.work()
    bench.fetch()

    assert bench.state("a") is State.DONE
    assert bench.counts().crashed == 0


def test_a_worker_that_stops_gives_back_at_once_what_it_may_have_been_granted() -> None:
    bench = Bench()
    bench.put("a")
    bench.outage.fail("wait_claim", times=1, after=True)
    with pytest.raises(BackendError):
        poll(bench).listen(5 * S)
    bench.fetcher.stopping = True
    bench.fetch()
    assert bench.state("a") is State.READY


def test_what_it_is_being_granted_is_not_taken_for_what_was_never_heard_of() -> None:
    bench = Bench()
    end = bench.now + LEASE + timedelta(seconds=5)
    bench.put("a")
    (claim,) = bench.backend.queue.claim(
        [("default", 1)], worker="w1", lease=end - bench.now, now=bench.now
    ).claims
    assert bench.fetcher.reserve(1, end - bench.now, bench.clock)
    bench.fetcher.unanswered.append(end)
    bench.fetch()
    assert (bench.state("a"), bench.seen("a").token) == (State.RUNNING, 1)
    bench.fetcher.bring([claim], bench.clock)
    bench.work()
    bench.fetch()
    assert bench.state("a") is State.DONE


def test_it_waits_on_when_it_found_nothing_that_is_due_soon() -> None:
    app = Scheduler()
    app.add_task(lambda: None, name="t")
    worker = app.worker(["default"])
    fetcher = worker.loops["fetcher"]
    now = worker.backend.clock.now()
    finds = [
        (Claimed((), None), True),
        (None, False),
        (Claimed((), now + HOUR), True),
        (Claimed((), now + S), False),
    ]
    for found, on in finds:
        fetcher.wake.clear()
        worker.ear.wanted.set()
        worker.ear.heard(found)
        assert worker.ear.wanted.is_set() is on
        assert fetcher.wake.is_set() is not on, "nobody has to look again"


@pytest.mark.parametrize("looked", [True, False])
def test_the_look_that_follows_a_run_is_the_one_for_what_it_brought_too(looked: bool) -> None:
    app = Scheduler()
    task = app.add_task(lambda: None, name="t")
    worker = app.worker(["default"])
    fetcher, wanted = worker.loops["fetcher"], worker.ear.wanted
    task.enqueue()
    wanted.set()
    found = worker.ear.listen(S)
    assert not wanted.is_set(), "it listens when the fetcher has looked"
    if looked:
        worker.threads.runner.run(worker.threads.waiting.popleft())
        worker.fetcher.step(worker.backend.clock.now())
    fetcher.wake.clear()
    worker.ear.heard(found)
    assert (wanted.is_set(), fetcher.wake.is_set()) == (looked, not looked)


def test_what_it_left_to_the_fetcher_is_looked_at_whoever_looked_before() -> None:
    app = Scheduler()
    worker = app.worker(["default"])
    app.add_task(lambda: None, name="t").enqueue()
    queue, now = worker.backend.queue, worker.backend.clock.now()
    (claim,) = queue.claim([("default", 1)], worker="lost", lease=S, now=now).claims
    queue.settle([(claim, Retry(now, Failure("WorkerLost"), crash=True))], now=now)
    found = worker.ear.listen(S)
    assert len(worker.fetcher.brought) == 1
    worker.fetcher.heard = False
    worker.ear.heard(found)
    assert worker.loops["fetcher"].wake.is_set()


def test_a_look_that_found_no_slot_free_before_it_was_back_is_taken_again() -> None:
    """Two slots were kept for what it might bring of two queues, and it brought one job."""
    app = Scheduler(queues=["a", "b"])
    app.add_task(lambda: None, name="t", queue="b").enqueue()
    worker = app.worker(["a", "b"])
    worker.hands.slots = 2
    poll: LongPoll = worker.ear.listen.__self__  # type: ignore[attr-defined]
    brings = poll.brings

    def look_meanwhile() -> None:
        brings()
        worker.fetcher.step(worker.backend.clock.now())

    poll.brings = look_meanwhile
    found = worker.ear.listen(5 * S)
    assert len(worker.hands.held) == 1
    worker.loops["fetcher"].wake.clear()
    worker.ear.heard(found)
    assert worker.ear.wanted.is_set() or worker.loops["fetcher"].wake.is_set(), "somebody has to listen"


def test_a_wait_begins_when_it_has_its_slots() -> None:
    """The leases that it may be granted last a whole lease beyond it, however long it waited for a claim."""
    bench = Bench(slots=2)
    bench.fetcher.asked = 2

    def answered(_: object, __: float) -> None:
        bench.clock.advance(S)
        bench.fetcher.asked = 0

    bench.fetcher.guard.wait_for = answered  # type: ignore[method-assign, assignment]
    bench.put("a")
    poll(bench).listen(5 * S)
    (run,) = bench.hands.held
    assert run.until == bench.now + LONGEST + LEASE


def test_while_it_is_out_the_fetcher_looks_when_it_has_to_be_back() -> None:
    bench = Bench()
    assert bench.fetcher.step(bench.now) == bench.now + POLL
    assert bench.fetcher.reserve(1, LONGEST + LEASE, bench.clock)
    for heard in (True, False):
        bench.fetcher.heard = heard
        assert bench.fetcher.step(bench.now) == bench.now + LONGEST + LATE > bench.now + POLL


def test_while_it_is_out_what_was_granted_to_the_fetcher_does_not_wait_for_it() -> None:
    bench = Bench()
    bench.put("a")
    bench.fetcher.heard = False
    bench.fetcher.fresh = bench.take()
    assert bench.fetcher.reserve(1, LONGEST + LEASE, bench.clock)
    bench.fetch()
    assert waiting(bench) == ["a"]


def test_while_it_is_out_a_wary_fetcher_still_looks_for_more_of_a_crowd() -> None:
    bench = Bench()
    assert bench.fetcher.reserve(1, LONGEST + LEASE, bench.clock)
    bench.fetcher.heard, bench.fetcher.wary = False, True
    bench.put("a")
    bench.fetch()
    assert waiting(bench) == ["a"]


def test_while_it_is_out_and_nothing_is_due_its_looks_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.put(job("later", due=bench.now + 3 * S))
    bench.fetch()
    claim = Mock(wraps=bench.fetcher.queue.claim)
    monkeypatch.setattr(bench.fetcher, "queue", Mock(wraps=bench.fetcher.queue, claim=claim))
    assert bench.fetcher.reserve(1, LONGEST + LEASE, bench.clock)
    bench.clock.advance(S)
    assert bench.fetch() == 2 * S, "then something is due"
    bench.fetcher.awaited = None
    assert bench.fetch() == LONGEST + LATE - S, "then it should be back"
    bench.fetcher.awaited = bench.now + 2 * S
    assert claim.call_count == 0
    bench.clock.advance(2 * S)
    bench.fetch()
    assert (claim.call_count, waiting(bench)) == (1, ["later"])
    bench.work()
    bench.fetch()
    assert claim.call_count == 2, "what has ended is settled at once"
    bench.fetch()
    assert claim.call_count == 2
    bench.clock.advance(LONGEST + LATE - 3 * S)
    bench.fetch()
    assert claim.call_count == 3, "it should be back by now"


def test_a_worker_with_nothing_in_hand_does_not_wait_for_a_store_that_is_gone() -> None:
    bench = Bench()
    bench.fetcher.unanswered.append(bench.now + LEASE)
    bench.fetcher.stopping = True
    bench.outage.fail()
    with pytest.raises(BackendError):
        bench.fetch()
    assert not bench.fetcher.drained.is_set(), "it may be back in a moment"
    bench.clock.advance(POLL)
    bench.fetch()
    assert bench.fetcher.drained.is_set()


def test_the_fetcher_claims_in_its_place_when_it_is_late() -> None:
    """Its connection may have died in silence. Nobody else would hear of it for as long as it takes to see that."""
    bench = Bench(slots=1)
    assert out(bench)
    bench.put("a")
    bench.fetch()
    assert waiting(bench) == []
    bench.clock.advance(S + LATE - MS)
    bench.fetch()
    assert waiting(bench) == []
    bench.clock.advance(MS)
    bench.fetch()
    assert waiting(bench) == ["a"]
