"""`schedules pause`, `resume`, `trigger`, `remove` and `next`: one stored schedule."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any

import click

from chronoq.api.control import ScheduleHandle
from chronoq.api.scheduler import Scheduler
from chronoq.cli import find
from chronoq.cli.base import Cli, Command, Misuse, NotFound, agreed
from chronoq.cli.out import text
from chronoq.cli.schedule_time import iso, local, moment, zone_of, zone_option
from chronoq.cli.schedules import state
from chronoq.domain.control import readable
from chronoq.domain.schedule import Stored
from chronoq.domain.time import brief, duration, zone


def found(cli: Cli, word: str) -> tuple[Scheduler, Stored, ScheduleHandle]:
    """The application, and the one schedule that `word` names. Errors: `NotFound`, `Misuse`."""
    app = cli.app()
    stored = find.schedule(cli.shared(app), word)
    return app, stored, app.stored_schedule(str(stored.id))


@click.command(cls=Command)
@click.argument("word", metavar="ID")
@click.option("--note", default="", help="Why; shown to whoever looks.")
@click.option("--for", "length", metavar="DURATION", help="It ends by itself after this time.")
@click.option("--until", metavar="ISO", help="It ends by itself at this moment.")
@zone_option()
@click.pass_obj
def pause(cli: Cli, word: str, note: str, length: str | None, until: str | None, tz: str) -> None:
    """Let a schedule stand still. The times that pass meanwhile are left out; its running jobs finish."""
    app, stored, handle = found(cli, word)
    end = _end(app.backend.clock.now(), length, until, tz)
    handle.pause(note, until=end)
    how_long = f"until {text(end)}" if end else "until it is resumed"
    row = {"id": str(stored.id), "paused": True, "note": note, "until": end}
    cli.out.done(row, f"{stored.id} is paused {how_long}")


def _end(now: datetime, length: str | None, until: str | None, tz: str) -> datetime | None:
    if length and until:
        raise Misuse("Give --for or --until, not both.")
    if length:
        return now + duration(length)
    end = moment(until, zone(tz), option="--until") if until else None
    if end is not None and end <= now:
        raise Misuse(f"--until {until!r} is past: it was {brief(now - end)} ago. Give a moment to come.")
    return end


@click.command(cls=Command)
@click.argument("word", metavar="ID")
@click.option("--catch-up", is_flag=True, help="What was missed meanwhile falls under the catch-up policy.")
@click.pass_obj
def resume(cli: Cli, word: str, catch_up: bool) -> None:
    """End a pause: go on from the next time, or with what was missed."""
    app, stored, handle = found(cli, word)
    before = stored.cursor.pause
    was = before is not None and before.holds(app.backend.clock.now())
    if was:  # without a pause it would leave out what is due at this moment
        handle.resume(catch_up=catch_up)
    pending = handle.info().cursor.next
    following = f"next: {text(pending)}" if pending else "it has no time left"
    row = {"id": str(stored.id), "paused": False, "was": was, "next": pending}
    cli.out.done(row, f"{stored.id} {'goes on' if was else 'was not paused'}; {following}")


@click.command(cls=Command)
@click.argument("word", metavar="ID")
@click.pass_obj
def trigger(cli: Cli, word: str) -> None:
    """Run it once now, whatever else runs, marked manual. The rhythm goes on untouched."""
    _, stored, handle = found(cli, word)
    job = handle.trigger()
    cli.out.done({"id": str(stored.id), "job": str(job.id)}, f"{stored.id} is triggered: job {job.id}")


@click.command(cls=Command)
@click.argument("word", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_obj
def remove(cli: Cli, word: str, yes: bool, dry_run: bool) -> None:
    """Remove a schedule with its ledger, by its whole id. The jobs that it has made stay."""
    app, stored, handle = found(cli, word)
    if word not in (stored.id.key, str(stored.id)):  # a part of an id may name another one tomorrow
        raise NotFound(f"No schedule has exactly the id {word!r}. Did you mean '{stored.id}'?")
    again = stored.id.key in app.declared.schedules
    if agreed(f"remove schedule {stored.id} with its ledger", yes=yes, dry_run=dry_run):
        removed = handle.remove()
        cli.out.done({"id": str(stored.id), "removed": removed}, f"{stored.id} is removed")
        if again:
            cli.out.note("It is still declared in code: the next start of a scheduler stores it again.")


@click.command("next", cls=Command)
@click.argument("word", metavar="ID")
@click.option("--count", type=click.IntRange(1, 10_000), default=5, show_default=True, help="How many.")
@click.option("--tz", metavar="ZONE", help="Zone to show them in; the schedule's own by default.")
@click.pass_obj
def next_(cli: Cli, word: str, count: int, tz: str | None) -> None:
    """The coming times of a schedule, the pending one first."""
    app, stored, handle = found(cli, word)
    now, policy, pause = app.backend.clock.now(), readable(stored).policy, stored.cursor.pause
    place = zone(tz) if tz else zone_of(readable(stored).rhythm)
    left = count if policy.max_fires is None else min(count, policy.max_fires - stored.cursor.fires)
    rows: list[dict[str, Any]] = []
    for at in islice(handle.next(count), max(0, left)):
        paused = pause is not None and (pause.until is None or at <= pause.until)
        remark = (
            "paused" if paused else "held: a run has to end first" if stored.cursor.held and not rows else ""
        )
        rows.append(
            {
                "local": local(at, place) if cli.output == "table" else iso(at.astimezone(place)),
                "utc": f"{at:%Y-%m-%d %H:%M:%S}" if cli.output == "table" else at,
                "in": at - now,
                "remark": remark,
            }
        )
    columns = [name for name in ("local", "utc", "in", "remark") if any(row[name] for row in rows)]
    cli.out.rows(rows, columns, empty=f"{stored.id} is {state(stored, now)}: it has no time left.")
