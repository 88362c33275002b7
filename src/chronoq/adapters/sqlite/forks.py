"""What is open or locked when a process forks: closed or free on both sides."""

import os
from threading import Lock
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """What is held still while the process forks."""

    def before_fork(self) -> None: ...
    def after_fork(self, *, child: bool) -> None: ...


_still = Lock()
"""Held while the process forks: threads fork one by one, and meanwhile nothing new is opened that nobody holds."""

_open: WeakSet[Forked] = WeakSet()
_guards: WeakSet[Lock] = WeakSet()
_forking: list[Forked] = []
_held: list[Lock] = []


def watch(one: Forked) -> None:
    with _still:
        _open.add(one)


def forget(one: Forked) -> None:
    with _still:
        _open.discard(one)


def guard() -> Lock:
    """A lock that no forked child finds taken. Whoever has it may wait for no other."""
    lock = Lock()
    with _still:
        _guards.add(lock)
    return lock


def wait() -> None:
    """To be called before a lock is taken that is held over a fork: else one who always comes again keeps it back."""
    if _still.locked():
        with _still:
            pass


def _before() -> None:
    _still.acquire()
    _held.append(_still)
    for one in list(_open):
        one.before_fork()
        _forking.append(one)
    for lock in list(_guards):
        lock.acquire()
        _held.append(lock)


def _after(*, child: bool = False) -> None:
    while _forking:
        _forking.pop().after_fork(child=child)
    while _held:
        _held.pop().release()


def _in_child() -> None:
    _after(child=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
