"""The client's verbs, synchronous: submit, ask, wait, cancel; and saving schedules."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from threading import Event

from attrs import define, field

from chronoq.app.endings import ended
from chronoq.app.listener import Listener
from chronoq.domain import errors
from chronoq.domain.identity import JobId
from chronoq.domain.job import Ending, Job, State
from chronoq.domain.ports import Backend, Submitted, nothing
from chronoq.domain.time import ZERO, brief

CHUNK = 1000


@define
class Client:
    """What people ask of a backend. `room`: queue name to the number of live jobs that it may hold."""

    backend: Backend
    room: Mapping[str, int] = field(factory=dict)
    listener: Listener = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.listener = Listener(self.backend.queue, self.backend.clock)

    def submit(self, job: Job) -> Submitted:
        """Store one job that was made just now; ACCEPTED or DUPLICATE.

        Errors: `Conflict`, `QueueFull`, `Unknown`, `BackendError`.
        """
        answer = self.backend.queue.submit([job], now=job.enqueued_at, room=self.room)[0]
        if answer is not Submitted.ACCEPTED and (error := self.refusal(job, answer)):
            raise error
        return answer

    def submit_many(
        self, jobs: Sequence[Job], *, meanwhile: Callable[[], None] = nothing
    ) -> list[Exception | None]:
        """Try every job, in chunks; for each None, or why it was refused. `meanwhile`: for each chunk, as in `submit`.

        Nothing stops at the first refusal. When the backend does not answer, the chunks after are not sent.
        """
        answers: list[Exception | None] = []
        accepted = Submitted.ACCEPTED
        for start in range(0, len(jobs), CHUNK):
            chunk = jobs[start : start + CHUNK]
            try:
                now = self.backend.clock.now()
                found = self.backend.queue.submit(chunk, now=now, room=self.room, meanwhile=meanwhile)
                answers += [
                    None if answer is accepted else self.refusal(job, answer)
                    for job, answer in zip(chunk, found, strict=True)
                ]
            except errors.ChronoqError as error:
                answers += [error] * len(chunk)
                rest = jobs[start + CHUNK :]
                if rest and isinstance(error, errors.Unknown | errors.BackendError):
                    unsent = (
                        f"{len(rest)} jobs were not sent, because those before them had no answer: {error}"
                    )
                    return answers + [errors.Unreachable(unsent)] * len(rest)
        return answers

    def refusal(self, job: Job, answer: Submitted) -> Exception | None:
        if answer is Submitted.CONFLICT:
            return errors.Conflict(
                f"Id '{job.id}' is taken by a job with another task or other arguments. Nothing was enqueued. "
                "Use another id, or wait until that one is forgotten."
            )
        if answer is Submitted.FULL:
            limit = self.room.get(job.id.queue)
            return errors.QueueFull(
                f"Queue '{job.id.queue}' is full (max_length {limit}). Nothing was enqueued."
            )
        return None

    def wait(self, id: JobId, *, timeout: timedelta | None) -> Ending:
        """How the job ended. It goes on waiting while the backend does not answer.

        Errors: `ResultTimeout`, or `BackendError` when that was why; `ResultGone`.
        """
        told = Event()
        found: list[Ending | None] = []

        def tell(ending: Ending | None) -> None:
            found.append(ending)
            told.set()

        stop = self.listener.wait(id, tell)
        try:
            if not told.wait(None if timeout is None else timeout.total_seconds()):
                within = brief(timeout or ZERO)
                if self.listener.trouble is not None:
                    raise self.listener.trouble
                raise errors.ResultTimeout(
                    f"Job {id} has not ended within {within}. It goes on; ask again later."
                )
        finally:
            stop()
        return ended(id, found[0])

    def state(self, id: JobId) -> State | None:
        snapshot = self.backend.queue.get([id], now=self.backend.clock.now())[0]
        return snapshot.state if snapshot else None

    def close(self) -> None:
        self.listener.close()
