"""Stored texts as what they stand for: the reading that never fails, for every adapter that stores them.

What cannot be read is shown as such, or counts as nothing where nothing could be said of it.
"""

from datetime import datetime

from chronoq.adapters.codec import (
    Malformed,
    Note,
    Remembered,
    decode,
    decode_ending,
    encode,
    up_ms,
)
from chronoq.domain.identity import JobId
from chronoq.domain.job import Ending, Job, Progress, Snapshot, State
from chronoq.domain.retry import Failure
from chronoq.domain.schedule import Happened, Outcome
from chronoq.domain.time import EPOCH, from_ms, to_ms


def not_before(moment: datetime, now: datetime) -> int:
    """`moment` in milliseconds, rounded up; but what is due by `now` is so in milliseconds too."""
    return min(up_ms(moment), to_ms(now)) if moment <= now else up_ms(moment)


def note_of(text: bytes | None) -> Note:
    try:
        return Note() if text is None else decode(Note, text)
    except Malformed as error:
        return Note(Failure("BadRecord", str(error)))


def note_text(one: Snapshot) -> bytes:
    """Why the job waits or died, as it is stored; b"" where there is nothing to say."""
    note = Note(one.failure, one.reason)
    return b"" if note == Note() else encode(note)


def standing(one: Snapshot, now: datetime) -> tuple[State, int]:
    """Where a job of another store is to stand, and since or until when: what has come due meanwhile is ready."""
    if one.state is State.DEAD:
        return State.DEAD, to_ms(one.until or now)
    due = to_ms(now) if one.until is None or one.state is State.READY else not_before(one.until, now)
    return (State.DELAYED if due > to_ms(now) else State.READY), due


def progress_of(text: bytes | None) -> Progress | None:
    try:
        return None if text is None else decode(Progress, text)
    except Malformed:
        return None


def remembered(id: JobId, text: bytes | None, now: datetime) -> Remembered | None:
    """What is left of an ended job, while it is remembered."""
    try:
        memory = None if text is None else decode_ending(id, text)
    except Malformed:
        return None  # nothing is left that could be said of it
    return memory if memory and memory.until > to_ms(now) else None


def ended_snapshot(memory: Remembered) -> Snapshot:
    end = memory.ending
    return Snapshot(Job(end.id, memory.task, b"", end.at, end.at), end.state, until=end.at)


def dead_ending(id: JobId, died: int, note: bytes | None) -> Ending:
    return Ending(id, State.DEAD, from_ms(died), failure=note_of(note).failure)


def outcome_of(text: bytes) -> Outcome:
    try:
        return decode(Outcome, text)
    except Malformed as error:
        return Outcome(EPOCH, Happened.SET_ASIDE, EPOCH, count=None, note=str(error))
