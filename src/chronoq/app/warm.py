"""A child process as the worker sees it: it is asked, heard, looked at and killed."""

import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from chronoq.app.child import BEGUN, MAY, Message, receive, send, words_in

MOMENT = 0.001
"""Seconds in which what one process has written to shared memory has long reached another. A child writes that it
begins, and looks then whether it may; we write that it may not, and look then what it has written."""


class Fallen(Exception):
    """The child has ended in the middle of its work; the message says how."""


class Warm:
    """A child process that has imported `modules` and waits for calls. Errors: `Fallen`, when it never comes so far."""

    def __init__(self, modules: Iterable[str]) -> None:
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        with tempfile.TemporaryFile() as shared:
            shared.truncate(mmap.PAGESIZE)
            theirs = (theirs_in, theirs_out, shared.fileno())
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "chronoq.app.child", *map(str, theirs)],
                stdin=subprocess.DEVNULL,
                pass_fds=theirs,
                process_group=0,  # Ctrl-C is for the worker
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            self.words = words_in(shared.fileno())
        os.close(theirs_in)
        os.close(theirs_out)
        self.replies, self.requests = os.fdopen(ours_in, "rb", buffering=0), os.fdopen(ours_out, "wb")
        self.poll = select.poll()  # a `select` takes no file of a number beyond 1,023
        self.poll.register(self.replies, select.POLLIN)
        send(self.requests, (tuple(sys.path), tuple(modules)))
        while self.hear(1) is None:
            pass

    @property
    def begun(self) -> int:
        """How many calls it has begun of those that it was asked last."""
        return self.words[BEGUN]

    @property
    def resident(self) -> int:
        """Bytes of memory that it holds; 0 where the system does not tell."""
        with suppress(OSError):
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
            return pages * mmap.PAGESIZE
        return 0

    def permit(self, many: int) -> None:
        """So many calls come next, and it may begin them. It is through with those before."""
        self.words[BEGUN], self.words[MAY] = 0, many

    def stay(self) -> int:
        """Let it begin nothing more. How many it has begun; the last of those it may have left, and then says so."""
        self.words[MAY] = 0
        time.sleep(MOMENT)
        return self.begun

    def ask(self, calls: Sequence[Message]) -> None:
        """Errors: `Fallen`."""
        try:
            send(self.requests, tuple(calls))
        except OSError:
            raise Fallen(self.end()) from None

    def hear(self, seconds: float) -> Message | None:
        """What it says within so many seconds. Errors: `Fallen`."""
        if not self.poll.poll(1000 * seconds):
            return None
        try:
            return receive(self.replies)
        except (EOFError, OSError):
            raise Fallen(self.end()) from None

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()

    def kill_at(self, number: int) -> bool:
        """Kill it while it is at that call. False: it is further on, or gone."""
        with suppress(ProcessLookupError, ChildProcessError):
            self.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if self.begun == number + 1:
                self.kill()
                return True
            self.process.send_signal(signal.SIGCONT)
        return False

    def end(self) -> str:
        """Make sure that it is gone; how it ended."""
        try:
            code = self.process.wait(1)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self.process.wait()
        for end in (self.requests, self.replies):
            with suppress(OSError, ValueError):
                end.close()
        if code >= 0:
            return f"its process ended with exit code {code}"
        with suppress(ValueError):
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process was ended by signal {-code}"
