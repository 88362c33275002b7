"""Waiting: the counters of hints in `queues`, compared with what was seen of them, and bells to look again.

A counter that has moved on is work for so many of this process's waiters. Each process hears of everything;
who then finds nothing to claim has taken its part of the hints back.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Lock
from typing import TypeVar

from attrs import define, field

from chronoq.adapters.sqlite.bell import Bells
from chronoq.adapters.sqlite.common import listed
from chronoq.adapters.sqlite.database import Database
from chronoq.adapters.sqlite.forks import guard
from chronoq.adapters.sqlite.rows import HINTS
from chronoq.adapters.sqlite.statements import SQL
from chronoq.adapters.sqlite.step import Step
from chronoq.domain.identity import JobId
from chronoq.domain.ports import Claimed

T = TypeVar("T")

BLIND = 0.05
"""Where there can be no bells, it is looked so often, in seconds."""


@define(eq=False)
class Hints:
    """What this process has seen of the hints that there is work, and how many of them are still to be heard."""

    _seen: dict[str, int] = field(factory=lambda: defaultdict(int))
    _open: dict[str, int] = field(factory=lambda: defaultdict(int))
    _guard: Lock = field(factory=guard)

    def take(self, counters: dict[str, int]) -> bool:
        """Take one hint, after the queues' counters were seen; whether there was one."""
        with self._guard:
            for name, counter in counters.items():
                new = counter - self._seen[name]
                if new > 0:
                    self._seen[name] = counter
                    self._open[name] = min(self._open[name] + new, HINTS)
            for name in counters:
                if self._open[name]:
                    self._open[name] -= 1
                    return True
            return False

    def left(self, name: str, counter: int, *, work: bool) -> None:
        """A claim saw the queue's counter, and left work behind or not: what is left is somebody's to hear of."""
        with self._guard:
            if work:
                self._open[name] = max(self._open[name], 1)
            elif counter >= self._seen[name]:
                self._seen[name], self._open[name] = counter, 0


class Waits:
    """That part of the queue port which waits."""

    data: Database
    bells: Bells
    hints: Hints
    times: dict[str, int]
    news: dict[str, int]

    def wait_ready(self, queues: Sequence[str], *, timeout: timedelta) -> None:
        self._wait("work", timeout, lambda: self.hints.take(self._counters("work", queues)))

    def wait_claim(
        self,
        wants: Sequence[tuple[str, int]],
        *,
        worker: str,
        lease: timedelta,
        now: datetime,
        timeout: timedelta,
    ) -> Claimed | None:
        self.wait_ready([queue for queue, _ in wants], timeout=timeout)
        return None

    def recall(self, worker: str) -> bool:
        return False

    def wait_due(self, queues: Sequence[str], *, timeout: timedelta) -> list[str]:
        def look() -> list[str]:
            counters = self._counters("time", queues)
            moved = [name for name, counter in counters.items() if counter != self.times[name]]
            self.times.update(counters)
            return moved

        return self._wait("time", timeout, look)

    def wait_ended(self, queues: Sequence[str], *, timeout: timedelta) -> list[JobId]:
        new = [name for name in queues if name not in self.news]
        if new:
            self.news.update(dict.fromkeys(new, 0) | self._counters("news", new))
            return []

        def look() -> list[JobId]:
            moved = {
                name: counter
                for name, counter in self._counters("news", queues).items()
                if counter > self.news[name]
            }
            return self.data.read(lambda step: self._heard(step, moved)) if moved else []

        return self._wait("news", timeout, look)

    def _heard(self, step: Step, moved: dict[str, int]) -> list[JobId]:
        heard = []
        for name, counter in moved.items():
            found = step.db.execute(SQL["news.after"], (step.namespace, name, self.news[name], counter))
            heard += [JobId(name, key) for (key,) in found]
            self.news[name] = counter
        return heard

    def _wait(self, kind: str, timeout: timedelta, look: Callable[[], T]) -> T:
        """The first true answer of `look`, or its last one after `timeout`."""
        deadline = time.monotonic() + timeout.total_seconds()
        with self.bells.listening(kind) as bell:
            while True:
                found = look()
                left = deadline - time.monotonic()
                if found or left <= 0 or self.data.closed:
                    return found
                if bell is None:
                    time.sleep(min(left, BLIND))
                else:
                    bell.wait(left)
                    bell.hush()

    def _counters(self, kind: str, queues: Sequence[str]) -> dict[str, int]:
        values = (self.data.namespace, listed(list(queues)))
        if self.data.closed:
            return {}

        def look(step: Step) -> list[tuple[str, int]]:
            return step.db.execute(SQL[f"queues.{kind}"], values).fetchall()

        return dict(self.data.read(look, inbox=False))
