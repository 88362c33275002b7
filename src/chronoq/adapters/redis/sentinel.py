"""Redis Sentinel: each new connection asks the sentinels which server is the primary now."""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any

from attrs import define, field, frozen
from redis.connection import Connection, ConnectionPool, SSLConnection
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as ConnectionEnded

from chronoq.adapters.redis.address import Address, Group
from chronoq.domain.errors import BadSetting

PORT = 26379
ANSWERS_WITHIN = 1.0
"""Seconds that one sentinel has, before the next one is asked."""

_OF_SENTINELS = ("sentinel_username", "sentinel_password")


@define
class Sentinels:
    """The sentinels that watch over the primary `name`. The one that answered last is asked first."""

    name: str
    each: list[Callable[[], Any]]
    """What makes a connection to each."""
    _lock: Lock = field(factory=Lock, init=False)

    def primary(self) -> tuple[str, int]:
        """Its host and port. Errors: redis-py's, `ConnectionError` when no sentinel can tell."""
        why = "no sentinel answers"
        with self._lock:
            order = list(self.each)
        for sentinel in order:
            try:
                found = self._ask(sentinel)
            except AuthenticationError:
                raise  # the same for all of them
            except (RedisError, OSError) as error:
                why = f"no sentinel answers, the last one tried: {error}"
                continue
            if found is None:
                why = f"no sentinel that answers knows a primary named {self.name!r}"
                continue
            with self._lock:
                self.each = [sentinel, *(other for other in self.each if other is not sentinel)]
            return found[0].decode(), int(found[1])
        raise ConnectionEnded(why)

    def _ask(self, sentinel: Callable[[], Any]) -> tuple[bytes, bytes] | None:
        connection = sentinel()
        try:
            connection.connect()
            connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
            found: tuple[bytes, bytes] | None = connection.read_response()
            return found
        finally:
            connection.disconnect()


class _ToThePrimary:
    """Mixed into redis-py's connections: looks up where to connect, and makes sure of whom it has met."""

    def __init__(self, *, primary: Callable[[], tuple[str, int]], **settings: Any) -> None:
        super().__init__(**settings)
        self._primary = primary

    def connect(self: Any) -> None:
        if self._sock is not None:
            return
        self.host, self.port = self._primary()
        super().connect()  # type: ignore[misc]
        try:
            self.send_command("ROLE")
            role = self.read_response()[0]
            if role != b"master":
                raise ConnectionEnded(
                    f"{self.host}:{self.port} is no primary yet, or no more: {role.decode()}"
                )
        except BaseException:
            with suppress(OSError):
                self.disconnect()
            raise


class PrimaryConnection(_ToThePrimary, Connection):
    pass


class TLSPrimaryConnection(_ToThePrimary, SSLConnection):
    pass


@frozen(repr=False)
class SentinelAddress(Address):
    """`redis+sentinel://[user:password@]host:port,host:port/primary[/db]`; rediss+sentinel: TLS to all.

    The login is the primary's; `?sentinel_username=&sentinel_password=` that of the sentinels.
    """

    def pool(self, *, longer: float = 0) -> ConnectionPool:
        pool = super().pool(longer=longer)
        pool.connection_kwargs["primary"] = self._sentinels().primary
        secure = issubclass(pool.connection_class, SSLConnection)
        pool.connection_class = TLSPrimaryConnection if secure else PrimaryConnection
        return pool

    def options(self) -> dict[str, Any]:
        group, _, db = self._read()
        return group.one(*group.hosts[0], db).options()

    def _read(self) -> tuple[Group, str, str]:
        """The group without the sentinels' own options, the primary's name, and the database's path."""
        group, _ = Group.of(self, port=PORT).without(*_OF_SENTINELS)
        found = re.fullmatch(r"/([^/]+)(/\d+)?/?", group.parts.path)
        if found is None:
            raise BadSetting(
                f"{self} names no primary: after the sentinels comes its name, as in /mymaster or /mymaster/0"
            )
        return group, found[1], found[2] or "/0"

    def _sentinels(self) -> Sentinels:
        plain, name, _ = self._read()
        _, login = Group.of(self, port=PORT).without(*_OF_SENTINELS)
        sentinels: list[Callable[[], Any]] = []
        for host, port in plain.hosts:
            pool = plain.one(host, port, "/0").pool()
            settings = pool.connection_kwargs
            for option in ("username", "password"):
                settings.pop(option, None)
                if given := login.get(f"sentinel_{option}"):
                    settings[option] = given
            settings |= {"socket_timeout": ANSWERS_WITHIN, "socket_connect_timeout": ANSWERS_WITHIN}
            sentinels.append(partial(pool.connection_class, **settings))
        return Sentinels(name, sentinels)
