"""The contract of `LifePort`."""

import pytest
from attrs import evolve

from chronoq.domain.lease import Kind, Presence, Process, Vitals
from chronoq.domain.ports import Backend, LifePort
from chronoq.testing.contracts.values import HOUR, MS, NOW, S

TTL = 10 * S
WORKER = Process("w1", Kind.WORKER, "höst", 42, NOW, "1.2.3", ("mail", "other"), ("send", "sweep"), 8)
SCHEDULER = Process("s1", Kind.SCHEDULER, "host", 43, NOW + S, "1.2.3")
BUSY = Vitals(3, 1_000_000, 2, leader=True, stopping=True)


class LifeContract:
    """Who is alive. Needs the fixture `backend`: an empty backend for each test."""

    @pytest.fixture
    def life(self, backend: Backend) -> LifePort:
        return backend.life

    def test_nobody_is_there_at_first(self, life: LifePort) -> None:
        assert life.roll(now=NOW) == []

    def test_who_is_born_is_on_the_roll(self, life: LifePort) -> None:
        life.birth(WORKER, ttl=TTL, now=NOW)
        assert life.roll(now=NOW) == [Presence(WORKER, Vitals(), NOW)]

    def test_a_heartbeat_says_how_it_goes(self, life: LifePort) -> None:
        life.birth(WORKER, ttl=TTL, now=NOW)
        assert life.beat("w1", BUSY, ttl=TTL, now=NOW + 5 * MS) is True
        assert life.roll(now=NOW + S) == [Presence(WORKER, BUSY, NOW + 5 * MS)]

    def test_who_stays_silent_is_off_the_roll(self, life: LifePort) -> None:
        life.birth(WORKER, ttl=TTL, now=NOW)
        assert len(life.roll(now=NOW + TTL - MS)) == 1
        assert life.roll(now=NOW + TTL) == []

    def test_a_heartbeat_keeps_one_on_the_roll(self, life: LifePort) -> None:
        life.birth(WORKER, ttl=TTL, now=NOW)
        for n in range(1, 5):
            assert life.beat("w1", Vitals(done=n), ttl=TTL, now=NOW + n * (TTL - MS)) is True
        last = NOW + 4 * (TTL - MS)
        assert life.roll(now=last + TTL - MS) == [Presence(WORKER, Vitals(done=4), last)]
        assert life.roll(now=last + TTL) == []

    def test_who_stayed_silent_for_too_long_has_to_be_born_again(self, life: LifePort) -> None:
        life.birth(WORKER, ttl=TTL, now=NOW)
        assert life.beat("w1", BUSY, ttl=TTL, now=NOW + TTL) is False
        assert life.roll(now=NOW + TTL) == []
        life.birth(WORKER, ttl=TTL, now=NOW + TTL)
        assert life.roll(now=NOW + TTL) == [Presence(WORKER, Vitals(), NOW + TTL)]

    def test_a_stranger_has_no_heartbeat(self, life: LifePort) -> None:
        assert life.beat("ghost", BUSY, ttl=TTL, now=NOW) is False
        assert life.roll(now=NOW) == []

    def test_the_dead_are_off_the_roll_at_once(self, life: LifePort) -> None:
        life.birth(WORKER, ttl=TTL, now=NOW)
        life.birth(SCHEDULER, ttl=TTL, now=NOW)
        life.death("w1")
        life.death("ghost")
        assert [one.process for one in life.roll(now=NOW)] == [SCHEDULER]
        assert life.beat("w1", BUSY, ttl=TTL, now=NOW) is False

    def test_the_oldest_come_first(self, life: LifePort) -> None:
        many = [evolve(WORKER, id=f"w{9 - n}", started_at=NOW + n * S) for n in range(5)]
        for n, process in enumerate(many):
            life.birth(process, ttl=HOUR, now=NOW + n * S)
        life.beat("w9", BUSY, ttl=HOUR, now=NOW + 9 * S)
        assert [one.process for one in life.roll(now=NOW + 9 * S)] == many

    def test_being_born_twice_is_being_there_once(self, life: LifePort) -> None:
        life.birth(WORKER, ttl=TTL, now=NOW)
        life.birth(evolve(WORKER, concurrency=9), ttl=TTL, now=NOW + S)
        assert life.roll(now=NOW + S) == [Presence(evolve(WORKER, concurrency=9), Vitals(), NOW + S)]

    def test_many_are_alive(self, life: LifePort) -> None:
        many = [evolve(WORKER, id=f"w{n:03}", started_at=NOW + n * MS) for n in range(300)]
        for n, process in enumerate(many):
            life.birth(process, ttl=TTL + n * MS, now=NOW)
        assert [one.process for one in life.roll(now=NOW + S)] == many
        assert [one.process for one in life.roll(now=NOW + TTL + 150 * MS)] == many[151:]
