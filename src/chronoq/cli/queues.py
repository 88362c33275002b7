"""`queues`: list, pause and resume."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click
from attrs import asdict

from chronoq.api.scheduler import Scheduler
from chronoq.cli import find
from chronoq.cli.base import Cli, Group, Misuse, NotFound
from chronoq.cli.out import text
from chronoq.domain.errors import Invalid
from chronoq.domain.job import Counts, Pause
from chronoq.domain.ports import Backend
from chronoq.domain.time import aware, duration

COLUMNS = ("queue", "ready", "delayed", "running", "dead", "done", "retried", "paused")


@click.group(cls=Group)
def queues() -> None:
    """List, pause and resume queues."""


@queues.command("list")
@click.pass_obj
def list_(cli: Cli) -> None:
    """List queues with their figures."""
    app = cli.app()
    cli.out.rows(figures(cli.shared(app), app, checked=bool(cli.path)), COLUMNS, empty="No queues.")


@queues.command()
@click.argument("queue")
@click.option("--note", default="", help="Why; shown to whoever looks.")
@click.option("--for", "length", metavar="DURATION", help="It ends by itself after this time.")
@click.option("--until", metavar="ISO", help="It ends by itself at this moment, with its offset.")
@click.pass_obj
def pause(cli: Cli, queue: str, note: str, length: str | None, until: str | None) -> None:
    """Start no more jobs of a queue. Schedules go on, and running jobs finish."""
    app = cli.app()
    backend = cli.shared(app)
    _known(cli, app, backend, queue)
    end = _end(backend, length, until)
    backend.queue.pause(queue, Pause(note, end))
    how_long = f"until {text(end)}" if end else "until it is resumed"
    cli.out.done(
        {"queue": queue, "paused": True, "note": note, "until": end}, f"{queue} is paused {how_long}"
    )


@queues.command()
@click.argument("queue")
@click.pass_obj
def resume(cli: Cli, queue: str) -> None:
    """End a pause."""
    app = cli.app()
    backend = cli.shared(app)
    _known(cli, app, backend, queue)
    was = backend.queue.resume(queue)
    cli.out.done(
        {"queue": queue, "paused": False, "was": was}, f"{queue} {'goes on' if was else 'was not paused'}"
    )


def figures(backend: Backend, app: Scheduler, *, checked: bool) -> list[dict[str, Any]]:
    """The queues that are stored, and with an application also those that it declares."""
    names = sorted({*backend.queue.queues(), *(app.queues if checked else ())})
    now = backend.clock.now()
    return [_row(counts, now) for counts in backend.queue.counts(names, now=now)] if names else []


def _row(counts: Counts, now: datetime) -> dict[str, Any]:
    row = asdict(counts, recurse=False)
    pause = row.pop("pause")
    held = pause if pause is not None and pause.holds(now) else None
    shown = None
    if held:
        shown = " ".join(
            part for part in (f"until {text(held.until)}" if held.until else "yes", held.note) if part
        )
    return row | {
        "paused": shown,
        "paused_until": held and held.until,
        "pause_note": held and held.note,
    }


def _known(cli: Cli, app: Scheduler, backend: Backend, queue: str) -> None:
    """A queue may be paused before its first job, if the application declares it."""
    if cli.path:
        app.declared.queue(queue)
        return
    try:
        find.all_queues(backend, queue)
    except NotFound as error:
        raise NotFound(
            f"{error.message} With --app, a declared queue may be paused before its first job."
        ) from None


def _end(backend: Backend, length: str | None, until: str | None) -> datetime | None:
    if length and until:
        raise Misuse("Give --for or --until, not both.")
    if length:
        return backend.clock.now() + duration(length)
    if not until:
        return None
    try:
        return aware(datetime.fromisoformat(until), name="until")
    except ValueError as error:
        if isinstance(error, Invalid):
            raise
        raise Invalid(
            f"--until {until!r} is not a moment. Write it in ISO form with its offset: 2030-01-01T09:00+01:00"
        ) from None
