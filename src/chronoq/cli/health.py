"""`healthcheck`: for a container's probe."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from chronoq.app.keys import host_name
from chronoq.cli.base import FAILURE, OK, Cli, Command, say
from chronoq.domain.errors import NotReady, Unreachable
from chronoq.domain.lease import Kind, Presence
from chronoq.domain.time import brief, duration


@click.command(cls=Command)
@click.option(
    "--worker", "kinds", flag_value=Kind.WORKER.value, multiple=True, help="Also ask for a living worker."
)
@click.option(
    "--scheduler", "kinds", flag_value=Kind.SCHEDULER.value, multiple=True, help="And for a scheduler."
)
@click.option("--ready", is_flag=True, help="Only of this host, and able to work: see --within.")
@click.option("--live", is_flag=True, help="Only of this host; nothing is known while the backend is away.")
@click.option(
    "--within",
    default="30s",
    show_default=True,
    metavar="DURATION",
    help="How recent its last work has to be.",
)
@click.pass_obj
def healthcheck(cli: Cli, kinds: tuple[str, ...], ready: bool, live: bool, within: str) -> int:
    """Exit 0 if the backend answers, and with options if somebody is alive: 1 if not, 3 if unreachable.

    --ready: each worker and scheduler of this host has lately claimed jobs, or looked for what is due, with
    an answer of the backend, and none is stopping. --live: they are on the roll of the living; 0 also while
    the backend does not answer, for a process is not ill because its server is.
    """
    try:
        backend = cli.shared(cli.app())
        now = backend.clock.now()
        roll = backend.life.roll(now=now)
    except (Unreachable, NotReady):
        if live:
            return OK
        raise
    if ready or live:
        roll = [one for one in roll if one.process.host == host_name()]
    wrong = _missing(roll, kinds, here=ready or live)
    if ready:
        wrong += [why for one in roll if (why := _unready(one, now, duration(within)))]
    for why in wrong:
        say(why, color=cli.color)
    figures: dict[str, Any] = {f"{kind}s": sum(one.process.kind is kind for one in roll) for kind in Kind}
    if not cli.quiet and not wrong:
        cli.out.done({"healthy": True, **figures}, "ok")
    return FAILURE if wrong else OK


def _missing(roll: Sequence[Presence], kinds: Sequence[str], *, here: bool) -> list[str]:
    alive, where = {one.process.kind for one in roll}, f" on {host_name()}" if here else ""
    if here and not kinds and not roll:
        return [f"no worker or scheduler is alive{where}"]
    return [f"no {kind} is alive{where}" for kind in kinds if kind not in alive]


def _unready(one: Presence, now: datetime, within: timedelta) -> str:
    """Why it would not take work up now; "" if it would."""
    name, served = f"{one.process.kind} {one.process.id}", one.vitals.served_at
    if one.vitals.stopping:
        return f"{name} is stopping"
    if served is None:
        return f"{name} has not begun to work"
    return f"{name} last worked {brief(now - served)} ago" if now - served > within else ""
