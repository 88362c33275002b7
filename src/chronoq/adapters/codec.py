"""How values are written down: JSON text, for every adapter that stores them.

A job is three lines: its options (empty for the defaults), its envelope, its payload as it came.
Jobs and endings carry moments as whole milliseconds; what is compared for equality later (options,
schedules, cursors) is exact to the microsecond, and always written the same way.

Reading is strict: what is not as it was written raises `Malformed`, with the reason. But parts that this
version has never heard of are passed by: a newer one may have written them.
"""

from datetime import datetime, timedelta
from functools import lru_cache, partial
from hashlib import blake2b
from operator import eq
from typing import Any, TypeVar, cast

import orjson
from attrs import AttrsInstance, frozen, has
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn

from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import DEFAULTS, ENDED, Ending, Job, Options, Origin, State
from chronoq.domain.retry import Failure
from chronoq.domain.rhythm import Rhythm, rhythm_from
from chronoq.domain.schedule import CatchUp, Policy, Schedule
from chronoq.domain.time import EPOCH, MS, from_ms, to_ms

T = TypeVar("T")

_MICROSECOND = timedelta(microseconds=1)
_UNKNOWN_WORK = "0"

LOST = b"lost"
"""Stands for a record that was lost, so that the job's id stays taken and its place has something to show."""


class Malformed(ValueError):
    """A stored value cannot be read. The message says why, in a form that people may see."""


@frozen
class Note:
    """Why a job waits or died: its last failure, or the reason of a snooze."""

    failure: Failure | None = None
    reason: str = ""


@frozen
class Remembered:
    """What is left of an ended job until `until` (ms): its ending, its task and the print of its work."""

    ending: Ending
    task: str
    until: int
    work: str


def up_ms(moment: datetime) -> int:
    """Whole milliseconds since 1970, rounded up: nothing that is stored comes earlier than was asked."""
    return -((EPOCH - moment) // MS)


def encode_job(job: Job) -> bytes:
    if (origin := job.origin) is None:
        return _head_of(job) + job.payload
    options, envelope = _options_text(job.options), _envelope_text(job.task, job.enqueued_at, job.due)
    schedule = origin.schedule
    name = orjson.dumps(schedule.key if schedule.queue == job.id.queue else str(schedule))
    interval = _interval_text(origin.nominal, origin.start, origin.end)
    return b"%b\n%b,[%b,%b]\n%b" % (options, envelope, name, interval, job.payload)


_last: tuple[Options, str, datetime, datetime, bytes] = (DEFAULTS, "", EPOCH, EPOCH, b"")
"""Of the last job without an origin: what its head is made of, and the head."""


def _head_of(job: Job) -> bytes:
    """All but the payload: written once for neighbours that are made in one moment.

    One is remembered, by identity: to look for it elsewhere takes longer than to write it.
    """
    global _last  # as a whole, so that threads may overwrite each other's
    options, task, enqueued, due, head = _last
    if not (job.enqueued_at is enqueued and job.due is due and job.options is options and job.task is task):
        envelope = _envelope_of(job.task, job.enqueued_at, job.due)
        head = b"%b\n%b]\n" % (_options_text(job.options), envelope)
        _last = job.options, job.task, job.enqueued_at, job.due, head
    return head


def _envelope_of(task: str, enqueued: datetime, due: datetime) -> bytes:
    """A bracket stays open, for the origin."""
    at = to_ms(enqueued)
    due_at = at + (due.microsecond % 1000 > 0) if due is enqueued else up_ms(due)
    return orjson.dumps([task, at, due_at])[:-1]


_envelope_text = lru_cache(maxsize=64)(_envelope_of)


@lru_cache(maxsize=256)
def _interval_text(*moments: datetime | None) -> bytes:
    """Schedules that fire together share it: the nominal time, start and end. A bracket closes."""
    return orjson.dumps([None if moment is None else to_ms(moment) for moment in moments])[1:]


def decode_job(id: JobId, record: bytes) -> Job:
    try:
        options, envelope, payload = record.split(b"\n", 2)
        task, due, enqueued, origin = _envelope(envelope)
        return Job(
            id,
            task,
            payload,
            due,
            enqueued,
            _options(options) if options else DEFAULTS,
            _origin(id, origin) if origin else None,
        )
    except Exception as error:  # whatever it is, the record is to blame
        raise Malformed(f"the job's record cannot be read: {reason(error)}") from None


@lru_cache(maxsize=256)
def _envelope(text: bytes) -> tuple[str, datetime, datetime, Any]:
    """Task, due time, time of enqueueing and the form of the origin: the same for jobs that were enqueued together."""
    task, enqueued, due, *origin = orjson.loads(text)
    if type(task) is not str or type(enqueued) is not int or type(due) is not int:
        raise ValueError("its envelope is not [task, enqueued, due, origin]")
    at = from_ms(enqueued)
    return task, at if due == enqueued else from_ms(due), at, origin[0] if origin else None


def fingerprint(job: Job) -> str:
    """Equal for jobs that ask for the same work; of a job that cannot be read it is not known."""
    if job.defect:
        return _UNKNOWN_WORK
    work = _begun(job.task).copy()
    work.update(job.payload)
    return work.hexdigest()


@lru_cache(maxsize=1000)
def _begun(task: str) -> blake2b:
    """The fingerprint of a task's jobs, as far as they have it in common."""
    return blake2b(b"%b\0" % task.encode(), digest_size=16)


def is_work(job: Job, work: str) -> bool:
    """Whether `work` is the fingerprint of `job`, as far as it is known."""
    return work in (_UNKNOWN_WORK, fingerprint(job))


def schedule_of(job: Job) -> str:
    """The key of the schedule of which a job is a run, "" if of none, as `Job.run_of` tells.

    A record that cannot be read tells it by its key: those with an @ are only made by schedules.
    """
    if job.run_of is not None:
        return job.run_of.key
    return schedule_of_key(job.id.key) if job.origin is None else ""


def schedule_of_key(key: str) -> str:
    """The schedule that minted a job's key, if the job is a run of it; else ""."""
    head, at, tail = key.partition("@")
    return head if at and "+" not in tail else ""


def _origin(id: JobId, form: Any) -> Origin:
    name, *moments = form
    if type(name) is not str or [type(ms) for ms in moments[:1]] != [int] or len(moments) < 3:
        raise ValueError("its origin is not [schedule, nominal, start, end]")
    schedule = ScheduleId.parse(name) if ":" in name else ScheduleId(id.queue, name)
    nominal, start, end = (None if ms is None else EPOCH + ms * MS for ms in moments[:3])
    return Origin(schedule, cast("datetime", nominal), start, end)


def keep_ms(options: Options) -> int:
    """How long the ending of a job with these options is kept, in milliseconds, rounded up."""
    return _known(options)[2]


_memo: dict[int, tuple[Options, bytes, int]] = {}


def _options_text(options: Options) -> bytes:
    return b"" if options is DEFAULTS else _known(options)[1]


def _known(options: Options) -> tuple[Options, bytes, int]:
    """Options with their text and `keep`. They are few and shared, but slow to hash: hence by identity."""
    known = _memo.get(id(options))
    if known is None or known[0] is not options:
        if len(_memo) >= 1000:
            _memo.clear()
        text = b"" if options == DEFAULTS else encode(options)
        known = _memo[id(options)] = (options, text, -(-options.keep // MS))
    return known


@lru_cache(maxsize=1000)
def _options(text: bytes) -> Options:
    return decode(Options, text)


def encode_ending(job: Job, state: State, *, at: datetime, result: bytes = b"") -> bytes:
    """`until fingerprint [state, at, task]`, and the result on the next line.

    The first two are plain text, so that a script which knows no JSON can compare `until` with now.
    """
    until, form = _around(job, state, at)
    return b"%b %b %b\n%b" % (until, fingerprint(job).encode(), form, result)


_last_around: tuple[State, datetime, str, Options, bytes, bytes] = (
    State.DONE,
    EPOCH,
    "?",
    DEFAULTS,
    b"",
    b"",
)
"""Of the last ending that was written: what its surroundings are made of, and these."""


def _around(job: Job, state: State, at: datetime) -> tuple[bytes, bytes]:
    """What stands around the fingerprint: the same for most jobs that end in one batch, so the last is remembered."""
    global _last_around  # as a whole, so that threads may overwrite each other's
    before, moment, name, options, until, form = _last_around
    task = "" if job.defect else job.task
    if not (moment is at and before is state and options is job.options and name == task):
        until, form = _written_around(str(state), at, task, keep_ms(job.options))
        _last_around = state, at, task, job.options, until, form
    return until, form


@lru_cache(maxsize=64)
def _written_around(state: str, at: datetime, task: str, keep: int) -> tuple[bytes, bytes]:
    return b"%d" % (up_ms(at) + keep), orjson.dumps([state, to_ms(at), task])


def decode_ending(id: JobId, text: bytes) -> Remembered:
    try:
        head, result = text.split(b"\n", 1)
        until, work, form = head.split(b" ", 2)
        state, at, task, *_ = orjson.loads(form)
        if state not in ENDED or type(at) is not int or type(task) is not str:
            raise ValueError("its head is not [state, at, task]")
        return Remembered(Ending(id, State(state), EPOCH + at * MS, result), task, int(until), work.decode())
    except Exception as error:
        raise Malformed(f"the ending of {id} cannot be read: {reason(error)}") from None


def encode_schedule(schedule: Schedule) -> bytes:
    form = {
        "task": schedule.task,
        "rhythm": schedule.rhythm.spec(),
        "policy": _converter().unstructure(schedule.policy),
        "options": _converter().unstructure(schedule.options),
    }
    return b"%b\n%b" % (orjson.dumps(form, option=orjson.OPT_SORT_KEYS), schedule.payload)


def decode_schedule(id: ScheduleId, record: bytes) -> Schedule:
    try:
        head, payload = record.split(b"\n", 1)
        rhythm, task, policy, options = _schedule_head(head)
        return Schedule(id, rhythm, task, payload, policy, options)
    except Exception as error:
        raise Malformed(f"the schedule's record cannot be read: {reason(error)}") from None


@lru_cache(maxsize=1000)
def _schedule_head(head: bytes) -> tuple[Rhythm, str, Policy, Options]:
    """Many schedules differ in their ids and arguments only."""
    form = orjson.loads(head)
    if not form.keys() >= {"task", "rhythm", "policy", "options"} or type(form["task"]) is not str:
        raise ValueError("its parts are not task, rhythm, policy, options")
    policy = _converter().structure(form["policy"], Policy)
    options = _converter().structure(form["options"], Options)
    return rhythm_from(form["rhythm"]), form["task"], policy, DEFAULTS if options == DEFAULTS else options


def encode(value: AttrsInstance) -> bytes:
    """A value as a JSON object of what differs from the defaults, with sorted keys."""
    return orjson.dumps(_converter().unstructure(value), option=orjson.OPT_SORT_KEYS)


def decode(kind: type[T], text: bytes) -> T:
    """The value of that kind which `encode` wrote. Errors: `Malformed`."""
    try:
        return _converter().structure(orjson.loads(text), kind)
    except Exception as error:
        raise Malformed(f"this is no {kind.__name__}: {reason(error)}") from None


def reason(error: Exception) -> str:
    """Why something cannot be read, in a form that people may see."""
    return f"{type(error).__name__}: {error}"[:200]


def _exactly(kind: type) -> Any:
    """A hook that takes a value, or an enum's, only as it is: else cattrs would make 5 out of "5"."""

    def hook(value: Any, target: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"{value!r} is not of type {kind.__name__}")
        return target(value)

    return hook


def _moment(value: Any, _: Any) -> datetime:
    return EPOCH + _length(value, _)


def _length(value: Any, _: Any) -> timedelta:
    if type(value) is not int:
        raise ValueError(f"{value!r} is not a whole number of microseconds")
    return value * _MICROSECOND


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"{value!r} is not a number")
    return cast("float", value)


def _tuple_of(kind: type, converter: Converter) -> Any:
    def hook(value: Any, _: Any) -> tuple[Any, ...]:
        if type(value) is not list:  # a text is iterable too
            raise ValueError(f"{value!r} is not a list")
        return tuple(converter.structure(item, kind) for item in value)

    return hook


@lru_cache(maxsize=1)
def _converter() -> Converter:
    made = Converter(detailed_validation=False)
    made.register_unstructure_hook(datetime, lambda moment: (moment - EPOCH) // _MICROSECOND)
    made.register_unstructure_hook(timedelta, lambda length: length // _MICROSECOND)
    made.register_unstructure_hook(bytes, lambda text: text.decode())
    for kind in (int, str, bool):
        made.register_structure_hook(kind, _exactly(kind))
    made.register_structure_hook(float, _number)
    made.register_structure_hook(bytes, lambda value, _: _exactly(str)(value, str).encode())
    made.register_structure_hook(datetime, _moment)
    made.register_structure_hook(timedelta, _length)
    made.register_structure_hook_func(partial(eq, tuple[str, ...]), _tuple_of(str, made))
    made.register_structure_hook_func(partial(eq, tuple[timedelta, ...]), _tuple_of(timedelta, made))
    made.register_structure_hook_func(partial(eq, CatchUp), lambda value, _: value)  # Policy checks it
    made.register_unstructure_hook_func(partial(eq, CatchUp), lambda value: value)
    made.register_unstructure_hook_factory(
        has, lambda kind: make_dict_unstructure_fn(kind, made, _cattrs_omit_if_default=True)
    )
    return made
