"""The actor that keeps a process on the roll of the living."""

from datetime import datetime, timedelta

import pytest

from chronoq.adapters.memory.people import MemoryLife
from chronoq.app.presence import BEAT, FIRST, TTL, Presence
from chronoq.domain.errors import Unreachable
from chronoq.domain.lease import Kind, Process, Vitals
from chronoq.domain.ports import LifePort
from chronoq.testing import Outage
from tests.unit.made import NOW, S


def process(id: str = "w1") -> Process:
    return Process(id, Kind.WORKER, "here", 1, NOW, "0.1.0")


def test_it_is_born_with_the_first_step_and_beats_each_five_seconds() -> None:
    life, vitals = MemoryLife(), [Vitals()]
    presence = Presence(life, process(), lambda: vitals[0])
    assert presence.step(NOW) == NOW + FIRST
    assert presence.step(NOW + FIRST) == NOW + FIRST + BEAT
    vitals[0] = Vitals(running=3)
    presence.step(NOW + BEAT)
    (found,) = life.roll(now=NOW + BEAT)
    assert (found.process, found.vitals, found.seen_at) == (process(), Vitals(running=3), NOW + BEAT)


def test_who_says_nothing_for_twenty_seconds_is_off_the_roll() -> None:
    life = MemoryLife()
    Presence(life, process(), Vitals).step(NOW)
    assert life.roll(now=NOW + TTL - 0.001 * S)
    assert not life.roll(now=NOW + TTL)


def test_who_was_forgotten_is_born_again() -> None:
    life = MemoryLife()
    presence = Presence(life, process(), Vitals)
    presence.step(NOW)
    presence.step(NOW + 10 * TTL)
    assert life.roll(now=NOW + 10 * TTL)


def test_who_leaves_is_off_the_roll_at_once() -> None:
    life = MemoryLife()
    presence = Presence(life, process(), Vitals)
    presence.step(NOW)
    presence.leave()
    assert not life.roll(now=NOW)


def test_who_leaves_in_the_midst_of_a_heartbeat_stays_off_the_roll() -> None:
    class Leaving(MemoryLife):
        def beat(self, id: str, vitals: Vitals, *, ttl: timedelta, now: datetime) -> bool:
            presence.leave()
            return super().beat(id, vitals, ttl=ttl, now=now)

    life = Leaving()
    presence = Presence(life, process(), Vitals)
    for _ in range(2):
        presence.step(NOW)
    presence.step(NOW + S)
    assert not life.roll(now=NOW + S)


def test_an_outage_at_birth_is_tried_again() -> None:
    outage: Outage[LifePort] = Outage(MemoryLife())
    outage.fail("birth", times=1)
    presence = Presence(outage.port, process(), Vitals)
    with pytest.raises(Unreachable):
        presence.step(NOW)
    presence.step(NOW + S)
    assert outage.true.roll(now=NOW + S)
