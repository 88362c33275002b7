"""Producers and workers at an even pace, faults in the middle, and what is left at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from time import monotonic, sleep
from typing import Any

from attrs import field, frozen

from tests.chaos.checker import (
    back_after,
    check_jobs,
    check_ticks,
    pace,
    percentile,
    recoveries,
    resumptions,
    touched,
)
from tests.chaos.faults import Fault, at_work
from tests.chaos.row import Row
from tests.chaos.stage import Stage, on_stage
from tests.topology import Nodes, Watched

LATE = 30.0
"""A2: seconds after which all must be as before."""

SLOW = 15.0
"""L1: seconds within which 99 of 100 jobs of a fallen worker start again, at the defaults."""

OUTAGES = ("server SIGKILL", "failover")


@frozen(kw_only=True)
class Storm:
    """Handlers sleep, so an even pace is far below what the machine could do: a pace that falls is the fault's.

    `jobs`, `seconds`, `strikes`: the faults go on until each of these is reached.
    """

    name: str
    title: str
    faults: Callable[[], list[Fault]]
    jobs: int = 0
    seconds: float = 6
    strikes: int = 0
    workers: int = 4
    concurrency: int = 4
    pause: float = 0.02
    calm: float = 3
    after: float = 4
    aof: bool = False
    fsync: str = "always"
    proxy: bool = False
    group: Callable[[], Watched | Nodes] | None = None
    """The servers to play on, where one is not enough."""
    producers: int = 2
    schedules: int = 0
    schedulers: int = 0
    rhythm: float = 1.0
    skew: float = 0
    bounded: bool = False
    """Whether each second run has to be explained by a fallen or frozen worker."""
    covered: bool = False
    """Whether the proxy has to have done every harm to every command."""
    settings: Mapping[str, Any] = field(factory=dict)

    def run(self, seed: int) -> Row:
        row, began = Row(self.name, self.title), monotonic()
        with on_stage(self.name, seed) as stage:
            self._build(stage)
            faults = self.faults()
            row.expect(stage.until(lambda: stage.ended() > 50, 60), "no work was done at all")
            sleep(1)
            calm = monotonic()
            sleep(self.calm)
            struck = monotonic()
            with at_work(stage, faults):
                enough = stage.until(
                    lambda: self._enough(stage, faults, struck), 60 + 10 * self._longest, every=0.5
                )
            healed = monotonic()
            row.expect(enough, "the storm did not get through its jobs")
            before = pace(stage.ledger.refresh(), calm, struck)
            until = healed + LATE
            stage.until(lambda: self._back(stage, before, healed) or monotonic() > until, LATE + 5)
            sleep(max(0.0, healed + self.after - monotonic()))
            if stage.schedulers:
                stage.schedulers.finish()
            row.expect(stage.drain(), "not all that was accepted has ended two minutes after the faults")
            assert stage.workers
            stage.workers.finish()
            stage.ledger.refresh()
            self._judge(stage, row, faults)
            row.back = back_after(stage.ledger, before, healed, until + 5)
            row.expect(
                row.back is not None and row.back <= LATE, f"the pace of {before:.0f}/s did not come back"
            )
            row.notes.append(f"pace before {before:.0f}/s")
            if row.violations:
                row.notes.append("they said: " + stage.said[-3000:])
        row.took = monotonic() - began
        return row

    @property
    def _longest(self) -> float:
        return max(self.seconds, self.jobs / 200)

    @property
    def _settings(self) -> dict[str, Any]:
        return {"concurrency": self.concurrency, "max_crashes": 50, **self.settings}

    def _build(self, stage: Stage) -> None:
        if self.group:
            stage.join(self.group())
        else:
            stage.serve("--appendfsync", self.fsync, aof=self.aof)
        if self.aof and self.fsync != "always":
            stage.watch()
        if self.proxy:
            stage.intercept()
        given = {
            "settings": self._settings,
            "pause": self.pause,
            "backlog": int(self.workers * self._settings["concurrency"] / self.pause / 2),
            "schedules": self.schedules,
            "rhythm": f"{int(self.rhythm * 1000)}ms",
        }
        plans = [
            stage.plan(**given, skew=skew) for skew in ((self.skew, -self.skew) if self.skew else (0.0,))
        ]
        if self.schedulers:
            stage.tick(self.schedulers, *plans)
        if self.producers:
            stage.produce(self.producers, plans[0])
        stage.work(self.workers, *plans)

    def _enough(self, stage: Stage, faults: list[Fault], since: float) -> bool:
        return (
            monotonic() >= since + self.seconds
            and sum(len(fault.at) for fault in faults) >= self.strikes
            and all(len(fault.at) >= fault.times for fault in faults)
            and stage.ended() >= self.jobs
            and not (self.covered and stage.proxy and stage.proxy.missing)
        )

    def _back(self, stage: Stage, before: float, healed: float) -> bool:
        return back_after(stage.ledger.refresh(), before, healed, monotonic()) is not None

    def _judge(self, stage: Stage, row: Row, faults: list[Fault]) -> None:
        row.faults = Counter()
        for fault in faults:
            row.faults[fault.name] += len(fault.at)
        falls = sorted((one for fault in faults for one in fault.at if one[0]), key=lambda one: one[1])
        outages = [at for fault in faults if fault.name in OUTAGES for _, at in fault.at]
        if self.bounded:
            row.allowed = len(falls) * self._settings["concurrency"]
        found = resumptions(stage.ledger, [at for _, at in falls])
        if self.schedulers:
            check_ticks(stage.ledger, row, step=self.rhythm, schedules=self.schedules)
        forgiven = touched(stage.ledger, stage.torn)
        check_jobs(stage.ledger, stage.backend, row, forgiven=forgiven)
        if stage.torn:
            row.notes.append(
                f"{len(stage.torn)} times the store could forget what it had answered (see the guarantees); "
                f"{len(forgiven):,} jobs had something happen to them then"
            )
        if self.producers:
            found = recoveries(stage.ledger, falls) or resumptions(stage.ledger, outages)
        row.recovery_p50, row.recovery_p99 = percentile(found, 0.5), percentile(found, 0.99)
        law, limit = ("L1", SLOW) if falls or not outages else ("A2", LATE)
        row.expect(
            (row.recovery_p99 or 0) <= limit, f"recovery p99 {row.recovery_p99} s is above {limit} s ({law})"
        )
        if stage.proxy:
            row.notes.append(f"commands x ways: {len(stage.proxy.done)}, not seen yet: {stage.proxy.missing}")
            row.expect(not self.covered or not stage.proxy.missing, f"not harmed yet: {stage.proxy.missing}")
        said = stage.said
        row.expect("Traceback" not in said, "a process said something with a traceback: " + said[-2000:])
