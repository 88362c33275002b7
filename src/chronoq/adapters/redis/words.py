"""Claims and verdicts in the words of the scripts."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, assert_never, overload

from attrs import field, frozen

from chronoq.adapters.codec import Note, encode, encode_ending, keep_ms, schedule_of, up_ms
from chronoq.adapters.records import Records
from chronoq.adapters.redis.calls import Call, Script, Word
from chronoq.adapters.redis.keys import QueueKeys
from chronoq.adapters.written import not_before
from chronoq.domain.identity import JobId
from chronoq.domain.job import Claim, Job, Snapshot, State
from chronoq.domain.ports import RECENT
from chronoq.domain.schedule import Cursor
from chronoq.domain.time import MS, from_ms, to_ms
from chronoq.domain.values import value
from chronoq.domain.verdict import Cancelled, Dead, Done, Expired, Retry, Snooze, Verdict, crashed, excused

KEPT = timedelta(hours=1)
"""How much longer than it holds a value is kept: readers compare times, the TTL only collects garbage."""

_KEPT_MS = KEPT // MS
_HISTORY = re.compile(rb"(\d+):(\d+):(\d+):(.*)", re.DOTALL)


@value
class History:
    """How often a job was claimed, and by whom: what the `claims` hash holds."""

    token: int = 0
    excused: int = 0
    crashes: int = 0
    worker: str = ""

    def claim(self, job: Job, *, until: int) -> Claim:
        attempt = self.token - self.excused
        return Claim(job, self.token, attempt, self.worker, from_ms(until), self.crashes)


def history(text: bytes | None) -> History:
    """What cannot be read counts as nothing, here as in the scripts."""
    found = _HISTORY.fullmatch(text or b"")
    if not found:
        return History()
    return History(int(found[1]), int(found[2]), int(found[3]), found[4].decode(errors="replace"))


def holder(claim: Claim) -> str:
    """Who holds a lease, as the scripts compare it (L4)."""
    return f"{claim.token}:{claim.worker}"


def history_of(claim: Claim) -> str:
    """The history of a job while it is claimed so: it says who holds the lease, and no more changes until it ends."""
    return _history_text(claim.token, claim.attempt, claim.crashes, claim.worker)


@lru_cache(maxsize=64)
def _history_text(token: int, attempt: int, crashes: int, worker: str) -> str:
    """Nearly all jobs of a worker are claimed for the first time."""
    return f"{token}:{token - attempt}:{crashes}:{worker}"


def history_text(one: Snapshot) -> str:
    """The history of a job that was looked at; "" if it was never claimed."""
    return _history_text(one.token, one.attempt, one.crashes, one.worker) if one.token else ""


@frozen
class Released:
    """Given back unstarted, by the same door as verdicts."""


@frozen
class Runs:
    """Collects the runs of schedules that a script has to touch, behind its `fixed` first keys."""

    keys: QueueKeys
    fixed: int
    names: list[str] = field(factory=list)

    def place(self, job: Job) -> tuple[int, str]:
        """Which of the script's keys are the runs of its schedule, and the schedule; 0 and "" without one."""
        schedule = schedule_of(job)
        if not schedule:
            return 0, ""
        self.names.append(self.keys.runs(schedule))
        return self.fixed + len(self.names), schedule


def grant(reply: Any) -> tuple[bytes, bool, Sequence[Any]]:
    """What a claim script answered: when the next delayed job is due, whether some stayed behind for their weight,
    and the claims, which `Granted` reads."""
    due, more, *lists = reply
    keys, records, pasts = lists
    if not len(keys) == len(records) == len(pasts):
        raise ValueError("these are no claims")
    return due, more == 1, lists


def moment(score: bytes) -> datetime | None:
    """A score as the scripts answer it; "" means none."""
    return from_ms(int(float(score))) if score else None


class Granted(Sequence[Claim]):
    """What the claim script granted, in its answers for some queues: read when it is looked at.

    Equal to any sequence of the same claims.
    """

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __init__(
        self,
        answers: Sequence[tuple[str, Sequence[Any]]],
        records: Records,
        *,
        worker: str,
        until: int,
        now: datetime,
    ) -> None:
        self._answers, self._records = answers, records
        self._worker, self._until, self._now = worker, until, now
        self._length = 0
        for _, lists in answers:
            self._length += len(lists[0])
        self._read: list[Claim] | None = None

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, at: int) -> Claim: ...
    @overload
    def __getitem__(self, at: slice) -> list[Claim]: ...
    def __getitem__(self, at: int | slice) -> Claim | list[Claim]:
        return self._claims[at]

    def __iter__(self) -> Iterator[Claim]:
        return iter(self._claims)

    def __eq__(self, other: object) -> bool:
        return list(self._claims) == list(other) if isinstance(other, Sequence) else NotImplemented

    def __repr__(self) -> str:
        return repr(tuple(self._claims))

    @property
    def _claims(self) -> list[Claim]:
        if self._read is None:
            claims = list[Claim]()
            for queue, lists in self._answers:
                self._read_into(claims, queue, lists)
            self._read, self._answers = claims, ()
        return self._read

    def _read_into(self, claims: list[Claim], queue: str, lists: Sequence[Any]) -> None:
        records, worker, now, ends = self._records, self._worker, self._now, from_ms(self._until)
        for key, record, past in zip(*lists, strict=True):
            job = records.read_job(JobId(queue, key.decode()), record, now=now)
            if past:
                token, excused_, crashes = map(int, past.split(b":")[:3])
                claims.append(Claim(job, token, token - excused_, worker, ends, crashes))
            else:
                claims.append(Claim(job, 1, 1, worker, ends))


def done_call(
    part: Sequence[tuple[Claim, Verdict | Released]],
    *,
    keys: QueueKeys,
    ended: str,
    script: Script,
    now: datetime,
) -> Call[list[bool]] | None:
    """The short call for jobs that are all done, and none made by a schedule; None when some are not."""
    options = part[0][0].job.options
    words: list[Word] = [ended, RECENT, keep_ms(options) + _KEPT_MS]
    endings = []
    for claim, verdict in part:
        job = claim.job
        key = job.id.key
        made = job.origin is not None or "@" in key  # by a schedule, as far as its record can be read
        if made or type(verdict) is not Done or job.options is not options:
            return None
        endings.append(keys.ending(key))
        words += (key, history_of(claim), encode_ending(job, State.DONE, at=now, result=verdict.result))
    places = (
        keys.leases,
        keys.claims,
        keys.jobs,
        keys.notes,
        keys.progress,
        keys.stops,
        keys.stats,
        keys.recent,
    )
    return Call(script, (*places, *endings), words, yes_or_no, again=False, durable=True)


def yes_or_no(reply: Any) -> list[bool]:
    return [one == 1 for one in reply]


def wake_word(cursor: Cursor) -> Word:
    """When to look at a schedule, as its due time says it: "" never, +inf when its runs have ended."""
    if cursor.held and cursor.pause is None:
        return "+inf"
    wake = cursor.wake
    return "" if wake is None else _up_ms(wake)


_up_ms = lru_cache(maxsize=256)(up_ms)


def verdict_words(
    claim: Claim, verdict: Verdict | Released, *, now: datetime, runs: Runs
) -> tuple[Word, ...]:
    """The twelve arguments of the settle script for one verdict."""
    job = claim.job
    name, state, again, note, result = _parts(verdict)
    crash = 0 if isinstance(verdict, Released) or not crashed(verdict) else to_ms(claim.expires_at)
    free = 1 if isinstance(verdict, Released) or excused(verdict) else 0
    ending = b"" if state is State.DEAD else encode_ending(job, state, at=now, result=result)
    kept = keep_ms(job.options) + _KEPT_MS
    head = (job.id.key, holder(claim), name, 0 if again is None else not_before(again, now))
    return (*head, free, crash, int(job.options.priority), note, ending, kept, *runs.place(job))


def _parts(verdict: Verdict | Released) -> tuple[str, State, datetime | None, bytes, bytes]:
    """Its name, ending (if it runs again: should it be asked to stop), when again, note and result."""
    match verdict:
        case Done():
            return "done", State.DONE, None, b"", verdict.result
        case Retry():
            return "retry", State.CANCELLED, verdict.at, encode(Note(verdict.failure)), b""
        case Snooze():
            return "snooze", State.CANCELLED, verdict.at, encode(Note(reason=verdict.reason)), b""
        case Released():
            return "release", State.CANCELLED, None, b"", b""
        case Dead():
            return "dead", State.DEAD, None, encode(Note(verdict.failure)), b""
        case Cancelled():
            return "cancelled", State.CANCELLED, None, b"", b""
        case Expired():
            return "expired", State.EXPIRED, None, b"", b""
        case _:
            assert_never(verdict)
