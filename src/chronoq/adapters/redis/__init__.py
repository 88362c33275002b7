"""Everything on Redis or Valkey, one server or several: for many processes on many machines."""

from typing import Any

from chronoq.adapters.codec import Malformed, decode
from chronoq.adapters.records import Records
from chronoq.adapters.redis import trouble
from chronoq.adapters.redis.address import Address
from chronoq.adapters.redis.calls import Command, load_scripts
from chronoq.adapters.redis.clock import RedisClock
from chronoq.adapters.redis.cluster import Cluster
from chronoq.adapters.redis.durable import confirmation
from chronoq.adapters.redis.examine import examine
from chronoq.adapters.redis.keys import Keys
from chronoq.adapters.redis.life import RedisLife
from chronoq.adapters.redis.link import Link
from chronoq.adapters.redis.lock import RedisLock
from chronoq.adapters.redis.names import QueueNames
from chronoq.adapters.redis.nodes import ClusterAddress
from chronoq.adapters.redis.queue import RedisQueue
from chronoq.adapters.redis.sentinel import SentinelAddress
from chronoq.adapters.redis.server import Server
from chronoq.adapters.redis.store import RedisStore
from chronoq.adapters.redis.waits import LONGEST_BLOCK
from chronoq.adapters.redis.wire import Wire
from chronoq.domain import schema
from chronoq.domain.ports import PLAIN, Backend, Opening
from chronoq.domain.schema import Schema

__all__ = ["RedisClock", "open_backend"]


def open_backend(url: str, opening: Opening = PLAIN) -> Backend:
    """The server at a redis://, rediss:// or unix:// URL; the primary that the sentinels of a
    redis+sentinel:// URL name; or the cluster to which the nodes of a redis+cluster:// URL belong
    (rediss+... for TLS). The query takes redis-py's options.

    Errors: `Unreachable` (E01), `LoginRefused` (E02), `TooOld` (E03), `OtherSchema` (E19),
    `BadSetting`, `NotReady`.
    """
    address = _address(url)
    keys = Keys(opening.namespace)
    wire, patient = _link(address), _link(address, longer=LONGEST_BLOCK.total_seconds())
    try:
        clock = RedisClock(wire)
        _check(wire)
        wire.run(Command(("GET", keys.schema), lambda text: _check_schema(text, address)))
        clock.ask()
        wire.confirmation = confirmation(wire, opening.durability)
    except BaseException:
        wire.close()
        raise
    wire.on_loss = clock.doubt
    scripts = load_scripts()
    server = Server(wire, patient, scripts, keys, QueueNames(keys, scripts), Records.of(opening))

    def close() -> None:
        wire.close()
        patient.close()

    return Backend(
        queue=RedisQueue(server),
        store=RedisStore(server),
        lock=RedisLock(wire, scripts, keys),
        life=RedisLife(wire, scripts, keys, server.names),
        clock=clock,
        close=close,
        examine=lambda: examine(wire),
    )


def _address(url: str) -> Address:
    kind = url.partition("://")[0].partition("+")[2]
    return {"": Address, "sentinel": SentinelAddress, "cluster": ClusterAddress}[kind](url)


def _link(address: Address, *, longer: float = 0) -> Link:
    if isinstance(address, ClusterAddress):
        return Cluster(address, longer=longer)
    return Wire(address, longer=longer)


def _check(wire: Link) -> None:
    version = wire.run(Command(("INFO", "server"), _version))
    if version and tuple(map(int, version.split(".")[:2])) < trouble.FLOOR:
        raise trouble.too_old(version)


def _check_schema(text: bytes | None, address: Address) -> None:
    try:
        stored = None if text is None else decode(Schema, text)
    except Malformed as error:
        raise schema.unreadable(str(error), where=str(address)) from None
    schema.check(stored, where=str(address))


def _version(reply: Any) -> str:
    """What the server says that it is; Valkey and other kin tell here which Redis they stand for."""
    for line in reply.decode(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == "redis_version":
            return str(value)
    return ""
