"""What type checkers say about values that are made for every job: nobody may change one.

Checked by mypy and basedpyright, never run. A wrong line carries both kinds of `ignore`.
"""

from datetime import UTC, datetime

from chronoq.domain.job import Claim, Job, Origin, Snapshot
from chronoq.domain.schedule import Cursor, Firing, Outcome, Schedule
from chronoq.domain.verdict import Done, Retry

NOW = datetime.now(UTC)


def wrong(job: Job, claim: Claim, origin: Origin, snapshot: Snapshot, done: Done, retry: Retry) -> None:
    job.id.key = "b"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    job.due = NOW  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    claim.token = 2  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    origin.nominal = NOW  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    snapshot.attempt = 2  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    done.result = b""  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    retry.at = NOW  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def wrong_too(schedule: Schedule, cursor: Cursor, firing: Firing, outcome: Outcome) -> None:
    schedule.task = "b"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    cursor.fires = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    firing.stop = True  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    outcome.at = NOW  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
