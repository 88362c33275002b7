"""`doctor`: what is amiss, why, and what to do about it."""

from __future__ import annotations

from datetime import UTC, datetime
from time import perf_counter

import click
from attrs import asdict

from chronoq.api.scheduler import Scheduler
from chronoq.app.doctor import diagnose
from chronoq.cli.base import FAILURE, OK, Cli, Command
from chronoq.domain.errors import ChronoqError
from chronoq.domain.finding import Finding, Level

_SIGNS = {Level.FINE: ("✔", "green"), Level.NOTE: ("•", "yellow"), Level.DANGER: ("✖", "red")}


@click.command(cls=Command)
@click.pass_obj
def doctor(cli: Cli) -> int:
    """Look at the backend, the processes and the books: what is amiss, why, and what to do.

    Exit code 1 when jobs may be lost or do not run, 3 when the backend does not answer.
    """
    app, found = _application(cli)
    backend = cli.shared(app)
    found += diagnose(backend, wall=datetime.now(UTC), elapsed=perf_counter)
    healthy = all(one.level is not Level.DANGER for one in found)
    if cli.output == "table":
        for one in found:
            if one.level is not Level.FINE or not cli.quiet:
                _show(one, cli.color)
    else:
        cli.out.one({"healthy": healthy, "findings": [asdict(one) for one in found]})
    return OK if healthy else FAILURE


def _application(cli: Cli) -> tuple[Scheduler, list[Finding]]:
    """The application, or a bare one with a finding when it cannot be imported."""
    if not cli.path:
        return cli.app(), []
    try:
        app = cli.app()
    except (click.ClickException, ChronoqError) as error:
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        finding = Finding(Level.DANGER, "app", f"--app {cli.path} cannot be used.", text)
        cli.app_path = None
        bare = Scheduler(allow_dynamic_queues=True)
        bare.reconfigure(url=cli.url, namespace=cli.namespace)
        return bare, [finding]
    tasks = len(list(app.tasks))
    return app, [Finding(Level.FINE, "app", f"{cli.path} has {tasks} task{'' if tasks == 1 else 's'}")]


def _show(one: Finding, color: bool | None) -> None:
    sign, shade = _SIGNS[one.level]
    code = f" ({one.code})" if one.code else ""
    click.echo(f"{click.style(sign, fg=shade)} {one.topic:<12} {one.what}{code}", color=color)
    for label, text in (("why", one.why), ("do", one.remedy)):
        if text:
            click.echo(f"{'':<15}{label + ':':<5}{text}")
