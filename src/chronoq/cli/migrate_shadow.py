"""`migrate rq-scheduler --shadow`: where the two would have differed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from time import monotonic
from typing import Any

from chronoq.cli.base import OK, Cli
from chronoq.cli.process import Signals
from chronoq.domain.errors import BackendError
from chronoq.domain.time import LONGEST, brief, duration
from chronoq.migrate.comparing import Difference, Kind
from chronoq.migrate.plan import Planner
from chronoq.migrate.shadow import Report, Shadow, summed
from chronoq.migrate.source import Source

EVERY = 0.1
"""Seconds between two looks."""
COLUMNS = ("id", "becomes", "expected", "ran", *(str(kind) for kind in Kind), "worst", "remark")


def watch(cli: Cli, source: Source, planner: Planner, *, length: str | None, tolerance: str) -> int:
    """Watch until the time is over or somebody stops it, and show what was seen. Nothing is written."""
    planner.told = True  # that it differs is what is to be shown
    began = source.now()
    shadow = Shadow(source, planner, began + (duration(length) if length else LONGEST), duration(tolerance))
    signals = Signals()
    shadow.begin(began)
    alive = source.alive()
    cli.out.note(
        f"Watching {source.address} {f'for {brief(duration(length))}' if length else 'until Ctrl-C'}, "
        f"{len(shadow.watched)} entries. {f'Alive: {alive[0]}' if alive else '⚠ No rqscheduler is alive'}."
    )
    now, stopped, away = began, False, False
    start = monotonic()
    while now < shadow.end and not stopped:
        stopped = signals.wait(EVERY)
        try:
            now = source.now()
            shadow.look(now)
        except BackendError as error:  # a watch may take days: what was seen so far is worth keeping
            now = began + timedelta(seconds=monotonic() - start)
            if not away:
                cli.out.note(f"⚠ {error} Trying again. What happens meanwhile is not seen.")
            away = True
        else:
            if away:
                cli.out.note("It answers again.")
            away = False
    reports = shadow.reports(now)
    shown = [one for one in reports if one.expected or one.ran or one.differences or one.said]
    cli.out.rows([_row(one) for one in shown], COLUMNS, empty="Nothing came due.")
    _tell(cli, reports, shown, now - began)
    return OK


def _tell(cli: Cli, reports: Sequence[Report], shown: Sequence[Report], passed: timedelta) -> None:
    counts = summed(reports)
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no difference"
    quiet = len(reports) - len(shown)
    cli.out.note(f"In {brief(passed)}: {said}.{f' {quiet} entries were not due.' if quiet else ''}")
    cli.out.note(
        f"Seen by looking each {EVERY * 1000:.0f} ms at rq-scheduler's times and RQ's records. Not seen: what lasts "
        "shorter, what goes to RQ past rq-scheduler, and what became of a job in its worker."
    )


def _row(one: Report) -> dict[str, Any]:
    planned = one.planned
    return {
        "id": planned.line.id,
        "becomes": planned.rhythm,
        "expected": one.expected,
        "ran": one.ran,
        **{str(kind): one.count(kind) for kind in Kind},
        "worst": one.worst,
        "remark": one.said,
        "function": planned.function,
        "differences": [_difference(each) for each in one.differences],
    }


def _difference(one: Difference) -> dict[str, Any]:
    return {"kind": one.kind, "nominal": one.nominal, "at": one.at, "by": one.by}
