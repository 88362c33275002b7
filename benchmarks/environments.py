"""One environment for each peer: what they need of redis-py and kombu does not agree."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ALL = ["redis", "hiredis", "orjson"]
PACKAGES = {
    "rq": ["rq"],
    "rq_scheduler": ["rq-scheduler"],
    "celery": ["celery[redis]"],
    "celery_redbeat": ["celery-redbeat", "celery[redis]"],
    "dramatiq": ["dramatiq[redis]"],
    "huey": ["huey"],
    "huey_sqlite": ["huey"],
    "huey_sqlite_unsynced": ["huey"],
    "arq": ["arq", "uvloop"],
    "saq": ["saq[redis,hiredis]", "typing_extensions", "uvloop"],
    "taskiq": ["taskiq", "taskiq-redis", "uvloop"],
    "streaq": ["streaq", "uvloop"],
    "docket": ["pydocket", "uvloop"],
    "apscheduler": ["apscheduler>=3.11,<4"],
    "apscheduler_memory": ["apscheduler>=3.11,<4"],
    "apscheduler_sql": ["apscheduler>=3.11,<4", "sqlalchemy"],
}
IMPORTS = {
    "rq": "import rq",
    "rq_scheduler": "import rq_scheduler",
    "celery": "import celery; celery.Celery",
    "dramatiq": "import dramatiq.brokers.redis",
    "huey": "import huey; huey.RedisHuey",
    "arq": "import arq",
    "saq": "import saq",
    "taskiq": "import taskiq, taskiq_redis",
    "streaq": "import streaq",
    "docket": "import docket",
    "apscheduler": "import apscheduler.schedulers.background",
}
"""What a program imports that puts jobs."""

PEERS = ["chronoq_memory", "chronoq_sqlite", "chronoq_sqlite_normal", *PACKAGES]
"""Ours in memory or on a file is measured like a peer: beside huey's and APScheduler's."""

FILES = [name for name in PEERS if "sql" in name]
"""Who keeps jobs in a file: with `--files` they are compared with each other, and with nobody else."""

SERVERLESS = [*FILES, *(name for name in PEERS if "memory" in name)]


def folder() -> Path:
    """Where the environments are kept between runs."""
    return Path(os.environ.get("BENCH_ENVIRONMENTS") or HERE.parent / "build" / "benchmarks")


def python(peer: str) -> str:
    """The interpreter of a peer's environment, made if need be; ours for chronoq itself."""
    if peer not in PACKAGES:
        return sys.executable
    place = folder() / peer
    program = place / "bin" / "python"
    if not (place / "ready").exists():
        uv = os.environ.get("UV") or shutil.which("uv") or "uv"
        subprocess.run([uv, "venv", "-q", "--clear", "-p", sys.executable, place], check=True)
        subprocess.run([uv, "pip", "install", "-q", "-p", program, *ALL, *PACKAGES[peer]], check=True)
        (place / "ready").touch()
    return str(program)


def version(peer: str) -> str:
    """The version of a peer's first package, as installed."""
    name = PACKAGES.get(peer, ["chronoq"])[0].partition("[")[0].partition(">")[0]
    code = f"from importlib.metadata import version; print(version({name!r}))"
    return subprocess.run(
        [python(peer), "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()
