"""`demo`: an application in this process's memory, so that there is something to see without any server; or in a
store that was named, where what it did can be looked at afterwards."""

from __future__ import annotations

import logging
import random
import sys
import time
from collections import deque
from datetime import timedelta
from statistics import median

import click

from chronoq.api.scheduler import Scheduler
from chronoq.app.context import Context
from chronoq.cli import logs
from chronoq.cli.base import Cli, Command
from chronoq.cli.process import Signals, counted
from chronoq.domain.masking import masked
from chronoq.domain.rhythm import cron, every
from chronoq.domain.time import brief, duration

LINES = 8


class MailError(Exception):
    """What the mail server of the demo says now and then."""


def make(url: str | None = None, namespace: str | None = None) -> Scheduler:
    """Four schedules: two intervals, a cron expression with seconds, and a job that reports progress."""
    app = Scheduler(grace="3s")

    @app.schedule(every("1s"), name="heartbeat")
    def heartbeat() -> str:
        return "alive"

    @app.schedule(every("2s"), name="send_mail", retries=2, backoff="400ms")
    def send_mail() -> None:
        time.sleep(0.05)
        if random.random() < 0.45:
            raise MailError("451 try again later")

    @app.schedule(cron("*/3 * * * * *"), name="report")
    async def report() -> int:
        return sum(range(1_000))

    @app.schedule(every("4s"), name="backup")
    def backup(job: Context) -> None:
        for step in range(1, 21):
            if job.cancelled:
                return
            time.sleep(0.075)
            job.progress(step, 20)

    # above CHRONOQ_URL: a demo leaves no trace on a real server, unless it was told to here
    app.reconfigure(url=url or "memory://", namespace=namespace)
    return app


class Tally(logging.Handler):
    """Counts what the log says of jobs, and keeps its latest lines."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logs.TextFormatter())
        self.lines: deque[str] = deque(maxlen=LINES)
        self.late: list[float] = []
        self.run = self.done = self.retried = self.dead = 0

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        self.lines.append(self.format(record))
        self.done += said.startswith("✔")
        self.retried += said.startswith("✖") and " · retry " in said
        self.dead += said.startswith("✖") and " · given up" in said
        if said.startswith("▶"):
            self.run += 1
            if "  late " in said:
                self.late.append(duration(said.rpartition(" ")[2]).total_seconds())

    @property
    def lateness(self) -> timedelta:
        return timedelta(seconds=median(self.late)) if self.late else timedelta(0)


@click.command(cls=Command)
@click.option("--for", "length", metavar="DURATION", help="End by itself after this time.")
@click.pass_obj
def demo(cli: Cli, length: str | None) -> None:
    """See it work: no server, four schedules, a flaky task, a job with progress. Ctrl-C ends it.

    It is all in memory, whatever CHRONOQ_URL says. With --url it is there, and what it did is still to be seen.
    """
    limit = None if length is None else duration(length)
    app, tally, signals = make(cli.url, cli.namespace), Tally(), Signals()
    live = sys.stdout.isatty() and cli.output == "table" and not cli.quiet
    log = logging.getLogger("chronoq")
    if not live:
        logs.configure(quiet=cli.quiet, verbose=cli.verbose, color=cli.color)
    log.setLevel(logging.INFO)
    log.propagate = not live
    log.addHandler(tally)
    began = time.monotonic()
    ends = None if limit is None else began + limit.total_seconds()

    def over() -> bool:
        return ends is not None and time.monotonic() >= ends

    with app:
        if live:
            from chronoq.cli.demo_view import watch

            watch(app, tally, signals, over, color=cli.color)
        else:
            signals.until(over)
    _sum_up(cli, tally, timedelta(seconds=time.monotonic() - began))


def _sum_up(cli: Cli, tally: Tally, took: timedelta) -> None:
    figures = {
        "seconds": round(took.total_seconds(), 3),
        "run": tally.run,
        "done": tally.done,
        "retried": tally.retried,
        "dead": tally.dead,
        "late_median_ms": round(tally.lateness.total_seconds() * 1000, 1),
    }
    said = f"{counted(tally.run, 'run')} in {brief(took)}"
    said += f": {tally.done} done, {tally.retried} retried, {tally.dead} dead"
    cli.out.done(figures, f"{said} · started {brief(tally.lateness)} late (median)")
    if cli.url:
        cli.out.note(f"What it left: python -m chronoq schedules list --url {masked(cli.url)}")
    cli.out.note("Next: put @app.task on a function of yours, then: python -m chronoq dev --app yours:app")
