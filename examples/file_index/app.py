"""An index of folders of real files: size, SHA-256 and type of each, kept up to date.

`scan` walks the folders each minute and enqueues one job for each file that is new or has changed;
`index_file` reads one file; `report` sums up each night. The index is a SQLite file. Every write to
it is fenced, so a worker that was taken for dead and comes back cannot overwrite newer facts.

See README.md for how to run it.
"""

import hashlib
import mimetypes
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from chronoq import Context, Scheduler, cron, every

FOLDERS = [Path(folder).absolute() for folder in os.environ.get("FILE_INDEX_FOLDERS", ".").split(os.pathsep)]
DATABASE = os.environ.get("FILE_INDEX_DB", "index.db")
LEFT_OUT = {"__pycache__", "site-packages", "node_modules", ".git", ".venv"}
CHUNK = 1 << 16

app = Scheduler(queues=["files"])


@app.schedule(every("1m"), name="scan", overlap="skip", retries=0)
def scan(context: Context) -> int:
    """Enqueue a job for each file that the index does not know in its present form; how many."""
    found = {str(path): path.lstat().st_mtime_ns for folder in FOLDERS for path in files(folder)}
    with index() as db:
        known = dict(db.execute("SELECT path, mtime_ns FROM files"))
        db.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in known.keys() - found.keys()])
    stale = [path for path, mtime in found.items() if known.get(path) != mtime]
    for start in range(0, len(stale), 500):
        part = stale[start : start + 500]
        # the id names the file and its version: scanning again while jobs wait adds nothing
        app.enqueue_many([index_file.using(id=version(path, found[path])).job(path) for path in part])
        context.progress(start + len(part), len(stale))
    return len(stale)


@app.task(name="index_file", queue="files", backoff=["200ms", "500ms", "1s", "2s"], timeout="1m")
def index_file(context: Context, path: str) -> str:
    """Read one file and note what it is. One that cannot be read is tried again, and set aside in the end."""
    digest, size = hashlib.sha256(), os.stat(path).st_size
    with open(path, "rb") as file:
        while part := file.read(CHUNK):
            digest.update(part)
            context.progress(file.tell(), size)
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    facts = (path, size, digest.hexdigest(), kind, os.lstat(path).st_mtime_ns)
    with index() as db:
        # the latest order wins; of two runs of one order, the later claim
        db.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET"
            " (size, sha256, type, mtime_ns, ordered_at, token, attempt) = (excluded.size, excluded.sha256,"
            " excluded.type, excluded.mtime_ns, excluded.ordered_at, excluded.token, excluded.attempt)"
            " WHERE (excluded.ordered_at, excluded.token) >= (ordered_at, token)",
            (*facts, context.enqueued_at.timestamp(), context.token, context.attempt),
        )
    return digest.hexdigest()


@app.schedule(cron("0 3 * * *"), name="report")
def report() -> dict[str, int]:
    """The nightly sum: how many files, and how many bytes; the commonest types are printed."""
    with index() as db:
        count, size = db.execute("SELECT count(*), coalesce(sum(size), 0) FROM files").fetchone()
        types = db.execute("SELECT type, count(*) FROM files GROUP BY 1 ORDER BY 2 DESC LIMIT 3").fetchall()
    print(f"{count:,} files, {size:,} bytes; {', '.join(f'{kind} {many:,}' for kind, many in types)}")
    return {"files": count, "bytes": size}


def files(folder: Path) -> Iterator[Path]:
    """All files below `folder`, and links to files, also such as lead nowhere at the moment."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - LEFT_OUT)
        yield from (Path(place, name) for name in sorted(names))


def version(path: str, mtime_ns: int) -> str:
    """What names one version of one file."""
    return hashlib.sha256(f"{path} {mtime_ns}".encode()).hexdigest()[:32]


def index() -> closing[sqlite3.Connection]:
    """The index, made at first use; every statement is a transaction."""
    db = sqlite3.connect(DATABASE, timeout=30, isolation_level=None)
    db.execute("PRAGMA synchronous = NORMAL")
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'files'").fetchone():
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(
            "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, sha256 TEXT, type TEXT,"
            " mtime_ns INTEGER, ordered_at REAL, token INTEGER, attempt INTEGER)"
        )
    return closing(db)
