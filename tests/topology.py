"""Groups of real servers for tests: a primary with replicas and sentinels, and a cluster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic
from types import TracebackType
from typing import Any, Self

from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot

from tests.servers import Server, eventually, free_port

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

    def __init__(self, kind: str, watches: int, silence: int, *options: str) -> None:
        super().__init__(kind, tcp=True)
        lines = (
            f"sentinel monitor mymaster 127.0.0.1 {watches} 2",
            f"sentinel down-after-milliseconds mymaster {silence}",
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
        silence: int = QUICK,
    ) -> None:
        super().__init__()
        self._kind = kind
        self._replicas = replicas
        self._password = password
        self._outer = outer
        self._silence = silence
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
            self._stack.enter_context(Sentinel(self._kind, first.port, self._silence, *self._watch))
            for _ in range(3)
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

    def fail_over(self) -> float:
        """Kill the primary; when this returns there is another, and the old one follows it. When it was killed."""
        victim = self.primary()
        fell = monotonic()
        victim.kill()
        primary = self.await_another(victim, 60)
        # not as a primary with nothing in it, which sentinels could choose again
        victim.restart("--replicaof", "127.0.0.1", str(primary.port))
        eventually(lambda: b"state=online" in _replication(primary), 60)
        return fell

    def _knows_all(self, sentinel: Server) -> bool:
        ask: Callable[..., Any] = sentinel.client(password=self._outer).execute_command
        return (
            len(ask("SENTINEL", "SENTINELS", "mymaster")) == 2
            and len(ask("SENTINEL", "REPLICAS", "mymaster")) == self._replicas
        )


class Node(Server):
    """A node of a cluster, whose bus has the port 10,000 above its own; it has no name but its address."""

    def __init__(self, kind: str, *options: str) -> None:
        super().__init__(kind, *options, tcp=True)

    def _new_port(self) -> int:
        return next(port for port in iter(free_port, 0) if port < 55_536)


class Nodes(_Group):
    """A cluster of `masters` masters, each with so many `replicas`; the slots are spread evenly."""

    def __init__(self, kind: str = "valkey-9.1", *options: str, masters: int = 3, replicas: int = 0) -> None:
        super().__init__()
        self._kind = kind
        self._options = options
        self._masters = masters
        self._replicas = replicas
        self.servers: list[Server] = []

    def _start(self) -> None:
        for _ in range(self._masters * (1 + self._replicas)):
            self._node(*self._options)
        first, *others = self.servers
        masters = self.servers[: self._masters]
        for number, master in enumerate(masters):
            ask(master, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            slots = range(SLOTS * number // len(masters), SLOTS * (number + 1) // len(masters))
            ask(master, "CLUSTER", "ADDSLOTS", *slots)
        for other in others:
            ask(other, "CLUSTER", "MEET", "127.0.0.1", first.port)
        eventually(lambda: all(self._sees_all(server) for server in self.servers), 30)
        for number, replica in enumerate(self.servers[self._masters :]):
            ask(replica, "CLUSTER", "REPLICATE", self.id(masters[number % self._masters]))
        eventually(lambda: all(self._is_whole(server) for server in self.servers), 30)

    def _node(self, *options: str) -> Server:
        ours = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(QUICK * 2)]
        ours += ["--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0"]
        self.servers.append(self._stack.enter_context(Node(self._kind, *ours, *options)))
        return self.servers[-1]

    def add(self, *options: str) -> Server:
        """One more master, which serves no slot yet."""
        added = self._node(*options)
        ask(added, "CLUSTER", "MEET", "127.0.0.1", self.servers[0].port)
        eventually(lambda: all(self._sees_all(server) for server in self.servers), 30)
        eventually(lambda: b"cluster_state:ok" in ask(added, "CLUSTER", "INFO"), 30)
        return added

    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{server.port}' for server in self.servers)}"

    def flush(self) -> None:
        for server in self.masters():
            server.client().flushall()

    def masters(self) -> list[Server]:
        return [
            server for server in self.servers if server.running and server.client().role()[0] == b"master"
        ]

    def id(self, server: Server) -> str:
        found: bytes = ask(server, "CLUSTER", "MYID")
        return found.decode()

    def owner(self, key: str) -> Server:
        """The node that serves the key's slot, as a living node sees it."""
        return self.owner_of(key_slot(key.encode()))

    def owner_of(self, slot: int) -> Server:
        tellers = [server for server in self.servers if server.running]
        ports = [self._owner_seen_by(server, slot) for server in tellers]
        found = max(set(ports), key=ports.count)
        return next(server for server in self.servers if server.port == found)

    def begin_move(self, slot: int, to: Server) -> Server:
        """Declare that the slot is on its way; returns whose it was."""
        source = self.owner_of(slot)
        ask(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.id(source))
        ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.id(to))
        return source

    def carry(self, slot: int, source: Server, to: Server, *, at_once: int = 50) -> bool:
        """Move some keys of the slot. False: there was none left."""
        keys = ask(source, "CLUSTER", "GETKEYSINSLOT", slot, at_once)
        if keys:
            ask(source, "MIGRATE", "127.0.0.1", to.port, "", 0, 10_000, "KEYS", *keys)
        return bool(keys)

    def end_move(self, slot: int, source: Server, to: Server) -> None:
        for server in (to, source, *(other for other in self.masters() if other not in (to, source))):
            ask(server, "CLUSTER", "SETSLOT", slot, "NODE", self.id(to))

    def move(self, slot: int, to: Server) -> int:
        """Move a slot with its keys, the way that all servers know; returns in how many steps."""
        source = self.begin_move(slot, to)
        steps = 0
        while self.carry(slot, source, to):
            steps += 1
        self.end_move(slot, source, to)
        return steps

    def migrate(self, slot: int, to: Server) -> None:
        """Move a slot with its keys at once, which Valkey can since version 9."""
        source = self.owner_of(slot)
        ask(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", self.id(to))
        eventually(lambda: all(self._owner_seen_by(server, slot) == to.port for server in self.servers), 30)

    def fail_over(self, slot: int) -> float:
        """Kill the master of that slot; when this returns its replica has taken over, and the old one follows.
        When it was killed."""
        victim = self.owner_of(slot)
        fell = monotonic()
        victim.kill()
        eventually(lambda: self.owner_of(slot) is not victim, 60)
        victim.start()
        eventually(lambda: all(self._is_whole(server) for server in self.servers), 60)
        return fell

    def _owner_seen_by(self, teller: Server, slot: int) -> int:
        rows = ask(teller, "CLUSTER", "SLOTS")
        return next((row[2][1] for row in rows if row[0] <= slot <= row[1]), 0)

    def _sees_all(self, server: Server) -> bool:
        nodes = ask(server, "CLUSTER", "NODES").decode()
        return len(nodes.splitlines()) == len(self.servers) and "handshake" not in nodes

    def _is_whole(self, server: Server) -> bool:
        if b"cluster_state:ok" not in ask(server, "CLUSTER", "INFO"):
            return False
        rows = ask(server, "CLUSTER", "SLOTS")
        whole = sum(high - low + 1 for low, high, *_ in rows) == SLOTS
        followed = all(len(rest) == 1 + self._replicas for _, _, *rest in rows)
        role = server.client().role()
        return whole and followed and (role[0] == b"master" or role[3] == b"connected")


def _replication(server: Server) -> bytes:
    found: bytes = ask(server, "INFO", "replication")
    return found


def ask(server: Server, *words: Any) -> Any:
    """The raw reply."""
    with server.client(protocol=2) as client:
        connection = client.connection_pool.get_connection()
        try:
            connection.send_command(*words)
            return connection.read_response()
        finally:
            client.connection_pool.release(connection)
