"""Schedulers and relays that are killed at any moment, and begun anew: `python -m tests.relay_kills URL KILLS SEED`.

Children are forked from a process that has only imported, so that hundreds of them start in seconds.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable

from chronoq import Scheduler, every
from tests.relay_app import make

SETTINGS = {"lease": "1s", "lock_ttl": "1s"}
JOBS = 300
SCHEDULES = ("red", "green", "blue")


def declare(url: str, fires: int) -> Scheduler:
    """Three schedules that fire ten times a second, `fires` times; two only delivered, one followed."""
    app = make(url, **SETTINGS)
    for id, name in zip(SCHEDULES, ("note", "note", "note_checked"), strict=True):
        queue = app.tasks.tasks[name].queue
        app.put_schedule(
            id,
            app.add_task(app.tasks.tasks[name].fn, name=name, queue=queue),
            every("100ms"),
            args=(1,),
            overlap="allow",
            catch_up=1_000_000,
            max_fires=fires,
        )
    return app


def submit(app: Scheduler) -> list[str]:
    """Jobs of their own that come due within the first seconds; their ids."""
    now, settings = app.backend.clock.now(), app.configured.settings
    tasks = [app.tasks.tasks["note"], app.tasks.tasks["note_checked"]]
    jobs = [
        app.declared.job(
            tasks[n % 2], (n,), {}, {"id": f"job-{n}", "delay": n * 0.02}, settings=settings, now=now
        )
        for n in range(JOBS)
    ]
    app.enqueue_many(jobs)
    return [str(job.id) for job in jobs]


def begin(kind: str, url: str) -> int:
    if pid := os.fork():
        return pid
    app = make(url, **SETTINGS)
    parts: dict[str, Callable[[], object]] = {
        "scheduler": lambda: app.scheduler().start(),
        "relay": lambda: app.relay().start(),
    }
    try:
        parts[kind]()
        signal.pause()
    finally:
        os._exit(1)


def main(url: str, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    alive = {begin(kind, url): kind for kind in ("scheduler", "scheduler", "relay", "relay", "relay")}
    try:
        for _ in range(kills):
            time.sleep(chance.uniform(0.02, 0.3))
            pid = chance.choice(list(alive))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            kind = alive.pop(pid)
            alive[begin(kind, url)] = kind
    finally:
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    print("killed", kills)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
