"""What is done to the processes and the server while they work; each kind in a thread of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING

from attrs import define, field
from redis.crc import key_slot
from redis.exceptions import RedisError

from tests.chaos.roles import QUEUE
from tests.topology import Nodes

if TYPE_CHECKING:
    from tests.chaos.stage import Stage

SLOT = key_slot(QUEUE.encode())

LAG = 1.0
"""Seconds that a replica may be behind when its primary falls."""


@define(eq=False)
class Fault:
    """Strikes again and again after a pause between `least` and `most` seconds; `times` at least."""

    least: float
    most: float
    times: int = 0
    at: list[tuple[int, float]] = field(factory=list, init=False)
    """Whom it has struck (0: the server), and when."""
    name = "fault"

    def strike(self, stage: Stage, rng: random.Random) -> None:
        raise NotImplementedError

    def heal(self, stage: Stage) -> None:
        """Undo what has not been undone."""


class Kill(Fault):
    """SIGKILL of a worker that has begun to work: one that has nothing in hand proves nothing."""

    name = "SIGKILL"

    def strike(self, stage: Stage, rng: random.Random) -> None:
        assert stage.workers
        busy = [pid for pid in stage.workers.pids if stage.ledger.knows(pid)]
        if busy:
            pid = rng.choice(busy)
            self.at.append((pid, monotonic()))
            stage.workers.kill(pid)


@define(eq=False)
class KillScheduler(Fault):
    """SIGKILL of a scheduler."""

    name = "SIGKILL"

    def strike(self, stage: Stage, rng: random.Random) -> None:
        if stage.schedulers and (pid := stage.schedulers.pick(rng)):
            self.at.append((pid, monotonic()))
            stage.schedulers.kill(pid)


@define(eq=False)
class Freeze(Fault):
    """SIGSTOP of half of a fleet for longer than its lease or lock, then SIGCONT."""

    length: float = 3.0
    whom: str = "workers"
    name = "SIGSTOP"

    def strike(self, stage: Stage, rng: random.Random) -> None:
        fleet = getattr(stage, self.whom)
        pids = fleet.pids
        rng.shuffle(pids)
        stopped = [pid for pid in pids[: max(1, len(pids) // 2)] if fleet.stop(pid)]
        self.at += [(pid, monotonic()) for pid in stopped]
        sleep(self.length)
        for pid in stopped:
            fleet.go_on(pid)


class KillServer(Fault):
    """SIGKILL of the server, and a start from what its disk has."""

    name = "server SIGKILL"

    def strike(self, stage: Stage, rng: random.Random) -> None:
        self.at.append((0, monotonic()))
        stage.server.kill()
        stage.server.start()


@define(eq=False)
class FailOver(Fault):
    """SIGKILL of the primary, or of the master that serves the queue; a replica takes over, and is replicated.

    It counts from then on: how long servers take to agree on another primary is theirs to say.
    """

    durable: bool = True
    """Whether no acknowledgement may be forgotten; replication by itself may forget the last ones."""
    name = "failover"

    def strike(self, stage: Stage, rng: random.Random) -> None:
        group = stage.group
        assert group
        with stage.rearranging:
            fell = group.fail_over(SLOT) if isinstance(group, Nodes) else group.fail_over()
        self.at.append((0, monotonic()))
        if not self.durable:
            stage.torn.append((fell - LAG, monotonic()))


class MoveSlot(Fault):
    """The queue's slot goes to another master, key by key, while all go on."""

    name = "slot moved"

    def strike(self, stage: Stage, rng: random.Random) -> None:
        nodes = stage.group
        assert isinstance(nodes, Nodes)
        with stage.rearranging:
            owner = nodes.owner_of(SLOT)
            self.at.append((0, monotonic()))
            nodes.move(SLOT, rng.choice([one for one in nodes.masters() if one is not owner]))


class FlushScripts(Fault):
    """SCRIPT FLUSH."""

    name = "SCRIPT FLUSH"

    def strike(self, stage: Stage, rng: random.Random) -> None:
        with suppress(RedisError, OSError), stage.server.client(socket_timeout=2) as client:
            client.script_flush()
            self.at.append((0, monotonic()))


class Wire(Fault):
    """The proxy does harm to a reply, then to none for so long."""

    name = "reply harmed"

    def strike(self, stage: Stage, rng: random.Random) -> None:
        assert stage.proxy
        stage.proxy.pace = rng.uniform(self.least, self.most)
        stage.proxy.armed = True
        self.at = [(0, at) for at in stage.proxy.at]

    def heal(self, stage: Stage) -> None:
        assert stage.proxy
        stage.proxy.armed = False
        self.at = [(0, at) for at in stage.proxy.at]


@contextmanager
def at_work(stage: Stage, faults: list[Fault]) -> Iterator[None]:
    """All of them, until the block is left; then all is well again."""
    over = Event()
    broken: list[BaseException] = []

    def go_on(fault: Fault, rng: random.Random) -> None:
        try:
            while not over.wait(rng.uniform(fault.least, fault.most)):
                fault.strike(stage, rng)
        except BaseException as error:
            broken.append(error)

    threads = [
        Thread(target=go_on, args=(fault, random.Random(f"{stage.seed}-{fault.name}-{place}")), daemon=True)
        for place, fault in enumerate(faults)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
        for fault in faults:
            fault.heal(stage)
    if broken:
        raise broken[0]
