"""What rq-scheduler calls a job, and what stands for it here: one job, or a schedule whose runs RQ works on."""

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Self

import orjson
from attrs import evolve, field, frozen

from chronoq.app.options import treated
from chronoq.app.payload import encoded, sized
from chronoq.app.tasks import default_name
from chronoq.domain.errors import BadName, BadSetting, NotStorable
from chronoq.domain.identity import JobId, ScheduleId, name
from chronoq.domain.job import DEFAULTS, Job
from chronoq.domain.rhythm import Rhythm, cron, every, once, union
from chronoq.domain.rhythm_base import Union
from chronoq.domain.rhythm_kinds import Cron, Every
from chronoq.domain.schedule import Cursor, Overlap, Policy, Schedule
from chronoq.domain.time import up_to_ms
from chronoq.relay.names import by_name
from chronoq.relay.rq_jobs import ALLOWED, check_options

NAMESPACE = "rq-scheduler"
"""Where the entries of the familiar face live: all queues in it are RQ's, so no worker of ours is meant."""

FOR_EVER = timedelta(days=36_500)
"""rq-scheduler runs what it missed however late it is."""

PLACES = ("interval", "repeat", "cron_string", "use_local_timezone")
"""What rq-scheduler writes into `meta`."""

_ELSE = "rq."


def queue_for(rq_queue: str) -> str:
    """The name here of a queue of RQ's, where any text will do: the same, or one that says it in hex."""
    try:
        name(rq_queue)
    except BadName:
        return name(_ELSE + rq_queue.encode().hex(), what="queue")
    return rq_queue


def rq_queue_of(queue: str) -> str:
    """The inverse of `queue_for`."""
    try:
        said = bytes.fromhex(queue[len(_ELSE) :]).decode() if queue.startswith(_ELSE) else queue
    except ValueError:
        return queue
    return said if queue_for(said) == queue else queue


def cron_for(text: str, *, tz: str = "UTC") -> Rhythm:
    """rq-scheduler's dialect of cron: day and weekday both have to match, a sixth field is the year, and of
    seven the first is the second. Errors: `BadExpression`, `NeverFires`, `UnknownTimeZone`.
    """
    fields = text.split()
    if len(fields) == 6:
        fields = ["0", *fields]
    if len(fields) in (5, 7):  # the last Friday: L5 there, 5L here
        day = 4 if len(fields) == 5 else 5
        fields[day] = re.sub(r"(?i)\bL([0-7])\b", r"\1L", fields[day])
    return cron(" ".join(fields), tz=tz, day_match="and")


def function_name(fn: Callable[..., Any] | str) -> str:
    """The dotted name under which RQ's workers import `fn`. Errors: `BadSetting`, `NotStorable`."""
    if isinstance(fn, str):
        return default_name(by_name(fn))
    owner = getattr(fn, "__self__", None)
    if owner is not None and not inspect.isclass(owner) and not inspect.ismodule(owner):
        raise NotStorable(
            f"{fn!r} is a method of an object, which only pickle could store. Nothing was scheduled. "
            "Give a function, and pass it an id by which it finds the object."
        )
    named = getattr(fn, "__qualname__", "<")
    if not callable(fn) or "<" in named:
        raise BadSetting(
            f"{fn!r} has no dotted name by which workers could import it. Nothing was scheduled. "
            "Define it at the top of a module, or give its name: 'shop.mail.send'."
        )
    return default_name(fn)


def call_payload(
    function: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, limit: int, names: Sequence[str] = ()
) -> bytes:
    """The call as JSON. `names`: of the positional arguments, as far as they are known.

    What JSON would bring back as something else is refused: RQ calls the function with what it finds.
    Errors: `NotStorable`, which names the argument; `TooLarge`.
    """
    labels = [*names[: len(args)], *(f"#{place + 1}" for place in range(len(names), len(args)))]
    for label, value in [*zip(labels, args, strict=True), *kwargs.items()]:
        if reason := _unlike_json(value):
            raise NotStorable(
                f"Argument {label} of {function}() cannot be stored: {reason}. Nothing was scheduled. Arguments "
                "are kept as JSON, without pickle: pass an id or a text (such as when.isoformat()), and make "
                "the value of it in the function."
            )
    return sized(encoded((args, kwargs)), limit=limit, what=f"Arguments of {function}()")


def _unlike_json(value: Any, depth: int = 0) -> str:
    """Why `value` would not come back as it is; "" when it would. A tuple may come back as a list."""
    kind = type(value)
    if value is None or kind in (bool, str):
        return ""
    if kind is int:
        return "" if -(2**63) <= value < 2**64 else "the integer is longer than 64 bits"
    if kind is float:
        return "" if math.isfinite(value) else f"{value} is not a JSON number"
    if kind in (list, tuple, dict) and depth > 90:
        return "it is nested too deep"
    if kind in (list, tuple):
        return next((why for one in value if (why := _unlike_json(one, depth + 1))), "")
    if kind is dict:
        if odd := [key for key in value if type(key) is not str]:
            return f"the key {odd[0]!r} of a dict is no text"
        return next((why for one in value.values() if (why := _unlike_json(one, depth + 1))), "")
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.") + " is no JSON type"


@frozen(kw_only=True)
class Entry:
    """One entry of an rq-scheduler: what RQ is to run, in which queue, and whether again and again.

    `id`: as RQ allows it. `payload`: see `call_payload`. `rq`: see `chronoq.relay.rq.rq_options`. `meta`: the
    user's. `interval` or `cron_string` (in the zone `tz`) makes it periodic; then `repeat` is how many runs
    there are in all, None for no end. Errors: `BadName`, `BadSetting`, `UnknownOption`.
    """

    id: str
    function: str
    payload: bytes = b"[[],{}]"
    queue: str = "default"
    meta: Mapping[str, Any] = field(factory=dict)
    rq: Mapping[str, Any] = field(factory=dict)
    interval: timedelta | None = None
    cron_string: str | None = None
    tz: str = "UTC"
    repeat: int | None = None

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.id, str) or not ALLOWED.fullmatch(self.id):
            raise BadName(f"id {self.id!r} is not allowed: RQ takes 1 to 128 of A-Z a-z 0-9 _ and -.")
        if self.interval is not None and self.interval <= timedelta(0):
            raise BadSetting(f"interval={self.interval.total_seconds()}: give seconds above zero, or None.")
        if "rq" in self.meta:
            raise BadSetting(
                "meta has a key 'rq', under which chronoq keeps what RQ is told. Use another one."
            )
        check_options(self.rq)

    @property
    def periodic(self) -> bool:
        return self.interval is not None or self.cron_string is not None

    def job(self, at: datetime, *, now: datetime) -> Job:
        """The job that is delivered at `at`, as the RQ job with the entry's id."""
        told = self._options(job_id=self.id)
        return Job(
            JobId(queue_for(self.queue), self.id), self.function, self.payload, up_to_ms(at), now, told
        )

    def schedule(self, first: datetime | None = None) -> Schedule:
        """The schedule of this entry, its first time being `first` (None: as cron says). Each run is an RQ job
        of its own; the one run of an entry that is not periodic has the entry's id.

        A time that comes while the former run goes on waits for its end, one at the most.
        """
        rhythm, starts, alone = self._rhythm(first), None, not self.periodic
        if self.cron_string is not None and first is not None:
            starts = first
        policy = Policy(
            window=FOR_EVER,
            overlap=Overlap.ALLOW if alone else Overlap.QUEUE_ONE,
            max_fires=None if self.repeat is None or self.repeat < 0 else max(self.repeat, 1),
            starts_at=starts,
        )
        told = self._options(**({"job_id": self.id} if alone else {}))
        id = ScheduleId(queue_for(self.queue), self.id)
        return Schedule(id, rhythm, self.function, self.payload, policy, told)

    def begun(self, first: datetime | None, *, now: datetime, version: int = 1) -> tuple[Schedule, Cursor]:
        """The schedule, and the cursor that has it begin at `first`, which may be past."""
        now = up_to_ms(now)
        first = first and up_to_ms(first)
        schedule = self.schedule(first)
        return schedule, Cursor(version, first or schedule.next_after(now, since=now), now)

    def _rhythm(self, first: datetime | None) -> Rhythm:
        if self.cron_string is not None:
            regular = cron_for(self.cron_string, tz=self.tz)
            return regular if first is None else union(once(first), regular)
        if first is None:
            raise BadSetting(f"Entry {self.id!r} needs a first time.")
        if self.interval is not None:
            return every(self.interval, anchor=first - self.interval)
        return once(first)

    def _options(self, **more: Any) -> Any:
        periodic: dict[str, Any] = {
            "interval": self.interval and plain_seconds(self.interval),
            "cron_string": self.cron_string,
            "use_local_timezone": self.tz != "UTC" if self.cron_string is not None else None,
            "repeat": self.repeat,
        }
        meta = {**self.meta, **{key: value for key, value in periodic.items() if value is not None}}
        # None is said too: RQ's workers have a default of their own
        rq = {"timeout": None, "result_ttl": None, **self.rq, **more}
        if odd := _unlike_json(meta):
            raise NotStorable(f"meta cannot be stored: {odd}. Nothing was scheduled. Give JSON values.")
        return treated(DEFAULTS, {"meta": {**meta, "rq": rq}})

    @classmethod
    def read(cls, one: Job | Schedule) -> Self:
        """The entry of which a job or schedule was made; as far as it goes, also of one that was made otherwise."""
        meta = orjson.loads(one.options.meta) if one.options.meta else {}
        told_rq = meta.pop("rq", {})
        rq = {key: value for key, value in told_rq.items() if key != "job_id" and value is not None}
        told = {key: meta.pop(key, None) for key in PLACES}
        rhythm = one.rhythm if isinstance(one, Schedule) else None
        if isinstance(rhythm, Union):
            rhythm = next((each for each in rhythm.rhythms if isinstance(each, Cron)), rhythm)
        made = cls(
            id=re.sub(r"[^A-Za-z0-9_-]", "-", one.id.key),
            function=one.task,
            payload=one.payload,
            queue=rq_queue_of(one.id.queue),
            meta=meta,
            rq=rq,
        )
        if isinstance(rhythm, Every):
            made = evolve(made, interval=rhythm.interval)
        if isinstance(rhythm, Cron):
            made = evolve(made, cron_string=told["cron_string"] or rhythm.expression, tz=rhythm.tz)
        most = one.policy.max_fires if isinstance(one, Schedule) else None
        return evolve(made, repeat=most)


def plain_seconds(length: timedelta) -> int | float:
    """Seconds as people write them: 60, 0.5."""
    seconds = length.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds
