"""The scheduling rules: what a due schedule does at a moment. Pure; the store applies it by compare-and-set."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from itertools import islice

from attrs import evolve

from chronoq.domain.job import Job, Origin, Pause
from chronoq.domain.schedule import (
    GRACE,
    Cursor,
    Due,
    Firing,
    Happened,
    Outcome,
    Overlap,
    Policy,
    Schedule,
    Stored,
    Walk,
)
from chronoq.domain.time import to_ms

AT_ONCE = 100
"""Nominal times that one step handles at the most; the rest follow in the next step."""

_TICK = timedelta(microseconds=1)
_FAR = timedelta(days=3660)
_BACK = timedelta(seconds=1)
_DAY = timedelta(days=1)


def fire(due: Due, *, now: datetime) -> Firing:
    """What `due` does at `now`: which nominal times become jobs, which are skipped and why, what comes next.

    A schedule that cannot be read, or that failed too often in a row, is set aside.
    """
    stored, schedule = due.stored, due.stored.schedule
    if schedule is None:
        return set_aside(stored, stored.defect, now=now)
    limit = schedule.policy.pause_after
    if limit is not None and due.failures >= limit:
        # forgiven, so that it gets as many again once it is resumed
        return evolve(
            set_aside(stored, f"paused after {due.failures} failures in a row", now=now), forgive=True
        )
    walk = schedule.walk(since=stored.cursor.since)
    cursor, skipped = _catch_up(stored.cursor, schedule.policy, walk, now)
    ripe = cursor.next is not None and cursor.next <= now  # not if a faster clock held it back
    if cursor.held and ripe and schedule.policy.overlap is not Overlap.QUEUE_ALL and not due.live:
        return _release(schedule, stored.cursor, walk, now)
    return _meet(schedule, stored.cursor, cursor, due.live, skipped, walk, now)


def set_aside(stored: Stored, reason: str, *, now: datetime) -> Firing:
    """Pause a schedule visibly, without an end."""
    return Firing(
        stored.id,
        stored.cursor,
        evolve(stored.cursor, pause=Pause(reason), held=False),
        outcomes=(Outcome(stored.cursor.next or now, Happened.SET_ASIDE, now, note=reason),),
    )


def _catch_up(cursor: Cursor, policy: Policy, walk: Walk, now: datetime) -> tuple[Cursor, list[Outcome]]:
    """Move the cursor past the times that a pause or the catch-up policy leaves out; say which."""
    skipped: list[Outcome] = []
    if cursor.pause is not None:
        ended = min(now, cursor.pause.until or now)
        cursor = _skip_to(evolve(cursor, pause=None), walk(ended), Happened.PAUSED, skipped, walk, now)
    edge = now - GRACE
    if cursor.next is None or cursor.held or cursor.next > edge:
        return cursor, skipped
    many = {"skip": 0, "latest": 1}[policy.catch_up] if isinstance(policy.catch_up, str) else policy.catch_up
    floor = max(cursor.next, now - policy.window) - _TICK
    wanted = latest(walk, many, after=floor, until=edge)
    target = wanted[0] if wanted else walk(edge)
    return _skip_to(cursor, target, Happened.MISSED, skipped, walk, now), skipped


def _skip_to(
    cursor: Cursor, target: datetime | None, what: Happened, skipped: list[Outcome], walk: Walk, now: datetime
) -> Cursor:
    if cursor.next is None or target == cursor.next or (target is not None and target < cursor.next):
        return cursor
    last = now if target is None else previous(walk, target, or_else=cursor.next)
    skipped.append(Outcome(cursor.next, what, now, last=min(last, now), count=None))
    return evolve(cursor, next=target, last=None)


def _meet(
    schedule: Schedule,
    before: Cursor,
    cursor: Cursor,
    live: int,
    outcomes: list[Outcome],
    walk: Walk,
    now: datetime,
) -> Firing:
    """Go through the nominal times up to `now`, oldest first, under the overlap policy."""
    overlap, most = schedule.policy.overlap, schedule.policy.max_fires
    jobs: list[Job] = []
    nominal, last, held = cursor.next, cursor.last, False
    for _ in range(AT_ONCE):
        if nominal is None or nominal > now:
            break
        if live and overlap not in (Overlap.ALLOW, Overlap.SKIP):
            held = True
            break
        if live and overlap is Overlap.SKIP:
            outcomes.append(Outcome(nominal, Happened.OVERLAP, now))
        else:
            jobs.append(
                _job(schedule, nominal, last or previous(walk, nominal, or_else=before.since), walk, now)
            )
            outcomes.append(_fired(nominal, now))
            live += 1
        last, nominal = nominal, following(walk, nominal)
        if most is not None and cursor.fires + len(jobs) >= most:
            nominal = None
    after = cursor.moved(next=nominal, last=last, fires=cursor.fires + len(jobs), held=held)
    stop = held and not before.held and overlap is Overlap.CANCEL_RUNNING
    return Firing(schedule.id, before, after, tuple(jobs), tuple(outcomes), stop)


def _release(schedule: Schedule, before: Cursor, walk: Walk, now: datetime) -> Firing:
    """The run that held the schedule back has ended: its one pending time fires, those since are left out."""
    nominal = before.next
    assert nominal is not None
    job = _job(schedule, nominal, before.last or previous(walk, nominal, or_else=before.since), walk, now)
    outcomes = [_fired(nominal, now)]
    upcoming, most = following(walk, nominal), schedule.policy.max_fires
    if upcoming is not None and upcoming <= now:
        outcomes.append(Outcome(upcoming, Happened.OVERLAP, now, last=now, count=None))
        upcoming = walk(now)
    if most is not None and before.fires + 1 >= most:
        upcoming = None
    after = before.moved(next=upcoming, last=nominal, fires=before.fires + 1)
    return Firing(schedule.id, before, after, (job,), tuple(outcomes))


def _job(schedule: Schedule, nominal: datetime, start: datetime, walk: Walk, now: datetime) -> Job:
    key, policy = minted(schedule.id.key, nominal), schedule.policy
    origin, due = Origin(schedule.id, nominal, start, nominal), nominal
    if policy.jitter or policy.spread:
        due += _shift(schedule, key, nominal, walk)
    return schedule.job(key, origin=origin, due=due, now=now)


@lru_cache(maxsize=256)
def _fired(nominal: datetime, now: datetime) -> Outcome:
    """What schedules that fire together have in common."""
    return Outcome(nominal, Happened.FIRED, now)


def minted(schedule: str, nominal: datetime) -> str:
    """The key of the one job that a schedule makes for a nominal time, so that firing twice is one job (S1)."""
    return f"{schedule}@{_ms(nominal)}"


_ms = lru_cache(maxsize=256)(to_ms)


def _shift(schedule: Schedule, key: str, nominal: datetime, walk: Walk) -> timedelta:
    """Jitter and spread: by hash, so that every scheduler finds the same; never past the next fire."""
    policy = schedule.policy
    shift = policy.jitter * _part(key) + policy.spread * _part(str(schedule.id))
    upcoming = following(walk, nominal)
    return shift if upcoming is None else min(shift, upcoming - nominal - timedelta(milliseconds=1))


def _part(text: str) -> float:
    """A number in [0, 1) that depends on `text` only."""
    return int.from_bytes(sha256(text.encode()).digest()[:6]) / 2**48


def latest(
    walk: Walk, many: int, *, after: datetime, until: datetime, back: timedelta = _BACK
) -> list[datetime]:
    """The last `many` nominal times in (after, until], oldest first.

    The work depends on `many`, not on how many times there are: it looks back in growing steps, the first
    of which is `back`, and closes in by halves where they are dense.
    """
    if many < 1 or after >= until:
        return []
    most = 4 * many + 16
    near = until
    while True:
        far = max(after, until - back)
        times = list(islice(_between(walk, far, until), most))
        if len(times) >= many or far == after:
            break
        near, back = far, back * 4
    while len(times) == most and near - far > _TICK:
        middle = far + (near - far) / 2
        found = list(islice(_between(walk, middle, until), most))
        if len(found) >= many:
            far, times = middle, found
        else:
            near = middle
    return times[-many:]


def previous(walk: Walk, nominal: datetime, *, or_else: datetime) -> datetime:
    """The nominal time before `nominal`, where the data interval begins."""
    try:
        found = _before(walk, nominal)
    except TypeError:  # a rhythm of somebody's own that has no hash
        found = _before.__wrapped__(walk, nominal)
    return found or or_else


def following(walk: Walk, nominal: datetime) -> datetime | None:
    """The nominal time after `nominal`. Equal walks share it."""
    try:
        return _after(walk, nominal)
    except TypeError:
        return walk(nominal)


@lru_cache(maxsize=4096)
def _after(walk: Walk, nominal: datetime) -> datetime | None:
    return walk(nominal)


@lru_cache(maxsize=4096)
def _before(walk: Walk, nominal: datetime) -> datetime | None:
    """Looking back costs a walk or more. Most rhythms are even, or keep to a time of day: those are seen first."""
    after = following(walk, nominal)
    steps = sorted({_DAY, _BACK if after is None else min(after - nominal, _FAR)})
    for back in steps:
        if found := latest(walk, 1, after=nominal - back - _TICK, until=nominal - _TICK, back=back):
            return found[0]
    found = latest(walk, 1, after=nominal - _FAR, until=nominal - _TICK, back=4 * steps[-1])
    return found[0] if found else None


def _between(walk: Walk, after: datetime, until: datetime) -> Iterator[datetime]:
    moment = walk(after)
    while moment is not None and moment <= until:
        yield moment
        moment = walk(moment)
