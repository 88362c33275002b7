"""A database's URL, made into what opens connections to it."""

import sqlite3
from collections.abc import Callable
from importlib import import_module
from typing import Any

from chronoq.adapters.outbox.dialects import Connection
from chronoq.adapters.sqlite.address import Address
from chronoq.domain.errors import BadSetting, near
from chronoq.domain.masking import masked

_SCHEMES = ("postgresql", "postgres", "sqlite")


def connector(url: str) -> Callable[[], Connection]:
    """What opens a connection to `postgresql://...` (any form that libpq takes) or `sqlite:///file`.

    Errors: `BadSetting` for another URL, and where the driver is not installed.
    """
    scheme = url.partition("://")[0]
    if scheme in ("postgresql", "postgres"):
        return _postgresql(url)
    if scheme == "sqlite":
        return _file(url)
    raise BadSetting(
        f"{masked(url)!r} is no database that an outbox can be in. "
        f"Give postgresql://... or sqlite:///app.db.{near(scheme, _SCHEMES)}"
    )


def _postgresql(url: str) -> Callable[[], Connection]:
    try:
        psycopg: Any = import_module("psycopg")
    except ImportError as error:
        raise BadSetting(
            f"{masked(url)!r} needs the driver psycopg, which cannot be imported: {error}. "
            "Install it with chronoq: pip install 'chronoq[postgresql]'."
        ) from None

    def connect() -> Connection:
        made: Connection = psycopg.connect(url, connect_timeout=5, application_name="chronoq outbox")
        return made

    return connect


def _file(url: str) -> Callable[[], Connection]:
    path = Address.parse(url).path

    def connect() -> Connection:
        """An existing file: a wrong name must not make an empty one, in which nothing ever waits."""
        return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)

    return connect
