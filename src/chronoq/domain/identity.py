"""Names and identities: what a job, a schedule, a task or a queue may be called."""

import re
from typing import Self

from chronoq.domain.errors import BadName
from chronoq.domain.values import value

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def name(value: str, *, what: str = "name") -> str:
    """`value`, if people may use it as a name or id. Errors: `BadName`."""
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    if not isinstance(value, str):
        raise BadName(f"{what} {value!r} is of type {type(value).__name__}: give a text (str)")
    raise BadName(
        f"{what} {str(value)[:140]!r} is not allowed: use 1 to 128 of the characters A-Z a-z 0-9 _ . -"
    )


@value(order=True)
class Identity:
    """A key within a queue. Its text form is `queue:key`, split at the first colon."""

    queue: str
    key: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `str`. Errors: `BadName` when there is no colon."""
        queue, colon, key = text.partition(":")
        if not (queue and colon and key):
            raise BadName(f"{text!r} is not an id of the form queue:key")
        return cls(queue, key)

    def __str__(self) -> str:
        return f"{self.queue}:{self.key}"


class JobId(Identity):
    """Names one job. Unique within its queue for as long as the job is live or remembered."""

    __slots__ = ()


class ScheduleId(Identity):
    """Names one schedule, in the queue that it feeds."""

    __slots__ = ()
