"""RQ's jobs: what one is made of, under which id, and how it ended."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2s
from typing import Any

import orjson
import redis
from redis.exceptions import RedisError
from rq import Callback, Queue, Retry
from rq.exceptions import DeserializationError
from rq.job import Dependency, JobStatus
from rq.job import Job as RqJob
from rq.results import Result
from rq.serializers import DefaultSerializer, JSONSerializer, resolve_serializer
from rq.utils import import_attribute, parse_timeout

from chronoq.app.relay import Parcel
from chronoq.domain.errors import BadSetting, UnknownOption, near
from chronoq.domain.identity import JobId
from chronoq.domain.job import Claim, Job
from chronoq.domain.retry import Failure
from chronoq.domain.time import ZERO
from chronoq.domain.verdict import Cancelled, Dead, Done, Expired, Snooze, Verdict

UNDER_WAY = frozenset(
    {"created", "queued", "started", "deferred", "scheduled", "rate_limited", "ready_to_enqueue"}
)
CALLBACKS = ("on_success", "on_failure", "on_stopped")
LENGTHS = ("timeout", "result_ttl", "ttl", "failure_ttl")
OPTIONS = frozenset(
    {*LENGTHS, *CALLBACKS, "job_id", "description", "at_front", "depends_on", "allow_failure", "retry"}
)

ALLOWED = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""What RQ takes for an id."""

MOST_SECONDS = 100 * 365 * 24 * 3600

SOONEST = timedelta(seconds=1)
LATEST = timedelta(seconds=15)
"""Between two looks at a job that RQ has not ended yet."""

LEAST = timedelta(milliseconds=50)
LEAD = timedelta(milliseconds=100)
"""So long before the next time of its schedule it is looked at once more."""


def rq_job_id(id: JobId | str) -> str:
    """The id of the RQ job that stands for one of ours: readable, of the characters that RQ allows, unique."""
    readable = re.sub(r"[^A-Za-z0-9_-]", "-", str(id))
    return f"{readable}-{blake2s(str(id).encode(), digest_size=6).hexdigest()}"


def id_in_rq(job: Job) -> str:
    """The id of its RQ job: the one that it was told (`job_id`), else the one that is made of its own."""
    if b'"job_id"' in job.options.meta:
        match orjson.loads(job.options.meta):
            case {"rq": {"job_id": str(told)}} if ALLOWED.fullmatch(told):
                return told
    return rq_job_id(job.id)


def check_options(options: Mapping[str, Any]) -> None:
    """Errors: `UnknownOption`, `BadSetting`."""
    for name, value in options.items():
        if name not in OPTIONS:
            raise UnknownOption(
                f"RQ jobs have no option {name!r}.{near(name, OPTIONS)} Options: {', '.join(sorted(OPTIONS))}."
            )
        if name in CALLBACKS and not isinstance(value, str | Mapping):
            raise BadSetting(f"{name}={value!r}: give the function's dotted name, for it is stored as JSON.")
        if name == "job_id" and not (isinstance(value, str) and ALLOWED.fullmatch(value)):
            raise BadSetting(f"job_id={value!r} is not allowed: RQ takes 1 to 128 of A-Z a-z 0-9 _ and -.")
    for name in LENGTHS:
        _check_length(name, options.get(name))
    description = options.get("description")
    if not isinstance(description, str | None):
        raise BadSetting(f"description={description!r}: give a text.")
    try:
        _retry(options)
        _dependency(options)
        for name in CALLBACKS:
            _callback(options, name)
    except Exception as error:  # RQ's errors have no common base
        raise BadSetting(f"RQ refuses these options: {error!r}") from None


def _check_length(name: str, length: Any) -> None:
    """What RQ or its Redis server would stumble over only when the job is delivered. Errors: `BadSetting`."""
    if length is None:
        return
    try:
        seconds = parse_timeout(length)
    except Exception:  # of any kind, see above
        seconds = None
    least = 1 if name == "ttl" else -1
    if seconds is None or not least <= seconds <= MOST_SECONDS or (name == "timeout" and seconds == 0):
        for_ever = "" if name == "ttl" else ", -1 for no end"
        raise BadSetting(
            f"{name}={length!r}: give whole seconds, at least 1 and less than a hundred years, or a text such "
            f"as '1h'{for_ever}."
        )


class Blueprint:
    """Makes RQ's jobs for one RQ queue, by RQ's own means."""

    def __init__(
        self,
        client: redis.Redis,
        queue: str,
        serializer: str | None = None,
        *,
        queue_class: type[Queue] | str | None = None,
        job_class: type[RqJob] | str | None = None,
    ) -> None:
        """Errors: `BadSetting` for a serializer or class that cannot be had."""
        self.client = client
        try:
            self.serializer = resolve_serializer(serializer)
        except (ImportError, AttributeError, ValueError, NotImplementedError) as error:
            raise BadSetting(f"serializer={serializer!r} cannot be used: {error}") from None
        kind = _class(queue_class, Queue, "queue_class")
        made_of = _class(job_class, RqJob, "job_class")
        self.queue = kind(queue, connection=client, serializer=self.serializer, job_class=made_of)

    def make(self, parcel: Parcel, *, now: datetime) -> tuple[RqJob, bool]:
        """The RQ job of this parcel, and whether it goes to the front. Errors: `BadSetting`."""
        job = parcel.claim.job
        try:
            args, kwargs = orjson.loads(job.payload)
            meta = orjson.loads(job.options.meta) if job.options.meta else {}
            given = meta.pop("rq", {})
            check_options(given)
            made = self.queue.create_job(
                parcel.function,
                args=tuple(args),
                kwargs=kwargs,
                job_id=id_in_rq(job),
                meta=meta,
                description=given.get("description"),
                depends_on=_dependency(given),
                retry=_retry(given),
                on_success=_callback(given, "on_success"),
                on_failure=_callback(given, "on_failure"),
                on_stopped=_callback(given, "on_stopped"),
                timeout=given.get("timeout", _seconds(job.options.timeout)),
                result_ttl=given.get("result_ttl", _seconds(job.options.result_ttl)),
                failure_ttl=given.get("failure_ttl"),
                ttl=given.get("ttl", _seconds(job.expires_at - now if job.expires_at else None)),
            )
        except (BadSetting, UnknownOption) as error:
            raise BadSetting(str(error)) from None
        except RedisError:
            raise
        except Exception as error:  # whatever it is, it must not hold up the others
            raise BadSetting(f"no RQ job can be made of it: {error}") from None
        return made, bool(given.get("at_front", False))

    def states(self, jobs: Sequence[Job]) -> list[str]:
        """What RQ says of each; "" where it knows nothing (any more). Read without its serializer."""
        ids = [id_in_rq(job) for job in jobs]
        found = states(self.client, ids)
        waiting = [id for id, state in zip(ids, found, strict=True) if state == JobStatus.SCHEDULED.value]
        if not waiting:
            return found
        # rq-scheduler writes that word too, for what RQ has nowhere in line
        known: Any = self.client.zmscore(self.queue.scheduled_job_registry.key, waiting)
        unknown = {id for id, score in zip(waiting, known, strict=True) if score is None}
        return ["" if id in unknown else state for id, state in zip(ids, found, strict=True)]

    def verdict(self, claim: Claim, state: str, *, now: datetime) -> Verdict:
        """What follows for our job from what RQ says of its own."""
        if state in UNDER_WAY:
            return self.under_way(claim, state, now=now)
        if state == JobStatus.FAILED.value:
            return Dead(self._failure(claim.job))
        if state in (JobStatus.STOPPED.value, JobStatus.CANCELED.value):
            return Cancelled()
        if state == JobStatus.FINISHED.value:
            return Done(self._result(claim.job))
        expires_at = claim.job.expires_at
        return Expired() if expires_at is not None and expires_at <= now else Done()

    def under_way(self, claim: Claim, state: str, *, now: datetime) -> Snooze:
        """Until the next look."""
        return Snooze(
            now + _pause(claim, now),
            f"RQ has it in queue '{self.queue.name}' as {id_in_rq(claim.job)}: {state}.",
        )

    def _result(self, job: Job) -> bytes:
        """Its return value; b"" where only unpickling would tell."""
        if self.serializer is DefaultSerializer:
            return b""
        try:
            result = Result.fetch_latest(self._stub(job, self.serializer), serializer=self.serializer)
            return orjson.dumps(result.return_value) if result else b""
        except (TypeError, ValueError, DeserializationError):
            return b""

    def _failure(self, job: Job) -> Failure:
        """What its last attempt said; RQ keeps that as text."""
        stub = self._stub(job, JSONSerializer)
        result = Result.fetch_latest(stub, serializer=JSONSerializer)
        text = (result.exc_string if result else None) or ""
        kind, _, message = text.strip().rpartition("\n")[2].partition(": ")
        return Failure(kind or "RqJobFailed", message or f"RQ job {id_in_rq(job)} failed", text[-8000:])

    def _stub(self, job: Job, serializer: Any) -> RqJob:
        return RqJob(id_in_rq(job), connection=self.client, serializer=serializer)


def _class(given: Any, base: type[Any], option: str) -> type[Any]:
    """RQ's class, or one of the user's that is made of it."""
    try:
        found = import_attribute(given) if isinstance(given, str) else given or base
    except (ImportError, AttributeError, ValueError) as error:
        raise BadSetting(f"{option}={given!r} cannot be imported: {error}") from None
    if not (isinstance(found, type) and issubclass(found, base)):
        raise BadSetting(f"{option}={given!r} is no subclass of rq's {base.__name__}.")
    return found


def states(client: redis.Redis, ids: Sequence[str]) -> list[str]:
    """What RQ says of each of its jobs; "" where it knows nothing (any more)."""
    with client.pipeline(transaction=False) as pipe:
        for id in ids:
            pipe.hget(RqJob.key_for(id), "status")
        return [_text(state) for state in pipe.execute()]


def _pause(claim: Claim, now: datetime) -> timedelta:
    """After a while about a third of the time that it has taken so far; a schedule that fires often is looked
    after more often, and every one just before its next time, which may wait for this end.
    """
    looks, origin = claim.token - claim.attempt, claim.job.origin
    length = origin.nominal - origin.start if origin and origin.start else ZERO
    soonest = min(SOONEST, max(length / 4, LEAST)) if length else SOONEST
    pause = min(soonest * 1.5 ** min(looks, 10), LATEST)
    ahead = origin.nominal + length - LEAD - now if origin and length else ZERO
    return ahead if ZERO < ahead < pause else pause


def _text(found: bytes | str | None) -> str:
    return found.decode() if isinstance(found, bytes) else found or ""


def _seconds(length: timedelta | None) -> int | None:
    """Whole seconds, which is all that RQ knows, and never less than was given."""
    return None if length is None else -(-length // timedelta(seconds=1)) if length > ZERO else 0


def dependencies(job: Job) -> dict[str, str]:
    """What it was told to depend on: as it was said, and the id of the RQ job."""
    return _named(orjson.loads(job.options.meta).get("rq", {}).get("depends_on"))


def _named(ids: Any) -> dict[str, str]:
    listed = [ids] if isinstance(ids, str) else list(ids or ())
    return {id: rq_job_id(id) if ":" in id else id for id in listed}


def _dependency(given: Mapping[str, Any]) -> Dependency | None:
    named = list(_named(given.get("depends_on")).values())
    if not named:
        return None
    return Dependency(jobs=named, allow_failure=bool(given.get("allow_failure", False)))


def _retry(given: Mapping[str, Any]) -> Retry | None:
    retry = given.get("retry")
    if not retry:
        return None
    return Retry(**retry) if isinstance(retry, Mapping) else Retry(max=retry)


def _callback(given: Mapping[str, Any], name: str) -> Callback | None:
    callback = given.get(name)
    if not callback:
        return None
    return Callback(**callback) if isinstance(callback, Mapping) else Callback(callback)
