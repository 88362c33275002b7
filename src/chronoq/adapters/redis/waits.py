"""Waiting: blocking pops of tokens, and one ear for what has ended."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from os import getpid
from threading import Lock

from attrs import define, field
from redis.exceptions import ConnectionError as ConnectionEnded
from redis.exceptions import RedisError

from chronoq.adapters.redis import trouble
from chronoq.adapters.redis.address import Line
from chronoq.adapters.redis.grants import Grants
from chronoq.adapters.redis.recall import Recall
from chronoq.adapters.redis.server import Server
from chronoq.domain.errors import BackendError
from chronoq.domain.forks import begin_anew
from chronoq.domain.identity import JobId
from chronoq.domain.ports import Claimed

LONGEST_BLOCK = timedelta(seconds=10)
"""One blocking command waits no longer, so that a connection which died in silence is noticed."""


@define(eq=False)
class Ear:
    """One subscription, which grows with what is asked for; for one caller at a time."""

    server: Server
    _connection: Line | None = field(default=None, init=False)
    _pid: int = field(default=0, init=False)
    _channels: set[str] = field(factory=set, init=False)
    _heard: list[tuple[str, bytes]] = field(factory=list, init=False)
    _alone: Lock = field(factory=Lock, init=False)

    def __attrs_post_init__(self) -> None:
        begin_anew(self)

    def in_child(self) -> None:
        """After a fork: whoever listens in the parent holds the lock, and would for ever."""
        self._alone = Lock()

    def listen(self, channels: Sequence[str], timeout: timedelta) -> list[tuple[str, bytes]]:
        """Messages with their channels; [] after `timeout`, or at once after subscribing to something new."""
        with self._alone:
            try:
                connection = self._tuned(set(channels))
                if connection is not None and connection.can_read(timeout.total_seconds()):
                    self._read(connection)
                    while connection.can_read(0):
                        self._read(connection)
            except Exception as error:
                self._drop()
                if self.server.patient.closed:  # the connection was taken apart under our hands
                    return []
                if not isinstance(error, RedisError | OSError):
                    raise
                address = self.server.patient.address
                raise trouble.refused(address, error) or trouble.lost(address, error) from error
            heard = [one for one in self._heard if one[0] in channels]
            self._heard.clear()
            return heard

    def _tuned(self, channels: set[str]) -> Line | None:
        """The connection, or None when it has only now been subscribed to some of `channels`."""
        if self._pid != getpid():  # a forked child must not read from its parent's connection
            self._drop()
            self._pid = getpid()
        new = channels - self._channels
        if not new:
            return self._connection
        if self._connection is None:
            self._connection = self.server.patient.take()
        self._connection.send_command("SUBSCRIBE", *sorted(new))
        while not channels <= self._channels:
            self._read(self._connection)
        return None

    def _read(self, connection: Line) -> None:
        kind, channel, content = connection.read_response()
        if kind == b"subscribe":
            self._channels.add(channel.decode())
        elif kind == b"message":
            self._heard.append((channel.decode(), content))

    def _drop(self) -> None:
        if self._connection is not None:
            self.server.patient.give_back(self._connection, broken=True)
        self._connection = None
        self._channels.clear()


class Waits:
    """That part of the queue port which waits. A token that is lost costs one poll, never a job."""

    server: Server
    ear: Ear
    recalls: dict[str, Recall]

    def wait_ready(self, queues: Sequence[str], *, timeout: timedelta) -> None:
        self._pop([self.server.keys.of(queue).work for queue in queues], timeout)

    def wait_claim(
        self,
        wants: Sequence[tuple[str, int]],
        *,
        worker: str,
        lease: timedelta,
        now: datetime,
        timeout: timedelta,
    ) -> Claimed | None:
        queues = [queue for queue, _ in wants]
        recall, patient = self._recall_of(worker), self.server.patient
        if self.server.wire.confirmation is not None or timeout > LONGEST_BLOCK or recall.called:
            if not recall.called:
                self.wait_ready(queues, timeout=timeout)
            return None
        grants = Grants(self.server, wants, worker=worker, until=now + timeout + lease, now=now)
        lists = [self.server.keys.of(queue).work for queue in queues]
        try:
            replies = patient.pop_then(lists, timeout.total_seconds(), grants.calls, recall=recall)
        except trouble.Lost as error:
            # the server has closed its half: it grants nothing any more, and may have popped a token for nothing
            if recall.called and not error.begun and isinstance(error.__cause__, ConnectionEnded):
                return None
            raise
        return None if replies is None else grants.join(replies)

    def recall(self, worker: str) -> bool:
        return self._recall_of(worker)()

    def _recall_of(self, worker: str) -> Recall:
        return self.recalls.setdefault(worker, Recall())

    def wait_due(self, queues: Sequence[str], *, timeout: timedelta) -> list[str]:
        places = {self.server.keys.of(queue).time: queue for queue in queues}
        popped = self._pop(list(places), timeout)
        return [places[popped]] if popped else []

    def wait_ended(self, queues: Sequence[str], *, timeout: timedelta) -> list[JobId]:
        channels = {self.server.keys.ended(queue): queue for queue in queues}
        heard = self.ear.listen(list(channels), min(timeout, LONGEST_BLOCK)) if channels else []
        return [JobId(channels[name], key.decode()) for name, keys in heard for key in keys.split(b"\n")]

    def _pop(self, places: list[str], timeout: timedelta) -> str:
        """The list from which a token was taken; "" when none came."""
        seconds = min(timeout, LONGEST_BLOCK).total_seconds()
        if not places or seconds <= 0:
            return ""
        try:
            return self.server.patient.pop(places, seconds)
        except BackendError:
            if self.server.patient.closed:
                return ""
            raise
