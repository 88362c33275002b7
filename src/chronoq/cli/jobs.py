"""`jobs`: list, show, cancel and retry."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import click
import orjson

from chronoq.cli import find
from chronoq.cli.base import FAILURE, OK, Cli, Failed, Group, Misuse
from chronoq.domain.job import ENDED, Snapshot, State
from chronoq.domain.ports import Backend, Cancel

STATES = [state.value for state in State]


@click.group(cls=Group)
def jobs() -> None:
    """List, show, cancel and retry jobs.

    A job is named by queue:key, by its key, or by the beginning of it.
    """


@jobs.command("list")
@click.option(
    "--state", "states", type=click.Choice(STATES), multiple=True, help="Only these; all by default."
)
@click.option("--queue", metavar="NAME", help="Only of this queue.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@click.option("--mark", default="", help="Go on where the last list ended.")
@click.pass_obj
def list_(cli: Cli, states: Sequence[str], queue: str | None, limit: int, mark: str) -> None:
    """List jobs: next to run first, latest ended first."""
    backend = cli.shared(cli.app())
    chosen = [State(state) for state in states] or [
        State.RUNNING,
        State.READY,
        State.DELAYED,
        State.DEAD,
        *ENDED,
    ]
    found, mark = _page(backend, find.all_queues(backend, queue), chosen, limit, mark)
    columns = ("id", "task", "state", "attempt", "when", "error")
    cli.out.rows([summary(one) for one in found], columns, empty="No jobs.")
    if mark:
        cli.out.note(f"Go on with --mark {shlex.quote(mark)}")


def _page(
    backend: Backend, queues: Sequence[str], states: Sequence[State], limit: int, mark: str
) -> tuple[list[Snapshot], str]:
    """Jobs state by state and queue by queue; the mark names the place to go on from."""
    now = backend.clock.now()
    places = [(state, queue) for state in states for queue in queues]
    state_word, _, rest = mark.partition("/")
    queue_word, _, inner = rest.partition("/")
    if mark:
        place = next((n for n, one in enumerate(places) if one == (state_word, queue_word)), None)
        if place is None:
            raise Misuse(f"--mark {mark!r} does not belong to this list. Give the same --state and --queue.")
        places = places[place:]
    found: list[Snapshot] = []
    for state, queue in places:
        while len(found) < limit:
            page = backend.queue.find(queue, state, now=now, mark=inner, limit=limit - len(found))
            found += page.items
            inner = page.mark
            if not inner:
                break
        else:
            return found, f"{state}/{queue}/{inner}"
        if inner:
            return found, f"{state}/{queue}/{inner}"
    return found, ""


@jobs.command()
@click.argument("word", metavar="ID")
@click.pass_obj
def show(cli: Cli, word: str) -> None:
    """All that is known of one job."""
    backend = cli.shared(cli.app())
    show_one(cli, details(backend, find.job(backend, word)))


@jobs.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.pass_obj
def cancel(cli: Cli, ids: Sequence[str]) -> int:
    """Cancel jobs: those that wait never start, those that run are asked to stop."""
    backend = cli.shared(cli.app())
    found = [find.job(backend, word) for word in ids]
    answers = backend.queue.cancel([one.job.id for one in found], now=backend.clock.now())
    said = {
        Cancel.CANCELLED: "cancelled: it will never start",
        Cancel.STOPPED: "cancelled: it will not start again",
        Cancel.ASKED: "running: asked to stop",
        Cancel.GONE: "not cancelled: it has ended",
    }
    for one, answer in zip(found, answers, strict=True):
        cli.out.done({"id": str(one.job.id), "answer": answer}, f"{one.job.id} {said[answer]}")
    return FAILURE if Cancel.GONE in answers else OK


@jobs.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.pass_obj
def retry(cli: Cli, ids: Sequence[str]) -> None:
    """Run dead jobs again, with all their attempts."""
    backend = cli.shared(cli.app())
    found = [find.job(backend, word) for word in ids]
    for one in found:
        if one.state is not State.DEAD:
            raise Failed(f"{one.job.id} is {one.state}, not dead. Only dead letters can be run again.")
    revive(cli, backend, found)


def revive(cli: Cli, backend: Backend, found: Sequence[Snapshot]) -> None:
    """Put dead letters back to ready, and say so of each."""
    revived = backend.queue.revive([one.job.id for one in found], now=backend.clock.now())
    for one, yes in zip(found, revived, strict=True):
        sentence = f"{one.job.id} is ready again" if yes else f"{one.job.id} is not dead any more"
        cli.out.done({"id": str(one.job.id), "requeued": yes}, sentence)


def show_one(cli: Cli, row: dict[str, Any]) -> None:
    """A job by itself; in a terminal its arguments and result as the JSON that they are."""
    if cli.output == "table":
        raw = [key for key in ("args", "kwargs", "result", "meta") if row.get(key)]
        row = row | {key: orjson.dumps(row[key]).decode() for key in raw}
    cli.out.one(row, hide=("queue", "key", "when"))


def summary(one: Snapshot) -> dict[str, Any]:
    """A job in a list. `when`: due, or since when it is dead or ended."""
    job, failure = one.job, one.failure
    ended = one.state in ENDED
    due = one.until if one.state is State.DELAYED and one.until else job.due
    return {
        "id": str(job.id),
        "queue": job.id.queue,
        "key": job.id.key,
        "task": job.task,
        "state": one.state,
        "attempt": None if ended else one.attempt,
        "priority": None if ended else job.options.priority,
        "enqueued_at": None if ended else job.enqueued_at,
        "due": None if ended else due,
        "when": one.until if ended or one.state is State.DEAD else due,
        "worker": one.worker or None,
        "schedule": job.origin.schedule.key if job.origin else None,
        "error": f"{failure.type}: {failure.message}".partition("\n")[0][:200] if failure else None,
    }


def details(backend: Backend, one: Snapshot) -> dict[str, Any]:
    """A job by itself, with its arguments and, when it is done, its result."""
    job, options = one.job, one.job.options
    row = summary(one)
    if one.state in ENDED:
        row["ended_at"] = one.until
    else:
        call = read_json(job.payload)
        readable = isinstance(call, list) and len(call) == 2
        row |= {
            "died_at": one.until if one.state is State.DEAD else None,
            "lease_until": one.until if one.state is State.RUNNING else None,
            "args": call[0] if readable else call,
            "kwargs": call[1] if readable else None,
            "retries": options.retry.retries,
            "timeout": options.timeout,
            "expires_at": job.expires_at,
            "crashes": one.crashes,
            "token": one.token,
            "meta": read_json(options.meta),
        }
    if job.origin:
        row["nominal"] = job.origin.nominal
    if one.progress:
        row["progress"] = {"done": one.progress.done, "total": one.progress.total}
    row |= {"stopping": one.stopping or None, "reason": one.reason or None, "defect": job.defect or None}
    if one.state is State.DONE:
        ending = backend.queue.endings([job.id], now=backend.clock.now())[0]
        row["result"] = read_json(ending.result) if ending else None
    if one.failure:
        row["error"] = f"{one.failure.type}: {one.failure.message}"
        row["traceback"] = one.failure.traceback.rstrip() or None
    return {key: value for key, value in row.items() if value is not None}


def read_json(data: bytes) -> Any:
    try:
        return orjson.loads(data) if data else None
    except ValueError:
        return f"({len(data)} bytes that are not JSON)"
