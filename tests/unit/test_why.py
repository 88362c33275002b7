"""Every answer to "why": the word for programs, and the sentence for people."""

from datetime import datetime
from typing import Any

import pytest
from attrs import evolve

from chronoq.domain.job import Pause, Snapshot, State
from chronoq.domain.lease import Kind, Presence, Process, Vitals
from chronoq.domain.retry import Failure, RetryPolicy
from chronoq.domain.rhythm import cron, once
from chronoq.domain.schedule import Happened, Outcome, Overlap, Stored
from chronoq.domain.why import Answer, why_job, why_schedule
from tests.unit.made import DAY, HOUR, MINUTE, NOW, S, cursor, job, options, plan, saved, step

FAILURE = Failure("OSError", "the disk is full")


def one(kind: Kind = Kind.WORKER, *, running: int = 0, **given: Any) -> Presence:
    values = {"queues": ("default",), "tasks": ("send",), "concurrency": 4, **given}
    return Presence(Process("p", kind, "host", 1, NOW, "1", **values), Vitals(running), NOW)


def snapshot(state: State = State.READY, *, of: Any = None, **given: Any) -> Snapshot:
    return Snapshot(of or job(options=options(retry=RetryPolicy(retries=3))), state, **given)


def why(found: Snapshot, *roll: Presence, pause: Pause | None = None, later: Any = 0 * S) -> Answer:
    return why_job(found, pause=pause, roll=roll, now=NOW + later)


# jobs that are ready


def test_a_job_in_a_paused_queue() -> None:
    assert why(snapshot(), one(), pause=Pause()) == Answer(
        "queue paused", "It is ready, but queue 'default' is paused. Resume the queue."
    )
    assert why(snapshot(), pause=Pause("lunch", NOW + HOUR)).says == (
        "It is ready, but queue 'default' is paused until 2026-03-02T13:00:00+00:00 (lunch). "
        "Resume the queue."
    )


def test_a_pause_that_has_ended_is_no_reason() -> None:
    assert why(snapshot(), one(), pause=Pause("lunch", NOW)).because == "waiting for a slot"


@pytest.mark.parametrize(
    "roll",
    [(), (one(Kind.SCHEDULER),), (one(queues=("other",)),)],
    ids=["nobody", "a scheduler", "another queue"],
)
def test_a_job_that_no_worker_listens_for(roll: tuple[Presence, ...]) -> None:
    assert why(snapshot(), *roll) == Answer(
        "no worker listens", "It is ready, but no worker listens on queue 'default'. Start one, or its relay."
    )


def test_a_job_whose_task_no_worker_knows() -> None:
    assert why(snapshot(), one(tasks=("other",)), one(tasks=())) == Answer(
        "no worker knows the task",
        "It is ready, but none of the 2 worker(s) on 'default' knows task 'send'. "
        "Start a worker whose app has it.",
    )


def test_a_job_that_waits_for_a_slot() -> None:
    roll = (one(running=4), one(running=1, concurrency=2), one(tasks=(), running=9))
    assert why(snapshot(), *roll, later=90 * S) == Answer(
        "waiting for a slot",
        "It is ready and has waited 1m30s: 2 worker(s) know it, with 5 jobs in 6 slots.",
    )


def test_a_job_that_a_faster_clock_made_ready_has_waited_for_no_time() -> None:
    assert "has waited 0ms" in why(snapshot(), one(), later=-S).says


# jobs that are delayed


def test_a_job_that_is_not_due_yet() -> None:
    found = snapshot(State.DELAYED, of=job(due=NOW + HOUR))
    assert why(found) == Answer(
        "not due yet", "It is not due yet: it is due at 2026-03-02T13:00:00+00:00 (in 1h)."
    )


def test_a_job_that_is_due_while_nobody_is_alive() -> None:
    found = snapshot(State.DELAYED, until=NOW)
    assert why(found) == Answer(
        "nobody is alive",
        "It was due at 2026-03-02T12:00:00+00:00, but no scheduler or worker is alive to move it. Start one.",
    )


def test_a_job_that_has_just_come_due() -> None:
    assert why(snapshot(State.DELAYED, until=NOW), one(), later=S).says == (
        "It is not due yet: it is due since 2026-03-02T12:00:00+00:00, any moment now."
    )


def test_a_job_that_waits_for_a_retry() -> None:
    found = snapshot(State.DELAYED, attempt=2, until=NOW + 5 * S, failure=FAILURE)
    assert why(found) == Answer(
        "waiting for a retry",
        "It waits for retry 2 of 3, due at 2026-03-02T12:00:05+00:00 (in 5s), "
        "after OSError: the disk is full.",
    )


def test_a_job_that_was_put_off() -> None:
    found = snapshot(State.DELAYED, until=NOW + 5 * S, reason="The table is locked.")
    assert why(found) == Answer(
        "snoozed",
        "It was put off: The table is locked. It is due at 2026-03-02T12:00:05+00:00 (in 5s).",
    )


# jobs that run or have ended


def test_a_job_that_runs() -> None:
    found = snapshot(State.RUNNING, attempt=2, worker="w1")
    assert why(found) == Answer("running", "It is running on w1, attempt 2 of 4.")
    assert why(evolve(found, stopping=True)).says == (
        "It is running on w1, attempt 2 of 4. It was asked to stop."
    )


def test_a_job_that_was_given_up() -> None:
    found = snapshot(State.DEAD, attempt=4, until=NOW, failure=FAILURE)
    assert why(found) == Answer(
        "dead",
        "It was given up at 2026-03-02T12:00:00+00:00 after 4 attempt(s): OSError: the disk is full. "
        "Put it back with `dead requeue`.",
    )
    assert (
        "after 1 attempt(s) and 3 crash(es). Put"
        in why(snapshot(State.DEAD, attempt=1, crashes=3, until=NOW)).says
    )


@pytest.mark.parametrize("state", [State.DONE, State.CANCELLED, State.EXPIRED])
def test_a_job_that_has_ended(state: State) -> None:
    assert why(snapshot(state, until=NOW)) == Answer(
        state.value, f"It ended at 2026-03-02T12:00:00+00:00: {state.value}."
    )


def test_a_moment_that_is_not_known_is_called_so() -> None:
    assert why(snapshot(State.DONE)).says == "It ended at an unknown time: done."


# schedules


def asked(
    stored: Stored, at: datetime, *ledger: Outcome, now: datetime = NOW, roll: tuple[Presence, ...] = ()
) -> Answer:
    return why_schedule(stored, ledger, at, roll=roll, now=now)


AT = NOW + MINUTE
T = "2026-03-02T12:01:00+00:00"


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (Outcome(AT, Happened.FIRED, AT + 1.5 * S), f"'tick' fired for {T}, 1.5s late."),
        (
            Outcome(AT, Happened.OVERLAP, AT),
            f"'tick' left {T} out: the run before it had not ended (overlap policy).",
        ),
        (
            Outcome(AT, Happened.MISSED, AT),
            (
                f"'tick' left {T} out: nobody fired it in time, "
                "and the catch-up policy made up for later ones only."
            ),
        ),
        (Outcome(AT, Happened.PAUSED, AT), f"'tick' left {T} out: it was paused."),
        (Outcome(AT, Happened.MANUAL, AT), f"'tick' was triggered by hand at {T}."),
        (Outcome(AT, Happened.MANUAL, AT, note="tick@x"), f"'tick' was triggered by hand at {T} (tick@x)."),
        (
            Outcome(AT, Happened.BACKFILL, AT + MINUTE, note="march"),
            f"'tick' made {T} up at 2026-03-02T12:02:00+00:00, by backfill (march).",
        ),
        (
            Outcome(AT, Happened.SET_ASIDE, AT, note="broken"),
            f"'tick' was set aside at {T} (broken), so {T} did not fire.",
        ),
    ],
    ids=lambda given: given.what.name if isinstance(given, Outcome) else "",
)
def test_what_the_ledger_holds_is_told(outcome: Outcome, says: str) -> None:
    assert asked(saved(plan()), AT, outcome, now=NOW + HOUR) == Answer(outcome.what.value, says)


def test_a_time_within_a_stretch_is_told_by_the_stretch() -> None:
    stretch = Outcome(NOW + MINUTE, Happened.MISSED, NOW + HOUR, last=NOW + 9 * MINUTE, count=None)
    _, stored = step(saved(plan()), NOW + 10 * MINUTE)
    for minute in (1, 5, 9):
        assert asked(stored, NOW + minute * MINUTE, stretch, now=NOW + HOUR).because == "skipped: catch-up"
    assert asked(stored, NOW + 10 * MINUTE, stretch, now=NOW + HOUR).because == "forgotten"


def test_the_latest_outcome_is_the_one_that_counts() -> None:
    ledger = (Outcome(AT, Happened.FIRED, AT + HOUR), Outcome(AT, Happened.SET_ASIDE, AT))
    assert asked(saved(plan()), AT, *ledger, now=NOW + HOUR).because == "fired"


def test_a_schedule_that_cannot_be_read() -> None:
    assert asked(Stored(plan().id, cursor(), None, "unknown rhythm 'moon'"), AT) == Answer(
        "unreadable", "'tick' cannot be read: unknown rhythm 'moon'. Save it again."
    )


def test_a_moment_that_is_no_nominal_time() -> None:
    assert asked(saved(plan()), NOW + 30 * S) == Answer(
        "no nominal time",
        f"'tick' has no nominal time at 2026-03-02T12:00:30+00:00. The next time after it is {T}.",
    )
    assert asked(saved(plan(once(AT))), AT + S).says.endswith("None follows.")


def test_a_time_before_it_was_saved() -> None:
    assert asked(saved(plan(cron("* * * * *"))), NOW - HOUR) == Answer(
        "not saved yet",
        "'tick' did not exist in this form at 2026-03-02T11:00:00+00:00: "
        "it was saved at 2026-03-02T12:00:00+00:00.",
    )


def paused(until: datetime | None = None, note: str = "") -> Stored:
    stored = saved(plan())
    return evolve(stored, cursor=evolve(stored.cursor, pause=Pause(note, until)))


def test_a_time_that_a_pause_covers() -> None:
    assert asked(paused(), AT) == Answer("paused", f"'tick' is paused: {T} will not fire meanwhile.")
    assert asked(paused(NOW + HOUR, "lunch"), AT).says == (
        f"'tick' is paused until 2026-03-02T13:00:00+00:00 (lunch): {T} will not fire meanwhile."
    )


def test_a_time_after_the_end_of_a_pause_is_merely_not_due_yet() -> None:
    assert asked(paused(NOW + HOUR, "lunch"), NOW + HOUR - MINUTE).because == "paused"
    assert asked(paused(NOW + HOUR, "lunch"), NOW + HOUR) == Answer(
        "not due yet", "'tick' is not due yet: 2026-03-02T13:00:00+00:00 is in 1h."
    )


def test_a_time_that_has_not_come() -> None:
    assert asked(saved(plan()), NOW + 2 * DAY) == Answer(
        "not due yet", "'tick' is not due yet: 2026-03-04T12:00:00+00:00 is in 2d."
    )


def test_a_time_that_is_held_back() -> None:
    _, held = step(saved(plan(overlap=Overlap.QUEUE_ONE)), AT, live=1)
    assert asked(held, AT, now=AT) == Answer(
        "held", f"'tick' holds {T} until the run before it ends (overlap policy)."
    )


def test_a_time_that_waits_for_a_scheduler() -> None:
    assert asked(saved(plan()), AT, now=AT + S, roll=(one(),)) == Answer(
        "no scheduler", f"{T} of 'tick' is pending, and no scheduler is alive. Start one."
    )
    assert asked(saved(plan()), AT, now=AT + S, roll=(one(Kind.SCHEDULER),)) == Answer(
        "pending", f"{T} of 'tick' is due since 1s and will fire at any moment."
    )


def test_a_schedule_that_is_finished() -> None:
    _, finished = step(saved(plan(max_fires=1)), AT)
    assert asked(finished, NOW + 2 * MINUTE, now=NOW + HOUR) == Answer(
        "finished", f"'tick' is finished: its last time was {T}."
    )


def test_a_time_that_the_ledger_has_forgotten() -> None:
    stored = evolve(saved(plan()), cursor=cursor(NOW + HOUR, since=NOW))
    assert asked(stored, AT, now=NOW + HOUR) == Answer(
        "forgotten", f"The ledger of 'tick' does not hold {T} any more."
    )
    reach = Outcome(NOW + 30 * MINUTE, Happened.FIRED, NOW + 30 * MINUTE)
    assert asked(stored, AT, reach, now=NOW + HOUR).says.endswith(
        "It reaches back to 2026-03-02T12:30:00+00:00."
    )
