"""Real child processes for tests: started, listened to, signalled, and always gone in the end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import IO, Literal, Self

Stream = Literal["out", "err"]


def chronoq(*args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Process:
    """`python -m chronoq ARGS`, to be entered with `with`; `cwd` is where `--app` is looked up."""
    return Process(sys.executable, "-m", "chronoq", *args, env=env, cwd=cwd)


def python(*args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Process:
    """`python ARGS` with the interpreter of the tests, to be entered with `with`."""
    return Process(sys.executable, *args, env=env, cwd=cwd)


def freeze(pid: int) -> None:
    """SIGSTOP our own child `pid`; it stands still when this returns."""
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)  # the signal is only sent by now: without this it may run on for a moment


class Process:
    """A child in a process group of its own; leaving the `with` block kills the whole group.

    The environment is ours without `CHRONOQ_*` settings, plus `env`. Both streams are read all the time by
    threads, so a talkative child never blocks on a full pipe.
    """

    def __init__(self, *argv: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("CHRONOQ_")}
        self._argv = argv
        self._env = {**ours, "PYTHONUNBUFFERED": "1", **(env or {})}
        self._cwd = cwd
        self._lines: list[tuple[Stream, str]] = []
        self._open_streams = 0
        self._heard = threading.Condition()
        self._readers: list[threading.Thread] = []
        self._popen: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._popen = popen = subprocess.Popen(
            self._argv,
            env=self._env,
            cwd=self._cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            process_group=0,
        )
        assert popen.stdout is not None
        assert popen.stderr is not None
        self._open_streams = 2
        for stream, pipe in (("out", popen.stdout), ("err", popen.stderr)):
            reader = threading.Thread(target=self._read, args=(stream, pipe), daemon=True)
            reader.start()
            self._readers.append(reader)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError, PermissionError):  # all gone; macOS says it the second way
            os.killpg(self.pid, signal.SIGKILL)  # its own children too: they hold the pipes open
        self._running.wait()
        for reader in self._readers:
            reader.join(timeout=10)

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def alive(self) -> bool:
        return self._running.poll() is None

    @property
    def out(self) -> list[str]:
        """Lines of standard output so far, without their ends."""
        return self._heard_on("out")

    @property
    def err(self) -> list[str]:
        """Lines of standard error so far, without their ends."""
        return self._heard_on("err")

    def wait_line(
        self, pattern: str, *, within: float = 10, times: int = 1, stream: Stream | None = None
    ) -> re.Match[str]:
        """The match in the first line, of all so far, that has `pattern` in it (or the `times`-th such line).

        Looks at both streams unless `stream` says "out" or "err". AssertionError with everything the child
        said when there is none after `within` seconds, or at once when its streams have ended.
        """
        deadline = monotonic() + within
        with self._heard:
            while True:
                found = [
                    match
                    for source, line in self._lines
                    if stream in (None, source) and (match := re.search(pattern, line))
                ]
                if len(found) >= times:
                    return found[times - 1]
                left = deadline - monotonic()
                if left <= 0 or not self._open_streams:
                    why = "its output has ended" if not self._open_streams else f"{within} s have passed"
                    raise AssertionError(f"{pattern!r} seen {len(found)} times, {why}; {self._said()}")
                self._heard.wait(left)

    def wait(self, within: float = 10) -> int:
        """The exit code (negative: the signal that ended it); AssertionError if it runs on after `within` s.

        The output is complete afterwards, unless children of the child still hold its streams.
        """
        deadline = monotonic() + within
        try:
            code = self._running.wait(timeout=within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within} s; {self._said()}") from None
        for reader in self._readers:
            reader.join(timeout=max(0.0, deadline - monotonic()))
        return code

    def sigterm(self) -> None:
        self._running.send_signal(signal.SIGTERM)

    def sigint(self) -> None:
        self._running.send_signal(signal.SIGINT)

    def sigkill(self) -> None:
        """Kill the child, not its own children; it is reaped when this returns."""
        self._running.send_signal(signal.SIGKILL)
        self._running.wait()

    def sigstop(self) -> None:
        """Stop the child; it stands still when this returns."""
        freeze(self.pid)

    def sigcont(self) -> None:
        self._running.send_signal(signal.SIGCONT)

    @property
    def _running(self) -> subprocess.Popen[str]:
        assert self._popen is not None, "enter it first: `with chronoq(...) as process:`"
        return self._popen

    def _read(self, stream: Stream, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                with self._heard:
                    self._lines.append((stream, line.rstrip("\n")))
                    self._heard.notify_all()
        with self._heard:
            self._open_streams -= 1
            self._heard.notify_all()

    def _heard_on(self, wanted: Stream) -> list[str]:
        with self._heard:
            return [line for stream, line in self._lines if stream == wanted]

    def _said(self) -> str:
        said = "\n".join(f"{stream}| {line}" for stream, line in list(self._lines)) or "(nothing)"
        return f"{' '.join(self._argv)} said:\n{said}"
