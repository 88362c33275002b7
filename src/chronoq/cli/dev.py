"""`dev`: scheduler and worker in one process, begun anew when a source file changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from chronoq.cli import logs
from chronoq.cli.base import OK, USAGE, Cli, Command, Misuse, say

CHILD = "CHRONOQ_DEV_CHILD"
POLL = 0.3
_PASSED_BY = {"__pycache__", "node_modules", "site-packages"}


@click.command(cls=Command)
@click.option("--concurrency", metavar="N", help="Jobs at once.  [default: 8]")
@click.option(
    "--grace", metavar="DURATION", default="2s", show_default=True, help="Time for jobs to finish on a stop."
)
@click.option(
    "--reload/--no-reload", default=True, help="Start anew when a .py file below this directory changes."
)
@click.option(
    "--allow-eviction",
    is_flag=True,
    default=None,
    help="Start also on a server that may throw jobs away.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def dev(
    cli: Cli, concurrency: str | None, grace: str, reload: bool, allow_eviction: bool | None, log_format: str
) -> int:
    """Scheduler and worker in one process, restarted when a source file changes.

    The one way to use memory:// from the command line.
    """
    if not cli.path:
        raise Misuse("dev needs --app module:attr (or CHRONOQ_APP).")
    if reload and CHILD not in os.environ:
        return _supervise(cli)
    return _serve(cli, log_format, concurrency=concurrency, grace=grace, allow_eviction=allow_eviction)


def _serve(cli: Cli, log_format: str, **flags: Any) -> int:
    from chronoq.cli.process import Signals, applied, persist
    from chronoq.cli.worker import finish, introduce

    app = cli.app(**flags)
    logs.configure(log_format, quiet=cli.quiet, verbose=cli.verbose, color=cli.color)
    supervised = CHILD in os.environ
    parent = os.getppid()
    signals = Signals(interrupt=not supervised)  # Ctrl-C reaches the parent too, which passes it on
    introduce(app, tuple(app.queues), "dev")
    if persist(lambda: applied(app), signals) is None:
        return OK
    scheduler, worker = app.scheduler(), app.worker()
    relays = [app.relay()] if app.declared.engines else []
    scheduler.presence.on_return = lambda: applied(app)
    worker.start()
    for relay in relays:
        relay.start()
    scheduler.start()
    signals.until(lambda: worker.failed.is_set() or (supervised and os.getppid() != parent))
    scheduler.stop()
    for relay in relays:
        relay.stop()
    return finish(worker)


def _supervise(cli: Cli) -> int:
    """Run ourselves as a child, again after each change."""
    asked: list[int] = []

    def hear(number: int, _: Any) -> None:
        if asked:
            child.kill()
            os._exit(128 + number)
        asked.append(number)

    seen = dict(_sources())
    child, first = _child(), True
    signal.signal(signal.SIGTERM, hear)
    signal.signal(signal.SIGINT, hear)
    while not asked:
        time.sleep(POLL)
        now = dict(_sources())
        changed = sorted(path for path in {*seen, *now} if seen.get(path) != now.get(path))
        seen = now
        if changed:
            say(
                f"↻ {', '.join(os.path.relpath(path) for path in changed[:3])} changed: starting anew",
                color=cli.color,
            )
            _end(child)
            child, first = _child(), False
        elif (code := child.poll()) is not None:
            if first and code == USAGE:
                return code
            say(f"↻ ended with exit code {code}: waiting for a change", color=cli.color)
            while not asked and dict(_sources()) == seen:
                time.sleep(POLL)
    return _end(child)


def _child() -> subprocess.Popen[bytes]:
    again = [sys.executable, "-m", "chronoq", *sys.argv[1:]]
    # compiled files tell a change by second and size: two saves within one second may look like one
    own = {CHILD: "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(again, env={**os.environ, **own})  # noqa: S603 - our own command line


def _end(child: subprocess.Popen[bytes]) -> int:
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    code = child.wait()
    return code if code >= 0 else 128 - code


def _sources() -> Iterator[tuple[str, int]]:
    """The .py files below this directory with their times of change; hidden and installed ones left out."""
    for folder, folders, files in os.walk(Path.cwd()):
        folders[:] = [
            one
            for one in folders
            if not one.startswith(".")
            and one not in _PASSED_BY
            and not Path(folder, one, "pyvenv.cfg").exists()
        ]
        for file in files:
            if file.endswith(".py"):
                path = os.path.join(folder, file)
                try:
                    yield path, os.stat(path).st_mtime_ns
                except OSError:
                    continue  # gone in the meantime
