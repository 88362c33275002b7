"""Jobs and schedules as records: written and signed, checked and then read."""

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from chronoq.adapters.codec import (
    LOST,
    Malformed,
    decode_job,
    decode_schedule,
    encode_job,
    encode_schedule,
)
from chronoq.adapters.cursors import read_cursor
from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Job
from chronoq.domain.ports import Opening
from chronoq.domain.schedule import Schedule, Stored
from chronoq.domain.signing import Refused, Seal
from chronoq.domain.sweep import LOST_RECORD


@frozen
class Records:
    """The records of one namespace. Nothing of one that is not signed as it has to be is read."""

    seal: Seal

    @classmethod
    def of(cls, opening: Opening) -> "Records":
        return cls(Seal(opening.namespace, opening.signing))

    def job(self, job: Job) -> bytes:
        return self.seal.signed("job", job.id, encode_job(job))

    def jobs(self, jobs: Sequence[Job]) -> list[bytes]:
        """A record for each."""
        if self.seal.signing.keys:
            return [self.job(job) for job in jobs]
        return [encode_job(job) for job in jobs]

    def read_job(self, id: JobId, stored: bytes | None, *, now: datetime) -> Job:
        """The job of a record; one with a `defect` when it is missing, refused, or cannot be read (Q12)."""
        if stored is None:
            return _unread(id, "the job's record is missing", now)
        if stored == LOST:
            return _unread(id, LOST_RECORD.message, now)
        try:
            return decode_job(id, self.seal.checked("job", id, stored))
        except Refused as error:
            return _unread(id, f"the job's record is refused: {error}", now)
        except Malformed as error:
            return _unread(id, str(error), now)

    def schedule(self, schedule: Schedule) -> bytes:
        return self.seal.signed("schedule", schedule.id, encode_schedule(schedule))

    def read_schedule(self, id: ScheduleId, stored: bytes) -> Schedule:
        """Errors: `Malformed`."""
        try:
            return decode_schedule(id, self.seal.checked("schedule", id, stored))
        except Refused as error:
            raise Malformed(f"the schedule's record is refused: {error}") from None

    def stored(self, id: ScheduleId, record: bytes | None, text: bytes | None) -> Stored:
        """A schedule as it stands, of its record and its cursor's text; with a `defect` where one does not read."""
        cursor, defect = read_cursor(text)
        if defect:
            return Stored(id, cursor, defect=defect)
        if record is None:
            return Stored(id, cursor, defect="the schedule's record is missing")
        try:
            schedule = self.read_schedule(id, record)
        except Malformed as error:
            return Stored(id, cursor, defect=str(error))
        return Stored(id, cursor, schedule, outdated=self.seal.outdated(record))


def _unread(id: JobId, defect: str, now: datetime) -> Job:
    return Job(id, "?", b"null", now, now, defect=defect)
