"""`config`: each setting, its value, and where it came from."""

from __future__ import annotations

import click
from attrs import fields

from chronoq.cli.base import Cli, Command
from chronoq.config import Settings
from chronoq.domain.masking import masked


@click.command(cls=Command)
@click.pass_obj
def config(cli: Cli) -> None:
    """Each setting, its value, and where it came from. Nothing is connected to."""
    found = cli.app().configured
    rows = []
    for one in fields(Settings):
        value = getattr(found.settings, one.name)
        rows.append(
            {
                "setting": one.name,
                "value": masked(value) if one.name == "url" else value,
                "from": found.sources[one.name],
                "meaning": one.metadata["help"],
            }
        )
    cli.out.rows(rows, ("setting", "value", "from", "meaning"))
