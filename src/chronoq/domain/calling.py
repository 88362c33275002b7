"""Ask and answer: where a call runs, and what may follow when no answer came."""

from datetime import timedelta
from enum import StrEnum
from typing import assert_never

from attrs import evolve, frozen

from chronoq.domain.job import DEFAULTS, LEAST_MEMORY, Options
from chronoq.domain.ports import Cancel


class Policy(StrEnum):
    """Where a call runs."""

    AUTO = "auto"
    """By a worker when one listens for the task, else here."""
    LOCAL = "local"
    REMOTE = "remote"
    LOCAL_FIRST = "local_first"
    """Here; by a worker when the task says, before it began, that it cannot run here."""
    REMOTE_FIRST = "remote_first"
    """By a worker; here when it is known that none has begun."""

    def goes_away(self, *, listened: bool) -> bool:
        """Whether the first attempt is a worker's. `listened`: whether one is there for the task."""
        match self:
            case Policy.AUTO | Policy.REMOTE_FIRST:
                return listened
            case Policy.REMOTE:
                return True
            case Policy.LOCAL | Policy.LOCAL_FIRST:
                return False
            case _:
                assert_never(self)

    @property
    def asks_who_listens(self) -> bool:
        return self in (Policy.AUTO, Policy.REMOTE_FIRST)


@frozen
class Terms:
    """What a caller asks for. `timeout` bounds the wait for a worker's answer; None: no bound.

    `once`: the answer is for this caller alone, and removed when it was read.
    """

    policy: Policy = Policy.AUTO
    timeout: timedelta | None = timedelta(minutes=5)
    once: bool = True

    def treat(self, options: Options) -> Options:
        """How the job of a call is treated: nobody begins it when its caller has given up (also one that died),
        and its answer is kept no longer than a caller may wait, or, to be read again, for its `result_ttl`.
        """
        expires = min((one for one in (options.expires, self.timeout) if one is not None), default=None)
        kept = (self.timeout or DEFAULTS.result_ttl) if self.once else options.result_ttl
        return evolve(options, expires=expires, result_ttl=max(kept, LEAST_MEMORY))


class Begun(StrEnum):
    """What is known of a request that was taken back."""

    NEVER = "never"
    """No worker ever had it, and none will."""
    ONCE = "once"
    """A worker had it, and may have begun; it will not start again."""
    RUNS = "runs"
    """A worker has it. It was asked to stop."""
    OVER = "over"
    """It has ended meanwhile, or nothing is known of it."""


def begun(answer: Cancel) -> Begun:
    """What follows from the answer to its cancellation. Only after NEVER may it run elsewhere."""
    match answer:
        case Cancel.CANCELLED:
            return Begun.NEVER
        case Cancel.STOPPED:
            return Begun.ONCE
        case Cancel.ASKED:
            return Begun.RUNS
        case Cancel.GONE:
            return Begun.OVER
        case _:
            assert_never(answer)
