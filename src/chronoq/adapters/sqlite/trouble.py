"""What SQLite raises, said in chronoq's words: what happened, why, and what to do next."""

import sqlite3
from pathlib import Path

from chronoq.domain.errors import BackendError, NotReady, TooOld, Unreachable

FLOOR = (3, 37)

_RESTORE = "Nothing was overwritten. Restore a backup, or give another file."
_FOR_NOW = {
    "SQLITE_BUSY": ("another process holds it", "Try again; see which process is stopped or very slow."),
    "SQLITE_LOCKED": ("another process holds it", "Try again; see which process is stopped or very slow."),
    "SQLITE_FULL": ("the disk is full", "Make room; what was refused was not stored."),
    "SQLITE_IOERR": ("the disk refuses", "Look at the disk, its limits and the system's log."),
    "SQLITE_NOMEM": ("there is no memory left", "Try again with more."),
}


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process is in the way."""
    code: int = getattr(error, "sqlite_errorcode", 0)  # ours, of the module itself, have none
    return code & 0xFF == sqlite3.SQLITE_BUSY


def told(path: Path, error: sqlite3.Error) -> BackendError:
    """The error as the application hears it."""
    name = getattr(error, "sqlite_errorname", "") or ""
    for word, (why, advice) in _FOR_NOW.items():
        if name.startswith(word):
            return NotReady(f"{path} cannot be used for now: {why} ({error}). {advice}")
    if name.startswith("SQLITE_CANTOPEN"):
        return Unreachable(
            f"Cannot open {path} ({error}). Its folder is missing, or this user may not write there. "
            "Create the folder, or give another file."
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
        return BackendError(
            f"{path} cannot be written ({error}). This user may not write the file or its folder, or the disk is "
            "read-only. Change that, or give another file."
        )
    if name.startswith("SQLITE_NOTADB"):
        return BackendError(f"{path} is no SQLite database, or a damaged one ({error}). {_RESTORE}")
    if name.startswith("SQLITE_CORRUPT") or isinstance(error, sqlite3.DataError):
        return BackendError(f"{path} is damaged ({error}). {_RESTORE}")
    return BackendError(f"{path} refused a statement ({error}). Its tables may not be chronoq's. {_RESTORE}")


def heard(path: Path, error: BaseException) -> Exception:
    """What those hear whose steps shared the fate of one that raised `error`."""
    if isinstance(error, sqlite3.Error):
        return told(path, error)
    return error if isinstance(error, Exception) else interrupted(path)


def interrupted(path: Path) -> NotReady:
    return NotReady(
        f"The thread that wrote to {path} for others was interrupted, so it is not known whether this was done. "
        "Try again, with the same id."
    )


def busy(path: Path, seconds: float) -> NotReady:
    return NotReady(
        f"{path} cannot be written for now: another process has held it for {seconds:g} s. "
        "Try again; see which process is stopped or very slow."
    )


def moved(path: Path) -> NotReady:
    return NotReady(
        f"{path} is not the file that was opened: it was moved, replaced or deleted. "
        "Put it back, or start this process anew."
    )


def too_old(version: str) -> TooOld:
    """E03."""
    floor = ".".join(map(str, FLOOR))
    return TooOld(
        f"SQLite {version} is too old; chronoq needs {floor}. "
        "Use a Python that was built with a newer one, or redis:// or memory://."
    )


def foreign(path: Path) -> BackendError:
    return BackendError(
        f"{path} is a database of another application. chronoq writes into no tables but its own. Give another file."
    )
