"""So many processes of one role, kept up to number however often they fall."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic, sleep
from typing import Self

from tests.chaos.roles import Plan

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["tests.chaos.roles", "tests.faults", "chronoq.adapters.redis", "uvloop"])
"""A child is a fork of a process that has imported everything: it is there within some milliseconds."""

_STARTING = Lock()


class Fleet:
    """`size` children that run `role`; entered with `with`. A fallen one is replaced at once."""

    def __init__(self, role: Callable[[Plan], None], plans: Sequence[Plan], size: int) -> None:
        self._role = role
        self._plans = plans
        self._size = size
        self._started = 0
        self._live: list[BaseProcess] = []
        self._stopped: set[int] = set()
        self._guard = Lock()
        self._over = Event()
        self._keeper = Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Self:
        self._fill()
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        for process in self._live:
            process.kill()
        for process in self._live:
            process.join()

    @property
    def pids(self) -> list[int]:
        """Those that are alive and not stopped."""
        with self._guard:
            alive = [process.pid for process in self._live if process.is_alive()]
            return [pid for pid in alive if pid is not None and pid not in self._stopped]

    @property
    def stopped(self) -> list[int]:
        with self._guard:
            return sorted(self._stopped)

    def pick(self, rng: random.Random) -> int | None:
        pids = self.pids
        return rng.choice(pids) if pids else None

    def kill(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def stop(self, pid: int) -> bool:
        """SIGSTOP; it stands still when this returns. False: it was gone."""
        with self._guard:
            self._stopped.add(pid)
        try:
            os.kill(pid, signal.SIGSTOP)
            deadline = monotonic() + 5
            while _state(pid) not in "TtZX" and monotonic() < deadline:
                sleep(0.001)
        except (ProcessLookupError, FileNotFoundError):
            return False
        return True

    def go_on(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        with self._guard:
            self._stopped.discard(pid)

    def finish(self, within: float = 30) -> list[int | None]:
        """SIGTERM to all, no replacements; their exit codes, None for one that had to be killed."""
        self.leave()
        for process in self._live:
            process.terminate()
        deadline = monotonic() + within
        for process in self._live:
            process.join(max(0.0, deadline - monotonic()))
        return [process.exitcode for process in self._live]

    def leave(self) -> None:
        """Replace nobody any more."""
        self._over.set()
        self._keeper.join()

    def _keep(self) -> None:
        while not self._over.wait(0.02):
            self._fill()

    def _fill(self) -> None:
        with self._guard:
            self._live = [process for process in self._live if process.is_alive()]
            missing = self._size - len(self._live)
        for _ in range(missing):
            plan = self._plans[self._started % len(self._plans)]
            self._started += 1
            process = FORKS.Process(target=self._role, args=(plan,), daemon=True)
            with _STARTING:
                process.start()
            with self._guard:
                self._live.append(process)

    @property
    def children(self) -> list[BaseProcess]:
        with self._guard:
            return list(self._live)


def _state(pid: int) -> str:
    """The letter of the process's state; Linux's /proc, or "T" where there is none."""
    path = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self").exists():
        return "T"
    return path.read_text().rsplit(")", 1)[1].split()[0]
