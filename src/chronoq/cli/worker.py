"""`worker`: runs jobs until it is told to stop, then finishes what it has in hand."""

from __future__ import annotations

import os
import sys

import click

from chronoq.api.scheduler import Scheduler
from chronoq.app.loop import Loop, end
from chronoq.app.worker import Worker
from chronoq.cli import logs
from chronoq.cli.base import FAILURE, OK, Cli, Command, Misuse
from chronoq.cli.process import Signals, Watch, banner, collect_seldom, counted, log, persist
from chronoq.cli.supervisor import supervise, supervised
from chronoq.domain.time import brief


@click.command(cls=Command)
@click.option(
    "--queues",
    "--queue",
    "queues",
    metavar="A,B",
    help="Serve only these queues; all declared ones by default.",
)
@click.option(
    "--listen",
    "listen",
    multiple=True,
    metavar="NAME",
    help="Only for this task, and so only for its queue; may be repeated, or A,B.",
)
@click.option("--concurrency", metavar="N", help="Jobs at once.  [default: 8]")
@click.option(
    "--processes",
    metavar="N",
    type=click.IntRange(1, 512),
    default=1,
    show_default=True,
    help="Worker processes, each with its own slots; one that falls is begun anew.",
)
@click.option(
    "--lease", metavar="DURATION", help="A silent worker's job is taken over after this.  [default: 10s]"
)
@click.option("--grace", metavar="DURATION", help="Time for jobs to finish on a stop.  [default: 30s]")
@click.option("--burst", is_flag=True, help="Leave when nothing is ready any more.")
@click.option(
    "--allow-eviction",
    is_flag=True,
    default=None,
    help="Start also on a server that may throw jobs away.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def worker(
    cli: Cli,
    queues: str | None,
    listen: tuple[str, ...],
    concurrency: str | None,
    processes: int,
    lease: str | None,
    grace: str | None,
    burst: bool,
    allow_eviction: bool | None,
    log_format: str,
) -> int:
    """Run jobs until stopped.

    SIGTERM and Ctrl-C let running jobs finish within the grace period; what is not finished goes
    back to its queue, and the exit code is 1. A second signal ends it at once.
    """
    if not cli.path:
        raise Misuse("A worker needs --app module:attr (or CHRONOQ_APP): without it, it knows no task.")
    collect_seldom()
    app = cli.app(concurrency=concurrency, lease=lease, grace=grace, allow_eviction=allow_eviction)
    cli.refuse_private(app, f"Use 'dev --app {cli.path}': it runs scheduler and worker in one process. ")
    tasks = named(*listen)
    served = tuple(app.declared.served(named(queues), tasks))
    if processes > 1 and not supervised():
        logs.configure(log_format, quiet=cli.quiet, verbose=cli.verbose, color=cli.color)
        return supervise(processes)
    logs.configure(log_format, quiet=cli.quiet, verbose=cli.verbose, color=cli.color)
    signals, parent = Signals(), os.getppid()
    introduce(app, served, tasks=tasks)
    made = persist(lambda: app.worker(served, listen=tasks, burst=burst), signals)
    if made is None:
        return OK
    made.start()
    watch = Loop("watch", Watch(app.backend), app.backend.clock, made.trouble)
    watch.start()
    signals.until(
        lambda: made.failed.is_set() or (burst and made.idle) or (supervised() and os.getppid() != parent)
    )
    end([watch])
    return finish(made)


def named(*texts: str | None) -> tuple[str, ...]:
    """The names in texts of the form A,B."""
    return tuple(name for text in texts for one in (text or "").split(",") if (name := one.strip()))


def introduce(
    app: Scheduler, queues: tuple[str, ...], kind: str = "worker", *, tasks: tuple[str, ...] = ()
) -> None:
    listens, tasks = bool(tasks), tasks or tuple(sorted(task.name for task in app.tasks))
    banner(
        kind,
        app,
        f"queues {', '.join(queues)}",
        f"listens to {', '.join(tasks)}" if listens else counted(len(tasks), "task"),
        f"concurrency {app.configured.settings.concurrency}",
    )
    log.debug("tasks: %s", ", ".join(tasks))


def finish(worker: Worker) -> int:
    """Stop it gracefully; the exit code. Threads that do not end are left behind."""
    stuck, held = worker.failed.is_set(), len(worker.hands.held)
    if held and not stuck:
        log.info("stopping: %s to finish within %s", counted(held, "job"), brief(worker.settings.grace))
    finished = worker.stop()
    done, failed = worker.hands.done, worker.hands.failed
    log.info("stopped · %d done · %d failed", done, failed)
    if finished and not stuck:
        return OK
    why = "every thread is stuck past its job's timeout" if stuck else "work was given back unfinished"
    log.warning("⚠ %s", why)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(FAILURE)  # a thread that hangs would hold up an ordinary exit
