"""`schedules preview`: the load ahead, drawn."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any

import click

from chronoq.api.scheduler import Scheduler
from chronoq.cli.base import Cli, Command, Misuse
from chronoq.cli.process import counted
from chronoq.cli.schedule_time import zone_option
from chronoq.domain import preview as ahead
from chronoq.domain.preview import Crowd, Preview
from chronoq.domain.schedule import Put, Stored, planned
from chronoq.domain.time import EPOCH, brief, duration, zone

BARS = "▁▂▃▄▅▆▇█"
NARROW = "…"
HERD = 5
"""So many schedules at one instant are worth a word."""

SHOWN = 2
LONGEST_ID = 36


@click.command(cls=Command)
@click.option(
    "--hours", type=click.IntRange(1, 24 * 366), default=24, show_default=True, help="How far to look."
)
@click.option("--slot", default="1h", show_default=True, metavar="DURATION", help="What one bar stands for.")
@click.option(
    "--limit", type=click.IntRange(1), default=40, show_default=True, help="Draw at most so many lines."
)
@zone_option("Whose clock the picture follows.")
@click.pass_obj
def preview(cli: Cli, hours: int, slot: str, limit: int, tz: str) -> None:
    """The load ahead: fires of every schedule in each slot, their sum, and the busiest instant.

    Of all stored schedules; when none is stored, of those that --app declares.
    """
    length, place = duration(slot), zone(tz)
    if length < timedelta(seconds=1):
        raise Misuse(f"--slot {slot!r} is too short. Give a second or more.")
    stored, now, declared = _schedules(cli)
    offset = now.astimezone(place).utcoffset() or timedelta(0)
    start = now - (now + offset - EPOCH) % length
    found = ahead.preview(stored, start=start, now=now, end=now + timedelta(hours=hours), slot=length)
    if cli.output != "table":
        cli.out.one(_row(found))
        return
    if declared:
        cli.out.note("Nothing is stored yet: these are the declared schedules, as if they were stored now.")
    if stored:
        for line in drawn(found, place, limit=limit, width=shutil.get_terminal_size((100, 24)).columns):
            click.echo(line, color=cli.color)
    else:
        cli.out.note("No schedules.")


def _schedules(cli: Cli) -> tuple[list[Stored], datetime, bool]:
    """The stored schedules, or else the declared ones as they would be stored now (True)."""
    app = cli.app()
    private = app.configured.settings.url.startswith("memory:")
    if private and not cli.path:
        cli.refuse_private(app)
    now = app.backend.clock.now()
    found = [] if private else app.stored.all()
    return (found, now, False) if found else (_declared(app, now), now, bool(app.declared.schedules))


def _declared(app: Scheduler, now: datetime) -> list[Stored]:
    made = []
    for schedule in app.declared.schedules.values():
        put, cursor = planned(None, schedule, now=now)
        assert put is Put.CREATED
        made.append(Stored(schedule.id, cursor, schedule))
    return made


def _row(found: Preview) -> dict[str, Any]:
    busiest = found.busiest
    return {
        "from": found.start,
        "to": found.end,
        "slot": found.slot,
        "schedules": [
            {
                "id": str(line.stored.id),
                "fires": line.fires,
                "total": sum(line.fires),
                "estimated": line.estimated,
            }
            for line in found.lines
        ],
        "sum": found.total,
        "total": sum(found.total),
        "busiest": busiest
        and {
            "at": busiest.at,
            "schedules": len(busiest.members),
            "of": len(found.lines),
            "times": busiest.times,
            "ids": [str(one.id) for one in busiest.members],
        },
    }


def drawn(found: Preview, place: tzinfo, *, limit: int, width: int) -> list[str]:
    """The picture: a line for each of the busiest `limit` schedules, the rest in one, their sum, the herd."""
    lines = sorted(found.lines, key=lambda line: (-sum(line.fires), line.stored.id))
    rest = lines[limit:]
    rows = [(_label(line.stored), line.fires, line.estimated) for line in lines[:limit]]
    if rest:
        columns = tuple(map(sum, zip(*(line.fires for line in rest), strict=True)))
        rows.append((f"{len(rest)} more", columns, any(line.estimated for line in rest)))
    cut = any(line.estimated for line in lines)
    rows.append(("sum", found.total, cut))
    label = min(LONGEST_ID, max(len(id) for id, _, _ in rows))
    numbers = max(len(str(sum(found.total))) + cut, 5)
    peaks = max(len(str(max(found.total, default=0))), 4)
    room = max(8, width - label - numbers - peaks - 6)
    each = -(-len(found.total) // room)
    bars = -(-len(found.total) // each)
    said = [f"{'':<{label}}  {_axis(found, place, bars, each)}  {'fires':>{numbers}}  {'most':>{peaks}}"]
    for id, fires, about in rows:
        total = f"{'~' if about else ''}{sum(fires)}"
        shown = _joined(fires, each)
        line = f"{shortened(id, label):<{label}}  {_bar(shown)}  {total:>{numbers}}  {max(shown):>{peaks}}"
        said.append(click.style(line, bold=True) if id == "sum" else line)
    return [*said, "", *_legend(found, each, cut), *_herd(found, place)]


def _label(stored: Stored) -> str:
    if stored.schedule is None:
        return f"{stored.id} (broken)"
    return f"{stored.id} (paused)" if stored.cursor.pause else str(stored.id)


def _joined(fires: Sequence[int], each: int) -> list[int]:
    return [sum(fires[start : start + each]) for start in range(0, len(fires), each)]


def _bar(fires: Sequence[int]) -> str:
    """A mark for each number, as high as it is in proportion to the largest; none for nothing."""
    top = max(fires, default=0)
    return "".join(BARS[-(-count * len(BARS) // top) - 1] if count else "·" for count in fires)


def shortened(text: str, width: int) -> str:
    """`text` with its middle left out, where it is longer than `width`."""
    if len(text) <= width:
        return text
    head = (width - 1) // 3
    return f"{text[:head]}{NARROW}{text[len(text) - (width - 1 - head) :]}"


def _axis(found: Preview, place: tzinfo, bars: int, each: int) -> str:
    """The times of day above the bars, or the dates where a bar is a day or more."""
    step = found.slot * each
    form, apart = ("%d %b", 8) if step >= timedelta(days=1) else ("%H:%M", 6)
    axis = [" "] * bars
    for start in range(0, bars, apart):
        text = f"{(found.start + start * step).astimezone(place):{form}}"
        if start + len(text) <= bars:
            axis[start : start + len(text)] = text
    return "".join(axis)


def _legend(found: Preview, each: int, cut: bool) -> list[str]:
    said = [f"A bar is {brief(found.slot * each)}; each line has a scale of its own, most = its highest bar."]
    if cut:
        said.append("~ it fires too often to count, so this is an estimate.")
    return said


def _herd(found: Preview, place: tzinfo) -> list[str]:
    crowd = found.busiest
    if crowd is None:
        return ["Nothing fires in this time."]
    if len(crowd.members) < 2:
        return ["busiest: never two at the same second."]
    others = f"; as many at {counted(crowd.times - 1, 'other time')}" if crowd.times > 1 else ""
    advice = "; spread them with jitter= or H" if len(crowd.members) >= HERD else ""
    count = f"{len(crowd.members)} of {counted(len(found.lines), 'schedule')}"
    names = [str(one.id) for one in crowd.members]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    who = ", ".join(shortened(name, LONGEST_ID) for name in names[:SHOWN])
    at = _when(crowd, found, place)
    return [click.style(f"busiest: {at} with {count}{advice}", bold=True), f"  {who}{more}{others}"]


def _when(crowd: Crowd, found: Preview, place: tzinfo) -> str:
    form = "%H:%M:%S" if found.end - found.start < timedelta(days=1) + found.slot else "%a %Y-%m-%d %H:%M:%S"
    return f"{crowd.at.astimezone(place):{form}} {place}"
