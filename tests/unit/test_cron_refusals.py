"""One example of every refusal: its message, and the position that the caret points at."""

from datetime import UTC, datetime

import pytest

from chronoq.domain.errors import BadExpression, Invalid, NeverFires, UnknownTimeZone
from chronoq.domain.rhythm import cron

REFUSALS = [
    # the whole
    ("", 0, "it has 0 fields, needs 5"),
    ("* * * *", 7, "it has 4 fields, needs 5 (minute hour day month weekday)"),
    ("1 2 3 4 5 6 7 8", 14, "it has 8 fields"),
    ("0 9 * * \u0661", 8, "the character '\\u0661' cannot stand in it. Type it again by hand."),
    ("0 9 * *\n1", 7, "the character '\\n' cannot stand in it."),
    ("0 " * 129, 256, "it has 258 characters, allowed 256."),
    # words
    ("@reboot", 0, "@reboot names no time. Enqueue the job when your program starts."),
    ("@dayly", 0, "@dayly is not known. Did you mean '@daily'?"),
    ("@", 0, "@ is not known. Known: @yearly"),
    ("@every", 6, "'' is not a duration."),
    ("@every 5 mins ago", 7, "'5 mins ago' is not a duration. Examples: 30s, 5m, 1h30m"),
    ("@every 0s", 7, "an interval is a whole number of milliseconds, at least 1."),
    # numbers
    ("60 * * * *", 0, "minute is 60, allowed 0-59."),
    ("0 25 * * *", 2, "Bad cron '0 25 * * *': hour is 25, allowed 0-23."),
    ("0 24 * * *", 2, "hour is 24, allowed 0-23. Midnight is 0."),
    ("0 0 0 * *", 4, "day is 0, allowed 1-31."),
    ("0 0 1 13 *", 6, "month is 13, allowed 1-12."),
    ("0 0 * * 8", 8, "weekday is 8, allowed 0-7."),
    ("60 0 0 * * *", 0, "second is 60, allowed 0-59."),
    ("0 0 0 1 1 ? 1969", 12, "year is 1969, allowed 1970-2099."),
    ("0 0 0 1 1 ? 2100", 12, "year is 2100, allowed 1970-2099."),
    ("0 x * * *", 2, "hour is 'X', allowed 0-23."),
    ("0 0 1 foo *", 6, "month is 'FOO', allowed 1-12 or JAN and so on."),
    ("0 0 * * MNO", 8, "weekday is 'MNO', allowed 0-7 or SUN and so on. Did you mean 'MON'?"),
    ("MON 0 * * *", 0, "minute is 'MON', allowed 0-59."),
    ("R * * * *", 0, "minute is 'R', allowed 0-59. To spread schedules write H"),
    # lists, ranges, steps
    ("0 0 1,,2 * *", 6, "day has an empty place in its list. Remove the comma."),
    ("1, 0 * * *", 2, "minute has an empty place in its list."),
    ("-5 0 * * *", 0, "minute misses a number, allowed 0-59."),
    ("5- 0 * * *", 2, "minute misses a number, allowed 0-59."),
    ("1-2-3 0 * * *", 4, "minute has a range with three ends. Write it as 1-5."),
    ("30-10 * * * *", 0, "the range 30-10 of minute runs backwards. Write 30-59,0-10."),
    ("0 0 * * fri-mon", 8, "the range FRI-MON of weekday runs backwards. Write 5-6,0-1."),
    ("0 0 * * 7-1", 8, "the range 7-1 of weekday runs backwards."),
    ("0 0 * * 5-0", 8, "the range 5-0 of weekday runs backwards. Sunday ends a range as 7: write 5-7."),
    ("*/0 * * * *", 2, "the step of minute is 0, allowed 1-60."),
    ("*/61 * * * *", 2, "the step of minute is 61, allowed 1-60. For a longer pace"),
    ("*/ * * * *", 2, "the step of minute is missing, allowed 1-60."),
    ("*/x * * * *", 2, "the step of minute is X, allowed 1-60."),
    ("*/2/3 * * * *", 4, "minute has a second step. One / is enough."),
    ("*-5 * * * *", 0, "minute is '*', allowed 0-59."),
    # what stands only in a day field
    ("0 ? * * *", 2, "? stands alone, in a day field. For any hour write *."),
    ("0 0 ?,1 * *", 4, "? stands alone, in a day field."),
    ("0 0 L-3 * *", 4, "day is 'L', allowed 1-31. The last day is L, the last workday LW."),
    ("0 0 W * *", 4, "day misses a number, allowed 1-31."),
    ("0 0 1-5W * *", 4, "day is '1-5', allowed 1-31."),
    ("0 0 32W * *", 4, "day is 32, allowed 1-31."),
    ("0 0 * * L", 8, "L needs a weekday before it, as in 5L or FRIL for the last Friday."),
    ("0 0 * * L5", 8, "weekday is 'L5', allowed 0-7 or SUN and so on. The last Friday is 5L or FRIL."),
    ("0 0 * * 5#", 10, "the number after # is missing, allowed 1-5."),
    ("0 0 * * 5#6", 10, "the number after # is 6, allowed 1-5."),
    ("0 0 * * 5#1#2", 12, "one # is enough, as in 5#3 for the third Friday."),
    ("0 0 * * *#2", 8, "a weekday or a range of weekdays stands before #, as in 5#3 or 1-5#3."),
    ("0 0 5#1 * *", 4, "day is '5#1', allowed 1-31."),
    # H
    ("H(5) * * * *", 2, "H takes a range in its brackets, as in H(0-29)."),
    ("H(0-60) * * * *", 4, "minute is 60, allowed 0-59."),
    ("H(9-5) * * * *", 2, "the range 9-5 of minute runs backwards."),
    ("0 0 0 1 1 ? H", 12, "year is 'H', allowed 1970-2099."),
]


@pytest.mark.parametrize(("expression", "position", "message"), REFUSALS)
def test_it_is_refused_with_the_reason_and_the_place(expression: str, position: int, message: str) -> None:
    with pytest.raises(BadExpression) as refusal:
        cron(expression)
    assert message in str(refusal.value)
    assert refusal.value.position == position
    assert refusal.value.code == "E13"


NEVER = [
    ("0 9 31 2 *", 4, "Cron '0 9 31 2 *' can never fire: February has no day 31."),
    ("0 0 30,31 2 *", 4, "February has no day 30 or 31."),
    ("0 0 31 4,6 *", 4, "April and June have no day 31."),
    ("0 0 30W 2 *", 4, "February has no day 30."),
    ("0 0 0 29 2 ? 2027", 6, "February 2027, not a leap year, has no day 29."),
    ("0 0 0 29 2 ? 2025-2027", 6, "February 2025, 2026 or 2027, not a leap year, has no day 29."),
    ("0 0 0 ? 2 1#5 2026", 6, "no date fits its day, month and weekday fields."),
]


@pytest.mark.parametrize(("expression", "position", "message"), NEVER)
def test_a_date_that_exists_in_no_year_is_refused(expression: str, position: int, message: str) -> None:
    with pytest.raises(NeverFires) as refusal:
        cron(expression)
    assert message in str(refusal.value)
    assert refusal.value.position == position
    assert refusal.value.code == "E14"


def test_a_day_and_a_weekday_that_never_meet_are_refused() -> None:
    cron("0 0 1-7 * 1#2")
    with pytest.raises(NeverFires, match="no date fits"):
        cron("0 0 1-7 * 1#2", day_match="and")


def test_a_seed_that_leads_to_no_date_is_refused_when_it_is_bound() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    spread = cron("0 0 H(29-31) 2 *")
    outcomes = set()
    for seed in "abcdefgh":
        try:
            outcomes.add(spread.bind(seed=seed, anchor=now).next_after(now))
        except NeverFires:
            outcomes.add(None)
    assert outcomes == {None, datetime(2028, 2, 29, tzinfo=UTC)}


def test_a_caret_stands_under_the_mistake() -> None:
    with pytest.raises(BadExpression) as refusal:
        cron("0 25 * * *")
    assert str(refusal.value).splitlines()[1:] == ["  0 25 * * *", "    ^"]


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(BadExpression, match="it is not text"):
        cron(5)  # type: ignore[arg-type]


def test_an_unknown_zone_is_refused_with_the_near_name() -> None:
    with pytest.raises(UnknownTimeZone, match="Did you mean 'Europe/Berlin'"):
        cron("0 9 * * *", tz="Europe/Berln")


@pytest.mark.parametrize("option", ["dst_gap", "dst_overlap", "day_match"])
def test_an_unknown_choice_is_refused(option: str) -> None:
    with pytest.raises(Invalid, match=f"{option}='perhaps': choose"):
        cron("0 9 * * *", **{option: "perhaps"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "expression",
    [
        "*/60 * * * *",
        "0 */24 * * *",
        "59/30 * * * *",
        "0 0 * * sun-sun",
        "0 0 * * sat-sun",
        "0 0 ? * ?",
        "00 09 04 * *",
        " 0 9 * * 1 ",
        "0\t9 * * 1",
        "@YEARLY",
        "@every 1h30m",
        "0 0 * * 0-7",
        "0 0 0 * * * *",
        "0 0 15w,lw * fril",
    ],
)
def test_what_is_usual_is_accepted(expression: str) -> None:
    assert cron(expression).describe()
