"""Databases of applications, for the tests of outboxes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from attrs import frozen

from tests.postgres import Postgres

BOTH = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql")),  # one server for all of them
]


@frozen
class Database:
    """A database of an application: how to get in, and how its driver writes a value's place."""

    url: str
    connect: Callable[..., Any]
    mark: str

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with closing(self.connect()) as connection:
            yield connection
            connection.commit()

    def ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query, or what a change returns; each `?` stands for a value."""
        with self.transaction() as connection, closing(connection.cursor()) as cursor:
            cursor.execute(statement.replace("?", self.mark), values)
            return list(cursor.fetchall()) if cursor.description else []

    def waiting(self) -> int:
        return int(self.ask("SELECT count(*) FROM chronoq_outbox WHERE refused IS NULL")[0][0])

    def refused(self) -> list[tuple[str, str]]:
        """The keys that were set aside, each with the reason."""
        rows = self.ask("SELECT key, refused FROM chronoq_outbox WHERE refused IS NOT NULL ORDER BY id")
        return [(key, reason) for key, reason in rows]


def in_a_file(path: str) -> Database:
    return Database(f"sqlite:///{path}", lambda **more: sqlite3.connect(path, **more), "?")


def on_server(server: Postgres) -> Database:
    database = Database(server.url(), server.connect, "%s")
    database.ask("DROP TABLE IF EXISTS chronoq_outbox, orders")
    return database
