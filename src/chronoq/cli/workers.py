"""`workers`: who is alive."""

from __future__ import annotations

from typing import Any

import click

from chronoq.cli.base import Cli, Group
from chronoq.cli.process import counted
from chronoq.domain.lease import Kind, Presence
from chronoq.domain.ports import Backend

MOST = 3
"""So many tasks of a worker are named in a table."""

COLUMNS = ("id", "kind", "state", "up", "seen", "running", "done", "failed", "queues", "listens")


@click.group(cls=Group)
def workers() -> None:
    """Who is alive."""


@workers.command("list")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only these.")
@click.option("--listen", metavar="NAME", help="Only workers that take this task.")
@click.pass_obj
def list_(cli: Cli, kind: str | None, listen: str | None) -> None:
    """List the workers and schedulers that are alive."""
    rows = [row for row in living(cli.shared(cli.app())) if kind in (None, row["kind"])]
    if listen is not None:
        rows = [row for row in rows if listen in row["tasks"]]
    if cli.out.form == "table":
        rows = [row | {"listens": _named(row["tasks"])} for row in rows]
    nobody = "Nobody is alive." if kind is None else f"No {kind} is alive."
    cli.out.rows(rows, COLUMNS, empty=nobody if listen is None else f"No worker listens for {listen}.")


def _named(tasks: list[str]) -> str:
    return counted(len(tasks), "task") if len(tasks) > MOST else ", ".join(tasks)


def living(backend: Backend) -> list[dict[str, Any]]:
    now = backend.clock.now()
    ages = [(one, now - one.process.started_at, now - one.seen_at) for one in backend.life.roll(now=now)]
    return [_row(one) | {"up": up, "seen": seen} for one, up, seen in ages]


def _row(one: Presence) -> dict[str, Any]:
    process, vitals = one.process, one.vitals
    works = process.kind is Kind.WORKER
    standing = "leads" if vitals.leader else "stands by"
    return {
        "id": process.id,
        "kind": process.kind.value,
        "state": "stopping" if vitals.stopping else "works" if works else standing,
        "host": process.host,
        "pid": process.pid,
        "started_at": process.started_at,
        "seen_at": one.seen_at,
        "version": process.version,
        "queues": list(process.queues),
        "tasks": list(process.tasks),
        "concurrency": process.concurrency if works else None,
        "running": vitals.running if works else None,
        "done": vitals.done if works else None,
        "failed": vitals.failed if works else None,
        "leader": vitals.leader,
    }
