"""`healthcheck`: for a container's probe."""

from __future__ import annotations

import click

from chronoq.cli.base import FAILURE, OK, Cli, Command, say
from chronoq.domain.lease import Kind


@click.command(cls=Command)
@click.option(
    "--worker", "kinds", flag_value=Kind.WORKER.value, multiple=True, help="Also ask for a living worker."
)
@click.option(
    "--scheduler", "kinds", flag_value=Kind.SCHEDULER.value, multiple=True, help="And for a scheduler."
)
@click.pass_obj
def healthcheck(cli: Cli, kinds: tuple[str, ...]) -> int:
    """Exit 0 if the backend answers, and with options if somebody is alive: 1 if not, 3 if unreachable."""
    backend = cli.shared(cli.app())
    alive = [one.process.kind.value for one in backend.life.roll(now=backend.clock.now())]
    missing = [kind for kind in kinds if kind not in alive]
    for kind in missing:
        say(f"no {kind} is alive", color=cli.color)
    figures = {kind.value + "s": alive.count(kind.value) for kind in Kind}
    if not cli.quiet and not missing:
        cli.out.done({"healthy": True, **figures}, "ok")
    return FAILURE if missing else OK
