"""The figures of docs/scaling.md are what the simulation says, and the simulation says what it should."""

import re
from pathlib import Path

import pytest
from benchmarks.scaling import BUSY, MASTERS, carried, even, hot, master_of, table

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"


def test_the_page_shows_what_is_computed() -> None:
    found = re.search(r"<!-- scaling: (\d+) -->\n(.*?)\n<!-- /scaling -->", PAGE.read_text(), re.DOTALL)
    assert found
    assert found[2] == table(float(found[1]))


def test_one_queue_is_never_faster_than_one_master() -> None:
    alone = carried(even(1), 1, cost=10)
    assert alone == pytest.approx(BUSY / 10e-6)
    assert {carried(even(1), masters, cost=10) for masters in MASTERS} == {alone}


@pytest.mark.parametrize("masters", MASTERS)
def test_no_load_is_carried_beyond_all_masters(masters: int) -> None:
    for load in (even(50), hot(1), hot(64)):
        assert carried(load, masters, cost=10) <= masters * BUSY / 10e-6 * 1.000001


def test_shards_lift_a_hot_queue() -> None:
    rates = [carried(hot(shards), 12, cost=10) for shards in (1, 8, 64)]
    assert rates == sorted(set(rates))


def test_slots_are_those_of_a_cluster() -> None:
    assert master_of("foo", 16_384) == 12_182  # as the cluster specification says of the key foo
    assert len({master_of(f"queue-{n}", 3) for n in range(50)}) == 3
