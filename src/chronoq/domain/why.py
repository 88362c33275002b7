"""Answers, in a sentence with the facts: why is this job where it is, and why did that time not run?"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import frozen

from chronoq.domain.job import Pause, Snapshot, State
from chronoq.domain.lease import Kind, Presence
from chronoq.domain.schedule import Cursor, Happened, Outcome, Stored
from chronoq.domain.time import brief

_TICK = timedelta(microseconds=1)


@frozen
class Answer:
    """`because`: a stable word for programs. `says`: the sentence for people."""

    because: str
    says: str


def why_job(found: Snapshot, *, pause: Pause | None, roll: Sequence[Presence], now: datetime) -> Answer:
    """Why the job is where it is, and what it waits for."""
    match found.state:
        case State.READY:
            return _waiting(found, pause, roll, now)
        case State.DELAYED:
            return _delayed(found, roll, now)
        case State.RUNNING:
            asked = " It was asked to stop." if found.stopping else ""
            return Answer("running", f"It is running on {found.worker}, attempt {_attempt(found)}.{asked}")
        case State.DEAD:
            error = f": {found.failure.type}: {found.failure.message}" if found.failure else ""
            tried = f"after {found.attempt} attempt(s)" + (
                f" and {found.crashes} crash(es)" if found.crashes else ""
            )
            return Answer(
                "dead",
                f"It was given up at {_at(found.until)} {tried}{error}. Put it back with `dead requeue`.",
            )
        case _:
            return Answer(found.state.value, f"It ended at {_at(found.until)}: {found.state.value}.")


def _waiting(found: Snapshot, pause: Pause | None, roll: Sequence[Presence], now: datetime) -> Answer:
    queue, task = found.job.id.queue, found.job.task
    if pause is not None and pause.holds(now):
        note = f" ({pause.note})" if pause.note else ""
        until = f" until {_at(pause.until)}" if pause.until else ""
        return Answer(
            "queue paused", f"It is ready, but queue '{queue}' is paused{until}{note}. Resume the queue."
        )
    listening = [one for one in roll if one.process.kind is Kind.WORKER and queue in one.process.queues]
    if not listening:
        return Answer(
            "no worker listens",
            f"It is ready, but no worker listens on queue '{queue}'. Start one, or its relay.",
        )
    knowing = [one for one in listening if task in one.process.tasks]
    if not knowing:
        return Answer(
            "no worker knows the task",
            f"It is ready, but none of the {len(listening)} worker(s) on '{queue}' knows task '{task}'. "
            "Start a worker whose app has it.",
        )
    busy = sum(one.vitals.running for one in knowing)
    slots = sum(one.process.concurrency for one in knowing)
    waited = brief(max(timedelta(0), now - found.job.due))
    return Answer(
        "waiting for a slot",
        f"It is ready and has waited {waited}: {len(knowing)} worker(s) know it, with {busy} jobs in {slots} slots.",
    )


def _delayed(found: Snapshot, roll: Sequence[Presence], now: datetime) -> Answer:
    due = found.until or found.job.due
    if due <= now and not roll:
        return Answer(
            "nobody is alive",
            f"It was due at {_at(due)}, but no scheduler or worker is alive to move it. Start one.",
        )
    when = f"at {_at(due)} (in {brief(due - now)})" if due > now else f"since {_at(due)}, any moment now"
    if found.failure is not None and found.attempt:
        retry = f"retry {found.attempt} of {found.job.options.retry.retries}"
        error = f"{found.failure.type}: {found.failure.message}"
        return Answer("waiting for a retry", f"It waits for {retry}, due {when}, after {error}.")
    if found.reason:
        return Answer("snoozed", f"It was put off: {found.reason} It is due {when}.")
    return Answer("not due yet", f"It is not due yet: it is due {when}.")


def why_schedule(
    stored: Stored, ledger: Sequence[Outcome], at: datetime, *, roll: Sequence[Presence], now: datetime
) -> Answer:
    """What became of the schedule's nominal time `at`, or will."""
    id = stored.id.key
    exact = next((one for one in ledger if one.nominal == at), None)
    if exact is not None:
        return _told(id, exact, at)
    if stored.schedule is None:
        return Answer("unreadable", f"'{id}' cannot be read: {stored.defect}. Save it again.")
    cursor, since = stored.cursor, stored.cursor.since
    nominal = stored.schedule.next_after(at - _TICK, since=since)
    within = next((one for one in ledger if one.last and one.nominal <= at <= one.last), None)
    if within is not None and nominal == at:
        return _told(id, within, at)
    if nominal != at:
        following = f"The next time after it is {_at(nominal)}." if nominal else "None follows."
        return Answer("no nominal time", f"'{id}' has no nominal time at {_at(at)}. {following}")
    if at <= since:
        return Answer(
            "not saved yet", f"'{id}' did not exist in this form at {_at(at)}: it was saved at {_at(since)}."
        )
    if cursor.next is not None and at >= cursor.next:
        return _pending(id, cursor, at, roll, now)
    if cursor.next is None:
        return Answer("finished", f"'{id}' is finished: its last time was {_at(cursor.last)}.")
    reach = f" It reaches back to {_at(ledger[-1].nominal)}." if ledger else ""
    return Answer("forgotten", f"The ledger of '{id}' does not hold {_at(at)} any more.{reach}")


def _told(id: str, outcome: Outcome, at: datetime) -> Answer:
    late = brief(max(timedelta(0), outcome.at - at))
    note = f" ({outcome.note})" if outcome.note else ""
    match outcome.what:
        case Happened.FIRED:
            says = f"'{id}' fired for {_at(at)}, {late} late."
        case Happened.OVERLAP:
            says = f"'{id}' left {_at(at)} out: the run before it had not ended (overlap policy)."
        case Happened.MISSED:
            why = "nobody fired it in time, and the catch-up policy made up for later ones only"
            says = f"'{id}' left {_at(at)} out: {why}."
        case Happened.PAUSED:
            says = f"'{id}' left {_at(at)} out: it was paused."
        case Happened.MANUAL:
            says = f"'{id}' was triggered by hand at {_at(outcome.at)}{note}."
        case Happened.BACKFILL:
            says = f"'{id}' made {_at(at)} up at {_at(outcome.at)}, by backfill{note}."
        case Happened.SET_ASIDE:
            says = f"'{id}' was set aside at {_at(outcome.at)}{note}, so {_at(at)} did not fire."
    return Answer(outcome.what.value, says)


def _pending(id: str, cursor: Cursor, at: datetime, roll: Sequence[Presence], now: datetime) -> Answer:
    if cursor.pause is not None and cursor.pause.holds(at):
        until = f" until {_at(cursor.pause.until)}" if cursor.pause.until else ""
        note = f" ({cursor.pause.note})" if cursor.pause.note else ""
        return Answer("paused", f"'{id}' is paused{until}{note}: {_at(at)} will not fire meanwhile.")
    if at > now:
        return Answer("not due yet", f"'{id}' is not due yet: {_at(at)} is in {brief(at - now)}.")
    if cursor.held:
        return Answer("held", f"'{id}' holds {_at(at)} until the run before it ends (overlap policy).")
    if not any(one.process.kind is Kind.SCHEDULER for one in roll):
        return Answer(
            "no scheduler", f"{_at(at)} of '{id}' is pending, and no scheduler is alive. Start one."
        )
    return Answer(
        "pending", f"{_at(at)} of '{id}' is due since {brief(now - at)} and will fire at any moment."
    )


def _attempt(found: Snapshot) -> str:
    return f"{found.attempt} of {found.job.options.retry.retries + 1}"


def _at(moment: datetime | None) -> str:
    return (
        "an unknown time" if moment is None else moment.isoformat(timespec="milliseconds").replace(".000", "")
    )
