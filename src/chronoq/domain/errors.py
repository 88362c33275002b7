"""What can go wrong, said in three parts: what happened, why, and what to do next.

Every error that chronoq raises on purpose is a `ChronoqError`. Those that a person meets carry a
stable `code`, which the documentation explains.
"""

from collections.abc import Iterable
from typing import ClassVar


class ChronoqError(Exception):
    """The root of the family. `str(error)` is the whole message; `code` is stable, "" if it has none."""

    code: ClassVar[str] = ""


class Invalid(ChronoqError, ValueError):
    """An input was refused before anything was stored."""


class BadExpression(Invalid):
    """A cron expression was refused. `position` is the 0-based index of the mistake in it."""

    code = "E13"

    def __init__(self, message: str, *, expression: str = "", position: int = 0) -> None:
        caret = f"\n  {expression}\n  {' ' * position}^" if expression else ""
        super().__init__(message + caret)
        self.expression = expression
        self.position = position


class NeverFires(BadExpression):
    """A cron expression names a date that exists in no year."""

    code = "E14"


class UnknownTimeZone(Invalid):
    code = "E15"


class NaiveDatetime(Invalid):
    code = "E16"


class UnknownQueue(Invalid):
    code = "E17"


class BadDuration(Invalid):
    code = "E18"


class BadName(Invalid):
    """A name or id does not match `[A-Za-z0-9_.-]{1,128}`."""


class UnknownOption(ChronoqError, TypeError):
    """A keyword that is not an option here; the message names the near one."""


class BadSetting(Invalid):
    """A setting has a value that it cannot take; the message says where the value came from."""


class DuplicateTask(Invalid):
    code = "E08"


class BadCall(ChronoqError, TypeError):
    """The arguments do not fit the task's signature. Nothing was enqueued."""

    code = "E09"


class NotStorable(ChronoqError, TypeError):
    """An argument or result has no JSON form. Nothing was enqueued."""

    code = "E10"


class BadArgument(ChronoqError, TypeError):
    """A stored argument does not fit the annotation. The same input would fail again: no retry."""

    code = "E11"


class TooLarge(Invalid):
    code = "E12"


class Conflict(ChronoqError):
    """The id is taken by a job with another task or other arguments. Nothing was enqueued."""


class QueueFull(ChronoqError):
    """The queue holds `max_length` jobs. Nothing was enqueued."""


class Unknown(ChronoqError):
    """The reply was lost: the job may or may not be stored, or not as durably as was asked for.

    Ask by its id, or submit it again: same id, one job.
    """

    def __init__(self, message: str, *, ids: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.ids = tuple(ids)


class BatchError(ChronoqError):
    """Some jobs of a batch were refused. `answers` holds a handle or an error for each, in order."""

    def __init__(self, message: str, *, answers: Iterable[object] = ()) -> None:
        super().__init__(message)
        self.answers = tuple(answers)


class NoSuchSchedule(ChronoqError, LookupError):
    """No schedule with that id is stored."""


class JobError(ChronoqError):
    """There is no result to hand out."""


class JobFailed(JobError):
    """The job is in the dead letters. `type`, `message` and `traceback` are those of its last error."""

    def __init__(self, type: str, message: str, traceback: str = "") -> None:
        super().__init__(f"{type}: {message}" if message else type)
        self.type = type
        self.message = message
        self.traceback = traceback


class JobCancelled(JobError):
    """The job was cancelled."""


class JobExpired(JobError):
    """The job was still waiting when its `expires` had passed."""


class JobTimeout(JobError, TimeoutError):
    """An attempt ran longer than the job's `timeout`."""


class ResultTimeout(JobError, TimeoutError):
    """The job has not ended within the timeout. It goes on."""


class CallTimeout(JobError, TimeoutError):
    """No answer came to a call in time, and it was not run here, or not again.

    `id` is that of its job. `started`: False, no worker has begun it and none will; True, one may have done
    something; None, it is not known.
    """

    def __init__(self, message: str, *, id: str, started: bool | None) -> None:
        super().__init__(message)
        self.id = id
        self.started = started


class ResultGone(JobError):
    """The job is not known any more: its result was kept for `result_ttl`, or it was never submitted."""


class BackendError(ChronoqError):
    """The backend could not do what was asked."""


class Unreachable(BackendError):
    """Nothing answers at the backend's address."""

    code = "E01"


class LoginRefused(BackendError):
    code = "E02"


class NotAllowed(BackendError):
    """This user may not do that."""


class TooOld(BackendError):
    code = "E03"


class OtherSchema(BackendError):
    """The store was written by a version that this one cannot work beside. Nothing was written."""

    code = "E19"


class InUse(ChronoqError):
    """Somebody lives on a store that has to stand still for what was asked."""


class Evicting(ChronoqError):
    """The store may throw jobs away when it is full, so no scheduler or worker starts on it."""

    code = "E20"


class NotReady(BackendError):
    """The server answers, but refuses for now (loading, read-only, busy, full). Trying again can help."""


class NotDurable(NotReady):
    """It was carried out, but is not confirmed to be as durable as was asked for. Asking again can help."""


class Snooze(ChronoqError):
    """Raised by a handler: run me again after `delay`. It costs no retry."""

    def __init__(self, delay: object, reason: str = "") -> None:
        super().__init__(reason or "snoozed")
        self.delay = delay
        self.reason = reason


class NotHere(ChronoqError):
    """Raised by a task before it did anything: this process cannot run it. A `local_first` call goes to a worker."""


def near(word: str, words: Iterable[str], *, cutoff: float = 0.6) -> str:
    """ " Did you mean 'x'?" with the nearest of `words`, or "" when none is near."""
    from difflib import get_close_matches  # for who made no mistake it is too much to load

    matches = get_close_matches(word, list(words), n=1, cutoff=cutoff)
    return f" Did you mean '{matches[0]}'?" if matches else ""
