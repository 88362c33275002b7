"""What the process is in: the server behind a connection, and the time zone of this machine."""

from typing import Any
from urllib.parse import quote, urlencode

import redis
from redis.connection import SSLConnection, UnixDomainSocketConnection

from chronoq.domain.errors import BadSetting
from chronoq.domain.time import zone
from chronoq.relay.zones import local_zone

KEPT = ("socket_timeout", "socket_connect_timeout", "client_name")
"""Options of a connection that go along, beside those of TLS. The others have no bearing on where it leads."""


def url_of(connection: redis.Redis) -> str:
    """The URL of the very server and database of `connection`. Errors: `BadSetting` when no URL could say it."""
    pool = getattr(connection, "connection_pool", None)
    if pool is None or hasattr(pool, "sentinel_manager"):
        raise BadSetting(
            f"connection={type(connection).__name__}: RQ's queues and the schedules have to be on one Redis "
            "server. Give a redis.Redis that is connected to it directly."
        )
    told: dict[str, Any] = dict(pool.connection_kwargs)
    if told.get("credential_provider") is not None:
        raise BadSetting(
            "connection has a credential_provider, which no URL can name. Give one with username and password."
        )
    secure = issubclass(pool.connection_class, SSLConnection)
    query = {name: told[name] for name in told if told[name] is not None and name in KEPT}
    if secure:
        query |= {
            name: told[name]
            for name in told
            if name.startswith("ssl_") and isinstance(told[name], str | bool)
        }
    login = _login(told.get("username"), told.get("password"))
    db = told.get("db") or 0
    if issubclass(pool.connection_class, UnixDomainSocketConnection):
        return f"unix://{login}{quote(told['path'])}?{urlencode({'db': db, **query})}"
    host = str(told.get("host") or "localhost")
    place = f"[{host}]" if ":" in host else host
    more = f"?{urlencode(query)}" if query else ""
    return f"{'rediss' if secure else 'redis'}://{login}{place}:{told.get('port') or 6379}/{db}{more}"


def _login(user: str | None, password: str | None) -> str:
    if not (user or password):
        return ""
    return f"{quote(user or '', safe='')}:{quote(password or '', safe='')}@"


def zone_here() -> str:
    """The name of this machine's time zone, or of the one in TZ. Errors: `BadSetting`, `UnknownTimeZone`."""
    found = local_zone()
    if found is None:
        raise BadSetting(
            "use_local_timezone: this machine does not say the name of its time zone. Set TZ, as in TZ=Europe/Berlin."
        )
    return zone(found).key
