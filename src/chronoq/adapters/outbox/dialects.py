"""What the databases of an outbox have in common, and where they differ. The driver tells which one it is."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import orjson
from attrs import frozen

from chronoq.adapters.statements import statements
from chronoq.domain.errors import BadCall, BadSetting, near

_SQL = statements(__package__)


class Connection(Protocol):
    """What is needed of a DB-API 2.0 connection."""

    def cursor(self) -> Any: ...

    def close(self) -> None: ...


@frozen
class Dialect:
    """`many` makes one bound value of several. `before` begins the step before the jobs are read, so that
    their rows are held while they are delivered; `after` begins it when they have been.
    """

    name: str
    drivers: tuple[str, ...]
    many: Callable[[Collection[Any]], Any]
    before: str = ""
    after: str = ""

    def __getitem__(self, verb: str) -> str:
        return _SQL[f"{self.name}.{verb}"]

    @property
    def ddl(self) -> tuple[str, ...]:
        return self["table"], self["index"]


def _json(values: Collection[Any]) -> str:
    return orjson.dumps(list(values)).decode()


DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect("postgresql", ("psycopg", "psycopg2"), list, before="BEGIN"),
        # no lock while a backend is asked: it would hold up every writer of the application
        Dialect("sqlite", ("sqlite3",), _json, after="BEGIN IMMEDIATE"),
    )
}


def dialect(name: str) -> Dialect:
    """Errors: `BadSetting` for a name that is none."""
    if name in DIALECTS:
        return DIALECTS[name]
    raise BadSetting(
        f"No outbox for {name!r}: there are those for {', '.join(DIALECTS)}.{near(name, DIALECTS)}"
    )


def dialect_of(connection: object) -> Dialect:
    """The dialect that a connection's driver speaks. Errors: `BadCall` for what is no such connection."""
    modules = {kind.__module__.partition(".")[0].lstrip("_") for kind in type(connection).__mro__}
    for one in DIALECTS.values():
        if modules.intersection(one.drivers):
            return one
    drivers = ", ".join(driver for one in DIALECTS.values() for driver in one.drivers)
    raise BadCall(
        f"The outbox cannot write through a {type(connection).__module__}.{type(connection).__qualname__}. "
        f"Give the driver's own connection ({drivers}), the one that your transaction is on."
    )
