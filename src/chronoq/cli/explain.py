"""`explain`: what a cron expression means, and when it fires."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import zip_longest

import click

from chronoq.cli.base import Cli, Command
from chronoq.domain.cautions import cautions
from chronoq.domain.crontext import fields
from chronoq.domain.errors import Invalid
from chronoq.domain.rhythm import Rhythm, cron
from chronoq.domain.rhythm_kinds import Cron
from chronoq.domain.time import zone

WEEK = "Mo  Tu  We  Th  Fr  Sa  Su"
WIDTH = 28
_INSTANT = timedelta(microseconds=1)


@click.command(cls=Command)
@click.argument("expression", metavar="EXPR")
@click.option("--tz", default="UTC", show_default=True, metavar="ZONE", help="Whose clock it follows.")
@click.option("--after", metavar="ISO", help="Look from there on; without offset, it is read in the zone.")
@click.option("--count", type=click.IntRange(0, 10_000), default=5, show_default=True, help="How many fires.")
@click.option("--seed", default="explain", help="The schedule id that an H depends on.")
@click.pass_obj
def explain(cli: Cli, expression: str, tz: str, after: str | None, count: int, seed: str) -> None:
    """Say what a cron expression means, and when it fires: explain '0 9 * * 1-5' --tz Europe/Berlin."""
    place = zone(tz)
    start = _moment(after, place)
    rhythm = cron(expression, tz=tz)
    bound = rhythm.bind(seed=seed, anchor=start)
    fires = [fire.astimezone(place) for fire in bound.fires(start, count=count)]
    warnings = cautions(bound, after=start)
    if bound != rhythm and isinstance(bound, Cron):
        warnings.append(f"The times of H depend on the schedule's id; these are those of {seed!r}.")
    if cli.output != "table":
        cli.out.one(
            {
                "expression": expression,
                "timezone": tz,
                "description": rhythm.describe(),
                "fires": [_iso(fire) for fire in fires],
                "warnings": warnings,
            }
        )
        return
    _draw(cli, bound, rhythm.describe(), fires, warnings, start.astimezone(place))


def _moment(text: str | None, place: tzinfo) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"--after {text!r} is not a moment. Write it in ISO form: 2030-01-01T09:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=place)


def _iso(fire: datetime) -> str:
    return fire.isoformat(timespec="milliseconds" if fire.microsecond else "seconds")


def _draw(
    cli: Cli, rhythm: Rhythm, description: str, fires: list[datetime], warnings: list[str], start: datetime
) -> None:
    def say(text: str = "", *, bold: bool = False) -> None:
        click.echo(click.style(text, bold=True) if bold else text, color=cli.color)

    say(description, bold=True)
    if isinstance(rhythm, Cron):
        say()
        for field, piece in fields(rhythm.expression).items():
            say(f"  {field.name:<8}  {piece.text}")
    say()
    say("next fires" if fires else "no next fire")
    for fire in fires:
        say(f"  {fire:%a} {_iso(fire)}   {fire.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")
    say()
    for line in _two_months(rhythm, start):
        say(line.rstrip())
    for warning in warnings:
        say()
        click.echo(f"{click.style('⚠', fg='yellow')} {warning}", color=cli.color)


def _two_months(rhythm: Rhythm, start: datetime) -> list[str]:
    """This month and the next beside each other; a day on which it fires has a mark."""
    first = start.date().replace(day=1)
    second = (first + timedelta(days=31)).replace(day=1)
    pair = [_month(rhythm, month, start) for month in (first, second)]
    return [f"  {left:<{WIDTH}}    {right}" for left, right in zip_longest(*pair, fillvalue="")]


def _month(rhythm: Rhythm, month: date, start: datetime) -> list[str]:
    lines = [f"{month:%B %Y}".center(WIDTH), WEEK]
    for week in calendar.Calendar().monthdatescalendar(month.year, month.month):
        cells = [_cell(rhythm, day, start) if day.month == month.month else " " * 3 for day in week]
        lines.append(" ".join(cells))
    return lines


def _cell(rhythm: Rhythm, day: date, start: datetime) -> str:
    place = start.tzinfo
    begins = max(datetime.combine(day, time(), place) - _INSTANT, start)
    ends = datetime.combine(day + timedelta(days=1), time(), place)
    found = rhythm.next_after(begins) if begins < ends else None
    return f"{day.day:>2}{'•' if found is not None and found < ends else ' '}"
