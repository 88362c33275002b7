"""Many seeds, one after the other or on all cores; a seed that breaks a law prints as a test.

python -m tests.simulator.run 1000000              # seeds 0, 1, 2, ...
python -m tests.simulator.run 1 --first 813        # one seed; its trace, if it breaks a law
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from time import monotonic

from tests.simulator.world import Opener, Outcome, open_backend, silence, simulate

CHUNK = 100
LAST = 60
"""Lines of a trace that are printed with a failing seed."""


def run_seeds(first: int, many: int, *, opener: Opener = open_backend) -> list[Outcome]:
    """Those of these seeds that break a law, each run again for its trace."""
    found: list[Outcome] = []
    collects = gc.isenabled()
    gc.disable()  # a world is small, and all of it is garbage at its end
    try:
        with silence():
            for seed in range(first, first + many):
                if simulate(seed, opener=opener) is not None:
                    again = simulate(seed, opener=opener, traced=True)
                    assert again is not None, f"seed {seed} does not repeat"
                    found.append(again)
                if seed % 100 == 0:
                    gc.collect()
    finally:
        if collects:
            gc.enable()
    return found


def as_test(outcome: Outcome) -> str:
    """The failing seed as a test to paste, after the end of its trace."""
    trace = "\n".join(f"# {line[:240]}" for line in outcome.trace[-LAST:])
    return f'''{trace}
# {outcome.text}


def test_seed_{outcome.seed}() -> None:
    """{outcome.law}"""
    with silence():
        assert simulate({outcome.seed}) is None
'''


def sweep(first: int, many: int, processes: int) -> Iterator[tuple[int, list[Outcome]]]:
    """How many seeds are done, and what was found, chunk by chunk."""
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    try:
        chunks = {
            pool.submit(run_seeds, start, min(CHUNK, first + many - start)): start
            for start in range(first, first + many, CHUNK)
        }
        for done in as_completed(chunks):
            yield min(CHUNK, first + many - chunks[done]), done.result()
    finally:
        pool.shutdown(cancel_futures=True)  # who listens no more does not wait for the rest


def main() -> int:
    parser = argparse.ArgumentParser(description="Simulate seeds.")
    parser.add_argument("many", type=int, nargs="?", default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many")
    given = parser.parse_args()
    started, told, total, broken = monotonic(), 0.0, 0, 0
    for done, found in sweep(given.first, given.many, given.processes):
        total += done
        broken += len(found)
        for outcome in found:
            print(as_test(outcome), flush=True)
        spent = monotonic() - started
        if spent > told + 10:
            told = spent
            rate = total / spent
            print(f"{total:,} of {given.many:,} seeds, {broken} broken, {rate:.0f} a second", flush=True)
        if spent > given.minutes * 60:
            break
    spent = monotonic() - started
    print(f"{total:,} seeds in {spent:.0f} s: {broken} broke a law", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
