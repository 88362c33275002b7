"""Durability on Redis: one command more at the end of a round trip, and its count checked."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen
from redis.exceptions import ResponseError

from chronoq.adapters.redis import trouble
from chronoq.adapters.redis.address import TIMEOUT, Address, Line
from chronoq.adapters.redis.calls import Command, Word
from chronoq.adapters.redis.link import Link
from chronoq.domain.durability import IN_MEMORY, Durability, refused
from chronoq.domain.errors import BackendError, BadSetting, NotDurable, NotReady, Unreachable

PATIENCE = 2.0
"""Seconds that a confirmation may take, or half of the socket's timeout where that is less."""

_APPEND = ("CONFIG", "GET", "append*")


@frozen
class Confirmation:
    """Sent after operations that are to be durable, on their connection: it answers for all that went before.

    Without `words`, the server's answer itself is enough.
    """

    wanted: Durability
    words: Sequence[Word]
    where: str

    def meet(self, connection: Line, where: Address) -> None:
        """Before the first of them on a new connection. The server may have joined since the start, or have been
        started anew with other settings. Errors: `BackendError` when it cannot give what is wanted; redis-py's."""
        if not self.wanted.synced:
            return  # replicas are counted after each write
        try:
            connection.send_command(*_APPEND)
            refusal = _unfit(self.wanted, str(where), _settings(connection.read_response()))
        except ResponseError as error:
            if trouble.word_of(error) not in ("", "NOPERM"):
                raise
            refusal = _unseen(self.wanted, str(where))
        if refusal:
            raise BackendError(f"{refusal} Nothing was sent there.")

    def check(self, reply: Any) -> BackendError | None:
        """What to raise for that reply: `NotDurable`, `Lost` when the server is the primary no more, or nothing."""
        if isinstance(reply, Exception):
            if trouble.leaves(reply):
                return trouble.lost(self.where, reply)
            return self._short(f"it could not say how safe that is ({reply})")
        if self.wanted.replicas and reply < self.wanted.replicas:
            return self._short(f"{reply} of {self.wanted.replicas} replicas have confirmed it in time")
        if self.wanted.synced and reply[0] < 1:
            return self._short("its disk has not confirmed it in time")
        return None

    def _short(self, why: str) -> NotDurable:
        return NotDurable(
            f"Redis at {self.where} has carried this out, but {why} (durability {self.wanted}). Until then it "
            "can be lost with that server. Look at its replicas and its disk, and ask again."
        )


def confirmation(link: Link, wanted: Durability) -> Confirmation | None:
    """What makes a server's acknowledgements as durable as is wanted; None when nothing more is.

    Errors: `BadSetting` when the server is not set up for it; `NotReady` when it has too few replicas now.
    """
    if wanted == IN_MEMORY:
        return None
    where, servers = str(link.address), link.each()
    timeout = servers[0].address.options().get("socket_timeout", TIMEOUT)
    within = round(1000 * min(PATIENCE, timeout / 2)) or 1
    if wanted.replicas:
        for server in servers:
            _count_replicas(server, wanted)
        return Confirmation(wanted, ("WAIT", wanted.replicas, within), where)
    words = ("WAITAOF", 1, 0, within)
    for server in servers:
        _check_disk(server, wanted)
    return Confirmation(wanted, words if all(_knows(one, words) for one in servers) else (), where)


def _count_replicas(server: Link, wanted: Durability) -> None:
    """After a failover they come back by and by, so having too few is a matter of time."""
    online = server.run(
        Command(("INFO", "replication"), lambda text: len(re.findall(rb"(?m)^slave\d+:.*state=online", text)))
    )
    if online < wanted.replicas:
        raise NotReady(
            f"Redis at {server.address} has {online} replicas, and durability={str(wanted)!r} asks for "
            f"{wanted.replicas}. "
            "Connect replicas, wait until they are in step, or ask for less."
        )


def _check_disk(server: Link, wanted: Durability) -> None:
    """With `always`, no answer leaves before the disk has it. With less, WAITAOF is no way out: servers in wide
    use count what was written but not yet synced."""
    where = str(server.address)
    try:
        found = server.run(Command(_APPEND, _settings))
    except (Unreachable, NotReady):
        raise
    except BackendError as error:
        raise _unseen(wanted, where) from error
    if refusal := _unfit(wanted, where, found):
        raise refusal


def _unfit(wanted: Durability, where: str, found: Mapping[str, str]) -> BadSetting | None:
    for name, value in (("appendonly", "yes"), ("appendfsync", "always")):
        if (has := found.get(name)) != value:
            advice = f"Set {name} {value} there, or ask for less."
            return refused(wanted, where, f"its {name} is {has}", advice)
    return None


def _unseen(wanted: Durability, where: str) -> BadSetting:
    why = "CONFIG GET, which would tell how it is set up, is not allowed"
    return refused(wanted, where, why, "Allow it to this user, or ask for less.")


def _knows(server: Link, words: Sequence[Word]) -> bool:
    try:
        server.run(Command(words, list))
    except BackendError as error:
        if "unknown command" in str(error):
            return False
        raise
    return True


def _settings(reply: Any) -> dict[str, str]:
    words = [word.decode() for word in reply]
    return dict(zip(words[::2], words[1::2], strict=True))
