"""Ports that fail on command, and a clock that is moved by hand."""

from datetime import datetime

import pytest

from chronoq.adapters.memory import open_backend
from chronoq.domain.errors import BadDuration, Invalid, NaiveDatetime, NotReady, Unknown, Unreachable
from chronoq.domain.ports import QueuePort, Submitted
from chronoq.domain.verdict import Done
from chronoq.testing import START, ManualClock, Outage
from tests.unit.made import HOUR, NOW, S, job


@pytest.fixture
def outage() -> Outage[QueuePort]:
    return Outage(open_backend().queue)


def test_it_passes_every_verb_on(outage: Outage[QueuePort]) -> None:
    assert outage.port.submit([job()], now=NOW) == [Submitted.ACCEPTED]
    assert outage.port.queues() == ["default"]
    assert outage.calls == {"submit": 1, "queues": 1}
    assert not outage.failed


def test_a_call_that_fails_before_is_not_carried_out(outage: Outage[QueuePort]) -> None:
    outage.fail("submit", times=2)
    for _ in range(2):
        with pytest.raises(Unreachable):
            outage.port.submit([job()], now=NOW)
    assert outage.true.queues() == []
    assert not outage.active
    assert outage.port.submit([job()], now=NOW) == [Submitted.ACCEPTED]
    assert outage.failed == {"submit": 2}


def test_a_call_that_fails_after_is_carried_out(outage: Outage[QueuePort]) -> None:
    outage.port.submit([job()], now=NOW)
    outage.fail("claim", after=True, times=1)
    with pytest.raises(Unreachable):
        outage.port.claim([("default", 1)], worker="w", lease=S, now=NOW)
    assert outage.true.counts(["default"], now=NOW)[0].running == 1


def test_a_submission_whose_reply_was_lost_is_unknown(outage: Outage[QueuePort]) -> None:
    outage.fail(after=True)
    with pytest.raises(Unknown) as caught:
        outage.port.submit([job("a"), job("b")], now=NOW)
    assert caught.value.ids == ("default:a", "default:b")


def test_a_claim_that_brings_verdicts_is_a_settling_too(outage: Outage[QueuePort]) -> None:
    outage.port.submit([job()], now=NOW)
    (claim,) = outage.port.claim([("default", 1)], worker="w", lease=S, now=NOW).claims
    outage.fail("settle", times=1, after=True)
    with pytest.raises(Unreachable):
        outage.port.claim([("default", 1)], worker="w", lease=S, now=NOW, verdicts=[(claim, Done())])
    assert outage.true.counts(["default"], now=NOW)[0].done == 1
    assert (outage.calls["claim"], outage.calls["settle"], outage.failed["settle"]) == (2, 1, 1)


def test_only_the_verbs_that_were_named_fail(outage: Outage[QueuePort]) -> None:
    outage.fail("claim", "settle")
    assert outage.port.queues() == []
    with pytest.raises(Unreachable):
        outage.port.settle([], now=NOW)


def test_it_lasts_until_it_is_healed(outage: Outage[QueuePort]) -> None:
    outage.fail()
    for _ in range(50):
        with pytest.raises(Unreachable):
            outage.port.queues()
    assert outage.active
    outage.heal()
    assert outage.port.queues() == []


def test_the_error_can_be_chosen(outage: Outage[QueuePort]) -> None:
    outage.fail(error=NotReady("its memory is full"))
    with pytest.raises(NotReady, match="memory is full"):
        outage.port.queues()


def test_a_verb_that_is_none_is_refused(outage: Outage[QueuePort]) -> None:
    with pytest.raises(AttributeError, match="has no verb 'submitt'"):
        outage.fail("submitt")


def test_a_clock_stands_still_until_it_is_moved() -> None:
    clock = ManualClock()
    assert clock.now() == clock.now() == START
    assert clock.advance("1h") == clock.now() == START + HOUR
    assert clock.move_to(START + 2 * HOUR) == START + 2 * HOUR


def test_a_clock_never_goes_back() -> None:
    clock = ManualClock(start=NOW)
    with pytest.raises(Invalid, match="does not go back"):
        clock.move_to(NOW - S)
    with pytest.raises(BadDuration):
        clock.advance(-1)
    assert clock.move_to(NOW) == NOW


def test_a_clock_knows_no_naive_moments() -> None:
    with pytest.raises(NaiveDatetime):
        ManualClock(start=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(NaiveDatetime):
        ManualClock().move_to(datetime(2027, 1, 1))  # noqa: DTZ001
