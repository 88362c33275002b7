"""`dead`: the dead letters, the jobs that were given up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from chronoq.cli import find
from chronoq.cli.base import Cli, Command, Group, Misuse, agreed
from chronoq.cli.jobs import details, revive, show_one, summary
from chronoq.cli.process import counted
from chronoq.domain.job import Snapshot, State
from chronoq.domain.ports import Backend

CHUNK = 500


@click.group(cls=Group)
def dead() -> None:
    """List, show, requeue and purge dead letters: jobs that failed for good and wait for somebody to look."""


@dead.command("list")
@click.option("--queue", metavar="NAME", help="Only of this queue.")
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many a queue."
)
@click.pass_obj
def list_(cli: Cli, queue: str | None, limit: int) -> None:
    """List dead letters, the latest first."""
    backend = cli.shared(cli.app())
    rows = [summary(one) | {"died_at": one.until} for one in _all(backend, queue, most=limit)]
    cli.out.rows(rows, ("id", "task", "attempt", "died_at", "error"), empty="No dead letters.")


@dead.command()
@click.argument("word", metavar="ID")
@click.pass_obj
def show(cli: Cli, word: str) -> None:
    """One dead letter with its arguments, error and traceback."""
    backend = cli.shared(cli.app())
    show_one(cli, details(backend, find.job(backend, word, states=[State.DEAD])))


def _choosing(verb: str) -> Callable[[Callable[..., None]], click.Command]:
    """The options of what is done to some or all dead letters."""

    def decorate(fn: Callable[..., None]) -> click.Command:
        made = dead.command(verb, cls=Command)(click.pass_obj(fn))
        made.params = [
            click.Argument(["ids"], nargs=-1, metavar="[ID...]"),
            click.Option(["--all", "every"], is_flag=True, help="All of them; asks first."),
            click.Option(["--queue"], metavar="NAME", help="With --all: only of this queue."),
            click.Option(["--yes"], is_flag=True, help="Do not ask."),
            click.Option(["--dry-run"], is_flag=True, help="Only say what would be done."),
        ]
        return made

    return decorate


@_choosing("requeue")
def requeue(cli: Cli, ids: Sequence[str], every: bool, queue: str | None, yes: bool, dry_run: bool) -> None:
    """Put dead letters back to ready, with all their attempts."""
    backend = cli.shared(cli.app())
    found = _chosen(backend, ids, every, queue)
    if not _agreed(cli, found, "requeue", ask=every, yes=yes, dry_run=dry_run):
        return
    if not every:
        revive(cli, backend, found)
        return
    now = backend.clock.now()
    count = sum(sum(backend.queue.revive([one.job.id for one in part], now=now)) for part in _parts(found))
    cli.out.done({"requeued": count}, f"{counted(count, 'job')} ready again")


@_choosing("purge")
def purge(cli: Cli, ids: Sequence[str], every: bool, queue: str | None, yes: bool, dry_run: bool) -> None:
    """Remove dead letters for good."""
    backend = cli.shared(cli.app())
    found = _chosen(backend, ids, every, queue)
    if _agreed(cli, found, "remove for good", ask=True, yes=yes, dry_run=dry_run):
        now = backend.clock.now()
        count = sum(sum(backend.queue.purge([one.job.id for one in part], now=now)) for part in _parts(found))
        cli.out.done({"purged": count}, f"{counted(count, 'dead letter')} removed")


def _agreed(cli: Cli, found: Sequence[Snapshot], verb: str, *, ask: bool, yes: bool, dry_run: bool) -> bool:
    if not found:
        cli.out.note("No dead letters.")
        return False
    queues = sorted({one.job.id.queue for one in found})
    what = f"{verb} {counted(len(found), 'dead letter')} of {', '.join(queues)}"
    return (dry_run or ask) is False or agreed(what, yes=yes, dry_run=dry_run)


def _chosen(backend: Backend, ids: Sequence[str], every: bool, queue: str | None) -> list[Snapshot]:
    if bool(ids) == every:
        raise Misuse("Give the ids of dead letters, or --all.")
    if every:
        return _all(backend, queue)
    return [find.job(backend, word, states=[State.DEAD]) for word in ids]


def _all(backend: Backend, queue: str | None, *, most: int = 1_000_000) -> list[Snapshot]:
    now = backend.clock.now()
    queues = find.all_queues(backend, queue)
    return [one for name in queues for one in find.each(backend, name, State.DEAD, now=now, most=most)]


def _parts(found: Sequence[Snapshot]) -> list[Sequence[Snapshot]]:
    return [found[start : start + CHUNK] for start in range(0, len(found), CHUNK)]
