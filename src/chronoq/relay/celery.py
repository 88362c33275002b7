"""Celery: jobs that come due are sent to Celery's workers, at least once."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
import redis
from attrs import define, field, frozen
from celery import Celery, states
from celery.exceptions import BackendError as NoResults
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from chronoq.adapters.redis.address import Address
from chronoq.adapters.redis.keys import Keys
from chronoq.app.relay import Parcel
from chronoq.config import Settings
from chronoq.domain.errors import BadSetting, UnknownOption, Unreachable, near
from chronoq.domain.job import Claim
from chronoq.domain.masking import masked
from chronoq.domain.retry import Failure
from chronoq.domain.time import MS, to_ms
from chronoq.domain.verdict import Cancelled, Dead, Done, Snooze, Verdict, before_start
from chronoq.relay.names import by_name

__all__ = ["CeleryRelay", "by_name", "celery_options"]

log = logging.getLogger("chronoq.relay")

OPTIONS = frozenset(
    {"task", "priority", "soft_time_limit", "time_limit", "ignore_result", "headers", "shadow"}
)

AWAY = (OperationalError, NoResults, RedisError, OSError)
"""What the broker and the result backend raise when they do not answer."""

SOONEST = timedelta(seconds=1)
LATEST = timedelta(seconds=15)
KEPT = timedelta(days=30)


def _shown(url: str | None) -> str:
    return repr(url and masked(url))


@frozen(kw_only=True)
class CeleryRelay:
    """Sends to a Celery queue: `Queue("mail", relay=CeleryRelay(broker="redis://..."))`.

    `broker`: the workers' broker; None: the application's own Redis URL. `results`: the workers' result
    backend on Redis; without it nothing can be followed, and a schedule does not learn whether its former
    task has ended. `queue`: the Celery queue; None: the same name.
    """

    broker: str | None = field(default=None, repr=_shown)
    results: str | None = field(default=None, repr=_shown)
    queue: str | None = None
    follow: bool = False
    unregistered: bool = False

    def __attrs_post_init__(self) -> None:
        if self.follow and self.results is None:
            raise BadSetting("CeleryRelay(follow=True) needs results=, the result backend of the workers.")

    def connect(self, settings: Settings, queue: str) -> "CeleryDelivery":
        """Errors: `BadSetting` for an application that has no address to share with Celery."""
        broker = self.broker or settings.url
        for name, url in (("broker", broker), ("results", self.results or broker)):
            if not url.startswith(("redis://", "rediss://")):
                raise BadSetting(
                    f"{masked(url)} is no address of a Redis server that Celery understands. "
                    f"Give CeleryRelay({name}='redis://...') the one that its workers use."
                )
        # it would subscribe to the results of all that it sends, had it a backend of its own
        app = Celery("chronoq", broker=broker, set_as_current=False)
        app.conf.update(task_serializer="json", broker_transport_options={"max_retries": 1})
        reader = Celery("chronoq", backend=self.results, set_as_current=False) if self.results else None
        marks = redis.Redis.from_pool(Address(self.results).pool()) if self.results else None
        return CeleryDelivery(app, self.queue or queue, Keys(settings.namespace), reader, marks)


@define
class CeleryDelivery:
    """Sends, then notes in the result backend that it has sent: who dies in between sends again."""

    app: Celery
    queue: str
    keys: Keys
    reader: Celery | None
    marks: redis.Redis | None
    warned: bool = False

    def deliver(self, parcels: Sequence[Parcel], *, now: datetime) -> list[Verdict | None]:
        """See `chronoq.app.relay.Relay`."""
        try:
            return [self._deliver(parcel, now) for parcel in parcels]
        except AWAY as error:
            raise Unreachable(
                f"Celery's broker {masked(self.app.conf.broker_url)} or its result backend does not answer "
                f"({type(error).__name__})."
            ) from error

    def close(self) -> None:
        self.app.close()
        if self.reader is not None:
            self.reader.close()
        if self.marks is not None:
            self.marks.close()

    def _deliver(self, parcel: Parcel, now: datetime) -> Verdict:
        claim = parcel.claim
        marks, mark = self._marks(parcel), self.keys.of(claim.id.queue).relayed(claim.id.key)
        if marks is not None and marks.get(mark) == _sent(claim):
            verdict = self._verdict(claim, now)
            if not isinstance(verdict, Snooze):
                marks.delete(mark)
            return verdict
        if unwanted := before_start(claim, now=now):
            return unwanted
        try:
            self.app.send_task(queue=self.queue, task_id=str(claim.id), **_words(parcel))
        except AWAY:
            raise
        except Exception as error:  # whatever it is, it must not hold up the others
            return Dead(Failure(type(error).__name__, str(error)))
        if marks is None:
            return Done()
        marks.set(mark, _sent(claim), px=KEPT // MS)
        return self._under_way(claim, "sent", now)

    def _verdict(self, claim: Claim, now: datetime) -> Verdict:
        """What follows for our job from what Celery's result backend says of its task."""
        assert self.reader is not None
        found = self.reader.backend.get_task_meta(str(claim.id))
        state, value = found["status"], found["result"]
        if state not in states.READY_STATES:
            return self._under_way(claim, state.lower(), now)
        if state == states.REVOKED:
            return Cancelled()
        if state == states.FAILURE:
            return Dead(Failure(type(value).__name__, str(value), str(found.get("traceback") or "")[-8000:]))
        try:
            return Done(orjson.dumps(value))
        except TypeError:
            return Done()

    def _under_way(self, claim: Claim, state: str, now: datetime) -> Snooze:
        pause = min(SOONEST * 1.5 ** min(claim.token - claim.attempt, 10), LATEST)
        return Snooze(now + pause, f"Celery has it in queue '{self.queue}' as {claim.id}: {state}.")

    def _marks(self, parcel: Parcel) -> redis.Redis | None:
        """Where it is noted that this one was sent; None when nobody follows it."""
        if parcel.follow and self.marks is None and not self.warned:
            self.warned = True
            log.warning(
                "⚠ runs sent to Celery queue %s cannot be followed, so they never count as overlapping. "
                "Give CeleryRelay(results=...) the workers' result backend, or the schedules overlap='allow'.",
                self.queue,
            )
        return self.marks if parcel.follow else None


def _sent(claim: Claim) -> bytes:
    return b"%d" % to_ms(claim.job.enqueued_at)


def _words(parcel: Parcel) -> dict[str, Any]:
    """What Celery is told of a job. Errors: `UnknownOption`, `BadSetting`."""
    job = parcel.claim.job
    args, kwargs = orjson.loads(job.payload)
    meta = orjson.loads(job.options.meta) if job.options.meta else {}
    given = dict(meta.get("celery", {}))
    _check(given)
    words: dict[str, Any] = {"name": given.pop("task", parcel.function), "args": args, "kwargs": kwargs}
    if job.options.timeout is not None:
        words["time_limit"] = job.options.timeout.total_seconds()
    if job.expires_at is not None:
        words["expires"] = job.expires_at
    return words | given


def celery_options(**options: Any) -> dict[str, Any]:
    """What Celery is told of a job beyond what chronoq knows, for `meta=`: `meta=celery_options(priority=3)`.

    task: its name in Celery, where that is not the function's dotted name. priority, soft_time_limit,
    time_limit, ignore_result, headers, shadow: as for `apply_async`. Errors: `UnknownOption`.
    """
    _check(options)
    return {"celery": options}


def _check(options: Mapping[str, Any]) -> None:
    for name in options:
        if name not in OPTIONS:
            listed = ", ".join(sorted(OPTIONS))
            raise UnknownOption(
                f"Celery tasks have no option {name!r}.{near(name, OPTIONS)} Options: {listed}."
            )
