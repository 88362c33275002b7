"""F7: the server falls, and the end of its append-only file is torn off at a random byte."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

from attrs import frozen

from tests.chaos.checker import check_jobs, counts, touched
from tests.chaos.row import Row
from tests.chaos.stage import Stage, on_stage

SECOND = 1.1
"""What `everysec` may lose, with the slack of our own measuring."""


@frozen(kw_only=True)
class Tail:
    """`always`: only what was being written when it fell, and never answered, is torn; nothing may be lost.
    `everysec`: the last second may go, and takes with it what happened to those jobs in it; no more."""

    name: str = "F7"
    title: str
    fsync: str
    cuts: int

    def run(self, seed: int) -> Row:
        row, began = Row(self.name, self.title), monotonic()
        with on_stage(f"{self.name}-{self.fsync}", seed) as stage:
            stage.serve("--appendfsync", self.fsync, aof=True)
            plan = stage.plan(pause=0.02, backlog=400, settings={"max_crashes": 50})
            stage.produce(2, plan)
            stage.work(2, plan)
            torn: list[tuple[float, float]] = []
            lost_bytes = 0
            for cut in range(1, self.cuts + 1):
                more = stage.ended() + 50
                row.expect(stage.until(lambda: stage.ended() >= more, 60), f"no work after cut {cut - 1}")  # noqa: B023
                sleep(stage.rng.uniform(0.2, 1.5))
                size, keep = self._always(stage) if self.fsync == "always" else self._everysec(stage)
                torn.append((monotonic() - SECOND, monotonic()))
                lost_bytes += size - keep
                stage.server.start()
                self._go_on(stage)
                row.faults["tail cut"] += 1
            row.expect(stage.drain(), "not all that was accepted has ended two minutes after the last cut")
            assert stage.workers
            stage.workers.finish()
            ledger = stage.ledger.refresh()
            forgiven = frozenset[str]() if self.fsync == "always" else touched(ledger, torn)
            check_jobs(ledger, stage.backend, row, forgiven=forgiven)
            if forgiven:
                row.notes.append(
                    f"{len(forgiven):,} jobs had something happen to them in a torn second; "
                    f"{counts(stage.backend).done:,} endings are stored"
                )
            row.notes.append(f"{lost_bytes:,} bytes torn off")
            if row.violations:
                row.notes.append("they said: " + stage.said[-2000:])
        row.took = monotonic() - began
        return row

    def _always(self, stage: Stage) -> tuple[int, int]:
        """All stand still, so that every byte so far was answered; then a flood that nobody gets answers to."""
        assert stage.workers
        assert stage.producers
        for fleet in (stage.workers, stage.producers):
            for pid in fleet.pids:
                fleet.stop(pid)
        file = aof(stage.server.folder)
        answered = -1
        while answered != (answered := file.stat().st_size):
            sleep(0.02)
        flood = b"MULTI\r\nSET torn " + b"x" * 3000 + b"\r\nINCR torn-too\r\nEXEC\r\n"
        with suppress(OSError), socket.create_connection(("127.0.0.1", stage.server.port)) as line:
            line.sendall(flood * 100)
        stage.until(lambda: file.stat().st_size > answered, 5, every=0.001)
        stage.server.kill()
        return cut(file, answered, stage)

    def _everysec(self, stage: Stage) -> tuple[int, int]:
        """Cut somewhere in what was written in the last second."""
        file, over = aof(stage.server.folder), Event()
        sizes = [(monotonic(), file.stat().st_size)]

        def watch() -> None:
            while not over.wait(0.01):
                sizes.append((monotonic(), file.stat().st_size))

        watcher = Thread(target=watch, daemon=True)
        watcher.start()
        sleep(1.2)
        stage.server.kill()
        fell = monotonic()
        over.set()
        watcher.join()
        return cut(file, max(size for at, size in sizes if at <= fell - 1), stage)

    def _go_on(self, stage: Stage) -> None:
        for fleet in (stage.workers, stage.producers):
            assert fleet
            for pid in fleet.stopped:
                fleet.go_on(pid)


def aof(folder: Path) -> Path:
    """The file that grows."""
    found = sorted((folder / "appendonlydir").glob("*.incr.aof")) or [folder / "appendonly.aof"]
    return found[-1]


def cut(file: Path, least: int, stage: Stage) -> tuple[int, int]:
    """Cut it at a random byte that is not before `least`; its size before and after."""
    size = file.stat().st_size
    keep = stage.rng.randint(least, size)
    with file.open("r+b") as open_file:
        open_file.truncate(keep)
    return size, keep
