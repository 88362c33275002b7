"""Many seeds, one after the other or on all cores; a seed that breaks a law prints as a test.

python -m tests.simulator.run 1000000              # seeds 0, 1, 2, ...
python -m tests.simulator.run 1 --first 813        # one seed; its trace, if it breaks a law
python -m tests.simulator.run 1000 --backend sqlite
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from resource import RUSAGE_CHILDREN, getrusage
from time import monotonic

from tests.simulator.stores import STORES
from tests.simulator.world import Outcome, silence, simulate

CHUNK = 100
LAST = 60
"""Lines of a trace that are printed with a failing seed."""


def run_seeds(first: int, many: int, *, backend: str = "memory") -> list[Outcome]:
    """Those of these seeds that break a law, each run again for its trace."""
    found: list[Outcome] = []
    collects = gc.isenabled()
    gc.disable()  # a world is small, and all of it is garbage at its end
    gc.freeze()
    try:
        with silence(), STORES[backend]() as opener:
            for seed in range(first, first + many):
                if simulate(seed, opener=opener) is not None:
                    again = simulate(seed, opener=opener, traced=True)
                    assert again is not None, f"seed {seed} does not repeat"
                    found.append(again)
                if seed % 10 == 0:
                    gc.collect()
    finally:
        gc.unfreeze()
        if collects:
            gc.enable()
    return found


def as_test(outcome: Outcome, backend: str = "memory") -> str:
    """The failing seed as a test to paste, after the end of its trace."""
    trace = "\n".join(f"# {line[:240]}" for line in outcome.trace[-LAST:])
    return f'''{trace}
# {outcome.text}


def test_seed_{outcome.seed}() -> None:
    """{outcome.law}"""
    assert run_seeds({outcome.seed}, 1, backend="{backend}") == []
'''


def sweep(first: int, many: int, processes: int, backend: str) -> Iterator[tuple[int, list[Outcome]]]:
    """How many seeds are done, and what was found, chunk by chunk."""
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    try:
        chunks = {
            pool.submit(run_seeds, start, min(CHUNK, first + many - start), backend=backend): start
            for start in range(first, first + many, CHUNK)
        }
        for done in as_completed(chunks):
            yield min(CHUNK, first + many - chunks[done]), done.result()
    finally:
        pool.shutdown(cancel_futures=True)  # who listens no more does not wait for the rest


def cpu_of_children() -> float:
    """Seconds of a core that child processes have used which are no more."""
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description="Simulate seeds.")
    parser.add_argument("many", type=int, nargs="?", default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--backend", choices=STORES, default="memory")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many")
    given = parser.parse_args()
    started, told, total, broken = monotonic(), 0.0, 0, 0
    for done, found in sweep(given.first, given.many, given.processes, given.backend):
        total += done
        broken += len(found)
        for outcome in found:
            print(as_test(outcome, given.backend), flush=True)
        spent = monotonic() - started
        if spent > told + 10:
            told = spent
            rate = total / spent
            print(f"{total:,} of {given.many:,} seeds, {broken} broken, {rate:.0f} a second", flush=True)
        if spent > given.minutes * 60:
            break
    spent, each = monotonic() - started, 1000 * cpu_of_children() / max(1, total)
    print(
        f"{total:,} seeds in {spent:.0f} s ({each:.1f} ms of a core each): {broken} broke a law", flush=True
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
