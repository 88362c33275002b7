"""What the face hands out: enough of an RQ job to be looked at, cancelled, moved and asked for."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from chronoq.compat.rq_scheduler.entries import Found
from chronoq.relay.rq import rq_states
from chronoq.relay.rq_entry import Entry, plain_seconds

if TYPE_CHECKING:
    from chronoq.compat.rq_scheduler.scheduler import Scheduler


class Job:
    """A scheduled job. What it was when it was fetched: ask the scheduler again for what it is now."""

    def __init__(self, scheduler: "Scheduler", entry: Entry, left: int | None = None) -> None:
        self._scheduler = scheduler
        self._entry = entry
        self._left = entry.repeat if left is None else left
        self.args, self.kwargs = orjson.loads(entry.payload)
        self.meta: dict[str, Any] = {**entry.meta, **self._periodic()}

    @classmethod
    def of(cls, scheduler: "Scheduler", found: Found) -> "Job":
        return cls(scheduler, found.entry, found.left)

    def _periodic(self) -> dict[str, Any]:
        entry = self._entry
        found: dict[str, Any] = {}
        if entry.interval is not None:
            found["interval"] = plain_seconds(entry.interval)
        if entry.cron_string is not None:
            found |= {"cron_string": entry.cron_string, "use_local_timezone": entry.tz != "UTC"}
        return found if self._left is None else {**found, "repeat": self._left}

    @property
    def id(self) -> str:
        return self._entry.id

    def get_id(self) -> str:
        return self.id

    @property
    def origin(self) -> str:
        """The RQ queue that it goes to."""
        return self._entry.queue

    @property
    def func_name(self) -> str:
        return self._entry.function

    @property
    def description(self) -> str:
        return str(self._told("description") or self.get_call_string())

    @property
    def timeout(self) -> Any:
        return self._told("timeout")

    @property
    def result_ttl(self) -> Any:
        return self._told("result_ttl")

    @property
    def ttl(self) -> Any:
        return self._told("ttl")

    @property
    def enqueue_at_front(self) -> bool:
        return bool(self._told("at_front"))

    def _told(self, option: str) -> Any:
        return self._entry.rq.get(option)

    def get_call_string(self) -> str:
        """As RQ shows it: `shop.send('a', to='b')`."""
        said = [repr(one) for one in self.args] + [f"{name}={one!r}" for name, one in self.kwargs.items()]
        return f"{self.func_name}({', '.join(said)})"

    def get_status(self) -> str | None:
        """`scheduled` while a run is to come; after that what RQ says of it, None when it knows nothing."""
        if self in self._scheduler:
            return "scheduled"
        return rq_states(self._scheduler.connection, [self.id])[0] or None

    @property
    def is_scheduled(self) -> bool:
        return self.get_status() == "scheduled"

    def scheduled_for(self) -> datetime | None:
        """When it runs next, in UTC; None: no more."""
        found = self._scheduler.entries.find(self.id)
        return found[0].at if found else None

    def cancel(self) -> None:
        self._scheduler.cancel(self)

    delete = cancel

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Job {self.id}: {self.get_call_string()}>"
