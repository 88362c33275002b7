"""What is sent to a child in one batch: begun one by one, by leave, which can be taken back until then."""

import json
import marshal
import os
import resource
import signal
from collections.abc import Iterator
from io import BytesIO
from math import inf
from pathlib import Path

import pytest
from attrs import astuple

from chronoq.app import processes as module
from chronoq.app.child import BEGUN, MAY, Child, _plain, _sendable
from chronoq.app.hands import Run
from chronoq.app.processes import Processes, Work
from chronoq.app.warm import Warm
from chronoq.domain.job import Job
from chronoq.domain.retry import Failure
from chronoq.domain.verdict import Cancelled, Done, Retry, Verdict
from tests.integration import process_tasks
from tests.servers import eventually
from tests.unit.bench import Bench
from tests.unit.made import NOW, S, job, options


class Shop:
    """Children that are at work, with a gate before whatever comes after it. Nobody looks at them meanwhile."""

    def __init__(self, folder: Path, *, slots: int) -> None:
        self.folder, self.bench = folder, Bench(slots=slots)
        for task in (process_tasks.gate, process_tasks.touch, process_tasks.square):
            self.bench.registry.tasks[task.name] = task.definition
        self.bench.hands.pace.mean = 0.0001  # as after many short jobs
        self.processes = Processes(self.bench.runner, slots)
        self.gate = job("gate", task="gate", payload=self._payload("begun", "opened"))

    def _payload(self, *names: str) -> bytes:
        return json.dumps([[str(self.folder / name) for name in names], {}]).encode()

    def touch(self, key: str, *, timeout: float | None = None) -> Job:
        limits = options(timeout=timeout and timeout * S)
        return job(key, task="touch", payload=self._payload(key), options=limits)

    def give(self, *jobs: Job) -> list[Run]:
        runs = self.bench.held(*jobs)
        self.processes.give(runs)
        return runs

    def give_behind_the_gate(self, *jobs: Job) -> list[Run]:
        """They are with the child that is at the gate."""
        _, *runs = self.give(self.gate, *jobs)
        eventually((self.folder / "begun").exists)
        return runs

    def open(self) -> None:
        (self.folder / "opened").touch()

    def times(self, key: str) -> int:
        """How often it was begun."""
        path = self.folder / key
        return len(path.read_text()) if path.exists() else 0

    def ended(self, *keys: str) -> dict[str, Verdict]:
        """The verdicts, as soon as there is one for each of these."""
        outbox = self.bench.hands.outbox
        eventually(lambda: {*keys} <= {claim.id.key for claim, _ in list(outbox)})
        return {claim.id.key: verdict for claim, verdict in list(outbox)}

    def child(self) -> int:
        """The process id of the child, which has nothing to do."""
        self.give(job("square", task="square", payload=b"[[7],{}]", options=options(result_ttl=S)))
        done = self.ended("square")["square"]
        assert isinstance(done, Done)
        assert done.result
        eventually(lambda: not self.processes.works)
        return int(json.loads(done.result)[1])

    @property
    def permitted(self) -> int:
        """How many the child may begin that it has not begun."""
        children = [work.child for work in list(self.processes.works)]
        return sum(child.words[MAY] - child.begun for child in children)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(module, "LOOK", 60)
    shop = Shop(tmp_path, slots=1)
    yield shop
    shop.open()
    shop.processes.stop()


def test_what_a_child_has_not_begun_is_taken_back_and_never_begun(shop: Shop) -> None:
    runs = shop.give_behind_the_gate(shop.touch("a"), shop.touch("b"))
    assert shop.permitted == 2
    assert shop.processes.take_back() == runs
    assert [run.started for run in runs] == [None, None]
    shop.open()
    shop.ended("gate")
    shop.give(shop.touch("c"))
    assert [*shop.ended("c")] == ["gate", "c"]
    assert (shop.times("a"), shop.times("b"), shop.times("c")) == (0, 0, 1)


def test_what_is_behind_a_slow_one_goes_to_a_child_that_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK", 0.05)
    shop = Shop(tmp_path, slots=2)
    shop.give(shop.gate, *map(shop.touch, "abc"))
    assert "gate" not in shop.ended("a", "b", "c")
    shop.open()
    shop.ended("gate")
    assert [shop.times(key) for key in "abc"] == [1, 1, 1]
    shop.processes.stop()


def test_a_result_does_not_wait_for_a_slow_one_in_the_same_batch(shop: Shop) -> None:
    shop.give(shop.touch("a"), shop.touch("b"), shop.gate)
    assert "gate" not in shop.ended("a", "b")


@pytest.mark.parametrize("late", [4, 6])
def test_the_time_of_a_job_does_not_run_while_another_has_the_child(shop: Shop, late: int) -> None:
    _, timed, _ = shop.give_behind_the_gate(shop.touch("a"), shop.touch("timed", timeout=5), shop.touch("b"))
    shop.bench.clock.advance(late)
    shop.bench.beat()
    assert shop.bench.verdicts() == []
    shop.open()
    assert all(isinstance(verdict, Done) for verdict in shop.ended("gate", "a", "timed", "b").values())
    assert shop.times("timed") == 1
    assert timed.deadline == NOW + (late + 5) * S


def test_a_job_that_a_stopped_child_has_not_begun_is_not_past_its_time(shop: Shop) -> None:
    child = shop.child()
    os.kill(child, signal.SIGSTOP)
    shop.give(shop.touch("timed", timeout=5))
    eventually(lambda: shop.permitted)
    shop.bench.clock.advance(6)
    shop.bench.beat()
    assert [*shop.ended()] == ["square"]
    os.kill(child, signal.SIGCONT)
    assert isinstance(shop.ended("timed")["timed"], Done)
    assert shop.times("timed") == 1


def test_a_job_past_its_time_fails_though_others_are_waiting(shop: Shop) -> None:
    timed = job("gate", task="gate", payload=shop.gate.payload, options=options(timeout=5 * S))
    shop.gate = timed
    shop.give_behind_the_gate(shop.touch("a"))
    shop.bench.clock.advance(6)
    shop.bench.beat()
    assert isinstance(shop.ended("gate")["gate"], Retry)


def test_a_cancelled_job_is_not_begun(shop: Shop) -> None:
    shop.give_behind_the_gate(shop.touch("a"), shop.touch("b"))
    shop.bench.backend.queue.cancel([shop.touch("a").id], now=shop.bench.now)
    shop.bench.beat()
    shop.open()
    assert isinstance(shop.ended("gate", "a", "b")["a"], Cancelled)
    assert (shop.times("a"), shop.times("b")) == (0, 1)


def test_a_job_whose_lease_was_lost_is_not_begun(shop: Shop) -> None:
    runs = shop.give_behind_the_gate(shop.touch("a"), shop.touch("b"))
    shop.bench.backend.queue.release([runs[0].claim], now=shop.bench.now)
    shop.bench.beat()
    shop.open()
    assert [*shop.ended("gate", "b")] == ["gate", "b"]
    assert (shop.times("a"), shop.times("b")) == (0, 1)


def test_a_job_that_was_cancelled_while_it_was_sent_is_not_begun(shop: Shop) -> None:
    shop.processes.waiting.extend(runs := shop.bench.held(shop.touch("a"), shop.touch("b")))
    batch, again, child = shop.processes._batch(), list[Run](), Warm([process_tasks.__name__])
    runs[1].ask_to_stop()
    child.words[BEGUN] = 1  # of a batch before
    work = Work(shop.bench.runner, child, batch, again.extend, None)
    assert work.retract() == []
    work.done()
    child.kill()
    child.end()
    assert again == runs
    assert (shop.times("a"), shop.times("b")) == (0, 0)


def test_a_job_that_somebody_has_decided_does_not_begin(shop: Shop) -> None:
    (run,) = shop.bench.held(shop.touch("a"))
    shop.bench.hands.drop(run)
    assert shop.bench.runner.begin(run) is None
    assert run.started is None


def test_what_is_taken_back_over_and_over_runs_once(tmp_path: Path) -> None:
    shop, keys = Shop(tmp_path, slots=2), [f"j{number}" for number in range(200)]
    shop.give(*map(shop.touch, keys))
    while len(shop.bench.hands.outbox) < len(keys):
        shop.bench.hands.pace.mean = 0.0001
        shop.processes.give(shop.processes.take_back())
    shop.processes.stop()
    assert {shop.times(key) for key in keys} == {1}
    assert len(shop.bench.hands.outbox) == len(keys)


def test_a_child_that_may_not_begin_a_run_takes_back_that_it_begins_it() -> None:
    words = memoryview(bytearray(16)).cast("q")
    words[MAY] = 1
    child = Child(BytesIO(), BytesIO(), words)
    assert child.may(0, inf)
    assert not child.may(1, inf)
    assert words[BEGUN] == 1


def test_a_batch_that_was_long_on_its_way_is_looked_at_anew(shop: Shop) -> None:
    (behind,) = shop.give_behind_the_gate(shop.touch("a"))
    began = eventually(lambda: Path(shop.folder / "begun").stat().st_mtime)
    shop.bench.clock.advance(5)
    eventually(lambda: _now(shop.folder) > began + 1)
    shop.open()
    shop.ended("gate", "a")
    assert behind.started == NOW + 5 * S


def _now(folder: Path) -> float:
    (folder / "now").touch()
    return (folder / "now").stat().st_mtime


def test_a_child_that_fell_while_idle_costs_no_job_an_attempt(shop: Shop) -> None:
    os.kill(shop.child(), signal.SIGKILL)
    shop.give(shop.touch("a"), shop.touch("b"))
    assert all(isinstance(verdict, Done) for verdict in shop.ended("a", "b").values())


def test_a_job_with_a_timeout_that_goes_alone_is_told_of_to_a_free_thread(shop: Shop) -> None:
    shop.processes.waiting.extend(runs := shop.bench.held(shop.touch("a"), shop.touch("timed", timeout=5)))
    assert [run for run, _ in shop.processes._batch()] == runs[:1]
    assert [*shop.processes.waiting] == runs[1:]
    assert shop.processes.bell.qsize() == 1


def test_what_cannot_be_told_takes_no_other_outcome_with_it() -> None:
    class Text(str):
        __slots__ = ()

    plain = _plain(Failure("Wrong", Text("why")))
    assert marshal.loads(marshal.dumps(plain)) == astuple(Failure("Wrong", "why"))
    told = _sendable(("snooze", 1.0, object()))
    assert told[:1] == ("raised",)
    assert marshal.loads(marshal.dumps(told)) == told


def test_a_run_that_has_no_outcome_when_the_child_is_through_begins_anew(shop: Shop) -> None:
    runs = shop.bench.held(shop.touch("a"), shop.touch("b"))
    again: list[Run] = []
    task = process_tasks.touch.definition
    work = Work(shop.bench.runner, Warm([]), [(run, task) for run in runs], again.extend, None)
    work.child.words[BEGUN] = 2
    work._heard("through", ((1, "done", b""),))
    assert again == runs[:1]
    assert not work.on
    work._heard("progress", 7, 1, 2)  # of a thread that has outlived its run
    work.child.kill()
    work.child.end()


def test_a_child_that_is_dead_already_is_not_killed() -> None:
    child = Warm([])
    os.kill(child.process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOWAIT)
    assert child.kill_at(0) is False
    child.end()


def test_a_child_is_heard_in_a_process_with_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        child = Warm([])
        child.kill()
        child.end()
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
