"""The root of the command line: its commands, and what errors become."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

import click

from chronoq.cli.base import FAILURE, NOT_FOUND, UNREACHABLE, USAGE, Cli, Group, say

LAZY = {
    "scheduler": ("scheduler:scheduler", "Fire schedules and move jobs that come due, until stopped."),
    "worker": ("worker:worker", "Run jobs until stopped."),
    "relay": ("relay:relay", "Hand due jobs over to another engine, such as RQ, until stopped."),
    "rqscheduler": ("rqscheduler:rqscheduler", "rq-scheduler's command: schedules for RQ's workers."),
    "dev": ("dev:dev", "Scheduler and worker in one process, restarted when a source file changes."),
    "demo": ("demo:demo", "See it work: no server, four schedules, a live view."),
    "enqueue": ("enqueue:enqueue", "Enqueue a job of TASK with JSON arguments."),
    "jobs": ("jobs:jobs", "List, show, cancel and retry jobs."),
    "schedules": ("schedules:schedules", "List, preview, pause, trigger, backfill and apply schedules."),
    "queues": ("queues:queues", "List, pause and resume queues."),
    "dead": ("dead:dead", "List, show, requeue and purge dead letters."),
    "workers": ("workers:workers", "Who is alive."),
    "why": ("why:why", "Why a job is where it is, or what became of a time of a schedule."),
    "outbox": ("outbox:outbox", "The table of an outbox, and the relay that delivers from it."),
    "stats": ("stats:stats", "Everything in figures."),
    "backup": ("upkeep:backup", "Copy a store that is a file, while everybody goes on."),
    "vacuum": ("upkeep:vacuum", "Give the room of what is gone back to the disk."),
    "migrate": ("migrate:migrate", "Take over what another scheduler, such as rq-scheduler, has planned."),
    "copy": ("upkeep:copy", "Store what one URL holds in another, while nothing runs."),
    "doctor": ("doctor:doctor", "What is amiss with the backend and the processes, and what to do."),
    "healthcheck": (
        "health:healthcheck",
        "Exit 0 if the backend answers, and with options if somebody is alive.",
    ),
    "config": ("settings:config", "Each setting, its value, and where it came from."),
    "explain": ("explain:explain", "Say what a cron expression means, and when it fires."),
}

SHAPE = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
EPILOG = "Exit codes: 0 ok, 1 failure, 2 usage, 3 backend unreachable, 4 not found."


@click.group(cls=Group, lazy=LAZY, epilog=EPILOG, context_settings=SHAPE)
@click.version_option(package_name="chronoq", prog_name="chronoq")
def root() -> None:
    """Accepts work now and runs it at the right moment, once, on whichever machine is free."""


def run(args: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a mark must not end a worker
    cli = Cli()
    try:
        code = root.main(args=args, obj=cli, standalone_mode=False)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # who read us has gone: nothing to say
        return FAILURE
    except (click.Abort, KeyboardInterrupt):
        say("aborted")
        return 130
    except Exception as error:
        return _told(error, cli)
    return code if isinstance(code, int) else 0


def _told(error: Exception, cli: Cli) -> int:
    """Say what went wrong, without a traceback when it is a person's mistake; the exit code."""
    code, label, text = _judged(error)
    if code is None or cli.verbose >= 2:
        import traceback

        say(traceback.format_exc().rstrip())
    prefix = click.style(f"error {label}:" if label else "error:", fg="red", bold=True)
    say(f"{prefix} {text}", color=cli.color)
    return FAILURE if code is None else code


def _judged(error: Exception) -> tuple[int | None, str, str]:
    """Exit code (None: unexpected), the message's code, and the message."""
    if isinstance(error, click.UsageError):
        where = f" See '{error.ctx.command_path} --help'." if error.ctx else ""
        return USAGE, "", error.format_message().rstrip() + where
    if isinstance(error, click.ClickException):
        return error.exit_code, "", error.format_message()
    from chronoq.domain import errors

    match error:
        case errors.BackendError():
            code = UNREACHABLE
        case errors.ResultGone() | errors.NoSuchSchedule():
            code = NOT_FOUND
        case (
            errors.Invalid()
            | errors.UnknownOption()
            | errors.BadCall()
            | errors.NotStorable()
            | errors.BadArgument()
        ):
            code = USAGE
        case errors.ChronoqError():
            code = FAILURE
        case _:
            return None, "", f"unexpected {type(error).__name__}: {error}"
    return code, error.code, str(error)
