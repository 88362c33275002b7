"""`enqueue`: a job from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click
import orjson

from chronoq.api.scheduler import Scheduler
from chronoq.api.task import Task
from chronoq.app.options import JobOptions
from chronoq.app.payload import decoded
from chronoq.app.tasks import TaskDef
from chronoq.cli.base import Cli, Command, Misuse, NotFound
from chronoq.domain.errors import Invalid, near
from chronoq.domain.identity import name
from chronoq.domain.job import Priority
from chronoq.domain.lease import Kind

ENDLESS = "for ever"


@click.command(cls=Command)
@click.argument("task", metavar="TASK")
@click.argument("args", nargs=-1, metavar="[JSON...]")
@click.option("--kwarg", "-k", "kwargs", multiple=True, metavar="NAME=JSON", help="An argument by its name.")
@click.option("--delay", metavar="DURATION", help="Run it after this time.")
@click.option("--at", metavar="ISO", help="Run it at this moment, with its offset: 2030-01-01T09:00+01:00.")
@click.option("--id", metavar="KEY", help="The job's key: enqueuing it twice makes one job.")
@click.option("--queue", metavar="NAME", help="Another queue than the task's own.")
@click.option("--priority", type=click.Choice([one.name.lower() for one in Priority]))
@click.option("--retries", type=click.IntRange(0), metavar="N")
@click.option("--timeout", metavar="DURATION", help="Longest run of one attempt.")
@click.option("--expires", metavar="DURATION", help="Not started any more when it is this late.")
@click.option(
    "--wait",
    is_flag=False,
    flag_value=ENDLESS,
    metavar="[DURATION]",
    help="Wait for the result and print it.",
)
@click.pass_obj
def enqueue(
    cli: Cli,
    /,
    task: str,
    args: Sequence[str],
    kwargs: Sequence[str],
    wait: str | None,
    at: str | None,
    **given: Any,
) -> None:
    """Enqueue a job of TASK, each JSON an argument: enqueue tasks.send '"a@b.c"' '{"n": 1}'.

    With --app the call is checked against the task's signature, and TASK may be the end of its name. Without,
    TASK and its arguments are taken as they are. A number below zero goes after --.
    """
    app = cli.app()
    positional = [_read(arg, f"argument {place}") for place, arg in enumerate(args, 1)]
    named = dict(_named(arg) for arg in kwargs)
    options: Any = {key: value for key, value in given.items() if value is not None}
    if at is not None:
        options["at"] = _moment(at)
    chosen = _task(app, task, checked=bool(cli.path)).using(**options)
    cli.refuse_private(app, "A job enqueued there would be gone when this command ends. ")
    handle = chosen.enqueue(*positional, **named)
    if wait is None:
        state = handle.status()
        cli.out.done({"id": handle.id, "task": chosen.name, "state": state}, handle.id)
        return
    if not cli.quiet and cli.output == "table":
        cli.out.note(handle.id)
    roll = app.backend.life.roll(now=app.backend.clock.now())
    if not any(one.process.kind is Kind.WORKER and handle.job_id.queue in one.process.queues for one in roll):
        cli.out.note(f"⚠ W1 no worker listens on queue {handle.job_id.queue!r}: the job waits until one does")
    result = handle.result(None if wait == ENDLESS else wait)
    shown = orjson.dumps(result, default=str).decode()
    cli.out.done(
        {"id": handle.id, "task": chosen.name, "state": "done", "result": orjson.loads(shown)}, shown
    )


def _task(app: Scheduler, word: str, *, checked: bool) -> Task[..., Any, Any]:
    """The task that `word` names. Without an application: any, with any arguments."""
    if not checked:
        return Task(app, TaskDef(name(word, what="task name"), _anything, "default"))
    known = app.tasks.find(word)
    if known is None:
        ends = [one for one in app.tasks if one.name.endswith(f".{word}")]
        if len(ends) > 1:
            raise Misuse(
                f"Task {word!r} could be {' or '.join(one.name for one in ends)}. Give the whole name."
            )
        if not ends:
            names = sorted(one.name for one in app.tasks)
            listed = f"Tasks there: {', '.join(names)}." if names else "It has no tasks."
            raise NotFound(
                f"No task {word!r} in this application. {listed}{near(word, names)} Nothing was enqueued."
            )
        known = ends[0]
    return Task(app, known, JobOptions())


def _anything(*args: Any, **kwargs: Any) -> None:
    """Stands for a task whose code is not here."""


def _named(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (equals and key.isidentifier()):
        raise Misuse(f"--kwarg {text!r} is not of the form name=JSON.")
    return key, _read(value, f"argument {key!r}")


def _read(text: str, what: str) -> Any:
    try:
        return decoded(text.encode())
    except ValueError as error:
        if "64 bits" in str(error):
            raise Misuse(f"{what} cannot be stored: {error}. Nothing was enqueued.") from None
        hint = (
            f" A string needs its quotes: '{orjson.dumps(text).decode()}'." if text[:1] not in '[{"' else ""
        )
        raise Misuse(f"{what} is not JSON: {text}.{hint} Nothing was enqueued.") from None


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(
            f"--at {text!r} is not a moment. Write it in ISO form with its offset: 2030-01-01T09:00+01:00"
        ) from None
