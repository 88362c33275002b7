"""An index of a folder of real files: size, SHA-256 and type of each, kept up to date.

`scan` walks the folder and enqueues one job per file that is new or has changed; `index_file` reads
one file; `report` sums up each night. The index is a SQLite file, and every write to it carries the
job's fencing token, so a worker that was taken for dead and comes back cannot overwrite newer facts.

    FILE_INDEX_FOLDER=... FILE_INDEX_DB=index.db CHRONOQ_URL=redis://localhost:6379/0
    python -m chronoq scheduler --app app:app
    python -m chronoq worker --app app:app
"""

import hashlib
import mimetypes
import os
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from chronoq import Context, Scheduler, cron, every

FOLDER = Path(os.environ.get("FILE_INDEX_FOLDER", ".")).resolve()
DATABASE = os.environ.get("FILE_INDEX_DB", "index.db")
CHUNK = 1 << 16

app = Scheduler(queues=["files"])


def database() -> closing[sqlite3.Connection]:
    connection = sqlite3.connect(DATABASE, timeout=30, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, sha256 TEXT, type TEXT,"
        " mtime_ns INTEGER, token INTEGER, attempt INTEGER)"
    )
    return closing(connection)


@app.schedule(every("1m"), overlap="skip", retries=0)
def scan(context: Context) -> int:
    """Enqueue a job for each file that the index does not know in its present form."""
    with database() as index:
        known = dict(index.execute("SELECT path, mtime_ns FROM files"))
    found = sorted(path for path in FOLDER.rglob("*") if path.is_file())
    stale = [path for path in found if known.get(relative(path)) != path.stat().st_mtime_ns]
    for start in range(0, len(stale), 500):
        part = stale[start : start + 500]
        # the id names the file and its version: scanning again while jobs wait adds nothing
        jobs = [index_file.using(id=version(path)).job(relative(path)) for path in part]
        app.enqueue_many(jobs)
        context.progress(start + len(part), len(stale))
    return len(stale)


@app.task(queue="files", retries=5, backoff="200ms", timeout="30s")
def index_file(context: Context, path: str) -> str:
    """Read one file and note what it is. An unreadable one is tried again, then lies in the dead letters."""
    full = FOLDER / path
    stat = full.stat()
    digest = hashlib.sha256()
    with full.open("rb") as file:
        while part := file.read(CHUNK):
            digest.update(part)
            context.progress(file.tell(), stat.st_size)
    kind = mimetypes.guess_type(full.name)[0] or "application/octet-stream"
    facts = (path, stat.st_size, digest.hexdigest(), kind, stat.st_mtime_ns, context.token, context.attempt)
    with database() as index:
        index.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET"
            " (size, sha256, type, mtime_ns, token, attempt) ="
            " (excluded.size, excluded.sha256, excluded.type, excluded.mtime_ns, excluded.token, excluded.attempt)"
            " WHERE excluded.mtime_ns > mtime_ns OR excluded.token >= token",
            facts,
        )
    return facts[2]


@app.schedule(cron("0 3 * * *"))
def report() -> dict[str, int]:
    """The nightly sum: how many files of each type, and how many bytes."""
    with database() as index:
        rows = index.execute("SELECT type, count(*), sum(size) FROM files GROUP BY type ORDER BY 2 DESC").fetchall()
    types = Counter({kind: count for kind, count, _ in rows})
    total = sum(size for _, _, size in rows)
    print(f"{types.total()} files, {total:,} bytes; most: {types.most_common(3)}")
    return {"files": types.total(), "bytes": total}


def relative(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


def version(path: Path) -> str:
    return hashlib.sha256(f"{relative(path)} {path.stat().st_mtime_ns}".encode()).hexdigest()[:32]
