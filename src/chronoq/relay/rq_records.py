"""What rq-scheduler's record of a job says, read by RQ's own library."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import redis
from attrs import frozen
from rq.exceptions import NoSuchJobError
from rq.job import Job as RqJob
from rq.serializers import DefaultSerializer, JSONSerializer

from chronoq.domain.errors import ChronoqError
from chronoq.relay.rq_entry import PLACES, Entry, call_payload
from chronoq.relay.rq_jobs import ALLOWED, rq_job_id


class Stays(Exception):
    """An entry cannot be moved: why, and what to do."""

    def __init__(self, why: str, todo: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.todo = todo


@frozen
class Old:
    """An entry as rq-scheduler means it; `local`: on the clock of its machine. `notes`: what will be different."""

    entry: Entry
    local: bool = False
    notes: tuple[str, ...] = ()


def read(
    id: str, fields: Mapping[bytes, bytes], client: redis.Redis, *, trust_pickle: bool, limit: int
) -> Old:
    """What the entry is whose record RQ keeps as these fields. They are JSON, or pickled: the latter are read only
    with `trust_pickle`, by RQ. `limit`: of the arguments, in bytes.

    Errors: `Stays`.
    """
    job = _restored(fields, client, trust_pickle)
    if job.instance is not None:
        raise Stays(
            f"it calls a method of an object ({type(job.instance).__name__})",
            "Schedule a function that makes the object.",
        )
    meta: dict[str, Any] = dict(job.meta)
    own = {name: meta.pop(name, None) for name in (*PLACES, "queue_class_name")}
    interval = _whole(own["interval"], "interval")
    function = job.func_name or ""
    notes = []
    if interval == 0:
        notes.append("its interval is 0, since rq-scheduler cuts fractions off, so it runs once")
    if own["queue_class_name"]:
        notes.append(f"its own queue class is not kept: {own['queue_class_name']}")
    if not ALLOWED.fullmatch(id):
        notes.append("under another id, for RQ does not allow the old one (any more)")
    periodic = bool(interval or own["cron_string"])
    try:
        entry = Entry(
            id=id if ALLOWED.fullmatch(id) else rq_job_id(id)[-128:],
            function=function,
            payload=call_payload(function, job.args, job.kwargs, limit=limit),
            queue=job.origin or "default",
            meta=meta,
            rq=_options(job, periodic),
            interval=timedelta(seconds=interval) if interval else None,
            cron_string=None if interval else own["cron_string"],  # it looks at the interval first
            repeat=_whole(own["repeat"], "repeat") if periodic else None,
        )
    except ChronoqError as error:
        why, _, todo = str(error).partition(" Nothing was scheduled. ")
        raise Stays(why, todo) from None
    return Old(entry, bool(own["use_local_timezone"]), tuple(notes))


def _restored(fields: Mapping[bytes, bytes], client: redis.Redis, trust_pickle: bool) -> RqJob:
    if not fields:
        raise Stays(
            "RQ has no record of the job any more: it has expired, or was deleted",
            "Create it anew: nobody knows what it ran, and rq-scheduler drops it without a word.",
        )
    reason = ""
    for serializer in (JSONSerializer, DefaultSerializer)[: 1 + trust_pickle]:
        job = RqJob("read", connection=client, serializer=serializer)
        try:
            job.restore(dict(fields))
            if not isinstance(job.args, list | tuple) or not isinstance(job.kwargs, Mapping):
                raise TypeError("it has no list of arguments")
            if not isinstance(job.meta, Mapping):
                raise TypeError("its meta is no dict")
            if set(job.meta) == {"unserialized"}:
                raise ValueError("its meta cannot be read")
        except NoSuchJobError:
            raise Stays("RQ's record of the job has no data", "Create it anew.") from None
        except (Exception, SystemExit) as error:  # it runs code of others: one record must not stop the rest
            reason = str(error.__cause__ or error) or type(error).__name__
        else:
            return job
    if not trust_pickle:
        raise Stays(
            "its record is pickled, as RQ does by default",
            "Unpickling runs whatever somebody has put there. If only programs of your own can write to that "
            "database, add --trust-pickle: then RQ's library reads it, as its workers do.",
        )
    raise Stays(
        f"RQ cannot read its record ({reason})",
        "Run this where the application's modules can be imported, or create it anew.",
    )


def _options(job: RqJob, periodic: bool) -> dict[str, Any]:
    """What RQ was told of the job, as `rq_options` takes it."""
    found: dict[str, Any] = {
        name: getattr(job, name)
        for name in ("timeout", "result_ttl", "ttl", "failure_ttl")
        if getattr(job, name) is not None
    }
    if periodic and found.get("result_ttl") == -1:
        del found["result_ttl"]  # it kept the record, from which rq-scheduler made the next run
    if job.description and job.description != job.get_call_string():
        found["description"] = job.description
    if job.enqueue_at_front:
        found["at_front"] = True
    if job._dependency_ids:
        found["depends_on"] = [_text(id) for id in job._dependency_ids]
        if job.allow_dependency_failures:
            found["allow_failure"] = True
    if job.retries_left:
        found["retry"] = {"max": job.retries_left}
        if job.retry_intervals:
            found["retry"]["interval"] = job.retry_intervals
    for ours, theirs in (("on_success", "success"), ("on_failure", "failure"), ("on_stopped", "stopped")):
        if name := getattr(job, f"_{theirs}_callback_name"):
            timeout = getattr(job, f"_{theirs}_callback_timeout")
            found[ours] = {"func": name} | ({} if timeout is None else {"timeout": timeout})
    return found


def _text(id: bytes | str) -> str:
    return id.decode() if isinstance(id, bytes) else id


def _whole(value: Any, what: str) -> int | None:
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError):
        raise Stays(f"its {what} is {value!r}, which is no number", "Create it anew.") from None
