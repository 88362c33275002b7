"""Blocking on lists that lie on several nodes: one connection for each, and the first that answers counts."""

from collections.abc import Sequence
from datetime import timedelta
from selectors import EVENT_READ, DefaultSelector
from typing import Any, cast

from redis.exceptions import RedisError

from chronoq.adapters.redis import trouble
from chronoq.adapters.redis.address import Line
from chronoq.adapters.redis.calls import popping
from chronoq.adapters.redis.wire import Wire
from chronoq.adapters.system import elapsed
from chronoq.domain.time import ZERO

MOST = 16
"""Lists for which connections are kept waiting; more than that are looked at now and then."""

GRACE = timedelta(seconds=1)
"""How much later than it should the answer "nothing came" may arrive."""


def first(lists: Sequence[tuple[str, Wire]], seconds: float) -> str:
    """Take an entry from the first list that has one; its name, or "" when none came.

    The connections that still wait are closed then, so that they take nothing behind our back. Errors:
    those of `Wire`, and redis-py's when a node refuses.
    """
    waiting: list[tuple[Line, Wire, str]] = []
    deadline = elapsed() + timedelta(seconds=seconds) + GRACE
    try:
        with DefaultSelector() as selector:
            for name, wire in lists:
                line = wire.take()
                waiting.append((line, wire, name))
                line.send_command(*popping([name], seconds).words)
                selector.register(cast("Any", line)._sock, EVENT_READ, waiting[-1])
            while waiting and (left := deadline - elapsed()) > ZERO:
                # in slices: closing a socket under a selector may wake nobody
                for found, _ in selector.select(min(left, GRACE).total_seconds()):
                    line, wire, name = entry = cast("tuple[Line, Wire, str]", found.data)
                    reply = line.read_response()
                    selector.unregister(found.fileobj)
                    waiting.remove(entry)
                    wire.give_back(line)
                    if reply:
                        return name
                if any(wire.closed for _, wire, _ in waiting):
                    break
            return ""
    except (RedisError, OSError) as error:
        address = waiting[-1][1].address
        if (refused := trouble.refused(address, error)) is not None:
            raise refused from error
        raise trouble.lost(address, error) from error
    finally:
        for line, wire, _ in waiting:
            wire.give_back(line, broken=True)
