"""`scheduler`: stores the declared schedules, then fires what comes due."""

from __future__ import annotations

import click

from chronoq.cli import logs
from chronoq.cli.base import Cli, Command
from chronoq.cli.process import Signals, applied, banner, collect_seldom, counted, log, persist


@click.command(cls=Command)
@click.option(
    "--allow-eviction",
    is_flag=True,
    default=None,
    help="Start also on a server that may throw jobs away.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def scheduler(cli: Cli, allow_eviction: bool | None, log_format: str) -> int:
    """Fire schedules and move jobs that come due, until stopped.

    The schedules declared in the application are stored at the start. Without --app it serves what
    is stored already. Any number may run: one of them leads, another takes over when it is gone.
    """
    collect_seldom()
    app = cli.app(allow_eviction=allow_eviction)
    cli.refuse_private(app, "Use 'dev': it runs scheduler and worker in one process. ")
    logs.configure(log_format, quiet=cli.quiet, verbose=cli.verbose, color=cli.color)
    signals = Signals()
    banner(
        "scheduler",
        app,
        f"queues {', '.join(app.queues)}",
        f"{counted(len(app.declared.schedules), 'schedule')} declared",
    )
    service = persist(lambda: applied(app).scheduler(), signals)
    if service is not None:
        service.presence.on_return = lambda: applied(app)
        service.start()
        signals.until()
        service.stop()
        log.info("stopped")
        app.close()
    return 0
