"""`stats`: everything in figures."""

from __future__ import annotations

import click

from chronoq.cli.base import Cli, Command
from chronoq.cli.queues import COLUMNS, figures
from chronoq.cli.schedules import state
from chronoq.cli.workers import living

SUMMED = (
    "ready",
    "delayed",
    "running",
    "dead",
    "done",
    "retried",
    "crashed",
    "cancelled",
    "expired",
    "lost",
    "mended",
)


@click.command(cls=Command)
@click.pass_obj
def stats(cli: Cli) -> None:
    """Jobs, schedules, workers and schedulers in figures."""
    app = cli.app()
    backend = cli.shared(app)
    rows = figures(backend, app, checked=bool(cli.path))
    now, roll = backend.clock.now(), living(backend)
    states = [state(one, now) for queue in backend.queue.queues() for one in backend.store.find(queue)]
    leaders = [one["id"] for one in roll if one["leader"]]
    kinds = [one["kind"] for one in roll]
    jobs = {name: sum(row[name] for row in rows) for name in SUMMED}
    schedules = {name: states.count(name) for name in sorted(set(states))}
    figure = {
        "jobs": jobs,
        "schedules": schedules,
        "workers": kinds.count("worker"),
        "schedulers": kinds.count("scheduler"),
        "leader": leaders[0] if leaders else None,
        "queues": rows,
    }
    if cli.output != "table":
        cli.out.one(figure)
        return
    shown = [name for name, count in jobs.items() if count or name in ("ready", "running", "dead")]
    cli.out.one(
        {
            "jobs": " · ".join(f"{jobs[name]} {name}" for name in shown),
            "schedules": " · ".join(f"{count} {name}" for name, count in schedules.items()) or "none",
            "workers": str(figure["workers"]),
            "schedulers": f"{figure['schedulers']}" + (f", {leaders[0]} leads" if leaders else ""),
        }
    )
    click.echo()
    cli.out.rows(rows, COLUMNS, empty="No queues.")
