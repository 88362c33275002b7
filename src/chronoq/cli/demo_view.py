"""The live view of the demo."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from chronoq.api.scheduler import VERSION, Scheduler
from chronoq.cli.process import Signals
from chronoq.domain.job import State
from chronoq.domain.time import ZERO, brief

if TYPE_CHECKING:
    from chronoq.cli.demo import Tally

_MARKS = {"▶": "blue", "✔": "green", "✖": "red", "⊘": "yellow", "⏱": "magenta", "♔": "yellow", "⚠": "yellow"}


def watch(
    app: Scheduler, tally: Tally, signals: Signals, over: Callable[[], bool], *, color: bool | None
) -> None:
    """Draw until a signal comes or `over` says so."""
    console = Console(no_color=color is False, highlight=False)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(_view(app, tally), refresh=True)
            if signals.wait(0.1) or over():
                return


def _view(app: Scheduler, tally: Tally) -> Group:
    head = Text.assemble((f"chronoq {VERSION} demo", "bold"), "  in this process's memory  ·  Ctrl-C ends it")
    figures = Text.assemble(
        (f"{tally.run} runs   ", "bold"),
        (f"✔ {tally.done} done   ", "green"),
        (f"↻ {tally.retried} retried   ", "yellow"),
        (f"✖ {tally.dead} dead   ", "red"),
        (f"started {brief(tally.lateness)} late (median)", "dim"),
    )
    lines = [_line(line) for line in tally.lines]
    return Group(head, _schedules(app), figures, _progress(app), Text(), *lines)


def _schedules(app: Scheduler) -> Table:
    now = app.backend.clock.now()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("schedule")
    table.add_column("rhythm")
    table.add_column("next fire", min_width=14)
    table.add_column("fires", justify="right")
    for stored in app.stored.all():
        cursor = stored.cursor
        rhythm = stored.schedule.rhythm.describe() if stored.schedule else stored.defect
        following = f"in {max(ZERO, cursor.next - now).total_seconds():.1f}s" if cursor.next else "-"
        if cursor.held:
            following = "after this run"
        table.add_row(stored.id.key, rhythm, following, str(cursor.fires))
    return table


def _progress(app: Scheduler) -> Table:
    """The running job that says how far it is; an empty line otherwise."""
    table = Table.grid(padding=(0, 1))
    backend = app.backend
    page = backend.queue.find("default", State.RUNNING, now=backend.clock.now())
    for one in page.items:
        if one.job.task == "backup":
            progress = one.progress
            done, total = (progress.done, progress.total or 1) if progress else (0, 1)
            table.add_row("backup", ProgressBar(total=total, completed=done, width=40), f"{done / total:.0%}")
            break
    else:
        table.add_row(Text("backup waits", style="dim"))
    return table


def _line(line: str) -> Text:
    at, _, rest = line.partition(" ")
    mark, rest = rest[:1], rest[1:]
    parts = ((at + " ", "dim"), (mark, _MARKS.get(mark, "")), rest)
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
