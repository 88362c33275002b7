"""The contract of `LockPort`."""

from functools import partial

import pytest
from attrs import evolve

from chronoq.domain.lease import Lease
from chronoq.domain.ports import Backend, LockPort
from chronoq.domain.time import to_ms
from chronoq.testing.contracts.values import HOUR, MS, NOW, S, together

TTL = 10 * S


def held(
    lock: LockPort, *, name: str = "leader", owner: str = "one", ttl: object = TTL, now: object = NOW
) -> Lease:
    lease = lock.acquire(name, owner=owner, ttl=ttl, now=now)  # type: ignore[arg-type]  # always a duration and a moment
    assert lease is not None
    return lease


class LockContract:
    """Named locks with fencing tokens. Needs the fixture `backend`: an empty backend for each test."""

    @pytest.fixture
    def lock(self, backend: Backend) -> LockPort:
        return backend.lock

    def test_a_free_lock_is_taken(self, lock: LockPort) -> None:
        """L5"""
        lease = held(lock)
        assert (lease.name, lease.owner, lease.expires_at) == ("leader", "one", NOW + TTL)
        assert lease.token > to_ms(NOW)

    def test_while_one_holds_it_no_other_gets_it(self, lock: LockPort) -> None:
        held(lock)
        assert lock.acquire("leader", owner="two", ttl=HOUR, now=NOW) is None
        assert lock.acquire("leader", owner="two", ttl=HOUR, now=NOW + TTL - MS) is None
        assert lock.acquire("leader", owner="two", ttl=HOUR, now=NOW + TTL) is not None

    def test_a_refusal_leaves_it_to_its_owner(self, lock: LockPort) -> None:
        lease = held(lock)
        lock.acquire("leader", owner="two", ttl=HOUR, now=NOW + S)
        assert lock.renew(lease, ttl=TTL, now=NOW + S) == evolve(lease, expires_at=NOW + S + TTL)
        assert lock.acquire("leader", owner="two", ttl=HOUR, now=NOW + S + TTL) is not None

    def test_its_owner_gets_it_again_under_the_same_token(self, lock: LockPort) -> None:
        lease = held(lock)
        assert held(lock, now=NOW + S) == evolve(lease, expires_at=NOW + S + TTL)
        assert lock.acquire("leader", owner="two", ttl=TTL, now=NOW + TTL) is None

    def test_each_new_owner_has_a_higher_token(self, lock: LockPort) -> None:
        """L4"""
        tokens = []
        for n in range(5):
            lease = held(lock, owner=f"o{n}", now=NOW + n * TTL)
            tokens.append(lease.token)
            if n % 2:
                assert lock.release(lease) is True
        assert tokens == sorted(set(tokens))

    def test_a_released_lock_keeps_its_token(self, lock: LockPort) -> None:
        """L4: however long nobody wanted it"""
        first = held(lock)
        assert lock.release(first) is True
        assert held(lock, owner="two", now=NOW + 24 * 365 * HOUR).token > first.token

    def test_a_lock_is_renewed_by_its_holder(self, lock: LockPort) -> None:
        lease = held(lock)
        for n in range(1, 4):
            renewed = lock.renew(lease, ttl=TTL, now=NOW + n * S)
            assert renewed == evolve(lease, expires_at=NOW + n * S + TTL)
        assert lock.acquire("leader", owner="two", ttl=TTL, now=NOW + 3 * S + TTL - MS) is None

    def test_a_lock_that_ran_out_cannot_be_renewed(self, lock: LockPort) -> None:
        """L4: though nobody has taken it since; its owner has to ask for it again"""
        lease = held(lock)
        assert lock.renew(lease, ttl=TTL, now=NOW + TTL - MS) is not None
        assert lock.renew(lease, ttl=TTL, now=NOW + 2 * TTL - MS) is None
        assert held(lock, owner="two", now=NOW + 2 * TTL).token > lease.token

    def test_a_lock_that_another_one_took_cannot_be_renewed_or_released(self, lock: LockPort) -> None:
        """L4"""
        old = held(lock)
        new = held(lock, owner="two", now=NOW + TTL)
        assert lock.renew(old, ttl=HOUR, now=NOW + TTL) is None
        assert lock.release(old) is False
        assert lock.renew(new, ttl=TTL, now=NOW + TTL) == new

    def test_an_owner_who_came_back_cannot_use_its_old_lease(self, lock: LockPort) -> None:
        """L4: the owner is the same, the token is not"""
        old = held(lock)
        held(lock, owner="two", now=NOW + TTL)
        new = held(lock, now=NOW + 2 * TTL)
        assert new.token > old.token
        assert lock.renew(old, ttl=HOUR, now=NOW + 2 * TTL) is None
        assert lock.release(old) is False
        assert lock.renew(new, ttl=TTL, now=NOW + 2 * TTL) == new

    def test_a_token_in_the_wrong_hands_is_worth_nothing(self, lock: LockPort) -> None:
        """L4"""
        lease = held(lock)
        thief = evolve(lease, owner="thief")
        assert lock.renew(thief, ttl=HOUR, now=NOW) is None
        assert lock.release(thief) is False
        assert lock.renew(lease, ttl=TTL, now=NOW) == lease

    def test_a_released_lock_is_free(self, lock: LockPort) -> None:
        lease = held(lock)
        assert lock.release(lease) is True
        assert lock.release(lease) is False
        assert lock.renew(lease, ttl=TTL, now=NOW) is None
        assert held(lock, owner="two").token > lease.token

    def test_a_lock_that_nobody_ever_held_cannot_be_renewed_or_released(self, lock: LockPort) -> None:
        ghost = Lease("ghost", "one", 1, NOW + TTL)
        assert lock.renew(ghost, ttl=TTL, now=NOW) is None
        assert lock.release(ghost) is False

    def test_locks_of_different_names_are_different_locks(self, lock: LockPort) -> None:
        lease = held(lock)
        other = held(lock, name="janitor", owner="two")
        assert lock.release(other) is True
        assert lock.acquire("leader", owner="two", ttl=TTL, now=NOW) is None
        assert lock.renew(lease, ttl=TTL, now=NOW) == lease

    def test_one_of_many_gets_it(self, lock: LockPort) -> None:
        calls = [partial(lock.acquire, "leader", owner=f"o{n}", ttl=TTL, now=NOW) for n in range(8)]
        assert len([lease for lease in together(calls) if lease]) == 1
