"""`python -m tests.compat_kills URL KILLS SEED`: rqscheduler processes, and programs that move jobs, that are killed
at any moment and begun anew.

Children are forked from a process that has only imported, so that hundreds of them start in seconds.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import redis

from chronoq.compat.rq_scheduler import Scheduler
from chronoq.compat.rq_scheduler.service import LOOK

JOBS = 200
NAMES = [f"job-{n}" for n in range(JOBS)]


def serve(scheduler: Scheduler) -> None:
    service = scheduler.service()
    service.start()
    while True:
        time.sleep(LOOK)
        service.tend()


def move(scheduler: Scheduler) -> None:
    """Put off one job after the other, for some seconds, as long as they wait."""
    chance = random.Random(os.getpid())
    while True:
        to = datetime.now(UTC) + timedelta(seconds=chance.uniform(1, 4))
        with suppress(ValueError):
            scheduler.change_execution_time(chance.choice(NAMES), to)


def begin(deed: str, url: str) -> int:
    if pid := os.fork():
        return pid
    try:
        {"serve": serve, "move": move}[deed](Scheduler(connection=redis.Redis.from_url(url)))
    finally:
        os._exit(1)


def main(url: str, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    alive = {begin(deed, url): deed for deed in ("serve", "serve", "move", "move")}
    try:
        for _ in range(kills):
            time.sleep(chance.uniform(0.02, 0.3))
            pid = chance.choice(list(alive))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            deed = alive.pop(pid)
            alive[begin(deed, url)] = deed
    finally:
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    print("killed", kills)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
