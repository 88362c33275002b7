"""The one loop of all actors, in virtual time and in a thread."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from attrs import define, field

from chronoq.adapters.system import SystemClock
from chronoq.app.loop import FIRST_PAUSE, LONGEST_PAUSE, Ear, Loop, Trouble, end
from chronoq.domain.errors import BackendError, LoginRefused, Unreachable
from chronoq.testing import ManualClock
from tests.servers import eventually
from tests.unit.made import NOW, S


@define
class Doing:
    """An actor that does what it is given."""

    what: Callable[[datetime], datetime]
    steps: list[datetime] = field(factory=list)

    def step(self, now: datetime) -> datetime:
        self.steps.append(now)
        return self.what(now)


def fails(error: Exception) -> Doing:
    def what(now: datetime) -> datetime:
        raise error

    return Doing(what)


def pauses(loop: Loop, clock: ManualClock, many: int) -> list[float]:
    found = []
    for _ in range(many):
        until = loop.turn()
        found.append((until - clock.now()).total_seconds())
        clock.move_to(until)
    return found


def test_the_next_turn_is_due_when_the_step_says() -> None:
    clock = ManualClock(start=NOW)
    assert Loop("it", Doing(lambda now: now + S), clock).turn() == NOW + S


@pytest.mark.parametrize("error", [Unreachable("gone."), ValueError("a bug")])
def test_after_failed_steps_the_pauses_grow_up_to_five_seconds(error: Exception) -> None:
    clock = ManualClock(start=NOW)
    assert pauses(Loop("it", fails(error), clock), clock, 9) == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5]


def test_one_good_step_makes_the_pauses_short_again() -> None:
    clock, bad = ManualClock(start=NOW), [True]

    def what(now: datetime) -> datetime:
        if bad[0]:
            raise Unreachable("gone.")
        return now + S

    loop = Loop("it", Doing(what), clock)
    pauses(loop, clock, 5)
    bad[0] = False
    pauses(loop, clock, 1)
    assert loop.pause == FIRST_PAUSE < LONGEST_PAUSE


def test_an_outage_is_one_line_at_its_start_and_one_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    clock, trouble, bad = ManualClock(start=NOW), Trouble(), [True]

    def what(now: datetime) -> datetime:
        if bad[0]:
            raise Unreachable("Cannot reach it.")
        return now + S

    loops = [Loop(name, Doing(what), clock, trouble) for name in ("a", "b", "c")]
    for _ in range(20):
        for loop in loops:
            loop.turn()
        clock.advance("1s")
    bad[0] = False
    for loop in loops * 3:
        loop.turn()
    assert [record.getMessage() for record in caplog.records] == [
        "⚠ Cannot reach it. Trying again, with growing pauses.",
        "⚠ the backend answers again after 20s",
    ]


def test_what_does_not_pass_by_itself_is_said_louder_and_once(caplog: pytest.LogCaptureFixture) -> None:
    clock, errors = ManualClock(start=NOW), [Unreachable("Gone."), LoginRefused("No entry.")]

    def what(now: datetime) -> datetime:
        if errors:
            raise errors[0]
        return now + S

    loop = Loop("it", Doing(what), clock)
    for _ in range(2):
        loop.turn()
        loop.turn()
        errors.pop(0)
    assert loop.stepped_at is None
    clock.advance("9s")
    loop.turn()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "⚠ Gone. Trying again, with growing pauses."),
        ("ERROR", "⚠ No entry. Somebody has to mend this. Trying again meanwhile, with growing pauses."),
        ("WARNING", "⚠ the backend answers again after 9s"),
    ]
    assert loop.stepped_at == NOW + 9 * S


def test_an_outage_of_a_part_of_the_backend_is_one_line_too(caplog: pytest.LogCaptureFixture) -> None:
    clock, trouble = ManualClock(start=NOW), Trouble()
    well, ill = (
        Loop("well", Doing(lambda now: now + S), clock, trouble),
        Loop("ill", fails(Unreachable("No.")), clock, trouble),
    )
    for _ in range(20):
        well.turn()
        ill.turn()
        clock.advance("1s")
    assert len(caplog.records) == 1


def test_an_outage_is_over_only_when_all_who_met_it_have_an_answer_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trouble = Trouble()
    for who in ("a", "b"):
        trouble.met(who, Unreachable("No."), now=NOW)
    trouble.over("a", now=NOW + S)
    assert len(caplog.records) == 1
    trouble.over("b", now=NOW + 2 * S)
    assert len(caplog.records) == 2


def test_two_outages_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    trouble = Trouble()
    for start in (0, 100):
        trouble.met("it", Unreachable("No."), now=NOW + start * S)
        trouble.over("it", now=NOW + (start + 5) * S)
    assert len(caplog.records) == 4


def test_a_bug_is_logged_with_its_traceback_and_does_not_end_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock(start=NOW)
    pauses(Loop("fetcher", fails(ValueError("a bug")), clock), clock, 2)
    assert "⚠ fetcher: a step failed; going on" in caplog.text
    assert "ValueError: a bug" in caplog.text


def test_it_runs_in_a_thread_until_it_is_stopped() -> None:
    actor = Doing(lambda now: now)
    loop = Loop("it", actor, SystemClock())
    loop.start()
    eventually(lambda: len(actor.steps) > 10)
    loop.stop()
    loop.join()
    assert loop.thread is not None
    assert not loop.thread.is_alive()


def test_a_wake_up_ends_its_rest() -> None:
    actor = Doing(lambda now: now + timedelta(hours=1))
    loop = Loop("it", actor, SystemClock())
    loop.start()
    for many in (1, 2, 3):
        eventually(lambda many=many: len(actor.steps) == many)
        loop.wake.set()
    loop.stop()
    loop.join()
    assert loop.thread is not None
    assert not loop.thread.is_alive()


def test_a_wake_up_during_a_step_is_not_lost() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def what(now: datetime) -> datetime:
        inside.set()
        go_on.wait(10)
        return now + timedelta(hours=1)

    actor = Doing(what)
    loop = Loop("it", actor, SystemClock())
    loop.start()
    assert inside.wait(10)
    loop.wake.set()
    go_on.set()
    eventually(lambda: len(actor.steps) >= 2)
    loop.stop()
    loop.join()


def test_an_actor_may_stop_its_own_loop() -> None:
    def what(now: datetime) -> datetime:
        loop.stop()
        loop.join()
        return now

    loop = Loop("it", Doing(what), SystemClock())
    loop.start()
    assert loop.thread is not None
    loop.thread.join(10)
    assert not loop.thread.is_alive()


def test_the_end_waits_for_the_steps_that_are_under_way_but_not_for_an_ear() -> None:
    inside, listening, go_on, ended = (threading.Event() for _ in range(4))

    def what(now: datetime) -> datetime:
        inside.set()
        go_on.wait(10)
        ended.set()
        return now + timedelta(hours=1)

    def listen(patience: timedelta) -> None:
        listening.set()
        never.wait(10)

    never = threading.Event()
    ear = Ear(listen, lambda _: None)
    ear.wanted.set()
    loops = [Loop("it", Doing(what), SystemClock()), Loop("ear", ear, SystemClock())]
    for loop in loops:
        loop.start()
    assert inside.wait(10)
    assert listening.wait(10)
    threading.Timer(0, lambda: eventually(loops[0].stopped.is_set) and go_on.set()).start()
    end(loops)
    assert ended.is_set()
    assert not never.is_set()
    assert loops[1].thread is not None
    assert loops[1].thread.is_alive()
    never.set()
    loops[1].join()


class Relieved:
    """A loop that another thread goes on with while the first stands in its step. Others do what `then` says."""

    def __init__(self, then: Callable[[], datetime], longest_pause: timedelta = LONGEST_PAUSE) -> None:
        self.then, self.by = then, list[threading.Thread]()
        self.inside, self.go_on = threading.Event(), threading.Event()
        self.loop = Loop("it", Doing(self._step), SystemClock(), longest_pause=longest_pause)

    def _step(self, now: datetime) -> datetime:
        self.by.append(threading.current_thread())
        if len(self.by) > 1:
            return self.then()
        self.inside.set()
        self.go_on.wait(10)
        return now + timedelta(hours=1)

    def start(self) -> None:
        self.loop.start()
        assert self.inside.wait(10)
        self.loop.relieve()
        eventually(lambda: len(self.by) == 2)

    def end_the_first(self) -> None:
        self.go_on.set()
        self.by[0].join(10)
        assert not self.by[0].is_alive()


def test_a_loop_that_is_relieved_goes_on_in_a_new_thread_and_the_old_one_ends_after_its_step() -> None:
    it = Relieved(lambda: SystemClock().now() + timedelta(hours=2))
    it.start()
    assert it.by[1] is it.loop.thread
    it.end_the_first()
    assert len(it.by) == 2
    it.loop.stop()
    it.loop.join()


def test_the_late_end_of_a_step_that_was_relieved_ends_no_trouble_of_the_one_that_took_over() -> None:
    def fail() -> datetime:
        raise Unreachable("down")

    it = Relieved(fail, longest_pause=timedelta(hours=1))
    it.loop.pause = timedelta(hours=1)
    it.start()
    eventually(lambda: it.loop.trouble.since)
    it.end_the_first()
    assert it.loop.trouble.who == {"it"}
    assert it.loop.pause == timedelta(hours=1)
    it.loop.stop()


def test_a_loop_that_no_thread_can_be_had_for_goes_on_in_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    loop = Loop("it", Doing(lambda now: now + timedelta(hours=1)), SystemClock())
    loop.start()
    before = loop.thread
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            loop.relieve()
    assert loop.thread is before
    loop.stop()
    loop.join()


def test_what_fails_when_the_end_was_asked_for_is_nobodys_trouble(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop("it", fails(BackendError("closed")), ManualClock())
    loop.stop()
    loop.turn()
    assert not caplog.messages


def test_an_ear_listens_only_while_it_is_asked_to() -> None:
    heard: list[object] = []
    ear = Ear(lambda patience: "news", heard.append, patience=timedelta(0))
    ear.step(NOW)
    assert not heard
    ear.wanted.set()
    assert ear.step(NOW) == NOW
    assert heard == ["news"]


def test_an_ear_that_cannot_listen_has_whoever_waits_look_for_himself() -> None:
    heard: list[object] = []

    def listen(patience: timedelta) -> object:
        raise Unreachable("No.")

    ear = Ear(listen, heard.append, patience=timedelta(0))
    ear.wanted.set()
    with pytest.raises(Unreachable):
        ear.step(NOW)
    assert heard == [None]
