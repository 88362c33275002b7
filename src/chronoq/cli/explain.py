"""`explain`: what a cron expression means, and when it fires."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from chronoq.cli.base import Cli, Command, Misuse
from chronoq.cli.schedule_time import iso, moment
from chronoq.domain.cautions import cautions
from chronoq.domain.rhythm import cron
from chronoq.domain.rhythm_kinds import Cron
from chronoq.domain.time import zone

FIRST_YEAR, LAST_YEAR = 1900, 9990
"""Between them zones have rules, and there is room for a year to look ahead."""


@click.command(cls=Command)
@click.argument("words", metavar="EXPR", nargs=-1, required=True)
@click.option("--tz", default="UTC", show_default=True, metavar="ZONE", help="Whose clock it follows.")
@click.option("--after", metavar="ISO", help="Look from there on; without offset, it is read in the zone.")
@click.option("--count", type=click.IntRange(0, 10_000), default=5, show_default=True, help="How many fires.")
@click.option("--seed", default="explain", help="The schedule id that an H depends on.")
@click.pass_obj
def explain(cli: Cli, words: Sequence[str], tz: str, after: str | None, count: int, seed: str) -> None:
    """Say what a cron expression means, and when it fires: explain '0 9 * * 1-5' --tz Europe/Berlin."""
    if len(words) > 1:
        raise Misuse(
            "EXPR is one argument: put it in quotes, as in explain '0 9 * * 1-5'. The shell takes a bare *."
        )
    expression, place = words[0], zone(tz)
    start = moment(after, place, option="--after") if after is not None else datetime.now(UTC)
    rhythm = cron(expression, tz=tz)
    bound = rhythm.bind(seed=seed, anchor=start)
    fires = [fire.astimezone(place) for fire in bound.fires(start, count=count)]
    near = FIRST_YEAR <= start.year <= LAST_YEAR
    warnings = cautions(bound, after=start if near else None)
    if bound != rhythm and isinstance(bound, Cron):
        warnings.append(f"The times of H depend on the schedule's id; these are those of {seed!r}.")
    if cli.output != "table":
        row = {
            "expression": expression,
            "timezone": tz,
            "description": rhythm.describe(),
            "fires": [iso(fire) for fire in fires],
            "warnings": warnings,
        }
        cli.out.one(row)
        return
    from chronoq.cli.explain_draw import draw

    for line in draw(bound, rhythm.describe(), fires, warnings, start, place, pictures=near):
        click.echo(line, color=cli.color)
