"""Forms of output: an aligned table for people, one JSON document, or one JSON object a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import click

from chronoq.domain.time import brief

Row = Mapping[str, Any]


class Out:
    """Writes what a command found on standard output."""

    def __init__(self, form: str = "table", *, color: bool | None = None, quiet: bool = False) -> None:
        self.form = form
        self.color = color
        self.quiet = quiet

    def rows(self, rows: Sequence[Row], columns: Sequence[str], *, empty: str = "Nothing.") -> None:
        """A list. A table shows `columns` of it; JSON has every key."""
        if self.form == "json":
            click.echo(json.dumps([plain(row) for row in rows], ensure_ascii=False, indent=2))
        elif self.form == "jsonl":
            for row in rows:
                click.echo(json.dumps(plain(row), ensure_ascii=False))
        elif rows:
            self._table(columns, [[text(row.get(column)) for column in columns] for row in rows])
        else:
            click.echo(empty, err=True)

    def one(self, row: Row, *, hide: Sequence[str] = ()) -> None:
        """One thing, a line for each of its parts; those of `hide`, and the empty ones, only as JSON."""
        if self.form != "table":
            click.echo(json.dumps(plain(row), ensure_ascii=False, indent=2 if self.form == "json" else None))
            return
        shown = {
            key: text(value)
            for key, value in row.items()
            if key not in hide and value not in (None, "", [], {})
        }
        width = max(map(len, shown), default=0)
        for key, value in shown.items():
            first, *more = value.split("\n")
            label = click.style(f"{key.replace('_', ' '):<{width}}", bold=True)
            click.echo(f"{label}  {first}", color=self.color)
            for line in more:
                click.echo(f"{'':<{width}}  {line}")

    def done(self, row: Row, sentence: str) -> None:
        """What a command did: a sentence, or the same as JSON."""
        if self.form == "table":
            click.echo(sentence)
        else:
            self.one(row)

    def note(self, sentence: str) -> None:
        """Something beside the result, for people only."""
        if not self.quiet:
            click.echo(sentence, err=True)

    def _table(self, columns: Sequence[str], cells: list[list[str]]) -> None:
        heads = [column.replace("_", " ") for column in columns]
        if sys.stdout.isatty() and self.color is not False:
            from rich import box
            from rich.console import Console
            from rich.table import Table

            table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
            numbers = [all(_numeric(row[place]) for row in cells) for place in range(len(heads))]
            for head, right in zip(heads, numbers, strict=True):
                table.add_column(head, justify="right" if right else "left", overflow="fold")
            for row in cells:
                table.add_row(*row)
            Console(highlight=False, markup=False).print(table)
            return
        widths = [max(len(row[place]) for row in [heads, *cells]) for place in range(len(heads))]
        for row in [heads, *cells]:
            click.echo(
                "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            )


def plain(value: Any) -> Any:
    """As JSON: moments in UTC, durations in seconds."""
    match value:
        case Mapping():
            return {str(key): plain(one) for key, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
        case datetime():
            return value.astimezone(UTC).isoformat()
        case timedelta():
            return value.total_seconds()
        case Enum():
            return value.value if isinstance(value, str) else value.name.lower()
        case None | bool() | int() | float() | str():
            return value
    return str(value)


def text(value: Any) -> str:
    """As people read it: moments in local time with the offset, durations in short."""
    match value:
        case None | "" | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone().isoformat(timespec="seconds")
        case timedelta():
            return brief(value)
        case Enum():
            return str(plain(value))
        case [Mapping(), *_]:
            return "\n".join(
                "  ".join(text(part) for part in one.values() if part is not None) for one in value
            )
        case list() | tuple():
            return (
                json.dumps(plain(value), ensure_ascii=False) if _deep(value) else ", ".join(map(text, value))
            )
        case Mapping():
            return json.dumps(plain(value), ensure_ascii=False)
    return str(value)


def _deep(value: Sequence[Any]) -> bool:
    return any(isinstance(one, list | tuple | Mapping) for one in value)


def _numeric(cell: str) -> bool:
    return cell == "-" or cell.isdigit()
