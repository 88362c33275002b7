"""`outbox`: its table, and the relay that delivers what waits there."""

from __future__ import annotations

import click

from chronoq.cli import logs
from chronoq.cli.base import OK, Cli, Command, Group, Misuse
from chronoq.cli.process import Signals, banner, log

LAZY = {
    "ddl": ("outbox:ddl", "The statements that make an outbox's table."),
    "relay": ("outbox:relay", "Deliver the jobs of an outbox to the backend, until stopped."),
}


@click.group(cls=Group, lazy=LAZY)
def outbox() -> None:
    """Jobs that wait in a database of the application's own."""


@click.command(cls=Command)
@click.option("--dialect", metavar="NAME", required=True, help="Whose database: postgresql, for one.")
def ddl(dialect: str) -> None:
    """Print the statements that make the table of an outbox, for a migration of your own."""
    from chronoq.outbox import Outbox

    for statement in Outbox.ddl(dialect):
        click.echo(f"{statement};\n")


@click.command(cls=Command)
@click.option(
    "--database",
    metavar="URL",
    envvar="CHRONOQ_DATABASE",
    help="Where the outbox is, or CHRONOQ_DATABASE: postgresql://... for one.",
)
@click.option(
    "--every", default="1s", show_default=True, metavar="DURATION", help="Look so often when nothing waits."
)
@click.option("--burst", is_flag=True, help="Leave when nothing waits that can be delivered.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def relay(cli: Cli, database: str | None, every: str, burst: bool, log_format: str) -> int:
    """Deliver the jobs of an outbox to the backend, until stopped.

    Each at least once, under its own id, so that it is one job. Any number may run side by side.
    """
    from chronoq.domain.masking import masked
    from chronoq.outbox import Outbox, Relay

    if not database:
        raise Misuse(
            "A relay needs --database URL (or CHRONOQ_DATABASE): the database that holds the outbox."
        )
    app = cli.app()
    cli.refuse_private(app, "Use `with app, Relay(...):` in the program itself. ")
    made = Relay(Outbox(app), database, every=every)
    logs.configure(log_format, quiet=cli.quiet, verbose=cli.verbose, color=cli.color)
    signals = Signals()
    banner("outbox relay", app, f"from {masked(database)}")
    made.start()
    signals.until(lambda: burst and made.idle)
    made.stop()
    log.info("stopped")
    app.close()
    return OK
