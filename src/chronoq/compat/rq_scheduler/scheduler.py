"""rq-scheduler's Scheduler, over chronoq's engine."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import Any
from uuid import uuid4

import redis

from chronoq.api.scheduler import Scheduler as Application
from chronoq.compat.rq_scheduler.entries import Entries, Found
from chronoq.compat.rq_scheduler.job import Job
from chronoq.compat.rq_scheduler.making import Fn, entry_of, later, length_of, moment_of
from chronoq.compat.rq_scheduler.register import Registered
from chronoq.compat.rq_scheduler.service import LOOK, Service, hearing
from chronoq.compat.rq_scheduler.surroundings import url_of, zone_here
from chronoq.compat.rq_scheduler.turn import Turn
from chronoq.domain.errors import BadSetting
from chronoq.domain.time import EPOCH, up_to_ms
from chronoq.relay.rq import RqRelay
from chronoq.relay.rq_entry import NAMESPACE, Entry, queue_for

Until = datetime | timedelta | float | None
OF_A_JOB = {
    "timeout": "timeout",
    "job_id": "id",
    "job_ttl": "ttl",
    "job_result_ttl": "result_ttl",
    "job_description": "description",
    "depends_on": "depends_on",
    "meta": "meta",
    "queue_name": "queue_name",
    "on_success": "on_success",
    "on_failure": "on_failure",
    "at_front": "at_front",
}
"""The keywords of `enqueue_at` and `enqueue_in` that are not the function's, as `schedule` calls them."""


class Scheduler(Registered):
    """Schedules jobs for RQ's workers: the verbs of rq-scheduler, with chronoq's promises.

    `connection`: the Redis that RQ uses. `queue_name`, or `queue` with a name: where jobs go that say nothing
    else. `interval`: nothing waits for it; a registered birth and a lock last ten seconds longer. `job_class`,
    `queue_class`: subclasses of RQ's, or their dotted names, with which this scheduler delivers. `namespace`:
    the first part of its keys; whatever is in it goes to RQ. `serializer`: as given to `rq worker`.
    Moments without a time zone are UTC.
    """

    queue_class: Any = None
    job_class: Any = None

    def __init__(
        self,
        queue_name: str = "default",
        queue: Any = None,
        interval: float = 60,
        connection: redis.Redis | None = None,
        job_class: Any = None,
        queue_class: Any = None,
        name: str | None = None,
        *,
        namespace: str = NAMESPACE,
        serializer: str | None = None,
    ) -> None:
        if connection is None:
            raise BadSetting("`connection` argument is required: give the redis.Redis that RQ's workers use.")
        self.connection = connection
        self.queue_name: str = queue_name if queue is None else queue.name
        self.log = logging.getLogger("chronoq.compat")
        application = Application(allow_dynamic_queues=True)
        application.reconfigure(url=url_of(connection), namespace=namespace)
        super().__init__(application, name or uuid4().hex, interval)
        self.namespace = namespace
        self.relay = RqRelay(
            serializer=serializer,
            unregistered=True,
            queue_class=queue_class or self.queue_class,
            job_class=job_class or self.job_class,
        )
        self.entries = Entries(self.application, {queue_for(self.queue_name)})

    # scheduling

    def enqueue_at(self, scheduled_time: datetime, func: Fn, *args: Any, **kwargs: Any) -> Job:
        """Run `func(*args, **kwargs)` once, at `scheduled_time`.

        Not `func`'s: timeout, job_id, job_ttl, job_result_ttl, job_description, depends_on, meta, queue_name,
        on_success, on_failure, at_front.
        """
        told = {name: kwargs.pop(key) for key, name in OF_A_JOB.items() if key in kwargs}
        return self._single(moment_of(scheduled_time), self._entry(func, args, kwargs, **told), told)

    def enqueue_in(self, time_delta: timedelta, func: Fn, *args: Any, **kwargs: Any) -> Job:
        """`enqueue_at`, so long from now by the clock of the server."""
        return self.enqueue_at(later(self.entries.now(), time_delta), func, *args, **kwargs)

    def schedule(
        self,
        scheduled_time: datetime,
        func: Fn,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        interval: float | timedelta | None = None,
        repeat: int | None = None,
        result_ttl: Any = None,
        ttl: Any = None,
        timeout: Any = None,
        id: str | None = None,
        description: str | None = None,
        queue_name: str | None = None,
        meta: Mapping[str, Any] | None = None,
        depends_on: Any = None,
        on_success: Any = None,
        on_failure: Any = None,
        at_front: bool | None = None,
    ) -> Job:
        """Run `func` at `scheduled_time`, or at once where that is past, and then each `interval` seconds.

        `repeat`: how many runs in all. Without an interval it runs once.
        """
        if repeat and interval is None:
            raise BadSetting("Can't repeat a job without interval argument")
        told: dict[str, Any] = {
            "result_ttl": result_ttl,
            "ttl": ttl,
            "timeout": timeout,
            "id": id,
            "description": description,
            "queue_name": queue_name,
            "meta": meta,
            "depends_on": depends_on,
            "on_success": on_success,
            "on_failure": on_failure,
            "at_front": at_front,
        }
        length = length_of(interval)
        entry = self._entry(func, args, kwargs, interval=length, repeat=repeat, **told)
        at = moment_of(scheduled_time)
        if length is None:
            return self._single(at, entry, told)
        self.entries.put(entry, max(at, self.entries.now()))
        return Job(self, entry)

    def cron(
        self,
        cron_string: str,
        func: Fn,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        repeat: int | None = None,
        queue_name: str | None = None,
        result_ttl: Any = None,
        ttl: Any = None,
        id: str | None = None,
        timeout: Any = None,
        description: str | None = None,
        meta: Mapping[str, Any] | None = None,
        use_local_timezone: bool = False,
        depends_on: Any = None,
        on_success: Any = None,
        on_failure: Any = None,
        at_front: bool = False,
    ) -> Job:
        """Run `func` whenever `cron_string` says so: in UTC, or in this machine's time zone."""
        if not isinstance(cron_string, str):
            raise BadSetting(f"cron_string={cron_string!r}: give a text, such as '0 7 * * 1-5'.")
        entry = self._entry(
            func,
            args,
            kwargs,
            cron_string=cron_string,
            tz=zone_here() if use_local_timezone else "UTC",
            repeat=repeat,
            queue_name=queue_name,
            result_ttl=result_ttl,
            ttl=ttl,
            id=id,
            timeout=timeout,
            description=description,
            meta=meta,
            depends_on=depends_on,
            on_success=on_success,
            on_failure=on_failure,
            at_front=at_front,
        )
        now = self.entries.now()
        if entry.schedule().next_after(now, since=now) is None:
            raise BadSetting(f"cron_string={cron_string!r} has no time to come, so nothing was scheduled.")
        self.entries.put(entry, None)
        return Job(self, entry)

    def _entry(self, func: Fn, args: Any, kwargs: Any, **told: Any) -> Entry:
        limit = self.application.configured.settings.max_payload
        told["queue_name"] = told.get("queue_name") or self.queue_name
        return entry_of(func, args or (), kwargs or {}, limit=limit, **told)

    def _single(self, at: datetime, entry: Entry, told: Mapping[str, Any]) -> Job:
        self.entries.add(entry, at, chosen=told.get("id") is not None)
        return Job(self, entry)

    # changing and looking

    def cancel(self, job: Any) -> None:
        """It does not run (any more). `job`: a job, of ours or of RQ's, or its id."""
        self.entries.remove(_id(job))

    def __contains__(self, item: Any) -> bool:
        """Whether a run of it is to come."""
        return bool(self.entries.find(_id(item)))

    def change_execution_time(self, job: Any, date_time: datetime) -> None:
        """Have it run next at `date_time`; a periodic one goes on from there. Errors: `BadSetting`, a ValueError."""
        for found in self.entries.find(_id(job)):
            to = moment_of(date_time)
            if self.entries.move(found, max(to, self.entries.now()) if found.entry.periodic else to):
                return
        raise BadSetting(
            f"Job not in scheduled jobs queue: {_id(job)!r} was delivered, cancelled or never there."
        )

    def count(self, until: Until = None) -> int:
        """How many jobs are scheduled, of all queues, at `until` the latest."""
        return sum(1 for _ in self.entries.all(self._until(until)))

    def get_jobs(
        self,
        until: Until = None,
        with_times: bool = False,
        offset: int | None = None,
        length: int | None = None,
    ) -> Iterator[Any]:
        """The scheduled jobs, the earliest first; with `with_times`, pairs of a job and its time, naive, in UTC."""
        if (offset is None) != (length is None):
            raise BadSetting("offset and length must both be specified, or none of them.")
        found = self.entries.all(self._until(until))
        if offset is not None and length is not None:
            found = islice(found, offset, offset + length if length >= 0 else None)
        return (self._shown(one, with_times) for one in found)

    def get_jobs_to_queue(self, with_times: bool = False) -> Iterator[Any]:
        """Those that are due."""
        return self.get_jobs(self.entries.now(), with_times)

    def _shown(self, found: Found, with_times: bool) -> Any:
        job = Job(self, found.entry, found.left)
        return (job, found.at.replace(tzinfo=None)) if with_times else job

    def _until(self, until: Until) -> datetime | None:
        match until:
            case None:
                return None
            case datetime():
                return up_to_ms(moment_of(until))
            case timedelta():
                return self.entries.now() + until
            case _:
                return EPOCH + timedelta(seconds=until)

    # delivering

    @cached_property
    def turn(self) -> Turn:
        return Turn(self.application, self.relay, self.entries)

    def enqueue_jobs(self) -> list[Job]:
        """Move what is due into RQ's queues, each once, whoever else does the same. Those that were due
        when it began."""
        due = list(self.get_jobs_to_queue())
        self.turn.take()
        return due

    def enqueue_job(self, job: Any) -> None:
        """Move it into its RQ queue now; a periodic one goes on from now."""
        self.change_execution_time(job, self.entries.now())
        self.turn.take()

    def get_queue_for_job(self, job: Job) -> Any:
        """The RQ queue that it goes to."""
        return self.relay.blueprint(self.connection, job.origin).queue

    def run(self, burst: bool = False) -> None:
        """Deliver what comes due, at its moment, until SIGINT or SIGTERM. `burst`: what is due now, and no more.

        Any number may run. Errors: `BadSetting` when one of this name is alive.
        """
        try:
            if burst:
                self.register_birth()
                self.enqueue_jobs()
                self.register_death()
            else:
                with hearing() as asked_to_stop:  # from the start on, so that none finds it half started
                    service = self.service()
                    service.start()
                    try:
                        while not asked_to_stop(LOOK):
                            service.tend()
                    finally:
                        service.stop()
        finally:
            self.close()

    def service(self) -> Service:
        """What `run` runs; not started."""
        return Service(self.application, self.relay, self.entries, self.name)

    def close(self) -> None:
        """Give back connections. It can be used again: it opens them anew."""
        if "turn" in self.__dict__:
            self.turn.close()
            del self.turn
        self.application.close()


def _id(job: Any) -> str:
    found = job if isinstance(job, str) else getattr(job, "id", None)
    if not isinstance(found, str):
        raise BadSetting(f"{job!r} is neither a job nor the id of one.")
    return found
