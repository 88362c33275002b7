"""The relay port: due jobs go into an engine that already runs, instead of to workers of ours."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from chronoq.config import Settings
from chronoq.domain.job import Claim
from chronoq.domain.values import value
from chronoq.domain.verdict import Verdict


@value
class Parcel:
    """A claimed job on its way to another engine.

    `function`: dotted name of what runs it there. `follow`: the job goes on for us until the engine has ended it.
    `to_come`: when the job of an id, as `queue:key` or only a key, is due; None: the engine has it, or nobody will.
    """

    claim: Claim
    function: str
    follow: bool
    to_come: Callable[[str], datetime | None] = lambda id: None


class Relay(Protocol):
    """One queue's way into another engine. Used by one thread at a time."""

    def deliver(self, parcels: Sequence[Parcel], *, now: datetime) -> list[Verdict | None]:
        """Hand each job over, at most once for each time that it comes due; what was handed over is looked after.

        The verdict with which its lease is to be settled; None when nothing is left to settle: the relay did
        it in the same step, or the lease is somebody else's by now. A followed job that is under way is
        snoozed until the next look. Errors: `BackendError` when the engine's store does not answer; then
        delivering the same jobs again does no harm.
        """
        ...

    def close(self) -> None: ...


class Engine(Protocol):
    """What `Queue(..., relay=...)` takes: where the jobs of that queue go."""

    @property
    def unregistered(self) -> bool:
        """Whether also tasks go there that the application does not declare, their name being the function's."""
        ...

    @property
    def follow(self) -> bool:
        """Whether every job is followed to its end. Runs whose schedule has to know always are."""
        ...

    def connect(self, settings: Settings, queue: str) -> Relay:
        """The way there for `queue`. Errors: `BadSetting`, `BackendError`."""
        ...
