"""Bells: how a commit in one process wakes those who wait in others, without anybody looking again and again.

Who waits has a datagram socket in a folder beside the file, named for the kind of hint that it waits for; who
commits such a hint sends a datagram to each. A bell that was not heard costs a poll, never a job.
"""

import os
import secrets
import select
import socket
from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from time import time_ns
from typing import Self

from attrs import define, field

from chronoq.adapters.sqlite.forks import guard

_LONGEST = 100
"""A socket's path may have 107 bytes; below /proc it gets short."""

_SETTLED = 50_000_000
"""A folder that has not changed for so many nanoseconds would show a new time if it changed again."""


@define(eq=False)
class Bell:
    """One socket, for one who waits at a time."""

    socket: socket.socket
    path: Path

    def wait(self, seconds: float) -> bool:
        """Whether it rang; at once when it has rung since it was last quiet."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(max(0, seconds * 1000)))

    def hush(self) -> None:
        """Forget that it rang."""
        with suppress(OSError):
            while self.socket.recv(16):
                pass

    def close(self) -> None:
        self.socket.close()
        with suppress(OSError):
            self.path.unlink()


@define(eq=False)
class Bells:
    """The bells in `folder`: ours, by kind, and those of others."""

    folder: Path
    _idle: dict[str, list[Bell]] = field(factory=lambda: defaultdict(list))
    _ours: list[Bell] = field(factory=list)
    _sender: socket.socket | None = None
    _pid: int = 0
    _seen: int = -1
    _names: dict[str, list[str]] = field(factory=dict)
    _guard: Lock = field(factory=guard)
    _place: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._place = str(self.folder)
        self._pid = os.getpid()

    @contextmanager
    def listening(self, kind: str) -> Iterator[Bell | None]:
        """A bell for that kind, quiet at first; None where there can be none."""
        bell = self._take(kind)
        try:
            yield bell
        finally:
            if bell is not None:
                with self._guard:
                    self._idle[kind].append(bell)

    def ring(self, kinds: AbstractSet[str]) -> None:
        """Wake all who wait for one of `kinds`. Never fails: it is only a hint."""
        if not os.access(self._place, os.F_OK):  # nobody waits; to ask is cheaper than to be refused
            return
        with self._guard, suppress(OSError):
            self._own()
            for kind in kinds:
                for name in self._listed(kind):
                    self._send(name)

    def close(self) -> None:
        with self._guard:
            if self._pid == os.getpid():
                for bell in self._ours:
                    bell.close()
            self._ours.clear()
            self._idle.clear()
            if self._sender is not None:
                self._sender.close()
                self._sender = None
            with suppress(OSError):
                self.folder.rmdir()  # the last one turns off the light

    def _take(self, kind: str) -> Bell | None:
        with self._guard:
            self._own()
            if self._idle[kind]:
                bell = self._idle[kind].pop()
                bell.hush()
                if bell.path.exists():
                    return bell
                bell.close()
                self._ours.remove(bell)
            try:
                return self._new(kind)
            except OSError:
                return None

    def _new(self, kind: str) -> Bell:
        self.folder.mkdir(exist_ok=True)
        name = f"{os.getpid()}-{secrets.token_hex(4)}.{kind}"
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            ear.setblocking(False)
            with self._short(name) as address:
                ear.bind(address)
        except BaseException:
            ear.close()
            raise
        bell = Bell(ear, self.folder / name)
        self._ours.append(bell)
        return bell

    def _own(self) -> None:
        """In a forked child: forget what is our parent's."""
        if self._pid != os.getpid():
            for bell in self._ours:
                bell.socket.close()
            self._ours, self._idle, self._pid = [], defaultdict(list), os.getpid()

    def _listed(self, kind: str) -> list[str]:
        """The bells of that kind that are there."""
        changed = os.stat(self._place).st_mtime_ns
        if changed != self._seen:
            fresh = time_ns() - changed < _SETTLED
            names = defaultdict(list)
            for name in os.listdir(self.folder):
                names[name.rpartition(".")[2]].append(name)
            self._names, self._seen = names, -1 if fresh else changed
        return self._names.get(kind, [])

    def _send(self, name: str) -> None:
        if self._sender is None:
            self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._sender.setblocking(False)
        try:
            with self._short(name) as address:
                self._sender.sendto(b"!", address)
        except ConnectionRefusedError:  # its process was killed
            (self.folder / name).unlink(missing_ok=True)
        except OSError:
            pass  # full: it has rung already; or gone in the meantime

    @contextmanager
    def _short(self, name: str) -> Iterator[str]:
        """An address for the socket that the system takes, however deep the folder is."""
        path = str(self.folder / name)
        if len(os.fsencode(path)) <= _LONGEST:
            yield path
            return
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{handle}/{name}"
        finally:
            os.close(handle)

    @classmethod
    def beside(cls, path: Path) -> Self:
        return cls(path.with_name(f"{path.name}-wake"))
