"""Growth: what things cost beside a thousand delayed jobs, and beside ten million of them, in one server."""

import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from statistics import median

from benchmarks.lab import Failed, Lab, say
from chronoq import Scheduler
from chronoq.domain.job import State
from chronoq.domain.verdict import Done

MINUTE = timedelta(minutes=1)
FAR = timedelta(days=30)
BESIDE = 2_000
"""So many jobs are run, and promoted, beside those that wait."""
CHUNK = 10_000
STEPS = (1_000, 100_000, 1_000_000, 10_000_000)


def nothing(i: int) -> None: ...


def rows(lab: Lab, most: int) -> list[dict[str, float]]:
    """One row for each number of delayed jobs, up to `most`."""
    with closing(Scheduler(lab.server.url())) as app:  # a client only: entered, it would work
        task, found, there = app.add_task(nothing, name="noop"), [], 0
        run(app, task)  # what there is once only: scripts, names, first nodes
        empty = lab.redis.info("memory")["used_memory"]
        for many in sorted({min(step, most) for step in STEPS}):
            fill = _fill(app, task, there, many)
            there = many
            mark = deep(app)
            row = {
                "delayed": many,
                "fill": fill,
                "bytes": (lab.redis.info("memory")["used_memory"] - empty) / many,
                "run": 1e6 * best(5, lambda: run(app, task)) / BESIDE,
                "promote": BESIDE / best(5, lambda: promote(app, task)),
                "counts": 1e3 * middle(lambda: counts(app)),
                "page": 1e3 * middle(lambda: page(app, "")),
                "page_deep": 1e3 * middle(lambda mark=mark: page(app, mark)),
            }
            say("growth", {key: round(value, 3) for key, value in row.items()})
            found.append(row)
        return found


def _fill(app: Scheduler, task, there: int, many: int) -> float:
    """Put far jobs until there are `many`; how many a second."""
    due, began = datetime.now(UTC) + FAR, time.perf_counter()
    for start in range(there, many, CHUNK):
        numbers = range(start, min(many, start + CHUNK))
        jobs = [task.using(at=due + timedelta(seconds=i % 86_400)).job(i) for i in numbers]
        app.enqueue_many(jobs)
    return (many - there) / (time.perf_counter() - began)


def run(app: Scheduler, task) -> float:
    """Seconds to claim and settle `BESIDE` jobs, a hundred at a time."""
    queue, clock = app.backend.queue, app.backend.clock
    app.enqueue_many([task.job(i) for i in range(BESIDE)])
    left, began = BESIDE, time.perf_counter()
    while left:
        claims = queue.claim([("default", 100)], worker="w", lease=MINUTE, now=clock.now()).claims
        queue.settle([(claim, Done()) for claim in claims], now=clock.now())
        left -= len(claims)
    return time.perf_counter() - began


def promote(app: Scheduler, task) -> float:
    """Seconds to move `BESIDE` jobs that fall due; they are run and gone afterwards."""
    from chronoq.app.ticker import BATCH

    queue, soon = app.backend.queue, app.backend.clock.now() + MINUTE
    app.enqueue_many([task.using(at=soon).job(i) for i in range(BESIDE)])
    soon += MINUTE
    moved, began = 0, time.perf_counter()
    while step := queue.promote(["default"], now=soon, limit=BATCH)[0].moved:
        moved += step
    took = time.perf_counter() - began
    if moved != BESIDE:
        raise Failed(f"{moved} of {BESIDE} jobs were promoted")
    while claims := queue.claim([("default", 100)], worker="w", lease=MINUTE, now=soon).claims:
        queue.settle([(claim, Done()) for claim in claims], now=soon)
    return took


def counts(app: Scheduler) -> None:
    """What `stats` asks of a queue."""
    app.backend.queue.counts(["default"], now=app.backend.clock.now())


def page(app: Scheduler, mark: str) -> str:
    """A page of a hundred delayed jobs; the mark of the next."""
    queue, now = app.backend.queue, app.backend.clock.now()
    return queue.find("default", State.DELAYED, now=now, mark=mark, limit=100).mark


def deep(app: Scheduler) -> str:
    """A mark some pages on."""
    mark = ""
    for _ in range(9):
        mark = page(app, mark)
    return mark


def best(tries: int, measured: Callable[[], float]) -> float:
    return min(measured() for _ in range(tries))


def middle(what: Callable[[], object], samples: int = 50) -> float:
    """Seconds that a call takes, the median."""
    found = []
    for _ in range(samples):
        began = time.perf_counter()
        what()
        found.append(time.perf_counter() - began)
    return median(found)
