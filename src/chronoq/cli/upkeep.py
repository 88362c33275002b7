"""`backup`, `vacuum` and `copy`: what is done to a store as a whole."""

from __future__ import annotations

import click

from chronoq.api.scheduler import Scheduler
from chronoq.cli.base import FAILURE, OK, Cli, Command, Misuse
from chronoq.cli.process import counted
from chronoq.domain.ports import Backend, Upkeep

COLUMNS = ("queue", "ready", "delayed", "dead", "schedules", "already there", "taken", "unreadable")


@click.command(cls=Command)
@click.argument("destination", metavar="DEST")
@click.pass_obj
def backup(cli: Cli, destination: str) -> None:
    """Copy a store that is a file to DEST, all of one instant, while everybody goes on."""
    kept = _upkeep(cli).backup(destination)
    cli.out.done({"path": kept.path, "bytes": kept.bytes}, f"{kept.path} written, {_size(kept.bytes)}")


@click.command(cls=Command)
@click.pass_obj
def vacuum(cli: Cli) -> None:
    """Give the room of what is gone back to the disk, for a store that is a file."""
    before, after = _upkeep(cli).vacuum()
    figures = {"path": after.path, "before": before.bytes, "after": after.bytes}
    cli.out.done(figures, f"{after.path}: {_size(before.bytes)} before, {_size(after.bytes)} after")


@click.command(cls=Command)
@click.argument("source", metavar="FROM_URL")
@click.argument("target", metavar="TO_URL")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.pass_obj
def copy(cli: Cli, source: str, target: str, dry_run: bool) -> int:
    """Store the jobs, dead letters and schedules of FROM_URL in TO_URL, while nothing runs on either.

    What is there already stays as it is, so it can be broken off and run again. FROM_URL keeps everything: do not
    start workers on it again. Endings and results, counters and ledgers are not copied.
    """
    if source == target:
        raise Misuse("FROM_URL and TO_URL are the same.")
    from chronoq.app import copying

    app = cli.app()
    crashes = app.configured.settings.max_crashes
    one, other = _opened(cli, app, source), _opened(cli, app, target)
    try:
        found = list(copying.copy(one, other, max_crashes=crashes, dry_run=dry_run))
    finally:
        one.close()
        other.close()
    rows = [{"queue": copied.queue} | {name: copied.counts[name] for name in COLUMNS[1:]} for copied in found]
    cli.out.rows(rows, COLUMNS, empty="Nothing to copy.")
    missing = sum(copied.missing for copied in found)
    already = sum(copied.already for copied in found)
    total = sum(sum(copied.counts.values()) for copied in found) - missing - already
    said = f"{'Would copy' if dry_run else 'Copied'} {total}, {already} were there already"
    cli.out.note(f"{said}, {missing} could not be copied." if missing else f"{said}.")
    return FAILURE if missing else OK


def _opened(cli: Cli, app: Scheduler, url: str) -> Backend:
    """A backend of its own, with the namespace and the keys of the application."""
    app.container.backend.reset()
    app.reconfigure(url=url, namespace=cli.namespace)
    cli.refuse_private(app)
    return app.backend


def _upkeep(cli: Cli) -> Upkeep:
    app = cli.app()
    upkeep = cli.shared(app).upkeep
    if upkeep is None:
        raise Misuse(
            "This store is not a file of chronoq's own: its server has its own tools for that. "
            "To move to another one, use 'copy'."
        )
    return upkeep


def _size(many: int) -> str:
    """Bytes as people read them."""
    if many < 1_000:
        return counted(many, "byte")
    return f"{many / 1e6:.1f} MB" if many >= 100_000 else f"{many / 1e3:.1f} kB"
