"""`worker --processes N`: the same command N times over, each one begun anew when it falls."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from time import monotonic

from attrs import define, field

from chronoq.cli.base import FAILURE, OK, USAGE
from chronoq.cli.process import Signals
from chronoq.domain.time import brief, duration

log = logging.getLogger("chronoq.cli")

CHILD = "CHRONOQ_WORKER_CHILD"
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
STEADY = 10.0
"""Seconds after which a process counts as having started well."""


@define
class Post:
    """One of the N places, and the process that holds it."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    again: float = 0.0
    pause: float = FIRST_PAUSE
    codes: list[int] = field(factory=list)

    def fill(self) -> None:
        # a group of its own: Ctrl-C reaches it through us, once
        self.process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", "chronoq", *sys.argv[1:]],
            env={**os.environ, CHILD: str(self.number)},
            process_group=0,
        )
        self.started = monotonic()

    def look(self) -> int | None:
        """The exit code of a process that has just ended."""
        code = self.process.poll() if self.process else None
        if code is not None:
            self.process = None
            self.codes.append(code)
            self.pause = FIRST_PAUSE if monotonic() - self.started > STEADY else self.pause * 2
            self.again = monotonic() + min(self.pause, LONGEST_PAUSE)
        return code


def supervised() -> bool:
    """Whether this process is one of the N."""
    return CHILD in os.environ


def supervise(count: int) -> int:
    """Keep `count` workers running until a signal, or until all have left by themselves; the exit code."""
    signals = Signals(last=lambda: _send(posts, signal.SIGKILL))
    posts = [Post(number) for number in range(1, count + 1)]
    for post in posts:
        post.fill()
    while not signals.wait(0.05):
        for post in posts:
            code = post.look()
            if code == USAGE:  # the same mistake in all of them
                _send(posts, signal.SIGTERM)
                return code
            if code:
                rest = duration(post.again - monotonic())
                log.warning(
                    "⚠ worker process %d %s; begun anew in %s", post.number, ended_by(code), brief(rest)
                )
            if post.process is None and post.codes[-1] != OK and monotonic() >= post.again:
                post.fill()
        if all(post.process is None and post.codes[-1] == OK for post in posts):
            return OK
    _send(posts, signal.SIGTERM)
    codes = [post.process.wait() for post in posts if post.process]
    return FAILURE if any(codes) else OK


def ended_by(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _send(posts: list[Post], number: signal.Signals) -> None:
    for post in posts:
        if post.process and post.process.poll() is None:
            post.process.send_signal(number)
