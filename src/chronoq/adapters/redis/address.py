"""Where a server is: what redis-py needs to connect, made from a URL."""

import re
from typing import Any, Protocol, Self
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from attrs import evolve, frozen
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool, parse_url
from redis.exceptions import RedisError
from redis.retry import Retry

from chronoq.adapters.redis.calls import Word
from chronoq.domain.errors import BadSetting
from chronoq.domain.masking import masked

TIMEOUT = 5.0
"""Seconds until a connection that says nothing counts as lost."""

_OURS = ("retry_on_timeout", "retry_on_error", "decode_responses", "encoding", "timeout", "protocol")
_OF_THE_POOL = ("connection_class", "max_connections")
_HOST = re.compile(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[^\s:\[\],]+)(?::(?P<port>\d{1,5}))?")


class Line(Protocol):
    """What is used of redis-py's connections, which have no types of their own."""

    def send_packed_command(self, command: Any, check_health: bool = True) -> None: ...
    def send_command(self, *words: Word) -> None: ...
    def can_read(self, timeout: float = 0) -> bool: ...
    def read_response(self) -> Any: ...
    def disconnect(self) -> None: ...


@frozen(repr=False)
class Address:
    """A server's URL. As text it has no password, so that errors and logs can show it."""

    url: str

    def __str__(self) -> str:
        return masked(self.url)

    __repr__ = __str__

    @property
    def user(self) -> str:
        return str(self.options().get("username", "default"))

    def pool(self, *, longer: float = 0) -> ConnectionPool:
        """Connections to the server, made as they are needed; `longer`: seconds that a command may block.

        redis-py's own retries are off: it would repeat commands that are not idempotent. Timeouts
        are always set, for some schemes have none by default. Errors: `BadSetting`.
        """
        settings: dict[str, Any] = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
        settings["max_connections"] = 1000
        if not self.url.startswith("unix:"):
            settings["socket_keepalive"] = True
        settings |= self.options()
        for name in ("socket_timeout", "socket_connect_timeout"):
            if settings[name] <= 0:
                raise BadSetting(f"{self}: {name} is {settings[name]}. Give a number of seconds above zero.")
        settings["socket_timeout"] += longer
        settings |= {"retry": Retry(NoBackoff(), 0), "protocol": 2}
        pool = ConnectionPool(**settings)
        try:
            made = {name: value for name, value in settings.items() if name not in _OF_THE_POOL}
            pool.connection_class(**made)  # connects to nothing, but refuses what it does not know
        except (TypeError, ValueError, RedisError) as error:
            raise BadSetting(f"{self} has an option that does not fit: {error}") from None
        return pool

    def options(self) -> dict[str, Any]:
        """What the URL gives to redis-py. Errors: `BadSetting`."""
        try:
            parts = urlsplit(self.url)
            _ = parts.port  # refuses what is no port
        except ValueError:  # whose words quote what may be a part of the password
            raise BadSetting(
                f"{self} is no address of a Redis server: it cannot be split into user, password, host and port. "
                "In a password, write / ? # @ and : as %2F %3F %23 %40 and %3A."
            ) from None
        try:
            given: dict[str, Any] = parse_url(self.url)  # type: ignore[no-untyped-call]
        except ValueError as error:
            raise BadSetting(f"{self} is no address of a Redis server: {error}") from None
        if parts.scheme != "unix" and not re.fullmatch(r"/?|/\d+", parts.path):
            raise BadSetting(f"{self} names no database: after the host comes its number, as in /0")
        return {name: value for name, value in given.items() if name not in _OURS}


@frozen
class Group:
    """A URL that names several servers: `redis+KIND://[user:password@]host:port,host:port/path?options`."""

    parts: SplitResult
    hosts: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, address: Address, *, port: int) -> Self:
        """`port`: that of hosts which name none. Errors: `BadSetting`."""
        try:
            parts = urlsplit(address.url)
        except ValueError:  # whose words quote what may be a part of the password
            raise BadSetting(f"{address} is no list of servers: write host:port,host:port") from None
        hosts = []
        for one in parts.netloc.rpartition("@")[2].split(","):
            found = _HOST.fullmatch(one)
            number = int(found["port"] or port) if found else 0
            if found is None or not 0 < number < 65536:
                raise BadSetting(f"{address} is no list of servers: write host:port,host:port")
            hosts.append((found["host"].strip("[]"), number))
        return cls(parts, tuple(hosts))

    def without(self, *options: str) -> tuple[Self, dict[str, str]]:
        """The same without these options, and what they were."""
        pairs = parse_qsl(self.parts.query, keep_blank_values=True)
        kept = urlencode([(name, value) for name, value in pairs if name not in options])
        taken = {name: value for name, value in pairs if name in options}
        return evolve(self, parts=self.parts._replace(query=kept)), taken

    def one(self, host: str, port: int, path: str) -> Address:
        """One server of the group, with the login and options of all."""
        login, at, _ = self.parts.netloc.rpartition("@")
        place = f"[{host}]" if ":" in host else host
        scheme = self.parts.scheme.partition("+")[0]
        return Address(
            self.parts._replace(scheme=scheme, netloc=f"{login}{at}{place}:{port}", path=path).geturl()
        )
