"""F16: a great many jobs come due at one instant."""

from __future__ import annotations

import os
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

from attrs import frozen

from chronoq.domain.time import from_ms, to_ms
from tests.chaos.checker import asked, counts
from tests.chaos.row import Row
from tests.chaos.stage import on_stage
from tests.faults import task_of

SLOWEST = 10_000
"""Microseconds that no script may take, but one in a hundred."""


@frozen(kw_only=True)
class Backlog:
    """They are stored ahead, then all are due; a scheduler and two workers run for some seconds."""

    name: str = "F16"
    title: str = "backlog due at once"
    jobs: int
    seconds: float
    strict: bool = True
    """Whether the script times count: not beside other scenarios, which take the processor away meanwhile."""

    def run(self, seed: int) -> Row:
        row, began = Row(self.name, self.title, jobs=self.jobs), monotonic()
        row.faults["all due at once"] = 1
        with on_stage(self.name, seed) as stage:
            stage.serve("--slowlog-log-slower-than", str(SLOWEST), "--slowlog-max-len", "100000")
            with suppress(OSError):  # so that a script's time is its own, not that of who took the processor
                os.setpriority(os.PRIO_PROCESS, stage.server.pid, -10)
            backend, task = stage.backend, task_of(stage.app, "work")
            due = from_ms(to_ms(backend.clock.now()) + int(1000 * (5 + self.jobs / 10_000)))
            sample = task.using(at=due)
            for start in range(0, self.jobs, 5_000):
                many = min(5_000, self.jobs - start)
                stage.app.enqueue_many([sample.job(0.0) for _ in range(many)])
            stage.until(lambda: backend.clock.now() >= due, 600, every=0.05)
            with stage.server.client() as client:
                filled = memory(client)
                client.config_resetstat()
                client.slowlog_reset()
                plan = stage.plan(settings={"concurrency": 8})
                stage.tick(1, plan)
                stage.work(2, plan)
                done = stage.until(lambda: asked(lambda: counts(backend)).done > 0, 60)
                row.expect(done, "nothing was done")
                sleep(self.seconds)
                info: Any = client.info("latencystats")
                calls: Any = client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
                slow: Any = [one for one in client.slowlog_get(100_000) if b"EVAL" in one["command"]]
                top = memory(client)
            spread = info.get("latency_percentiles_usec_evalsha", {})
            p99 = float(spread.get("p99", 0))
            row.expect(p99 <= SLOWEST or not self.strict, f"p99 of the scripts is {p99 / 1000:.1f} ms")
            row.expect(top <= filled * 1.15 + 10_000_000, f"memory grew from {filled:,} to {top:,} bytes")
            row.notes.append(
                f"{calls:,} script calls, p50 {spread.get('p50')} µs, p99 {p99:.0f} µs, "
                f"p99.9 {spread.get('p99.9')} µs, {len(slow)} above 10 ms; "
                f"memory {filled / 1e6:.0f} → {top / 1e6:.0f} MB; "
                f"{counts(backend).done:,} done in {self.seconds:.0f} s"
            )
        row.took = monotonic() - began
        return row


def memory(client: Any) -> int:
    return int(client.info("memory")["used_memory"])
