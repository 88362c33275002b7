"""`schedules plan` and `apply`: the schedules declared in code against those that are stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import click

from chronoq.api.scheduler import Scheduler
from chronoq.app.schedules import Change
from chronoq.cli.base import Cli, Command, Misuse, agreed
from chronoq.cli.jobs import read_json
from chronoq.cli.out import text
from chronoq.cli.process import counted
from chronoq.cli.schedules import call
from chronoq.domain.rhythm_base import Rhythm
from chronoq.domain.schedule import Put, Schedule, Stored

WORDS = {Put.CREATED: "create", Put.UPDATED: "update", Put.UNCHANGED: "unchanged", None: "orphan"}
MARKS = {
    "create": ("+", "green"),
    "created": ("+", "green"),
    "update": ("~", "yellow"),
    "updated": ("~", "yellow"),
    "orphan": ("?", "magenta"),
    "removed": ("-", "red"),
    "gone": (" ", None),
    "unchanged": ("=", None),
}
SAID = {"retry.retries": "retries"}
IN_PLAN = {"create": "to create", "update": "to update"}
WIDEST = 44
FEW = 10
"""Up to so many unchanged schedules are named."""

Row = dict[str, Any]


@click.command(cls=Command)
@click.pass_obj
def plan(cli: Cli) -> None:
    """What storing the schedules of --app would change, field by field. Changes nothing.

    An orphan is stored in a queue of the application, and not declared by it.
    """
    rows = _rows(_app(cli))
    _show(cli, rows)
    if any(row["change"] == "orphan" for row in rows):
        cli.out.note("Orphans go on firing. 'schedules apply --prune' removes them.")


@click.command(cls=Command)
@click.option("--prune", is_flag=True, help="Remove the orphans too; asks first.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_obj
def apply(cli: Cli, prune: bool, yes: bool, dry_run: bool) -> None:
    """Store the schedules of --app. An unchanged one keeps its due time, a changed one computes it anew."""
    app = _app(cli)
    rows = _rows(app)
    orphans = [row for row in rows if row["change"] == "orphan"] if prune else []
    if dry_run:
        _show(cli, rows)
        agreed(f"store these and remove {counted(len(orphans), 'orphan')}", yes=yes, dry_run=True)
        return
    names = ", ".join(row["id"] for row in orphans)
    ledgers = "its ledger" if len(orphans) == 1 else "their ledgers"
    what = f"remove {counted(len(orphans), 'orphan')} with {ledgers}: {names}"
    if orphans and not agreed(what, yes=yes, dry_run=False):
        return
    done = {str(change.id): change.put for change in app.apply()}
    gone = app.backend.store.drop([row.pop("_id") for row in orphans])
    for row, dropped in zip(orphans, gone, strict=True):
        row["change"] = "removed" if dropped else "gone"
    for row in rows:
        row["change"] = done.get(row["id"]) or row["change"]
    _show(cli, rows)


def _app(cli: Cli) -> Scheduler:
    if not cli.path:
        raise Misuse("This compares the schedules declared in code with the stored ones. Give --app.")
    app = cli.app()
    cli.refuse_private(app)
    return app


def _rows(app: Scheduler) -> list[Row]:
    changes = app.plan()
    stored = app.backend.store.get([change.id for change in changes])
    return [_row(app, change, before) for change, before in zip(changes, stored, strict=True)]


def _row(app: Scheduler, change: Change, before: Stored | None) -> Row:
    old = before.schedule if before else None
    new = None if change.orphan else app.declared.schedules[change.id.key]
    shown = new or old
    differs = list(differing(old, new)) if change.put is Put.UPDATED and old and new else []
    if change.put is Put.UPDATED and before and not old:
        differs = [{"field": "record", "old": f"cannot be read: {before.defect}", "new": "as declared"}]
    return {
        "id": str(change.id),
        "change": WORDS[change.put],
        "rhythm": shown.rhythm.describe() if shown else None,
        "fields": differs,
        "_id": change.id,
    }


def differing(old: Any, new: Any, name: str = "") -> Iterator[Row]:
    """What differs, field by field, down to plain values: {"field", "old", "new"}."""
    if old == new:
        return
    if isinstance(old, Rhythm) and isinstance(new, Rhythm):
        yield from _rhythms(old, new, name)
    elif attrs.has(type(old)) and type(old) is type(new):
        for one in attrs.fields(type(old)):
            # `policy` and `options` are only how we keep them: people write their fields
            inner = (
                one.name
                if isinstance(old, Schedule) or name in ("policy", "options")
                else f"{name}.{one.name}"
            )
            yield from differing(getattr(old, one.name), getattr(new, one.name), inner)
    elif name == "payload":
        was, becomes = call(old), call(new)
        for part in ("args", "kwargs"):
            yield from differing(was.get(part), becomes.get(part), part)
    elif isinstance(old, bytes) and isinstance(new, bytes):
        yield {"field": name, "old": read_json(old), "new": read_json(new)}
    else:
        yield {"field": SAID.get(name, name), "old": old, "new": new}


def _rhythms(old: Rhythm, new: Rhythm, name: str) -> Iterator[Row]:
    if old.describe() != new.describe():
        yield {"field": name, "old": old.describe(), "new": new.describe()}
        return
    was, becomes = old.spec(), new.spec()
    for key in sorted({*was, *becomes}):
        if was.get(key) != becomes.get(key):
            yield {"field": f"{name}.{key}", "old": was.get(key), "new": becomes.get(key)}


def _show(cli: Cli, rows: Sequence[Row]) -> None:
    rows = [{key: value for key, value in row.items() if key != "_id"} for row in rows]
    if cli.output != "table":
        cli.out.rows(rows, ())
        return
    width = max((len(row["change"]) for row in rows), default=0)
    wide = min(WIDEST, max((len(row["id"]) for row in rows), default=0))
    counts = {word: sum(row["change"] == word for row in rows) for word in MARKS}
    many = counts["unchanged"] > FEW and not cli.verbose
    for row in sorted(rows, key=lambda row: list(MARKS).index(row["change"])):
        if many and row["change"] == "unchanged":
            continue
        mark, color = MARKS[row["change"]]
        head = click.style(f"{mark} {row['change']:<{width}}", fg=color)
        rhythm = f"  {row['rhythm']}" if row["rhythm"] and not row["fields"] else ""
        click.echo(f"{head}  {row['id']:<{wide}}{rhythm}".rstrip(), color=cli.color)
        for one in row["fields"]:
            click.echo(f"  {'':<{width}}    {one['field']}: {text(one['old'])} -> {text(one['new'])}")
    if many:
        click.echo(f"= unchanged  {counts['unchanged']} schedules; -v names them")
    said = ", ".join(f"{count} {IN_PLAN.get(word, word)}" for word, count in counts.items() if count)
    cli.out.note(f"{said or 'Nothing is declared, and nothing stored'}.")
