"""How calls of a task become jobs. What its jobs have in common is decided once, however many they are."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Self

from attrs import evolve, frozen

from chronoq.app.options import JobOptions, treated
from chronoq.app.tasks import TaskDef
from chronoq.config import Settings
from chronoq.domain.identity import JobId
from chronoq.domain.job import Job, Options
from chronoq.domain.time import aware, duration, up_to_ms


@frozen
class Making:
    """The jobs of a task under some options. They are due `at` a moment, or a `delay` after they were made."""

    task: TaskDef
    queue: str
    options: Options
    key: str | None = None
    at: datetime | None = None
    delay: timedelta | None = None

    @classmethod
    def of(cls, task: TaskDef, given: JobOptions) -> Self:
        """Errors: of the `Invalid` family, naming the option."""
        return cls(
            task,
            given.get("queue", task.queue),
            treated(task.options, given),
            given.get("id"),
            up_to_ms(aware(given["at"])) if "at" in given else None,
            duration(given["delay"]) if "delay" in given else None,
        )

    def job(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        key: Callable[[], str],
        settings: Settings,
        now: datetime,
    ) -> Job:
        """The job of a call: checked, encoded, stamped. `key` names it, unless it was given an id."""
        task, options, due = self.task, self.options, now
        payload = task.signature.encode(args, kwargs, limit=settings.max_payload)
        if self.key is not None:
            options = evolve(options, remember=settings.remember)
        if self.at is not None:
            due = self.at
        elif self.delay is not None:
            due = up_to_ms(now + self.delay)
        return Job(JobId(self.queue, self.key or key()), task.name, payload, due, now, options)
