"""F14: keys disappear under a running system, one by one and all at once."""

from __future__ import annotations

from time import monotonic, sleep
from typing import Any

from attrs import frozen

from chronoq.domain.job import State
from tests.chaos.checker import counts, states
from tests.chaos.ledger import What
from tests.chaos.roles import QUEUE
from tests.chaos.row import Row
from tests.chaos.stage import Stage, on_stage

PREFIX = f"chronoq:{{{QUEUE}}}:"
NOTICED = 60.0


@frozen(kw_only=True)
class Deleted:
    """Whole places and single records go. Within a minute each job runs, lies in the dead letters, or is
    known to be gone because its record is; the books balance; and after FLUSHDB all work goes on."""

    name: str = "F14"
    title: str = "keys deleted, FLUSHDB"
    rounds: int

    def run(self, seed: int) -> Row:
        row, began = Row(self.name, self.title), monotonic()
        with on_stage(self.name, seed) as stage:
            stage.serve()
            plan = stage.plan(pause=0.05, backlog=200)
            stage.tick(1, plan)
            stage.produce(1, plan)
            stage.work(2, plan)
            row.expect(stage.until(lambda: stage.ended() > 20, 60), "no work was done at all")
            gone: set[str] = set()
            for _ in range(self.rounds):
                gone |= self._delete(stage, row)
                sleep(stage.rng.uniform(0.1, 0.4))
            assert stage.producers
            stage.producers.leave()
            plan.over.touch()
            known = hasattr(stage.backend.queue, "sweep")
            mended = stage.until(lambda: not self._adrift(stage, gone), NOTICED if known else 5, every=0.5)
            adrift = self._adrift(stage, gone)

            def say(truth: object, why: str) -> None:
                if known:
                    row.expect(truth, why)
                elif not truth:
                    row.notes.append(f"there is no sweeper yet: {why}")

            say(mended, f"{len(adrift)} jobs are nowhere a minute later (L6), such as {sorted(adrift)[:3]}")
            books = counts(stage.backend)
            say(books.balanced, f"the books do not balance a minute later (Q10): {books}")
            row.jobs, row.lost = len(stage.ledger.keys(What.ACKED)), len(adrift) if known else 0
            row.notes.append(f"{len(gone)} records deleted for good, {books.dead} dead letters")
            self._flush(stage, row)
        row.took = monotonic() - began
        return row

    def _delete(self, stage: Stage, row: Row) -> set[str]:
        """One thing at random; the ids whose very records went."""
        kind = stage.rng.choice(["ready", "leases", "record", "claims", "wake", "stats"])
        row.faults[f"{kind} deleted"] += 1
        with stage.server.client() as client:
            if kind != "record":
                client.delete(*(PREFIX + name for name in _KEYS[kind]))
                return set()
            found: Any = client.hrandfield(PREFIX + "jobs", 3)
            if found:
                client.hdel(PREFIX + "jobs", *found)
            return {key.decode() for key in found or ()}

    def _adrift(self, stage: Stage, gone: set[str]) -> set[str]:
        acked = stage.ledger.refresh().keys(What.ACKED) - gone
        found = states(stage.backend, acked)
        return {key for key, state in found.items() if state not in (State.DONE, State.DEAD)}

    def _flush(self, stage: Stage, row: Row) -> None:
        with stage.server.client() as client:
            client.flushall()
        row.faults["FLUSHDB"] += 1
        plan = stage.plan()
        from tests.faults import task_of

        handle = task_of(stage.app, "work").using(id="after").enqueue(0.0)
        row.expect(
            stage.until(lambda: handle.status() is State.DONE, 30),
            f"no work after FLUSHDB: {handle.status()}, {plan.url}",
        )


_KEYS = {
    "ready": ("ready:2",),
    "leases": ("leases",),
    "claims": ("claims",),
    "wake": ("wake:work", "wake:time"),
    "stats": ("stats",),
}
