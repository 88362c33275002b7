"""`migrate`: what another scheduler has planned becomes schedules and jobs here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from chronoq.cli.base import FAILURE, OK, Cli, Command, Group, Misuse

if TYPE_CHECKING:
    from chronoq.api.scheduler import Scheduler
    from chronoq.migrate.moving import Moved
    from chronoq.migrate.plan import Planned, Planner
    from chronoq.migrate.source import Source

LAZY = {
    "rq-scheduler": ("migrate:rq_scheduler", "Entries of rq-scheduler become schedules and jobs."),
}
COLUMNS = ("id", "function", "becomes", "queue", "next", "fate", "remark")


@click.group(cls=Group, lazy=LAZY)
def migrate() -> None:
    """Take over what another scheduler has planned."""


@click.command("rq-scheduler", cls=Command)
@click.option("--to", metavar="URL", help="Where chronoq keeps it; the application's URL, else --url.")
@click.option("--tz", metavar="ZONE", help="Zone in which rqscheduler ran its cron lines; this machine's.")
@click.option("--trust-pickle", is_flag=True, help="Let RQ unpickle the records of jobs.")
@click.option("--dry-run", is_flag=True, help="Only show what would become of what.")
@click.option("--retire", is_flag=True, help="Take out of rq-scheduler what was moved.")
@click.option("--force", is_flag=True, help="Although an rqscheduler is alive.")
@click.option("--shadow", is_flag=True, help="Watch rqscheduler, and show where chronoq would differ.")
@click.option("--for", "length", metavar="DURATION", help="How long to watch; until Ctrl-C by default.")
@click.option(
    "--tolerance", default="1s", show_default=True, metavar="DURATION", help="What is no difference."
)
@click.pass_obj
def rq_scheduler(
    cli: Cli,
    to: str | None,
    tz: str | None,
    trust_pickle: bool,
    dry_run: bool,
    retire: bool,
    force: bool,
    shadow: bool,
    length: str | None,
    tolerance: str,
) -> int:
    """Make schedules and jobs of the entries that rq-scheduler keeps at --url.

    They go to the relayed queues of --app; without --app, to queues of the same names, as
    chronoq.compat.rq_scheduler serves them. Can be broken off and run again: what is there stays as it is.
    """
    if shadow and (dry_run or retire or force):
        raise Misuse("--shadow only watches. Leave --dry-run, --retire and --force out.")
    if length and not shadow:
        raise Misuse("--for says how long to watch: give it with --shadow.")
    source, app, planner = prepared(cli, to=to, tz=tz, trust_pickle=trust_pickle)
    try:
        if shadow:
            from chronoq.cli.migrate_shadow import watch

            return watch(cli, source, planner, length=length, tolerance=tolerance)
        plan = list(planner.plan(source.lines(), now=app.backend.clock.now()))
        found = _carried_out(plan, app, source, dry_run=dry_run, retire=retire, force=force)
        _show(cli, found, planner, dry_run=dry_run, retire=retire)
    finally:
        source.close()
        app.close()
    arrived = {"moved", "already there"}
    return OK if all(one.fate in arrived for one in found) else FAILURE


def prepared(
    cli: Cli, *, to: str | None, tz: str | None, trust_pickle: bool
) -> tuple[Source, Scheduler, Planner]:
    """Where the entries are, the application that they go to, and what plans for it."""
    try:
        from chronoq.migrate.plan import Planner
        from chronoq.migrate.source import Source
        from chronoq.relay.rq_entry import NAMESPACE
    except ImportError as error:
        raise Misuse(f"This needs RQ's library ({error}). Install it: pip install 'chronoq[rq]'") from None
    from chronoq.domain.time import zone
    from chronoq.relay.zones import local_zone

    place, cli.url = cli.url, to or (None if cli.path else cli.url)
    app = cli.app()
    if not cli.path:
        app.reconfigure(url=cli.url, namespace=cli.namespace or NAMESPACE)
    cli.refuse_private(app, "Give --to or --app for where chronoq keeps it. ")
    if tz:
        zone(tz)
    source = Source.at(place or app.configured.settings.url)
    planner = Planner(
        app,
        source.client,
        free=not cli.path,
        trust_pickle=trust_pickle,
        tz=tz or local_zone(),
        told=bool(tz),
    )
    return source, app, planner


def _carried_out(
    plan: Sequence[Planned], app: Scheduler, source: Source, *, dry_run: bool, retire: bool, force: bool
) -> list[Moved]:
    from chronoq.migrate.moving import foreseen, move

    if dry_run:
        return list(foreseen(plan, app))
    if lacking := sorted({one.declare for one in plan if one.declare}):
        raise Misuse(
            "The application does not cover what rq-scheduler has planned, so nothing was moved. "
            f"Declare: {'; '.join(lacking)}."
        )
    if not force and (alive := source.alive()):
        raise Misuse(
            f"An rqscheduler is alive: {', '.join(alive[:3])}. What is moved now would run on both sides. "
            "Stop it first; one that was killed counts as alive for as long as is said. "
            "--shadow compares beside it, --dry-run only shows, --force goes on all the same."
        )
    return list(move(plan, app, source, retire=retire))


def _show(cli: Cli, found: Sequence[Moved], planner: Planner, *, dry_run: bool, retire: bool) -> None:
    cli.out.rows([_row(one, dry_run=dry_run) for one in found], COLUMNS, empty="rq-scheduler has no entries.")
    fates = [str(one.fate) for one in found]
    moved, there = fates.count("moved"), fates.count("already there")
    changed = fates.count("changed meanwhile")
    left = len(found) - moved - there - changed
    parts = [f"{'Would move' if dry_run else 'Moved'} {moved} of {len(found)}"]
    parts += [f"{there} were there already"] * bool(there) + [f"{left} cannot be moved"] * bool(left)
    parts += [f"{changed} changed meanwhile, so run this again"] * bool(changed)
    cli.out.note(f"{', '.join(parts)}.")
    for todo in dict.fromkeys(one.planned.todo for one in found if one.planned.todo):
        why = next(one.planned.why for one in found if one.planned.todo == todo)
        cli.out.note(f"· {why.rstrip('.')}. {todo}")
    if strays := planner.strays(one.planned for one in found):
        cli.out.note(
            f"⚠ Jobs of {', '.join(strays)} would go to RQ in another database than rq-scheduler's. If its "
            "workers are to run them, say where they are: RqRelay(url=...)."
        )
    if any(one.planned.entry and one.planned.entry.cron_string for one in found):
        told = (
            "as you say" if planner.told else "the zone of this machine; say --tz if rqscheduler had another"
        )
        cli.out.note(f"Cron lines are read in {planner.tz}: {told}.")
    if moved and not dry_run and not retire:
        cli.out.note(
            "rq-scheduler still has its entries: do not start it again. --retire takes them out of it."
        )


REMARKS = {
    "taken": "that id stands for other work here",
    "differs": "here it has another time or rhythm: cancel it in rq-scheduler, or remove it here and run this again",
    "full": "the queue is full (max_length)",
    "changed meanwhile": "rq-scheduler ran it, or somebody changed it: run this again",
}


def _row(one: Moved, *, dry_run: bool) -> dict[str, Any]:
    planned, fate = one.planned, str(one.fate)
    remark = planned.why or REMARKS.get(fate) or "; ".join(planned.notes)
    if planned.why and planned.line.moving:
        remark += "; a move that broke off has taken it out of rq-scheduler already"
    return {
        "id": planned.line.id,
        "function": planned.function,
        "becomes": planned.rhythm,
        "queue": planned.queue,
        "next": planned.next,
        "fate": "would move" if dry_run and fate == "moved" else fate,
        "remark": remark,
        "todo": planned.todo or None,
        "to": str(planned.id) if planned.id else None,
        "kind": "schedule" if planned.schedule else "job" if planned.job else None,
        "runs": planned.schedule.policy.max_fires if planned.schedule else None,
        "due": planned.line.due,
    }
