"""What six other cron libraries agree on, row by row."""

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chronoq.domain.errors import NeverFires
from chronoq.domain.rhythm import cron

DATA = Path(__file__).parents[1] / "data"
NUUK = ("45 23 * * *", "America/Nuuk", "2026-03-28T18:10:00-02:00")


def rows(name: str, after: str, fires: list[str]) -> list[object]:
    with (DATA / name).open(newline="") as file:
        return [
            pytest.param(
                row["expr"],
                row["tz"],
                row[after],
                [row[fire] for fire in fires if row[fire]],
                id=f"line {number}: {row['expr']} in {row['tz']}",
                marks=odd_one_out((row["expr"], row["tz"], row[after])),
            )
            for number, row in enumerate(csv.DictReader(file), 2)
        ]


def odd_one_out(row: tuple[str, str, str]) -> list[pytest.MarkDecorator]:
    reason = "the row says one second after the end of the gap, the rule says at its end"
    return [pytest.mark.xfail(strict=True, reason=reason)] if row == NUUK else []


@pytest.mark.parametrize(
    ("expression", "tz", "after", "fires"),
    rows("cron_vectors.csv", "after", ["fire_1", "fire_2", "fire_3"])
    + rows("cron_dst_vectors.csv", "start_iso", [f"expected_{n}" for n in range(1, 5)]),
)
def test_it_fires_when_other_libraries_say(expression: str, tz: str, after: str, fires: list[str]) -> None:
    start = datetime.fromisoformat(after)
    if fires == ["NONE"]:
        with pytest.raises(NeverFires):
            cron(expression, tz=tz)
        return
    found = list(cron(expression, tz=tz).fires(start, count=len(fires)))
    assert found == [datetime.fromisoformat(fire) for fire in fires]
    assert all(fire.tzinfo is UTC for fire in found)


def test_a_gap_that_ends_at_midnight_is_over_at_midnight() -> None:
    expression, tz, after = NUUK
    found = cron(expression, tz=tz).next_after(datetime.fromisoformat(after))
    assert found == datetime.fromisoformat("2026-03-29T00:00:00-01:00")
