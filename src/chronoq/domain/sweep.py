"""What a sweep finds where a store was damaged, and what becomes of it (L6)."""

from datetime import datetime
from enum import StrEnum

from attrs import frozen

from chronoq.domain.job import Job
from chronoq.domain.retry import Failure
from chronoq.domain.verdict import Dead


class Mend(StrEnum):
    """What was done about a finding."""

    REPLACED = "replaced"
    """A job that stood nowhere waits again, or lies in the dead letters if it had used up its attempts."""
    BURIED = "buried"
    """Of a job only its place was left: it lies in the dead letters."""
    MARKED = "marked"
    """The record of a job that runs or is dead was gone. It can end, but not run again."""
    CLEARED = "cleared"
    """Something that belonged to no job or schedule was removed."""
    JOINED = "joined"
    """A job counts again as a run of its schedule."""
    WATCHED = "watched"
    """A schedule that nobody would have looked at is looked at again."""


@frozen
class Mended:
    what: Mend
    key: str


@frozen
class Swept:
    """What one step of a sweep did.

    `lost`: by how many jobs the books were corrected, of which nothing at all was left. `mark`: where the
    next step goes on, "" when the round is complete. `hurry`: something is amiss, so it should go on soon.
    """

    mended: tuple[Mended, ...] = ()
    lost: int = 0
    mark: str = ""
    hurry: bool = False


LOST_RECORD = Failure(
    "LostRecord", "the job's record was lost from the store: what it should have run is not known"
)
LOST_PLACE = "its place was lost from the store, and found again by a sweep"


def replaced(job: Job, *, attempt: int, failure: Failure | None, now: datetime) -> Dead | datetime:
    """Where a job belongs that stands nowhere: the dead letters, or when it is due, at `now` if it has been.

    It may have been running, or even have run: as ever, at least once. One that had failed in all its attempts
    stays failed.
    """
    if failure is not None and attempt > job.options.retry.retries:
        return Dead(failure)
    return max(job.due, now)
