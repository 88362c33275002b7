"""`relay`: hands due jobs over to the engines that the application names."""

from __future__ import annotations

import click

from chronoq.cli import logs
from chronoq.cli.base import Cli, Command, Misuse
from chronoq.cli.process import Signals, banner, log, persist


@click.command(cls=Command)
@click.option(
    "--queues", "--queue", "queues", metavar="A,B", help="Only these queues; all relayed ones by default."
)
@click.option("--burst", is_flag=True, help="Leave when nothing is ready any more.")
@click.option(
    "--allow-eviction",
    is_flag=True,
    default=None,
    help="Start also on a server that may throw jobs away.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def relay(cli: Cli, queues: str | None, burst: bool, allow_eviction: bool | None, log_format: str) -> int:
    """Hand due jobs of relayed queues over to their engines, until stopped.

    Any number may run. A scheduler is needed beside it, as for workers.
    """
    if not cli.path:
        raise Misuse("A relay needs --app module:attr (or CHRONOQ_APP): there the engines are named.")
    app = cli.app(allow_eviction=allow_eviction)
    cli.refuse_private(app)
    names = [name.strip() for name in (queues or "").split(",") if name.strip()]
    logs.configure(log_format, quiet=cli.quiet, verbose=cli.verbose, color=cli.color)
    signals = Signals()
    banner("relay", app, f"queues {', '.join(names or app.declared.engines)}")
    service = persist(lambda: app.relay(names), signals)
    if service is not None:
        service.start()
        signals.until(lambda: burst and service.deliverer.idle)
        service.stop()
        log.info("stopped · %d handed over or looked after", service.deliverer.handed)
        app.close()
    return 0
