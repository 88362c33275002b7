"""Backups of the file, and room given back to the disk."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from chronoq.adapters.sqlite import trouble
from chronoq.adapters.sqlite.database import Database
from chronoq.adapters.sqlite.ends import forget
from chronoq.adapters.sqlite.step import Step
from chronoq.domain.errors import BadSetting
from chronoq.domain.ports import Clock, Kept

_ENDINGS = 1000
_PAGES = 500
"""What one small step lets go of."""


@frozen
class SqliteUpkeep:
    """Everybody goes on meanwhile."""

    data: Database
    clock: Clock

    def backup(self, destination: str) -> Kept:
        path = Path(destination).absolute()
        if path.exists():
            raise BadSetting(
                f"{path} is there already. Nothing was overwritten. Give the name of a new file."
            )
        part = path.with_name(f"{path.name}.part-{os.getpid()}")
        source = self.data.connect()
        try:
            copy = sqlite3.connect(part, isolation_level=None)
            try:
                source.backup(copy)  # in one step: a read of one instant, which holds nobody up
                if (said := copy.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                    raise sqlite3.DataError(said)
                copy.execute("PRAGMA journal_mode = delete")  # so that it is one file
            finally:
                copy.close()
            os.link(part, path)  # unlike a rename, it does not replace what has come there meanwhile
        except sqlite3.Error as error:
            raise trouble.told(part, error) from error
        except FileExistsError:
            raise BadSetting(f"{path} is there already. Nothing was overwritten.") from None
        finally:
            source.close()
            with suppress(FileNotFoundError):
                part.unlink()
        return Kept(str(path), path.stat().st_size)

    def vacuum(self) -> tuple[Kept, Kept]:
        before = self._kept()

        def lapsed(step: Step) -> int:
            return forget(step, self.clock.now(), _ENDINGS)

        while self.data.write(lapsed):
            pass
        left, before_that = self.data.alone(_free), -1
        while left not in (0, before_that):
            left, before_that = self.data.alone(_free), left
        self.data.alone(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        return before, self._kept()

    def _kept(self) -> Kept:
        log = self.data.path.with_name(f"{self.data.path.name}-wal")
        size = sum(file.stat().st_size for file in (self.data.path, log) if file.exists())
        return Kept(str(self.data.path), size)


def _free(db: sqlite3.Connection) -> int:
    """Give some free pages back; how many are left."""
    db.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
    return int(db.execute("PRAGMA freelist_count").fetchone()[0])
