"""Connections to a file: how each of ours is set."""

import sqlite3

from chronoq.adapters.sqlite.address import Address
from chronoq.adapters.sqlite.log import MOST

_SETTINGS = {
    "wal_autocheckpoint": MOST,
    "journal_size_limit": 64 * 2**20,
    "cache_size": -16_000,
    "temp_store": "memory",
    "secure_delete": "off",
    "trusted_schema": "off",
}


def connection(address: Address, *, patience: float) -> sqlite3.Connection:
    """A new one, for any thread; what it does in one statement is a transaction by itself."""
    db = sqlite3.connect(
        address.path,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=200,
    )
    try:
        for name, value in {"synchronous": address.synchronous, **_SETTINGS}.items():
            db.execute(f"PRAGMA {name} = {value}")
    except BaseException:
        db.close()
        raise
    return db
