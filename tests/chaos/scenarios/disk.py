"""F13: the server's disk is full for a while."""

from __future__ import annotations

import random
import resource
from time import monotonic
from typing import TYPE_CHECKING, Any

from attrs import define, field
from redis.exceptions import RedisError

from tests.chaos.faults import Fault
from tests.chaos.scenarios.storm import Storm
from tests.chaos.scenarios.tail import aof

if TYPE_CHECKING:
    from tests.chaos.stage import Stage

ROOM = 20_000


@define(eq=False)
class FillDisk(Fault):
    """No file of the server can grow by more than some kilobytes, until it says so; then it can again."""

    refused: list[str] = field(factory=list, init=False)
    name = "disk full"

    def strike(self, stage: Stage, rng: random.Random) -> None:
        allow(stage, aof(stage.server.folder).stat().st_size + rng.randint(1, ROOM))
        self.at.append((0, monotonic()))
        if not stage.until(lambda: self._refused(stage), 10):
            raise AssertionError("the server went on writing to a full disk")
        allow(stage, resource.RLIM_INFINITY)

    def heal(self, stage: Stage) -> None:
        allow(stage, resource.RLIM_INFINITY)

    def _refused(self, stage: Stage) -> bool:
        try:
            with stage.server.client() as client:
                client.set("torn", "x" * 5_000)
        except RedisError as error:
            self.refused.append(str(error))
            return "MISCONF" in str(error)
        return False


def allow(stage: Stage, size: int) -> None:
    resource.prlimit(stage.server.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def full_disk(**given: Any) -> Storm:
    return Storm(
        name="F13",
        title="server's disk full",
        faults=lambda: [FillDisk(0.5, 1.5)],
        aof=True,
        fsync="everysec",
        **given,
    )
