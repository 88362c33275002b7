"""Options as people write them, made into the domain's values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

import orjson
from attrs import evolve

from chronoq.domain.errors import BadSetting, ChronoqError, NotStorable, UnknownOption, near
from chronoq.domain.job import Options, Priority
from chronoq.domain.retry import RetryPolicy
from chronoq.domain.schedule import CatchUp, Overlap, Policy
from chronoq.domain.time import ZERO, Duration, aware, duration

if TYPE_CHECKING:
    from chronoq.domain.calling import Terms

Choice = TypeVar("Choice", bound=StrEnum)

Backoff = Duration | Sequence[Duration] | RetryPolicy
"""The base of an exponential with full jitter, a list of exact delays, or a policy."""


class CallOptions(TypedDict, total=False):
    """What tasks, schedules and single jobs can all be given."""

    queue: str
    priority: str | Priority
    retries: int
    backoff: Backoff
    timeout: Duration | None
    expires: Duration | None
    result_ttl: Duration
    meta: Mapping[str, Any]


class TaskOptions(CallOptions, total=False):
    """Options of `@app.task(...)`. `executor="process"`: run it in a child process, for what computes."""

    name: str
    executor: Literal["thread", "process"]


class JobOptions(CallOptions, total=False):
    """Options of `task.using(...)`. `id` makes the submission idempotent; `at` or `delay` runs it later."""

    id: str
    at: datetime
    delay: Duration


class PlanOptions(CallOptions, total=False):
    """Options of `app.add_schedule(...)`."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    catch_up: CatchUp
    window: Duration
    overlap: str | Overlap
    jitter: Duration
    spread: Duration
    pause_after: int | None
    starts_at: datetime | None
    ends_at: datetime | None
    max_fires: int | None


class ScheduleOptions(PlanOptions, total=False):
    """Options of `@app.schedule(...)`; `name` is the task's."""

    id: str
    name: str


def check(given: Mapping[str, Any], allowed: Iterable[str], *, where: str) -> None:
    """Errors: `UnknownOption` for a name that is not allowed, naming the near one."""
    for name in given:
        if name not in allowed:
            raise UnknownOption(
                f"{where} has no option {name!r}.{near(name, allowed)} Options: {', '.join(sorted(allowed))}."
            )


def treated(base: Options, given: Mapping[str, Any]) -> Options:
    """`base` with the options that were given. Errors: of the `Invalid` family, naming the option."""
    changes: dict[str, Any] = {}
    if "priority" in given:
        changes["priority"] = priority(given["priority"])
    if "retries" in given or "backoff" in given:
        changes["retry"] = _retry(base.retry, given)
    if "timeout" in given:
        changes["timeout"] = None if given["timeout"] is None else _timeout(given["timeout"])
    if "expires" in given:
        changes["expires"] = None if given["expires"] is None else _length("expires", given["expires"])
    if "result_ttl" in given:
        changes["result_ttl"] = _length("result_ttl", given["result_ttl"])
    if "meta" in given:
        changes["meta"] = _meta(given["meta"])
    return evolve(base, **changes) if changes else base


def policy(given: Mapping[str, Any]) -> Policy:
    """The policy of a schedule from its options."""
    changes = {name: given[name] for name in ("catch_up", "pause_after", "max_fires") if name in given}
    for name in ("window", "jitter", "spread"):
        if name in given:
            changes[name] = _length(name, given[name])
    for name in ("starts_at", "ends_at"):
        if given.get(name) is not None:
            changes[name] = aware(given[name], name=name)
    if "overlap" in given:
        changes["overlap"] = _choice(Overlap, given["overlap"], "overlap")
    return Policy(**changes)


def priority(value: Any) -> Priority:
    if isinstance(value, Priority):
        return value
    try:
        return Priority[str(value).upper()]
    except KeyError:
        names = [one.name.lower() for one in Priority]
        raise BadSetting(
            f"priority={value!r}: choose from {', '.join(names)}.{near(str(value), names)}"
        ) from None


def terms(policy: Any, timeout: Any, once: bool) -> Terms:
    """What a caller asks for. Errors: `BadSetting`, `BadDuration`."""
    from chronoq.domain.calling import Policy as CallPolicy
    from chronoq.domain.calling import Terms

    limit = None if timeout is None else _timeout(timeout)
    if not isinstance(once, bool):
        raise BadSetting(f"once={once!r}: give True or False.")
    return Terms(_choice(CallPolicy, policy, "policy"), limit, once)


def _choice(kind: type[Choice], value: Any, name: str) -> Choice:
    try:
        return kind(value)
    except ValueError:
        names = [str(one) for one in kind]
        raise BadSetting(
            f"{name}={value!r}: choose from {', '.join(names)}.{near(str(value), names)}"
        ) from None


def _length(name: str, value: Any) -> timedelta:
    try:
        return duration(value)
    except ChronoqError as error:
        raise type(error)(f"{name}: {error}") from None


def _timeout(value: Any) -> timedelta:
    """Above zero: without any time every attempt would fail, and hold its thread."""
    limit = _length("timeout", value)
    if limit == ZERO:
        raise BadSetting(f"timeout={value!r} leaves no time to run. Give a duration, or None for no limit.")
    return limit


def _retry(base: RetryPolicy, given: Mapping[str, Any]) -> RetryPolicy:
    backoff = given.get("backoff", base)
    retries = given.get("retries", backoff.retries if isinstance(backoff, RetryPolicy) else None)
    if isinstance(backoff, RetryPolicy):
        return evolve(backoff, retries=retries)
    if isinstance(backoff, Sequence) and not isinstance(backoff, str):
        return RetryPolicy.listed([_length("backoff", one) for one in backoff], retries=retries)
    return RetryPolicy.exponential(
        _length("backoff", backoff), retries=base.retries if retries is None else retries
    )


def _meta(value: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(dict(value), option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError) as error:
        raise NotStorable(
            f"meta cannot be stored: {error}. Give a dict of JSON values with str keys."
        ) from None
