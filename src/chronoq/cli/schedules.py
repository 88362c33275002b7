"""`schedules`: what recurs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from chronoq.cli import find
from chronoq.cli.base import Cli, Group
from chronoq.cli.jobs import read_json
from chronoq.domain.ports import Backend
from chronoq.domain.schedule import Stored

OUTCOMES = 10
LAST = datetime.max.replace(tzinfo=UTC)


@click.group(cls=Group)
def schedules() -> None:
    """List and show schedules. A schedule is named by queue:id, by its id, or by a part of it."""


@schedules.command("list")
@click.option("--queue", metavar="NAME", help="Only of this queue.")
@click.pass_obj
def list_(cli: Cli, queue: str | None) -> None:
    """List schedules with their rhythm, next fire and state."""
    backend = cli.shared(cli.app())
    now = backend.clock.now()
    stored = [one for name in find.all_queues(backend, queue) for one in backend.store.find(name)]
    stored.sort(key=lambda one: (one.cursor.next or LAST, one.id))
    rows = [summary(one, now) for one in stored]
    cli.out.rows(rows, ("id", "task", "rhythm", "next", "state", "fires"), empty="No schedules.")


@schedules.command()
@click.argument("word", metavar="ID")
@click.pass_obj
def show(cli: Cli, word: str) -> None:
    """One schedule: what was declared, how far it has come, what became of its last times."""
    backend = cli.shared(cli.app())
    stored = find.schedule(backend, word)
    cli.out.one(details(backend, stored), hide=("queue", "key"))


def state(stored: Stored, now: datetime) -> str:
    """active, held (due, but a run has to end first), paused, finished (no time left) or broken."""
    cursor = stored.cursor
    if stored.schedule is None:
        return "broken"
    if cursor.pause is not None and cursor.pause.holds(now):
        return "paused"
    if cursor.held:
        return "held"
    return "finished" if cursor.next is None else "active"


def summary(stored: Stored, now: datetime) -> dict[str, Any]:
    schedule, cursor = stored.schedule, stored.cursor
    return {
        "id": str(stored.id),
        "queue": stored.id.queue,
        "key": stored.id.key,
        "task": schedule.task if schedule else None,
        "rhythm": schedule.rhythm.describe() if schedule else stored.defect,
        "state": state(stored, now),
        "next": cursor.next,
        "last": cursor.last,
        "fires": cursor.fires,
    }


def details(backend: Backend, stored: Stored) -> dict[str, Any]:
    now = backend.clock.now()
    row = summary(stored, now)
    cursor, schedule = stored.cursor, stored.schedule
    if cursor.pause:
        row |= {"pause_note": cursor.pause.note or None, "paused_until": cursor.pause.until}
    row |= {"version": cursor.version, "since": cursor.since}
    if schedule:
        policy = schedule.policy
        row |= {
            "args": read_json(schedule.payload),
            "catch_up": policy.catch_up,
            "overlap": policy.overlap,
            "starts_at": policy.starts_at,
            "ends_at": policy.ends_at,
            "max_fires": policy.max_fires,
            "pause_after": policy.pause_after,
        }
    row["running"] = [str(one) for one in backend.store.live(stored.id)]
    ledger = backend.store.ledger(stored.id, limit=OUTCOMES)
    row["ledger"] = [
        {"nominal": one.nominal, "what": one.what, "at": one.at, "count": one.count, "note": one.note or None}
        for one in ledger
    ]
    return {key: value for key, value in row.items() if value is not None}
