"""Opening a file: made if it is new, brought to the present form if it is older, refused if it is not ours."""

import sqlite3

from chronoq.adapters.codec import Malformed, decode, encode
from chronoq.adapters.sqlite import trouble
from chronoq.adapters.sqlite.database import Database
from chronoq.adapters.sqlite.statements import SQL, schema
from chronoq.domain.schema import SCHEMA, Schema, check, unreadable

OURS = 0x6368726F
"""What tells a file of chronoq's from another application's: "chro"."""


def check_version(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> None:
    """Errors: `TooOld` (E03)."""
    if version[:2] < trouble.FLOOR:
        raise trouble.too_old(".".join(map(str, version)))


def prepare(data: Database) -> None:
    """Make the tables, or check that they are ours and bring them to the present form.

    Errors: `OtherSchema` (E19), and `BackendError` when the file is damaged or another application's;
    nothing is written then.
    """
    steps = schema()

    def work(db: sqlite3.Connection) -> None:
        if not _is_empty(db):
            if _pragma(db, "application_id") != OURS:
                raise trouble.foreign(data.path)
            check(_mark(db, data), where=str(data.path))
        elif not _pragma(db, "user_version"):
            db.execute("PRAGMA auto_vacuum = incremental")  # has to stand before the first table
        db.execute("PRAGMA journal_mode = wal")
        if _pragma(db, "user_version") < len(steps):
            _take(db, steps)

    data.alone(work)


def _take(db: sqlite3.Connection, steps: list[str]) -> None:
    """Take the steps that are left, all or none."""
    try:
        db.execute("BEGIN IMMEDIATE")
        for step in steps[_pragma(db, "user_version") :]:  # asked again: another process may have been first
            for statement in step.split(";\n"):
                db.execute(statement)
        db.execute(SQL["mark.set"], (encode(SCHEMA),))
        db.execute(f"PRAGMA application_id = {OURS}")
        db.execute(f"PRAGMA user_version = {len(steps)}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _mark(db: sqlite3.Connection, data: Database) -> Schema:
    (text,) = db.execute(SQL["mark.get"]).fetchone() or (b"",)
    try:
        return decode(Schema, text)
    except Malformed as error:
        raise unreadable(str(error), where=str(data.path)) from None


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def _is_empty(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is None
