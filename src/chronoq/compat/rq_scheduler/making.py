"""An entry of what people hand over: functions, jobs and callbacks of RQ become names and ids."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from chronoq.domain.errors import BadCall, BadSetting
from chronoq.domain.time import LONGEST, up_to_ms
from chronoq.relay.rq_entry import Entry, call_payload, function_name

Fn = Callable[..., Any] | str


def entry_of(
    func: Fn,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    limit: int,
    queue_name: str,
    id: str | None = None,
    meta: Mapping[str, Any] | None = None,
    interval: timedelta | None = None,
    cron_string: str | None = None,
    tz: str = "UTC",
    repeat: int | None = None,
    depends_on: Any = None,
    on_success: Any = None,
    on_failure: Any = None,
    **told: Any,
) -> Entry:
    """`told`: what RQ takes as it is. Errors: `BadCall`, `NotStorable`, `TooLarge`, `BadName`, `BadSetting`."""
    name = function_name(func)
    if not isinstance(queue_name, str):
        raise BadSetting(f"queue_name={queue_name!r}: give the name of a queue, as a text.")
    for said, given in (("kwargs", kwargs), ("meta", {} if meta is None else meta)):
        if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
            raise BadSetting(f"{said}={given!r}: give a dict whose keys are texts.")
    if isinstance(args, str) or not isinstance(args, Sequence):
        raise BadSetting(f"args={args!r}: give a list or tuple of arguments.")
    rq = {
        **{option: _seconds(value) for option, value in told.items()},
        "depends_on": _ids(depends_on),
        "on_success": _callback(on_success),
        "on_failure": _callback(on_failure),
    }
    return Entry(
        id=uuid4().hex if id is None else id,
        function=name,
        payload=call_payload(name, args, kwargs, limit=limit, names=_names(func, name, args, kwargs)),
        queue=queue_name,
        meta=meta or {},
        rq={option: value for option, value in rq.items() if value is not None and value is not False},
        interval=interval,
        cron_string=cron_string,
        tz=tz,
        repeat=_count(repeat),
    )


def _names(func: Fn, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
    """What the positional arguments are called, where that can be seen. Errors: `BadCall` when they do not fit."""
    try:
        signature = None if isinstance(func, str) else inspect.signature(func)
    except (ValueError, TypeError):  # some builtins have none
        signature = None
    if signature is None:
        return []
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise BadCall(f"{name}{signature} got a wrong call: {error}. Nothing was scheduled.") from None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one.name for one in signature.parameters.values() if one.kind in kinds]


def length_of(interval: Any) -> timedelta | None:
    """An interval in seconds, or as a timedelta. Errors: `BadSetting`."""
    if interval is None or isinstance(interval, timedelta):
        return interval
    try:
        made = timedelta(seconds=interval)
    except (TypeError, ValueError, OverflowError):
        made = None
    if made is None or made > LONGEST:
        raise BadSetting(f"interval={interval!r}: give seconds, a number, or a timedelta.")
    return made


def moment_of(given: Any) -> datetime:
    """A moment without a time zone is UTC, as everywhere in rq-scheduler. Errors: `BadSetting`."""
    if not isinstance(given, datetime):
        raise BadSetting(f"{given!r} is no moment: give a datetime, in UTC or with its time zone.")
    try:
        moment = given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
        up_to_ms(moment)
    except OverflowError:
        raise BadSetting(f"{given} is too far away: give a moment before the year 9999.") from None
    return moment


def later(moment: datetime, by: Any) -> datetime:
    """So long after `moment`. Errors: `BadSetting`."""
    if not isinstance(by, timedelta):
        raise BadSetting(f"time_delta={by!r}: give a timedelta.")
    try:
        return moment + by
    except OverflowError:
        raise BadSetting(f"time_delta={by!r} is too far away: no date says when that is.") from None


def _count(repeat: Any) -> int | None:
    try:
        return None if repeat is None else int(repeat)
    except (TypeError, ValueError, OverflowError):
        raise BadSetting(f"repeat={repeat!r}: give how many runs there are in all, or None.") from None


def _seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _ids(depends_on: Any) -> list[str] | None:
    """Of RQ's jobs, of ours, of a list of both, or of RQ's Dependency."""
    if depends_on is None:
        return None
    listed = getattr(depends_on, "dependencies", depends_on)
    each = list(listed) if isinstance(listed, list | tuple) else [listed]
    ids = [one if isinstance(one, str) else getattr(one, "id", None) for one in each]
    if not all(isinstance(one, str) for one in ids):
        raise BadSetting(f"depends_on={depends_on!r}: give a job, its id, or a list of those.")
    return [str(one) for one in ids]


def _callback(given: Any) -> Any:
    """A function's name; of RQ's Callback its timeout too."""
    if given is None or isinstance(given, Mapping):
        return given
    func = getattr(given, "func", None)
    if func is not None and hasattr(given, "timeout") and not inspect.isroutine(given):
        return {"func": function_name(func), "timeout": given.timeout}
    return function_name(given)
