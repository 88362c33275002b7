"""What all commands share: the global options before and after the subcommand, groups that load lazily."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from chronoq.api.scheduler import Scheduler
    from chronoq.cli.out import Out
    from chronoq.domain.ports import Backend

OK, FAILURE, USAGE, UNREACHABLE, NOT_FOUND = range(5)
"""Exit codes."""


class Failed(click.ClickException):
    """A command could not do what was asked; the message says why."""

    exit_code = FAILURE


class Misuse(Failed):
    """The command was given something that it cannot take; the message says what to give instead."""

    exit_code = USAGE


class NotFound(Failed):
    """What was named does not exist."""

    exit_code = NOT_FOUND


class Cli:
    """The global options as they were given, and what is made of them."""

    def __init__(self) -> None:
        self.app_path: str | None = None
        self.factory = False
        self.url: str | None = None
        self.namespace: str | None = None
        self.output = "table"
        self.no_color = False
        self.quiet = False
        self.verbose = 0

    @property
    def path(self) -> str | None:
        """Where the application is: `--app`, else CHRONOQ_APP."""
        return self.app_path or os.environ.get("CHRONOQ_APP") or None

    @property
    def color(self) -> bool | None:
        """False: never; None: on a terminal."""
        return False if self.no_color or os.environ.get("NO_COLOR") else None

    @property
    def out(self) -> Out:
        from chronoq.cli.out import Out

        return Out(self.output, color=self.color, quiet=self.quiet)

    def app(self, **flags: Any) -> Scheduler:
        """The application of `--app`, or a bare one that takes any queue, under the settings of the flags."""
        if self.path:
            from chronoq.cli.load import load

            app = load(self.path, factory=self.factory)
        else:
            from chronoq.api.scheduler import Scheduler

            app = Scheduler(allow_dynamic_queues=True)
        app.reconfigure(url=self.url, namespace=self.namespace, **flags)
        from chronoq.config import mistyped

        for said in mistyped(os.environ):
            say(f"⚠ {said}", color=self.color)
        return app

    def shared(self, app: Scheduler) -> Backend:
        """The backend, which other processes see too. Errors: `Misuse`, when it is private to a process."""
        self.refuse_private(app)
        return app.backend

    def refuse_private(self, app: Scheduler, instead: str = "") -> None:
        url = app.configured.settings.url
        if url.startswith("memory:"):
            from chronoq.container import schemes

            shared = ", ".join(f"{name}://" for name in schemes() if name != "memory")
            raise Misuse(
                f"{url} is private to each process, so there is nothing to share with others. "
                f"{instead}Give --url or set CHRONOQ_URL: {shared}."
            )


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value:
        setattr(context.find_object(Cli), str(option.name), value)


def _global(*names: str, **options: Any) -> click.Option:
    return click.Option(names, callback=_keep, expose_value=False, **options)


GLOBAL = [
    _global("--app", "app_path", metavar="MODULE:ATTR", help="The Scheduler to use, or CHRONOQ_APP."),
    _global("--factory", is_flag=True, help="--app names a function that makes the Scheduler."),
    _global("--url", metavar="URL", help="Backend, or CHRONOQ_URL."),
    _global("--namespace", metavar="NAME", help="First part of every stored key."),
    _global("-o", "--output", type=click.Choice(["table", "json", "jsonl"]), help="Form of the output."),
    _global("--no-color", is_flag=True, help="Plain text, also on a terminal."),
    _global("-q", "--quiet", is_flag=True, help="Only warnings and results."),
    _global("-v", "--verbose", count=True, help="More; -vv also shows tracebacks."),
]


class Command(click.Command):
    """A command that takes the global options too."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *GLOBAL]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own = _records(super().get_params(ctx), ctx)
        if own:
            with formatter.section("Options"):
                formatter.write_dl(own)
        if ctx.parent is None:
            with formatter.section("Global options, before or after the command"):
                formatter.write_dl(_records(GLOBAL, ctx))
        elif not isinstance(self, click.Group):
            shown = "--app --factory --url --namespace -o --no-color -q -v"
            with formatter.section("Global options"):
                formatter.write_text(f"{shown}; see '{ctx.find_root().command_path} --help'.")


def _records(params: Sequence[click.Parameter], ctx: click.Context) -> list[tuple[str, str]]:
    options = [one for one in params if isinstance(one, click.Option)]
    return [record for one in options if (record := one.get_help_record(ctx))]


class Group(Command, click.Group):
    """A group; the commands in `lazy`, name to place and help, are imported when they are called."""

    command_class = Command

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.lazy:
            module, _, attribute = self.lazy[cmd_name][0].partition(":")
            command: click.Command = getattr(import_module(f"chronoq.cli.{module}"), attribute)
            return command
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            from chronoq.domain.errors import near

            names = self.list_commands(ctx)
            ctx.fail(f"No command {name!r}. Commands: {', '.join(names)}.{near(name, names)}")
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        Command.format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            rows = [(name, said) for name, (_, said) in self.lazy.items()]
            rows += [(name, one.get_short_help_str(90)) for name, one in self.commands.items()]
            formatter.write_dl(rows)


def say(text: str, *, color: bool | None = None) -> None:
    """A line for people, on standard error."""
    click.echo(text, err=True, color=color)


def agreed(what: str, *, yes: bool, dry_run: bool) -> bool:
    """Whether to go on with something that cannot be taken back: says `what`, and asks."""
    if dry_run:
        say(f"Would {what}. Nothing was changed.")
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        raise Misuse(f"This would {what}, and there is no terminal to ask on. Add --yes, or --dry-run.")
    if click.confirm(f"This will {what}. Go on?", err=True):
        return True
    raise Failed("Nothing was changed.")
