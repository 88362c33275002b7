"""What a forked process makes anew: it has the memory of its parent, and of its threads only the one that forked."""

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    def in_child(self) -> None:
        """Forget what only the parent can go on with: its threads, and the locks that they may hold."""
        ...


_all: WeakSet[Forked] = WeakSet()


def begin_anew(one: Forked) -> None:
    """Have `one.in_child()` called in each child, before anything else happens there."""
    _all.add(one)


def _in_child() -> None:
    for one in list(_all):
        one.in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
