"""Growth: what things cost beside a thousand delayed jobs in one server, and beside ten million of them in another.

A machine's speed may change by two within moments, so both are measured in turns, and each turn is compared.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from statistics import median

from tests.servers import Server

from benchmarks.lab import Failed, Lab, say
from chronoq import Scheduler
from chronoq.domain.job import State
from chronoq.domain.verdict import Done

MINUTE = timedelta(minutes=1)
FAR = timedelta(days=30)
BESIDE = 2_000
"""So many jobs are run, and promoted, beside those that wait."""
CHUNK = 10_000
FEW = 1_000
STEPS = (100_000, 1_000_000, 10_000_000)

Row = dict[str, float]


def nothing(i: int) -> None: ...


def rows(lab: Lab, most: int) -> tuple[list[Row], Row]:
    """One row for `FEW` delayed jobs, and one for each larger number, up to `most`; how much the last costs more.

    Every number is measured in turns with `FEW`, whose row is that of the last time.
    """
    with ExitStack() as stack:
        server = stack.enter_context(Server(lab.server.kind, tcp=True))
        few, many = (stack.enter_context(closing(Crowd(each))) for each in (server, lab.server))
        few.grow(FEW)
        found: list[Row] = []
        times: Row = {}
        for number in sorted({min(step, most) for step in STEPS}):
            many.grow(number)
            small, large, times = measured(few, many)
            found = [small, *found[1:], large]
            for row in (small, large, times):
                say("growth", {key: round(value, 3) for key, value in row.items()})
        return found, times


class Crowd:
    """Delayed jobs on a server of their own, as a client sees them."""

    def __init__(self, server: Server) -> None:
        self.app = Scheduler(server.url())  # a client only: entered, it would work
        self.task = self.app.add_task(nothing, name="noop")
        self.redis = server.client()
        run(self)  # what there is once only: scripts, names, first nodes
        self.empty = self.redis.info("memory")["used_memory"]
        self.there = 0

    def grow(self, many: int) -> None:
        """Put far jobs until there are `many`."""
        due, began = datetime.now(UTC) + FAR, time.perf_counter()
        for start in range(self.there, many, CHUNK):
            numbers = range(start, min(many, start + CHUNK))
            jobs = [self.task.using(at=due + timedelta(seconds=i % 86_400)).job(i) for i in numbers]
            self.app.enqueue_many(jobs)
        self.fill = (many - self.there) / (time.perf_counter() - began)
        self.bytes = (self.redis.info("memory")["used_memory"] - self.empty) / many
        self.there, self.mark = many, deep(self)

    def close(self) -> None:
        self.app.close()


def measured(few: Crowd, many: Crowd) -> tuple[Row, Row, Row]:
    """A row of medians for each; and how many times as much each cost is beside many, turn by turn."""
    turns = {what: [(cost(few), cost(many)) for _ in range(TURNS)] for what, cost in COSTS.items()}
    small, large = (
        {"delayed": crowd.there, "fill": crowd.fill, "bytes": crowd.bytes}
        | {what: median(both[at] for both in found) for what, found in turns.items()}
        for at, crowd in enumerate((few, many))
    )
    return small, large, {what: median(b / a for a, b in found) for what, found in turns.items()}


def timed(what: Callable[[Crowd], object]) -> Callable[[Crowd], float]:
    """Milliseconds that it takes."""

    def cost(crowd: Crowd) -> float:
        began = time.perf_counter()
        what(crowd)
        return 1e3 * (time.perf_counter() - began)

    return cost


def run(crowd: Crowd) -> float:
    """Microseconds to claim and settle a job: `BESIDE` of them, a hundred at a time."""
    app, task = crowd.app, crowd.task
    queue, clock = app.backend.queue, app.backend.clock
    app.enqueue_many([task.job(i) for i in range(BESIDE)])
    left, began = BESIDE, time.perf_counter()
    while left:
        claims = queue.claim([("default", 100)], worker="w", lease=MINUTE, now=clock.now()).claims
        queue.settle([(claim, Done()) for claim in claims], now=clock.now())
        left -= len(claims)
    return 1e6 * (time.perf_counter() - began) / BESIDE


def promote(crowd: Crowd) -> float:
    """Microseconds to move a job that falls due: `BESIDE` of them, which are run and gone afterwards."""
    from chronoq.app.ticker import BATCH

    app, task = crowd.app, crowd.task
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
    return 1e6 * took / BESIDE


def counts(crowd: Crowd) -> None:
    """What `stats` asks of a queue."""
    app = crowd.app
    app.backend.queue.counts(["default"], now=app.backend.clock.now())


def page(crowd: Crowd, mark: str = "") -> str:
    """A page of a hundred delayed jobs; the mark of the next."""
    queue, now = crowd.app.backend.queue, crowd.app.backend.clock.now()
    return queue.find("default", State.DELAYED, now=now, mark=mark, limit=100).mark


def deep(crowd: Crowd) -> str:
    """A mark some pages on."""
    mark = ""
    for _ in range(9):
        mark = page(crowd, mark)
    return mark


COSTS: dict[str, Callable[[Crowd], float]] = {
    "run": run,
    "promote": promote,
    "counts": timed(counts),
    "page": timed(page),
    "page_deep": timed(lambda crowd: page(crowd, crowd.mark)),
}
TURNS = 25
