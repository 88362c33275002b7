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


@define
class Row:
    """What a scenario found. `None` stands for what it does not measure."""

    name: str
    title: str
    jobs: int = 0
    faults: Counter[str] = field(factory=Counter)
    lost: int = 0
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
            f"{self.lost:,}",
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


def write(path: Path, rows: list[Row], **facts: Any) -> dict[str, Any]:
    """The same as JSON, in that file."""
    found = {**facts, "ok": all(row.ok for row in rows), "rows": [row.as_json() for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
    return found
