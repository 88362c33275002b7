"""How often, how late and after which errors an attempt is made again."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoq.domain.errors import BadDuration, BadSetting
from chronoq.domain.retry import Failure, RetryPolicy
from tests.unit.made import HOUR, S

ALMOST_ONE = 1 - 2**-53


def test_the_default_is_three_retries_doubling_from_a_second_up_to_an_hour() -> None:
    policy = RetryPolicy()
    assert policy.retries == 3
    assert [policy.delay(attempt, chance=ALMOST_ONE).total_seconds() for attempt in (1, 2, 3)] == [1, 2, 4]
    assert policy.delay(30, chance=ALMOST_ONE) == HOUR


def test_full_jitter_takes_any_part_of_the_delay_from_nothing_on() -> None:
    policy = RetryPolicy.exponential("8s")
    assert policy.delay(1, chance=0) == 0 * S
    assert policy.delay(1, chance=0.5) == 4 * S
    assert policy.delay(2, chance=0.5) == 8 * S


def test_a_fixed_delay_is_the_same_each_time_whatever_the_chance() -> None:
    policy = RetryPolicy.fixed("7s", retries=5)
    assert policy.retries == 5
    assert {policy.delay(attempt, chance=0.3) for attempt in range(1, 9)} == {7 * S}


def test_listed_delays_are_followed_in_order_and_the_last_one_is_repeated() -> None:
    policy = RetryPolicy.listed(["1s", 10, timedelta(minutes=1)])
    assert policy.retries == 3
    assert [policy.delay(attempt, chance=0).total_seconds() for attempt in (1, 2, 3, 4)] == [1, 10, 60, 60]


def test_listed_delays_can_have_more_retries_than_delays() -> None:
    assert RetryPolicy.listed(["1s"], retries=9).retries == 9


def test_a_listed_delay_above_an_hour_is_kept() -> None:
    assert RetryPolicy.listed(["2h", "1d"]).delay(2, chance=0) == 24 * HOUR


def test_the_cap_also_holds_where_the_doubling_leaves_all_numbers_behind() -> None:
    assert RetryPolicy(retries=10**6).delay(10**6, chance=ALMOST_ONE) == HOUR
    assert RetryPolicy(factor=1e300).delay(3, chance=ALMOST_ONE) == HOUR


@given(
    st.integers(1, 10_000),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 10**7),
    st.floats(1, 10),
    st.integers(0, 10**7),
)
def test_no_delay_is_negative_or_above_the_cap(
    attempt: int, chance: float, base: int, factor: float, cap: int
) -> None:
    policy = RetryPolicy.exponential(base / 1000, factor=factor, cap=cap / 1000)
    assert timedelta(0) <= policy.delay(attempt, chance=chance) <= policy.cap


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_a_greater_chance_never_shortens_a_delay(attempt: int, chance: float) -> None:
    policy = RetryPolicy()
    assert policy.delay(attempt, chance=chance) <= policy.delay(attempt, chance=ALMOST_ONE)


REFUSED = Failure("smtp.Refused", lineage=("smtp.SMTPError", "builtins.OSError", "Exception"))


def test_every_error_is_retried_unless_the_policy_says_otherwise() -> None:
    assert RetryPolicy().wants(REFUSED)


@pytest.mark.parametrize(
    "name", ["smtp.Refused", "Refused", "smtp.SMTPError", "SMTPError", "OSError", "builtins.OSError"]
)
def test_an_error_is_known_by_the_bare_or_dotted_name_of_its_class_or_a_base(name: str) -> None:
    assert RetryPolicy(retry_on=[name]).wants(REFUSED)
    assert not RetryPolicy(give_up_on=[name]).wants(REFUSED)


@pytest.mark.parametrize("name", ["ValueError", "other.Refused", "refused", "smtp"])
def test_an_error_of_another_name_is_not_meant(name: str) -> None:
    assert not RetryPolicy(retry_on=[name]).wants(REFUSED)
    assert RetryPolicy(give_up_on=[name]).wants(REFUSED)


def test_giving_up_goes_before_trying_again() -> None:
    assert not RetryPolicy(retry_on=["OSError"], give_up_on=["Refused"]).wants(REFUSED)


@pytest.mark.parametrize("retries", [-1, 1.5, True, "3", None])
def test_retries_that_are_no_count_are_refused(retries: object) -> None:
    with pytest.raises(BadSetting, match="retries="):
        RetryPolicy(retries)  # type: ignore[arg-type]


def test_a_policy_without_a_delay_or_with_a_shrinking_one_is_refused() -> None:
    with pytest.raises(BadSetting, match="at least one delay"):
        RetryPolicy(delays=[])  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="factor"):
        RetryPolicy(factor=0.5)
    with pytest.raises(BadDuration, match="not a duration"):
        RetryPolicy.exponential("soon")
