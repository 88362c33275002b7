"""`rqscheduler`: rq-scheduler's command, over chronoq's engine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chronoq.cli import logs
from chronoq.cli.base import GLOBAL, Cli, Command, Misuse
from chronoq.cli.process import Signals, banner, log, persist

if TYPE_CHECKING:
    import redis

    from chronoq.compat.rq_scheduler.service import Service


TAKEN = [one for one in GLOBAL if one.name in ("namespace", "no_color")]


class FamiliarCommand(Command):
    """Its options are rq-scheduler's, where `-q` and `-v` say something else than with us."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*click.Command.get_params(self, ctx), *TAKEN]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, options in (("Options", click.Command.get_params(self, ctx)), ("Global options", TAKEN)):
            with formatter.section(title):
                formatter.write_dl([said for one in options if (said := one.get_help_record(ctx))])


@click.command(cls=FamiliarCommand)
@click.option("-b", "--burst", is_flag=True, help="Deliver what is due now, and leave.")
@click.option("-H", "--host", envvar="RQ_REDIS_HOST", default="localhost", help="Redis host.")
@click.option("-p", "--port", envvar="RQ_REDIS_PORT", default=6379, type=int, help="Redis port number.")
@click.option("-d", "--db", envvar="RQ_REDIS_DB", default=0, type=int, help="Redis database.")
@click.option("-P", "--password", envvar="RQ_REDIS_PASSWORD", help="Redis password.")
@click.option("-v", "--verbose", is_flag=True, help="Show more output.")
@click.option("--quiet", is_flag=True, help="Show less output.")
@click.option("-u", "--url", envvar="RQ_REDIS_URL", help="Redis URL, instead of host, port, db and password.")
@click.option("-i", "--interval", default=60.0, help="Taken, but nothing waits for it: no polling.")
@click.option("--path", default=".", help="Import path, parts divided by ':'.")
@click.option("--pid", metavar="FILE", help="Write the process id into this file.")
@click.option("-j", "--job-class", help="Subclass of RQ's Job, by its dotted name.")
@click.option("-q", "--queue-class", help="Subclass of RQ's Queue, by its dotted name.")
@click.option("--serializer", help="As given to `rq worker --serializer`; RQ's default is pickle.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def rqscheduler(
    cli: Cli,
    /,
    burst: bool,
    verbose: bool,
    quiet: bool,
    path: str,
    pid: str | None,
    interval: float,
    job_class: str | None,
    queue_class: str | None,
    serializer: str | None,
    log_format: str,
    **server: Any,
) -> int:
    """Run what `chronoq.compat.rq_scheduler` has scheduled: fire it, and deliver it into RQ's queues.

    The options are those of rq-scheduler's `rqscheduler`. Any number may run.
    """
    try:
        from chronoq.compat.rq_scheduler import Scheduler
        from chronoq.compat.rq_scheduler.service import LOOK
    except ImportError as error:
        raise Misuse(f"RQ is needed for this ({error}). Install it: pip install 'chronoq[rq]'.") from None
    sys.path[:0] = [part for part in path.split(":") if part]
    scheduler = Scheduler(
        connection=_connection(cli, **server),
        interval=interval,
        job_class=job_class,
        queue_class=queue_class,
        serializer=serializer,
        **({"namespace": cli.namespace} if cli.namespace else {}),
    )
    if pid:
        _write(pid)
    logs.configure(log_format, quiet=quiet or cli.quiet, verbose=verbose or cli.verbose, color=cli.color)
    banner("rqscheduler", scheduler.application, f"namespace {scheduler.namespace}")
    if burst:
        scheduler.run(burst=True)
        return 0
    signals = Signals()
    service = persist(lambda: _started(scheduler.service()), signals)
    if service is not None:
        while not signals.wait(LOOK):
            service.tend()
        service.stop()
        log.info("stopped · %d handed over or looked after", service.handed)
    scheduler.close()
    return 0


def _started(service: Service) -> Service:
    service.start()
    return service


def _connection(
    cli: Cli, *, url: str | None, host: str, port: int, db: int, password: str | None
) -> redis.Redis:
    import redis

    if url or cli.url:
        try:
            return redis.Redis.from_url(str(url or cli.url))
        except ValueError as error:
            raise Misuse(f"--url is no address of a Redis server: {error}") from None
    return redis.Redis(host=host, port=port, db=db, password=password)


def _write(pid: str) -> None:
    try:
        Path(pid).write_text(str(os.getpid()), encoding="utf-8")
    except OSError as error:
        raise Misuse(f"--pid {pid}: it cannot be written ({error.strerror}).") from None
