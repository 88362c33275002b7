"""`schedules`: what recurs. List and show; the other commands are imported when they are called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import orjson

from chronoq.cli import find
from chronoq.cli.base import Cli, Command, Group
from chronoq.cli.jobs import read_json
from chronoq.cli.out import text
from chronoq.domain.ports import LEDGER, Backend
from chronoq.domain.schedule import Happened, Outcome, Stored
from chronoq.domain.time import brief

LAST = datetime.max.replace(tzinfo=UTC)
RHYTHM = 30
LAZY = {
    "list": ("schedules:list_", "List schedules with their rhythm, next fire and state."),
    "show": ("schedules:show", "One schedule: what was declared, how far it has come, what became of it."),
    "next": ("schedule_control:next_", "The coming times of a schedule."),
    "preview": ("preview:preview", "The load ahead, drawn: fires in each slot, and the busiest instant."),
    "pause": ("schedule_control:pause", "Let a schedule stand still."),
    "resume": ("schedule_control:resume", "End a pause."),
    "trigger": ("schedule_control:trigger", "Run it once now; the rhythm goes on untouched."),
    "backfill": ("schedule_backfill:backfill", "Make up the times of a range, with low-priority jobs."),
    "remove": ("schedule_control:remove", "Remove a schedule with its ledger. The jobs it made stay."),
    "plan": ("schedule_plan:plan", "What storing the schedules of --app would change."),
    "apply": ("schedule_plan:apply", "Store the schedules of --app."),
}


@click.group(cls=Group, lazy=LAZY)
def schedules() -> None:
    """Look at schedules and act on them.

    A schedule is named by queue:id, by its id, or by a part of it.
    """


@click.command("list", cls=Command)
@click.option("--queue", metavar="NAME", help="Only of this queue.")
@click.pass_obj
def list_(cli: Cli, queue: str | None) -> None:
    """List schedules with their rhythm, next fire and state."""
    backend = cli.shared(cli.app())
    now = backend.clock.now()
    stored = [one for name in find.all_queues(backend, queue) for one in backend.store.find(name)]
    stored.sort(key=lambda one: (one.cursor.next or LAST, one.id))
    rows = [summary(one, now) for one in stored]
    if cli.output == "table":
        for row in rows:
            row["next"] = row["next"] and f"{row['next'].astimezone():%Y-%m-%d %H:%M:%S}"
            if sys.stdout.isatty():  # the ids need the room
                row["rhythm"] = shortened(row["rhythm"])
    cli.out.rows(rows, ("id", "rhythm", "next", "state"), empty="No schedules.")


@click.command(cls=Command)
@click.argument("word", metavar="ID")
@click.option(
    "--ledger",
    type=click.IntRange(0, LEDGER),
    default=10,
    show_default=True,
    metavar="N",
    help="So many of its latest outcomes.",
)
@click.pass_obj
def show(cli: Cli, word: str, ledger: int) -> None:
    """One schedule: what was declared, how far it has come, what became of its last times."""
    backend = cli.shared(cli.app())
    stored = find.schedule(backend, word)
    outcomes = backend.store.ledger(stored.id, limit=ledger) if ledger else []
    row = details(backend, stored)
    if cli.output == "table":
        for name in {"args", "kwargs"} & row.keys():
            row[name] = orjson.dumps(row[name]).decode()
        cli.out.one(row | {"ledger": "\n".join(_lines(outcomes))}, hide=("queue", "key", "version"))
    else:
        cli.out.one(row | {"ledger": [outcome_row(one) for one in outcomes]})


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
    """A schedule in a list."""
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
    """A schedule by itself, without its ledger."""
    row = summary(stored, backend.clock.now())
    cursor, schedule = stored.cursor, stored.schedule
    if cursor.pause:
        row |= {"pause_note": cursor.pause.note or None, "paused_until": cursor.pause.until}
    row |= {"version": cursor.version, "since": cursor.since}
    if schedule:
        policy, options = schedule.policy, schedule.options
        row |= call(schedule.payload)
        row |= {
            "catch_up": policy.catch_up,
            "window": policy.window,
            "overlap": policy.overlap,
            "jitter": policy.jitter or None,
            "spread": policy.spread or None,
            "starts_at": policy.starts_at,
            "ends_at": policy.ends_at,
            "max_fires": policy.max_fires,
            "pause_after": policy.pause_after,
            "priority": options.priority,
            "retries": options.retry.retries,
            "timeout": options.timeout,
            "expires": options.expires,
        }
    row["running"] = [str(one) for one in backend.store.live(stored.id)]
    return {key: value for key, value in row.items() if value is not None}


def shortened(rhythm: str) -> str:
    return rhythm if len(rhythm) <= RHYTHM else f"{rhythm[: RHYTHM - 3]}..."


def call(payload: bytes) -> dict[str, Any]:
    """What the task is called with: `args` and `kwargs`, those that are empty left out."""
    read = read_json(payload)
    if isinstance(read, list) and len(read) == 2:
        return {name: value for name, value in zip(("args", "kwargs"), read, strict=True) if value}
    return {"args": read}


def outcome_row(one: Outcome) -> dict[str, Any]:
    """An outcome as JSON: `last` and `count` where it stands for several times."""
    row = {"nominal": one.nominal, "what": one.what, "at": one.at, "last": one.last, "count": one.count}
    return {key: value for key, value in (row | {"note": one.note or None}).items() if value is not None}


def _lines(outcomes: Sequence[Outcome]) -> list[str]:
    width = max((len(one.what) for one in outcomes), default=0)
    return [f"{text(one.nominal)}  {one.what:<{width}}  {_remark(one)}".rstrip() for one in outcomes]


def _remark(one: Outcome) -> str:
    parts = [one.note] if one.note else []
    if one.what is Happened.FIRED:
        parts.insert(0, f"{brief(max(timedelta(0), one.at - one.nominal))} late")
    if one.last is not None and one.last != one.nominal:
        parts.insert(0, f"up to {text(one.last)}" + (f", {one.count} times" if one.count else ""))
    return ", ".join(parts)
