"""Groups of real servers for tests: a primary with replicas and sentinels, and a cluster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from tests.servers import Server, eventually

QUICK = 800
"""Milliseconds of silence after which the others take a server for dead. A busy machine needs some."""


class _Group:
    """Leaving the `with` block ends all its servers."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self._stack.close)
            self._start()
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        raise NotImplementedError

    def _server(self, kind: str, *options: str, **more: Any) -> Server:
        return self._stack.enter_context(Server(kind, *options, tcp=True, **more))


class Sentinel(Server):
    """Watches over the primary "mymaster" on that port; two of three have to agree that it is dead."""

    def __init__(self, kind: str, watches: int, *options: str) -> None:
        super().__init__(kind, tcp=True)
        lines = (
            f"sentinel monitor mymaster 127.0.0.1 {watches} 2",
            f"sentinel down-after-milliseconds mymaster {QUICK}",
            "sentinel failover-timeout mymaster 3000",
            *options,
        )
        (self.folder / "conf").write_text("\n".join(lines) + "\n")

    def _arguments(self) -> list[str]:
        place = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder))
        return [str(self.folder / "conf"), "--sentinel", *place]


class Watched(_Group):
    """A primary named "mymaster", its replicas, and three sentinels which watch over them.

    `password` is that of the servers, `outer` that of the sentinels.
    """

    def __init__(
        self,
        kind: str = "valkey-9.1",
        *,
        replicas: int = 1,
        password: str | None = None,
        outer: str | None = None,
    ) -> None:
        super().__init__()
        self._kind = kind
        self._replicas = replicas
        self._password = password
        self._outer = outer
        self._options: list[str] = ["--repl-diskless-sync-delay", "0"]
        self._watch: list[str] = []
        if password:
            self._options += ["--requirepass", password, "--masterauth", password]
            self._watch += [f"sentinel auth-pass mymaster {password}"]
        if outer:
            self._watch += [f"requirepass {outer}", f"sentinel sentinel-pass {outer}"]
        self.servers: list[Server] = []
        self.sentinels: list[Server] = []

    def _start(self) -> None:
        first = self._server(self._kind, *self._options)
        self.servers = [first]
        for _ in range(self._replicas):
            of_first = ("--replicaof", "127.0.0.1", str(first.port))
            self.servers.append(self._server(self._kind, *of_first, *self._options))
        for replica in self.servers[1:]:
            client = replica.client(password=self._password)
            eventually(lambda: client.info("replication")["master_link_status"] == "up", 30)  # noqa: B023
        self.sentinels = [
            self._stack.enter_context(Sentinel(self._kind, first.port, *self._watch)) for _ in range(3)
        ]
        for sentinel in self.sentinels:
            eventually(lambda: self._knows_all(sentinel), 20)  # noqa: B023

    def url(self, db: int = 0) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/mymaster/{db}"

    def primary(self) -> Server:
        """The server that the first living sentinel names."""
        for sentinel in self.sentinels:
            if sentinel.running:
                told = sentinel.client().execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")
                return next(server for server in self.servers if server.port == int(told[1]))
        raise AssertionError("no sentinel is alive")

    def await_another(self, than: Server, within: float = 30) -> Server:
        """The new primary, once it answers as one."""

        def promoted() -> Server | None:
            now = self.primary()
            return now if now is not than and now.client().role()[0] == b"master" else None

        found = eventually(promoted, within)
        assert found is not None
        return found

    def _knows_all(self, sentinel: Server) -> bool:
        ask: Callable[..., Any] = sentinel.client(password=self._outer).execute_command
        return (
            len(ask("SENTINEL", "SENTINELS", "mymaster")) == 2
            and len(ask("SENTINEL", "REPLICAS", "mymaster")) == self._replicas
        )
