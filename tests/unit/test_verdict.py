"""What becomes of an attempt."""

from datetime import timedelta

import pytest

from chronoq.domain.job import State
from chronoq.domain.retry import Failure, RetryPolicy
from chronoq.domain.verdict import (
    Cancelled,
    Dead,
    Done,
    Expired,
    Retry,
    Snooze,
    Verdict,
    after_failure,
    after_lapse,
    before_start,
    excused,
    leads_to,
    unknown_task,
)
from tests.unit.made import DAY, HOUR, MINUTE, NOW, S, claim, options

FAILED = Failure("ValueError", "no such address")


@pytest.mark.parametrize(
    ("verdict", "state", "costs_no_attempt"),
    [
        (Done(b"1"), State.DONE, False),
        (Retry(NOW, FAILED), State.DELAYED, False),
        (Retry(NOW, FAILED, crash=True), State.DELAYED, True),
        (Snooze(NOW), State.DELAYED, True),
        (Dead(FAILED), State.DEAD, False),
        (Dead(FAILED, crash=True), State.DEAD, True),
        (Cancelled(), State.CANCELLED, False),
        (Expired(), State.EXPIRED, False),
    ],
)
def test_each_verdict_leads_to_one_state_and_counts_an_attempt_or_not(
    verdict: Verdict, state: State, costs_no_attempt: bool
) -> None:
    assert leads_to(verdict) is state
    assert excused(verdict) is costs_no_attempt


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_an_attempt_that_failed_is_made_again_while_retries_are_left(attempt: int) -> None:
    retry = after_failure(
        claim(attempt=attempt, options=options(retry=RetryPolicy.listed([5, 6, 7]))),
        FAILED,
        now=NOW,
        chance=0,
    )
    assert retry == Retry(NOW + (4 + attempt) * S, FAILED)


def test_the_attempt_after_the_last_retry_is_final() -> None:
    assert after_failure(claim(attempt=4), FAILED, now=NOW, chance=0) == Dead(FAILED)


def test_without_retries_the_first_failure_is_final() -> None:
    none = options(retry=RetryPolicy(retries=0))
    assert after_failure(claim(options=none), FAILED, now=NOW, chance=0) == Dead(FAILED)


def test_an_error_that_the_policy_does_not_want_is_final_at_once() -> None:
    picky = options(retry=RetryPolicy(give_up_on=["ValueError"]))
    assert after_failure(claim(options=picky), FAILED, now=NOW, chance=0) == Dead(FAILED)


def test_the_chance_settles_the_delay_within_the_jitter() -> None:
    retry = after_failure(claim(attempt=2), FAILED, now=NOW, chance=0.25)
    assert isinstance(retry, Retry)
    assert retry.at == NOW + timedelta(milliseconds=500)


def test_a_lapsed_lease_runs_again_at_once_and_costs_no_retry() -> None:
    verdict = after_lapse(claim(attempt=4, token=9), now=NOW, max_crashes=3)
    assert isinstance(verdict, Retry)
    assert verdict.at == NOW
    assert verdict.crash
    assert "worker w1 was lost while it held this job (crash 1 of 3 allowed)" in verdict.failure.message


def test_a_crash_too_many_leads_to_the_dead_letters() -> None:
    assert isinstance(after_lapse(claim(crashes=1), now=NOW, max_crashes=3), Retry)
    verdict = after_lapse(claim(crashes=2), now=NOW, max_crashes=3)
    assert isinstance(verdict, Dead)
    assert verdict.crash
    assert verdict.failure.type == "WorkerLost"


def test_a_single_allowed_crash_is_the_last_one() -> None:
    assert isinstance(after_lapse(claim(), now=NOW, max_crashes=1), Dead)


def test_without_a_limit_no_crash_is_the_last_one() -> None:
    verdict = after_lapse(claim(crashes=99), now=NOW, max_crashes=None)
    assert isinstance(verdict, Retry)
    assert verdict.failure.message.endswith("(crash 100)")


def test_an_unknown_task_is_parked_with_pauses_that_grow_to_a_minute() -> None:
    pauses = []
    for parked in range(9):
        verdict = unknown_task(claim(token=1 + parked, attempt=1), now=NOW, park_for=DAY)
        assert isinstance(verdict, Snooze)
        pauses.append((verdict.at - NOW).total_seconds())
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_parking_goes_on_for_as_long_as_is_allowed_and_then_ends_in_the_dead_letters() -> None:
    """1 + 2 + 4 + 8 + 16 + 32 s, then minutes: after 59 of those it was parked for an hour."""
    assert isinstance(unknown_task(claim(token=65, attempt=1), now=NOW, park_for=HOUR), Snooze)
    verdict = unknown_task(claim(token=66, attempt=1), now=NOW, park_for=HOUR, hint=" Did you mean 'sand'?")
    assert isinstance(verdict, Dead)
    assert verdict.failure.message == (
        "task 'send' is unknown to this worker. Did you mean 'sand'? Given up after 1h."
    )


def test_parking_for_ages_does_not_overflow() -> None:
    verdict = unknown_task(claim(token=10**6), now=NOW, park_for=DAY * 1000)
    assert verdict == Snooze(NOW + MINUTE, "E07 task 'send' is unknown to this worker. Parked, not lost.")


def test_a_job_that_was_due_long_ago_is_parked_as_long_as_any_other() -> None:
    assert isinstance(unknown_task(claim(), now=NOW + 100 * DAY, park_for=DAY), Snooze)


def test_a_record_that_cannot_be_read_never_starts() -> None:
    assert before_start(claim(defect="not JSON"), now=NOW) == Dead(Failure("BadRecord", "not JSON"))


def test_a_job_starts_until_the_moment_at_which_it_expires() -> None:
    short = options(expires=10 * S)
    assert before_start(claim(options=short), now=NOW + timedelta(seconds=9.999)) is None
    assert before_start(claim(options=short), now=NOW + 10 * S) == Expired()


def test_a_job_that_does_not_expire_starts_however_late_it_is() -> None:
    assert before_start(claim(), now=NOW + 10_000 * DAY) is None
