"""A step: what one transaction works with, the queues in figures that it changes, and the inbox that it empties."""

import sqlite3
from collections.abc import Sequence
from itertools import chain

from attrs import define, field

from chronoq.adapters.records import Records
from chronoq.adapters.sqlite.rows import Row
from chronoq.adapters.sqlite.statements import MOST_ROWS, SQL, widened

Laid = tuple[int, str, int, str | None, bytes]
"""A job as it lies in the inbox: the number of its queue, its key, priority, schedule and record."""


@define(eq=False)
class Step:
    """What one transaction works with: the connection, the queues in figures, and whom to ring afterwards."""

    db: sqlite3.Connection
    namespace: str
    records: Records
    rows: dict[str, Row] = field(factory=dict)
    before: dict[str, tuple[object, ...]] = field(factory=dict)
    rung: set[str] = field(factory=set)

    def find(self, name: str) -> Row | None:
        """The queue, if it is known at all."""
        if (row := self.rows.get(name)) is None:
            values = self.db.execute(SQL["queues.get"], (self.namespace, name)).fetchone()
            if values is None:
                return None
            row = self.rows[name] = Row(*values)
            self.before[name] = values
        return row

    def queue(self, name: str) -> Row:
        """The queue, made known to the store if it is new."""
        if (row := self.find(name)) is None:
            id = self.db.execute(SQL["queues.add"], (self.namespace, name)).lastrowid
            assert id is not None
            row = self.rows[name] = Row(id, name)
            self.before[name] = row.values()
        return row

    def many(self, name: str, rows: Sequence[Sequence[object]]) -> None:
        """A statement for each of many rows, in few steps.

        Each step lets go of the interpreter, and gets it back only after those who run jobs meanwhile.
        """
        start, size = 0, MOST_ROWS
        while start < len(rows):
            while size > len(rows) - start:
                size //= 2
            self.db.execute(widened(name, size), list(chain.from_iterable(rows[start : start + size])))
            start += size

    def lay(self, laid: Laid) -> bool:
        """Whether the job was laid into the inbox. Not where its key is in use, or there is no room."""
        if self.db.execute(SQL["inbox.add"], laid).rowcount != 1:
            return False
        self.rung.add("work")
        return True

    def waiting(self) -> bool:
        """Whether jobs lie in the inbox, which nobody sees but who comes with the same key."""
        return self.db.execute(SQL["inbox.any"]).fetchone() is not None

    def take_in(self) -> None:
        """Give the jobs in the inbox the places where all others look for them, and count them."""
        if not self.waiting():
            return
        for part in ("store", "count", "clear"):
            self.db.execute(SQL[f"inbox.{part}"])
        self.rows.clear()

    def flush(self) -> None:
        """Write back what has changed of the queues, and note who is to hear of it."""
        for name, row in self.rows.items():
            values = row.values()
            was = self.before[name]
            if values != was:
                self.db.execute(SQL["queues.set"], (*values[2:], row.id))
                self.before[name] = values
                self.rung.update(kind for at, kind in _KINDS if values[at] != was[at])


_COLUMNS = [one.name for one in Row.__attrs_attrs__]
_KINDS = [(_COLUMNS.index(kind), kind) for kind in ("work", "time", "news")]
