"""A lock on a name, and who is alive."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from attrs import frozen


@frozen
class Lease:
    """`name` is `owner`'s until `expires_at` (UTC). `token` grows with each new owner, and never goes back."""

    name: str
    owner: str
    token: int
    expires_at: datetime


class Kind(StrEnum):
    SCHEDULER = "scheduler"
    WORKER = "worker"


@frozen
class Process:
    """A scheduler or worker, as it introduced itself at birth."""

    id: str
    kind: Kind
    host: str
    pid: int
    started_at: datetime
    version: str
    queues: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    concurrency: int = 0


@frozen
class Vitals:
    """What a process says of itself with each heartbeat."""

    running: int = 0
    done: int = 0
    failed: int = 0
    leader: bool = False
    stopping: bool = False
    served_at: datetime | None = None
    """When it last looked for jobs (a worker) or for what is due (a scheduler), with an answer of the backend."""


@frozen
class Presence:
    """A process on the roll, with its last heartbeat."""

    process: Process
    vitals: Vitals
    seen_at: datetime


def listened(roll: Iterable[Presence], *, task: str, queue: str) -> bool:
    """Whether a worker takes jobs of that task from that queue: also a busy one, not one that is stopping."""
    return any(
        one.process.kind is Kind.WORKER
        and not one.vitals.stopping
        and task in one.process.tasks
        and queue in one.process.queues
        for one in roll
    )
