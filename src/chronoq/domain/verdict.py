"""What became of an attempt. Worker, reaper and cancel all end a lease with one of these values."""

from datetime import datetime, timedelta
from typing import assert_never

from attrs import frozen

from chronoq.domain.job import Claim, State
from chronoq.domain.retry import Failure
from chronoq.domain.time import brief, later
from chronoq.domain.values import value

LONGEST_PARKING = timedelta(seconds=60)


@value
class Done:
    """It ran. `result` is JSON; b"" when no result is wanted."""

    result: bytes = b""


@value
class Retry:
    """Run it again at `at`. With `crash` its worker was lost: counted as a crash, not as an attempt."""

    at: datetime
    failure: Failure
    crash: bool = False


@value
class Snooze:
    """Run it again at `at`. It costs no retry."""

    at: datetime
    reason: str = ""


@frozen
class Dead:
    """Give up: it lies in the dead letters until someone looks."""

    failure: Failure
    crash: bool = False


@frozen
class Cancelled:
    """It was asked to stop, and did."""


@frozen
class Expired:
    """Nobody wants it any more."""


Verdict = Done | Retry | Snooze | Dead | Cancelled | Expired


def leads_to(verdict: Verdict) -> State:
    """The state that a job is in after `verdict`."""
    match verdict:
        case Done():
            return State.DONE
        case Retry() | Snooze():
            return State.DELAYED
        case Dead():
            return State.DEAD
        case Cancelled():
            return State.CANCELLED
        case Expired():
            return State.EXPIRED
        case _:
            assert_never(verdict)


def crashed(verdict: Verdict) -> bool:
    """Whether `verdict` says that the worker was lost. It holds only while the lease ends when its claim says."""
    return isinstance(verdict, Retry | Dead) and verdict.crash


def excused(verdict: Verdict) -> bool:
    """Whether the claim that `verdict` ends does not count as an attempt."""
    return isinstance(verdict, Snooze) or crashed(verdict)


def before_start(claim: Claim, *, now: datetime) -> Verdict | None:
    """The verdict on a job that must not start, or None when it may."""
    job = claim.job
    if job.defect:
        return Dead(Failure("BadRecord", job.defect))
    if job.options.expires is None:
        return None
    expires_at = job.expires_at
    return Expired() if expires_at is not None and expires_at <= now else None


def after_failure(claim: Claim, failure: Failure, *, now: datetime, chance: float) -> Retry | Dead:
    """Another attempt while the policy allows it, else the dead letters. `chance` in [0, 1)."""
    policy = claim.job.options.retry
    if claim.attempt > policy.retries or not policy.wants(failure):
        return Dead(failure)
    return Retry(later(now, policy.delay(claim.attempt, chance=chance)), failure)


def after_lapse(claim: Claim, *, now: datetime, max_crashes: int | None) -> Retry | Dead:
    """The lease ran out: its worker is gone. Run it again at once, at most `max_crashes` times in all.

    None: any number of times, for a job that does not run in those who hold it.
    """
    crashes = claim.crashes + 1
    allowed = "" if max_crashes is None else f" of {max_crashes} allowed"
    lost = Failure(
        "WorkerLost",
        f"worker {claim.worker} was lost while it held this job (crash {crashes}{allowed})",
    )
    if max_crashes is not None and crashes >= max_crashes:
        return Dead(lost, crash=True)
    return Retry(now, lost, crash=True)


def unknown_task(claim: Claim, *, now: datetime, park_for: timedelta, hint: str = "") -> Snooze | Dead:
    """E07: no such task here. Parked with growing pauses, so that a rolling deploy loses nothing.

    What counts is how long it was parked, not how old it is: a backlog from last week is parked as long.
    """
    message = f"task {claim.job.task!r} is unknown to this worker.{hint}"
    times = claim.token - claim.attempt
    doubled = min(times, 6)
    parked = timedelta(seconds=2**doubled - 1) + (times - doubled) * LONGEST_PARKING
    if parked >= park_for:
        return Dead(Failure("UnknownTask", f"{message} Given up after {brief(park_for)}."))
    return Snooze(
        now + min(LONGEST_PARKING, timedelta(seconds=2**doubled)), f"E07 {message} Parked, not lost."
    )
