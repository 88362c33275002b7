"""Where a scenario plays: a server, perhaps a proxy, fleets of processes, and the ledger."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Any

from attrs import evolve

from chronoq import Scheduler
from chronoq.domain.ports import Backend
from tests.chaos import roles
from tests.chaos.checker import at_rest, counts
from tests.chaos.fleet import Fleet
from tests.chaos.ledger import Ledger, What
from tests.chaos.proxy import Proxy
from tests.chaos.roles import Plan
from tests.chaos.witness import Witness
from tests.servers import Server
from tests.topology import Nodes, Watched

SHORT = {"lease": "2s", "lock_ttl": "1s"}
"""Settings for runs that are not about the defaults."""


class Stage:
    """Entered through `on_stage`; everything ends with it. The application connects straight to the server."""

    def __init__(self, folder: Path, seed: str, stack: ExitStack) -> None:
        self.folder = folder
        self.seed = seed
        self.rng = random.Random(seed)
        self.stack = stack
        self.ledger = Ledger(folder / "ledger")
        self.proxy: Proxy | None = None
        self.group: Watched | Nodes | None = None
        self.rearranging = Lock()
        """Held by whoever kills or moves part of the group: one at a time."""
        self.torn: list[tuple[float, float]] = []
        """When the store could forget what it had answered, by the durability that was asked for."""
        self.workers: Fleet | None = None
        self.schedulers: Fleet | None = None
        self.producers: Fleet | None = None
        self._app: Scheduler | None = None

    def serve(
        self, *options: str, kind: str = "valkey-9.1", server: type[Server] = Server, **given: Any
    ) -> Server:
        self.server = self.stack.enter_context(server(kind, *options, tcp=True, **given))
        return self.server

    def watch(self) -> None:
        """Notice what the server forgets when it falls."""
        self.stack.enter_context(Witness(self.server, self.torn))

    def join(self, group: Watched | Nodes) -> None:
        """Play on several servers instead of one."""
        self.group = self.stack.enter_context(group)

    @property
    def url(self) -> str:
        return self.group.url() if self.group else self.server.url()

    def intercept(self, **options: Any) -> Proxy:
        """From now on `plan` leads through a proxy."""
        rng = random.Random(f"{self.seed}-proxy")
        self.proxy = self.stack.enter_context(Proxy(self.server.port, seed=rng.randrange(1 << 30), **options))
        return self.proxy

    def plan(self, **given: Any) -> Plan:
        url = self.url if self.proxy is None else f"redis://127.0.0.1:{self.proxy.port}/0"
        plan = Plan(url, self.folder, {**SHORT, "concurrency": 4})
        settings = {**plan.settings, **given.pop("settings", {})}
        return evolve(plan, settings=settings, **given)

    def fleet(self, role: Callable[[Plan], None], size: int, *plans: Plan) -> Fleet:
        return self.stack.enter_context(Fleet(role, plans, size))

    def work(self, size: int, *plans: Plan) -> Fleet:
        self.workers = self.fleet(roles.work, size, *plans)
        return self.workers

    def tick(self, size: int, *plans: Plan) -> Fleet:
        self.schedulers = self.fleet(roles.tick, size, *plans)
        return self.schedulers

    def produce(self, size: int, *plans: Plan) -> Fleet:
        self.producers = self.fleet(roles.produce, size, *plans)
        return self.producers

    @property
    def app(self) -> Scheduler:
        """What the suite itself asks with; never through the proxy."""
        if self._app is None:
            plan = Plan(self.url, self.folder)
            self._app = roles.application(plan)
            self.stack.callback(self._app.close)
        return self._app

    @property
    def backend(self) -> Backend:
        return self.app.backend

    def until(self, true: Callable[[], bool], within: float, every: float = 0.1) -> bool:
        """Whether it became true in time."""
        deadline = monotonic() + within
        while not true():
            if monotonic() > deadline:
                return False
            sleep(every)
        return True

    def ended(self) -> int:
        self.ledger.refresh()
        return self.ledger.count(What.ENDED) + self.ledger.count(What.TICKED)

    def drain(self, within: float = 120) -> bool:
        """No more submissions; whether all that was accepted has ended in time."""
        if self.producers:
            self.producers.leave()
        (self.folder / "over").touch()
        if self.producers:
            children = self.producers.children
            if not self.until(lambda: not any(child.is_alive() for child in children), within):
                return False
        return self.until(lambda: at_rest(counts(self.backend)), within)

    @property
    def said(self) -> str:
        """What the processes have said when something went wrong."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("said-*")))


@contextmanager
def on_stage(name: str, seed: int) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="cq-chaos-") as folder, ExitStack() as stack:
        yield Stage(Path(folder), f"{seed}-{name}", stack)
