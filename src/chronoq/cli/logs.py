"""The log of a process: one line a job for people, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

import click

MINTED = re.compile(r"[a-z2-7]{16}")
SHORT = 8
"""A key that chronoq made up is shown by its first characters: `jobs show` finds it by them."""

_JOB = re.compile(r"(?P<mark>[▶✔✖⏾⊘⏱⚠]) (?P<task>[\w.-]+)  (?P<job>\S+)(?:  (?P<rest>.*))?", re.DOTALL)
_EVENTS = {
    "▶": "started",
    "✔": "done",
    "✖": "failed",
    "⏾": "snoozed",
    "⊘": "ended",
    "⏱": "fired",
    "⚠": "warning",
}
_COLORS = {"▶": "blue", "✔": "green", "✖": "red", "⏾": "cyan", "⊘": "yellow", "⏱": "magenta", "⚠": "yellow"}
_WIDEST = 32


class TextFormatter(logging.Formatter):
    """`09:00:00.012 ▶ report  7f3a  late 12ms`: the names of tasks are aligned on the longest seen."""

    def __init__(self, *, colored: bool = False) -> None:
        super().__init__()
        self.colored = colored
        self.width = 12

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone()
        return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} {self._said(record)}"

    def _said(self, record: logging.LogRecord) -> str:
        said = record.getMessage()
        if record.exc_info:
            said += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        found = _JOB.fullmatch(said)
        if found is None:
            return self._marked(said[0], said[1:]) if said[:1] in _COLORS else said
        mark, task, job, rest = found.group("mark", "task", "job", "rest")
        self.width = max(self.width, min(len(task), _WIDEST))
        return self._marked(mark, f" {task:<{self.width}}  {short(job)}" + (f"  {rest}" if rest else ""))

    def _marked(self, mark: str, rest: str) -> str:
        return (click.style(mark, fg=_COLORS[mark], bold=True) if self.colored else mark) + rest


class JsonFormatter(logging.Formatter):
    """An object a line: time (UTC), level, logger, event, message; of a job also task, job and detail."""

    def format(self, record: logging.LogRecord) -> str:
        said = record.getMessage()
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        found = _JOB.fullmatch(said)
        if found:
            fields |= {"event": _EVENTS[found["mark"]], "task": found["task"], "job": found["job"]}
            fields["detail"] = found["rest"] or ""
        else:
            fields["event"] = _EVENTS.get(said[:1], "message")
        fields["message"] = said
        if record.exc_info:
            fields["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(fields, ensure_ascii=False)


def short(key: str) -> str:
    return key[:SHORT] if MINTED.fullmatch(key) else key


def configure(
    form: str = "text", *, quiet: bool = False, verbose: int = 0, color: bool | None = None
) -> None:
    """Send the log of chronoq and of the application to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    colored = color is not False and sys.stderr.isatty()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter(colored=colored))
    handler.setLevel(logging.WARNING if quiet else logging.DEBUG)
    root = logging.getLogger()
    if not root.handlers:  # an application may have its own
        root.addHandler(handler)
        root.setLevel(logging.WARNING if quiet else logging.INFO)
    else:
        ours = logging.getLogger("chronoq")
        ours.addHandler(handler)
        ours.propagate = False
    logging.getLogger("chronoq").setLevel(
        logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
    )
