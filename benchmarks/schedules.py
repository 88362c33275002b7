"""How many schedules per second one scheduler fires, when all are due at one instant.

    just bench                      10,000 schedules on 100 expressions, on memory and on a real server
    just bench --schedules 1000     fewer

Each schedule must fire exactly once: the run counts the jobs, and fails when one is missing or double.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.servers import Server

from chronoq.app.ticker import Ticker
from chronoq.container import open_backend
from chronoq.domain.identity import ScheduleId
from chronoq.domain.ports import Backend, Opening
from chronoq.domain.rhythm import cron
from chronoq.domain.schedule import Cursor, Schedule

START = datetime(2026, 11, 23, 8, 59, tzinfo=UTC)
DUE = START + timedelta(minutes=1)


def expressions(count: int) -> list[str]:
    """Distinct expressions that all fire at 09:00 on that day."""
    found = [f"0 9 {day}-23 * *" for day in range(1, 24)]
    found += [f"0 {hour}-9 * * *" for hour in range(9)]
    found += [f"0 9,{hour} {day}-23 * *" for day in range(1, 12) for hour in range(10, 20)]
    return found[:count]


def fill(backend: Backend, count: int, distinct: int) -> None:
    rhythms = [cron(text) for text in expressions(distinct)]
    for number in range(count):
        schedule = Schedule(ScheduleId("default", f"s{number}"), rhythms[number % distinct], "t", b"[[],{}]")
        first = schedule.next_after(START, since=START)
        assert first == DUE, first
        assert backend.store.put(schedule, cursor=Cursor(1, first, START), expected=None, now=START)


def measure(backend: Backend, count: int, distinct: int) -> float:
    """Fires per second."""
    fill(backend, count, distinct)
    ticker = Ticker(backend.queue, backend.store, backend.lock, "bench", timedelta(seconds=10))
    ticker.step(START)
    began, moment = time.perf_counter(), DUE
    while moment <= DUE:
        moment = ticker.step(DUE)
    took = time.perf_counter() - began
    counts = backend.queue.counts(["default"], now=DUE)[0]
    if (counts.accepted, counts.ready) != (count, count):
        sys.exit(f"{count} schedules made {counts.accepted} jobs, {counts.ready} of them ready")
    return count / took


@contextmanager
def backends() -> Iterator[dict[str, str]]:
    with Server("valkey-9.1") as server:
        yield {"memory": "memory://", "redis": server.url()}


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--schedules", type=int, default=10_000)
    options.add_argument("--expressions", type=int, default=100)
    options.add_argument("--repeat", type=int, default=3)
    given = options.parse_args()
    with backends() as urls:
        for name, url in urls.items():
            rates = []
            for _ in range(given.repeat):
                backend = open_backend(url, Opening(namespace=f"bench-{uuid4().hex[:8]}"))
                try:
                    rates.append(measure(backend, given.schedules, given.expressions))
                finally:
                    backend.close()
            middle, least, most = statistics.median(rates), min(rates), max(rates)
            print(
                f"{name:8} {given.schedules} schedules on {given.expressions} expressions, due at one instant: "
                f"{middle:,.0f} fires/s (median of {given.repeat}; {least:,.0f} to {most:,.0f})"
            )


if __name__ == "__main__":
    main()
