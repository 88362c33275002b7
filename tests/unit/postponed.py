"""Functions whose annotations are texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chronoq import Context

if TYPE_CHECKING:
    from nowhere import Stranger


def send(to: str, subject: str) -> None: ...


def with_context(ctx: Context, name: str) -> None: ...


def with_context_among_strangers(ctx: Context, who: Stranger) -> None: ...
