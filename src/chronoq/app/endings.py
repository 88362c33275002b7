"""What an ending means to whoever waited for it: a result, or an error to raise."""

from chronoq.domain import errors
from chronoq.domain.identity import JobId
from chronoq.domain.job import Ending, State


def ended(id: JobId, ending: Ending | None) -> Ending:
    """Errors: `ResultGone` when nothing is known of the job."""
    if ending is None:
        raise errors.ResultGone(
            f"Job {id} is not known (any more): its result was kept for result_ttl, or it was never enqueued."
        )
    return ending


def outcome(ending: Ending) -> bytes:
    """The result of a job that is done. Errors: `JobFailed`, `JobCancelled`, `JobExpired`."""
    if ending.state is State.CANCELLED:
        raise errors.JobCancelled(f"Job {ending.id} was cancelled.")
    if ending.state is State.EXPIRED:
        raise errors.JobExpired(f"Job {ending.id} had expired before it could start.")
    if ending.state is State.DEAD:
        failure = ending.failure
        raise errors.JobFailed(*(failure.type, failure.message, failure.traceback) if failure else ("?", ""))
    return ending.result
