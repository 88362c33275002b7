"""`schedules backfill`: make up the times of a range."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo

import click

from chronoq.cli.base import Cli, Command, agreed
from chronoq.cli.process import counted
from chronoq.cli.schedule_control import found
from chronoq.cli.schedule_time import iso, moment, zone_option
from chronoq.domain.control import MOST_BACKFILL
from chronoq.domain.time import zone

SHOWN = 10
Interval = tuple[datetime, datetime]


@click.command(cls=Command)
@click.argument("word", metavar="ID")
@click.option("--from", "start", required=True, metavar="ISO", help="The first moment of the range.")
@click.option("--to", "end", required=True, metavar="ISO", help="Its end; the moment itself is left out.")
@click.option("--name", metavar="NAME", help="What the backfill is known by; made of the range by default.")
@click.option("--again", is_flag=True, help="Also the times that have fired.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=MOST_BACKFILL,
    show_default=True,
    help="Refuse to make more jobs.",
)
@zone_option()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would be made.")
@click.pass_obj
def backfill(
    cli: Cli,
    word: str,
    start: str,
    end: str,
    name: str | None,
    again: bool,
    limit: int,
    tz: str,
    yes: bool,
    dry_run: bool,
) -> None:
    """Make up the nominal times from --from up to --to, a low-priority job each.

    A job receives its nominal time and its data interval. Cut short, the same command goes on where it was.
    """
    place = zone(tz)
    first, last = moment(start, place, option="--from"), moment(end, place, option="--to")
    app, stored, handle = found(cli, word)
    times = handle.backfill(first, last, name=name, again=again, limit=limit, dry_run=True)
    row = {
        "id": str(stored.id),
        "count": len(times),
        "made": False,
        "intervals": [{"start": begin, "end": nominal} for begin, nominal in times],
    }
    if not times:
        cli.out.done(
            row, f"{stored.id} has nothing to make up there: no time, or all have fired or were made up."
        )
        return
    if cli.output == "table":
        _show(str(stored.id), times, place)
    ahead = sum(nominal > app.backend.clock.now() for _, nominal in times)
    warning = f", {ahead} of them for times to come" if ahead else ""
    if agreed(f"make {counted(len(times), 'low-priority job')}{warning}", yes=yes, dry_run=dry_run):
        made = handle.backfill(first, last, name=name, again=again, limit=limit)
        row |= {"count": len(made), "made": True}
        cli.out.done(row, f"{counted(len(made), 'job')} made")
    elif cli.output != "table":
        cli.out.one(row)


def _show(id: str, times: Sequence[Interval], place: tzinfo) -> None:
    """The data intervals; of many the first ones and the last."""
    click.echo(f"{id}: {counted(len(times), 'data interval')} to make up")
    shown = list(times) if len(times) <= SHOWN else [*times[: SHOWN - 2], times[-1]]
    for place_in_list, (begin, nominal) in enumerate(shown):
        if len(shown) < len(times) and place_in_list == len(shown) - 1:
            click.echo(f"  ... {len(times) - len(shown)} more ...")
        click.echo(f"  {iso(begin.astimezone(place))} up to {iso(nominal.astimezone(place))}")
