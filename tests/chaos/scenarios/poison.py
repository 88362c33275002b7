"""F15: jobs that kill, block or starve their worker."""

from __future__ import annotations

from collections import Counter
from time import monotonic

from attrs import frozen

from chronoq.domain.job import State
from tests.chaos.checker import at_rest, counts, states
from tests.chaos.ledger import Fact, Ledger, What
from tests.chaos.row import Row
from tests.chaos.stage import on_stage
from tests.faults import task_of

KILLERS = ("exit", "segfault", "memory")
BLOCKERS = ("loop", "fork")
CRASHES = 3


@frozen(kw_only=True)
class Poison:
    """Among good jobs, with workers that are replaced when they fall."""

    name: str = "F15"
    title: str = "poison among good jobs"
    jobs: int
    each: int

    def run(self, seed: int) -> Row:
        row, began = Row(self.name, self.title), monotonic()
        with on_stage(self.name, seed) as stage:
            stage.serve()
            app = stage.app
            good, bad = task_of(app, "work"), task_of(app, "poison")
            made = [good.using(id=f"g{n}").job(0.005) for n in range(self.jobs)]
            poisons = [
                bad.using(id=f"{kind}-{n}").job(kind)
                for kind in (*KILLERS, *BLOCKERS)
                for n in range(self.each)
            ]
            poisons.append(task_of(app, "apoison").using(id="async-0").job())
            made += poisons
            stage.rng.shuffle(made)
            app.enqueue_many(made)
            row.jobs, row.faults["poison"] = len(made), len(poisons)
            stage.work(3, stage.plan(settings={"lease": "1s", "max_crashes": CRASHES}, memory=3_000_000_000))
            row.expect(
                stage.until(lambda: at_rest(counts(stage.backend)), 180),
                f"not all has ended after three minutes: {counts(stage.backend)}",
            )
            found = states(stage.backend, [job.id.key for job in made])
            row.lost = sum(state is None for state in found.values())
            row.dead = sum(state is State.DEAD for state in found.values())
            row.expect(not row.lost, f"{row.lost} jobs are lost")
            starts = Counter(fact.key for fact in stage.ledger.refresh().of(What.STARTED))
            for job in poisons:
                kind = job.id.key.partition("-")[0]
                wanted = State.DONE if kind == "fork" else State.DEAD
                row.expect(found[job.id.key] is wanted, f"{job.id.key} is {found[job.id.key]}")
                row.expect(starts[job.id.key] <= CRASHES, f"{job.id.key} ran {starts[job.id.key]} times (L3)")
            convicted = [
                key for key, state in found.items() if key.startswith("g") and state is not State.DONE
            ]
            row.expect(not convicted, f"good jobs that are not done: {convicted[:5]}")
            twice = [pair for pair, times in charges(stage.ledger).items() if times > 1]
            row.expect(not twice, f"charged more than once for what one poison did (L3): {twice[:5]}")
            good_starts = [fact.key for fact in stage.ledger.of(What.STARTED) if fact.key.startswith("g")]
            row.duplicates = len(good_starts) - len(set(good_starts))
            row.doubled = max(
                0, counts(stage.backend).done - sum(one is State.DONE for one in found.values())
            )
            row.expect(not row.doubled, f"{row.doubled} jobs were completed twice (Q5)")
            if row.violations:
                row.notes.append("they said: " + stage.said[-2000:])
        row.took = monotonic() - began
        return row


def charges(ledger: Ledger) -> Counter[tuple[str, str]]:
    """How often each neighbour was charged for what each poison did: (neighbour, poison).

    A process that was reaped was killed by the poison that it began last.
    """
    holders = {(fact.key, fact.token): fact.pid for fact in ledger.of(What.CLAIMED)}
    killers: dict[int, Fact] = {}
    for fact in ledger.of(What.STARTED):
        if fact.key.partition("-")[0] in KILLERS and (
            fact.pid not in killers or killers[fact.pid].at < fact.at
        ):
            killers[fact.pid] = fact
    found: Counter[tuple[str, str]] = Counter()
    for fact in ledger.of(What.REAPED):
        killer = killers.get(holders.get((fact.key, fact.token), 0))
        if killer is not None and killer.key != fact.key:
            found[fact.key, killer.key] += 1
    return found
