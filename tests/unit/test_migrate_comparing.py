"""Where rq-scheduler's runs and chronoq's nominal times differ."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chronoq.migrate.comparing import Difference, Kind, differences, next_times

START = datetime(2026, 1, 1, tzinfo=UTC)
S = timedelta(seconds=1)


def at(seconds: float) -> datetime:
    return START + S * seconds


def compared(nominals: list[float], fires: list[float], *, waiting: bool = False) -> list[tuple[str, float]]:
    """Each difference, and the second of its nominal time (of the run, where there is none)."""
    found = differences(
        [at(one) for one in nominals],
        [at(one) for one in fires],
        until=at(100),
        tolerance=S,
        waiting=waiting,
    )
    return [(one.kind.value, ((one.nominal or one.at or START) - START).total_seconds()) for one in found]


@pytest.mark.parametrize(("nominals", "fires", "expected"), [
    ([10, 20], [10, 20.9], []),
    ([10, 20], [9.5, 20], []),
    ([10, 20], [10, 25], [("late", 20)]),
    ([10, 20], [10], [("missing", 20)]),
    ([10, 20], [10, 20, 20.5], [("doubled", 20.5)]),
    ([10, 20], [20, 20.5], [("missing", 10), ("doubled", 20.5)]),
    ([10, 20], [20], [("missing", 10)]),
    ([10, 20], [10, 20, 50], [("doubled", 50)]),
    ([10, 11, 12], [10, 11, 12], []),
    ([10, 11, 12], [10.9, 11.9, 12.9], []),
    ([10, 12, 14], [15, 20, 25], [("late", 10), ("late", 12)]),
    ([50], [10], [("early", 50)]),
    ([50, 60], [10, 20], [("early", 50), ("early", 60)]),
    ([], [10], [("doubled", 10)]),
    ([10, 99.5], [10], []),
], ids=str)  # fmt: skip
def test_a_run_belongs_to_the_last_nominal_time_before_it_that_has_none_yet(
    nominals: list[float], fires: list[float], expected: list[tuple[str, float]]
) -> None:
    assert compared(nominals, fires) == expected


def test_what_is_still_in_hand_is_late_not_missing() -> None:
    assert compared([10, 20, 30], [10], waiting=True) == [("missing", 20), ("late", 30)]
    assert compared([10, 20, 30], [10, 30], waiting=True) == [("missing", 20)]


@pytest.mark.parametrize(("apart", "kind"), [
    (timedelta(hours=2), Kind.ZONE),
    (timedelta(hours=-5, minutes=-30), Kind.ZONE),
    (timedelta(minutes=7), Kind.TIME),
    (timedelta(days=3), Kind.TIME),
], ids=str)  # fmt: skip
def test_another_next_time_is_told_from_another_zone(apart: timedelta, kind: Kind) -> None:
    (found,) = next_times(START, START + apart, tolerance=S)
    assert found == Difference(kind, START, START + apart)
    assert found.by == apart


def test_the_same_next_time_is_no_difference() -> None:
    assert next_times(START, START + S, tolerance=S) == []
    assert next_times(None, START, tolerance=S) == []
