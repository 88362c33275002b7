"""All scenarios, in their quick or full size. A new one is a line here."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.chaos.faults import (
    FailOver,
    Fault,
    FlushScripts,
    Freeze,
    Kill,
    KillScheduler,
    KillServer,
    MoveSlot,
    Wire,
)
from tests.chaos.scenarios import Scenario
from tests.chaos.scenarios.answers import Answers
from tests.chaos.scenarios.backlog import Backlog
from tests.chaos.scenarios.deleted import Deleted
from tests.chaos.scenarios.disk import full_disk
from tests.chaos.scenarios.memory import Full
from tests.chaos.scenarios.poison import Poison
from tests.chaos.scenarios.storm import Storm
from tests.chaos.scenarios.tail import Tail
from tests.topology import Nodes, Watched

HOUR = 3600.0
DEFAULTS = {"lease": "10s", "lock_ttl": "3s", "concurrency": 8}
"""What `Settings` has by default, for the figures that are about the defaults."""


def suite(*, quick: bool, jobs: int | None = None) -> list[Scenario]:
    """`jobs`: instead of the number that a storm or backlog goes through otherwise."""
    return quick_suite(jobs) if quick else full_suite(jobs)


def everything(share: float) -> list[Fault]:
    """F2, F3, F6, F8 and F11 together, 1,000 faults without the flushed scripts.

    Spread so that a worker lives for some leases: one that is killed before it has worked proves nothing.
    """
    return [
        Kill(0.5, 1.5, int(400 * share)),
        Freeze(15, 25, int(80 * share), length=13),
        KillServer(15, 25, int(20 * share)),
        Wire(0.5, 1, int(500 * share)),
        FlushScripts(0.1, 0.1),
    ]


def failovers(jobs: int, least: float, most: float, times: int) -> list[Scenario]:
    """F9: by sentinels and in a cluster, with what `replica:1` promises and without."""
    found: list[Scenario] = []
    for durability in ("replica:1", "memory"):
        given: dict[str, Any] = {
            "name": "F9",
            "settings": {"lease": "15s", "concurrency": 8, "durability": durability},
            "pause": 0.1,
            "jobs": jobs,
        }
        over = partial(FailOver, least, most, times, durable=durability != "memory")
        moves = partial(MoveSlot, least, most, times)
        found += [
            Storm(
                title=f"Sentinel, {durability}",
                group=lambda: Watched(silence=2_000),
                faults=lambda over=over: [over()],
                **given,
            ),
            Storm(
                title=f"Cluster, {durability}",
                group=lambda: Nodes(replicas=1),
                faults=lambda over=over, moves=moves: [over(), moves()],
                **given,
            ),
        ]
    return found


def quick_suite(jobs: int | None) -> list[Scenario]:
    n = jobs or 0
    return [
        Storm(
            name="F2",
            title="workers killed",
            faults=lambda: [Kill(0.2, 0.8)],
            pause=0.05,
            jobs=n,
            bounded=True,
        ),
        Storm(
            name="F3",
            title="workers stopped past their lease",
            faults=lambda: [Freeze(0.2, 0.4, length=2.0)],
            settings={"lease": "1s"},
            pause=0.1,
            jobs=n,
            bounded=True,
        ),
        Storm(
            name="F4",
            title="schedulers killed and stopped",
            faults=lambda: [KillScheduler(0.5, 1.5), Freeze(0.5, 1.5, length=2.0, whom="schedulers")],
            schedules=50,
            schedulers=3,
            producers=0,
            workers=2,
            rhythm=0.5,
        ),
        Storm(
            name="F5",
            title="clocks an hour off",
            faults=lambda: [KillScheduler(0.5, 1.0)],
            schedules=20,
            schedulers=2,
            producers=0,
            workers=2,
            rhythm=0.5,
            skew=HOUR,
        ),
        Storm(
            name="F6",
            title="server killed, AOF everysec",
            faults=lambda: [KillServer(1.5, 2.5)],
            aof=True,
            fsync="everysec",
            jobs=n,
        ),
        Tail(title="AOF tail cut, always", fsync="always", cuts=2),
        Tail(title="AOF tail cut, everysec", fsync="everysec", cuts=2),
        Storm(name="F8", title="replies harmed", faults=lambda: [Wire(0.05, 0.05)], proxy=True, jobs=n),
        *failovers(n, 1.0, 2.0, 1)[:2],
        Full(jobs=200),
        Storm(name="F11", title="scripts flushed", faults=lambda: [FlushScripts(0.1, 0.1)], jobs=n),
        Answers(lived=("READONLY", "NOAUTH", "end", "garbage")),
        full_disk(jobs=n),
        Deleted(rounds=6),
        Poison(jobs=150, each=1),
        Backlog(jobs=jobs or 20_000, seconds=4, strict=False),
    ]


def full_suite(jobs: int | None) -> list[Scenario]:
    return [
        Storm(
            name="F2",
            title="workers killed",
            faults=lambda: [Kill(0.05, 0.5)],
            jobs=jobs or 100_000,
            strikes=200,
            workers=20,
            pause=0.2,
            settings=DEFAULTS,
            bounded=True,
        ),
        Storm(
            name="F3",
            title="workers stopped past their lease",
            faults=lambda: [Freeze(0.2, 0.5, length=3.0)],
            jobs=jobs or 20_000,
            strikes=200,
            workers=20,
            pause=0.1,
            bounded=True,
        ),
        Storm(
            name="F4",
            title="schedulers killed and stopped",
            faults=lambda: [KillScheduler(0.8, 1.2), Freeze(1, 2, length=4.0, whom="schedulers")],
            jobs=jobs or 100_000,
            schedules=500,
            schedulers=5,
            producers=0,
            workers=3,
            concurrency=8,
        ),
        Storm(
            name="F5",
            title="clocks an hour off",
            faults=lambda: [KillScheduler(0.8, 1.2)],
            seconds=30,
            schedules=100,
            schedulers=4,
            producers=0,
            workers=2,
            skew=HOUR,
        ),
        Storm(
            name="F6",
            title="server killed, AOF always",
            faults=lambda: [KillServer(2, 3)],
            jobs=jobs or 10_000,
            strikes=20,
            aof=True,
            settings={**DEFAULTS, "durability": "aof"},
            workers=8,
            pause=0.15,
        ),
        Storm(
            name="F6",
            title="server killed, AOF everysec",
            faults=lambda: [KillServer(2, 3)],
            jobs=jobs or 10_000,
            strikes=20,
            aof=True,
            fsync="everysec",
            settings=DEFAULTS,
            workers=8,
            pause=0.15,
        ),
        Tail(title="AOF tail cut, always", fsync="always", cuts=15),
        Tail(title="AOF tail cut, everysec", fsync="everysec", cuts=15),
        Storm(
            name="F8",
            title="replies harmed",
            faults=lambda: [Wire(0.05, 0.05), Kill(5, 10), KillScheduler(5, 10)],
            proxy=True,
            jobs=jobs or 10_000,
            strikes=500,
            schedules=20,
            schedulers=2,
            covered=True,
        ),
        *failovers(jobs or 2_000, 1.0, 3.0, 6),
        Full(jobs=2_000),
        Storm(
            name="F11",
            title="scripts flushed",
            faults=lambda: [FlushScripts(0.1, 0.1)],
            jobs=jobs or 10_000,
            strikes=200,
        ),
        Answers(),
        full_disk(jobs=jobs or 5_000, strikes=20),
        Deleted(rounds=50),
        Poison(jobs=1_000, each=5),
        Backlog(jobs=jobs or 1_000_000, seconds=30),
        Storm(
            name="ALL",
            title="F2, F3, F6, F8, F11 together",
            faults=lambda: everything((jobs or 100_000) / 100_000),
            jobs=jobs or 100_000,
            workers=12,
            pause=0.15,
            settings={**DEFAULTS, "durability": "aof"},
            aof=True,
            proxy=True,
            bounded=True,
        ),
    ]
