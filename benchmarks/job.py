"""The job that everybody runs, and how it is timed. Imported in every environment: the standard library only.

The no-op takes two integers and a text of 20 characters. Running it appends one record of 16 bytes, the
first integer and the time in microseconds, to the file `BENCH_OUT`: one write of about a microsecond, whole
for threads and processes alike, so that nobody pays for being counted.
"""

import os
import struct
import sys
import tempfile
import time
from datetime import UTC, datetime

URL = os.environ.get("BENCH_URL", "redis://127.0.0.1:6379/0")
PORT = int(URL.rpartition(":")[2].partition("/")[0] or 0) if URL.startswith("redis://") else 0
QUEUE = "bench"
TEXT = "abcdefghijklmnopqrst"
RECORD = struct.Struct("<qq")

_out = os.environ.get("BENCH_OUT") or os.path.join(tempfile.mkdtemp(prefix="bench-"), "records")
FILE = os.path.join(os.path.dirname(os.path.abspath(_out)), "jobs.db")
"""Where those keep their jobs who need no server; each run begins without it."""

_file = os.open(_out, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def record(a, _write=os.write, _pack=RECORD.pack, _now=time.time_ns, _file=_file):
    _write(_file, _pack(a, _now() // 1000))


def noop(a, b, s):
    record(a)


async def anoop(a, b, s):
    record(a)


def beside(name):
    """A program in this environment."""
    return os.path.join(os.path.dirname(sys.executable), name)


def script(path, *args):
    """The command that runs a subject's own file as its worker."""
    module = os.path.splitext(os.path.basename(path))[0]
    return [sys.executable, "-m", f"subjects.{module}", *args]


def utc(timestamp):
    return datetime.fromtimestamp(timestamp, UTC)


def use_uvloop():
    try:
        import uvloop
    except ImportError:
        return
    uvloop.install()
