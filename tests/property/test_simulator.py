"""The whole engine in virtual time, under faults that a seed decides, checked after each step (F1).

CHRONOQ_CHECK=1 runs 20,000 seeds, `just simulate` as many as you want. A seed that breaks a law is printed as
a test; put it below, into `ONCE_BROKEN`, with what was wrong.
"""

from __future__ import annotations

import os

import pytest

from tests.simulator.flaws import FLAWS, Flaw
from tests.simulator.run import as_test, run_seeds
from tests.simulator.stores import STORES
from tests.simulator.world import World, silence, simulate

SEEDS = 20_000 if os.environ.get("CHRONOQ_CHECK") == "1" else 200
CHUNKS = 40 if SEEDS > 1_000 else 4
SQLITE_CHUNKS = 25 if SEEDS > 1_000 else 2
ENOUGH = 1_000
"""Seeds within which every deliberate fault has to be found."""

LAWS = [f"Q{number}" for number in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13)]
LAWS += [f"L{number}" for number in (1, 2, 3, 4, 5, 7)]
LAWS += [f"S{number}" for number in range(1, 11)]
"""Q6 and L6 are about what a server stores."""

ONCE_BROKEN = (
    (0, "Q12: arguments that no longer fit the signature were tried again and again"),
    (2, "L2: who extended between the sweep's two calls was robbed"),
    (494, "S5: an edit by a clock that lags went back to a time that had fired"),
    (62319, "Q4: the id of a job that was cancelled in line, and forgotten since, was refused to a new one"),
    (523555, "L1: the checker had no patience with fifty poisons that were tried one after the other"),
    (982403, "L3: the checker blamed a poison for a lease that was let go before, its handler deaf"),
    (993048, "L3: the same, its handler not there yet"),
    (74643, "L3: the checker blamed a poison for a lease that had run out before"),
)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_law_is_broken(chunk: int) -> None:
    many = SEEDS // CHUNKS
    found = run_seeds(chunk * many, many)
    assert not found, "\n\n".join(map(as_test, found))


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_law_is_broken_by_workers_that_wait_with_a_claim(chunk: int) -> None:
    many = SEEDS // CHUNKS // 2
    with silence():
        found = [one for seed in range(many) if (one := simulate(chunk * many + seed, setup=polling))]
    assert not found, "\n\n".join(f"seed {one.seed}, {one.law}: {one.text}" for one in found)


def polling(world: World) -> None:
    world.polls = True


@pytest.mark.parametrize("chunk", range(SQLITE_CHUNKS))
def test_no_law_is_broken_on_sqlite(chunk: int) -> None:
    found = run_seeds(chunk * 20, 20, backend="sqlite")
    assert not found, "\n\n".join(as_test(one, "sqlite") for one in found)


def test_the_checker_sees_what_is_wrong_on_sqlite() -> None:
    flaw = next(flaw for flaw in FLAWS if flaw.name == "nobody_sweeps")
    with silence(), STORES["sqlite"]() as opener:
        outcomes = (simulate(seed, opener=opener, setup=flaw.setup) for seed in range(20))
        found = next((outcome for outcome in outcomes if outcome), None)
    assert found is not None
    assert found.law == "L1", found.text


@pytest.mark.parametrize(("seed", "why"), ONCE_BROKEN)
def test_a_seed_that_broke_a_law_breaks_it_no_more(seed: int, why: str) -> None:
    found = run_seeds(seed, 1)
    assert not found, "\n\n".join(map(as_test, found))


@pytest.mark.parametrize("flaw", FLAWS, ids=lambda flaw: flaw.name)
def test_a_deliberate_fault_is_found_and_named(flaw: Flaw) -> None:
    with silence():
        for seed in range(flaw.near, flaw.near + ENOUGH):
            outcome = simulate(seed, setup=flaw.setup)
            if outcome is not None:
                assert outcome.law in flaw.laws, outcome.text
                return
    pytest.fail(f"{ENOUGH} seeds have not noticed that {flaw.name.replace('_', ' ')}")


def test_every_law_can_be_broken() -> None:
    assert {law for flaw in FLAWS for law in flaw.laws} == set(LAWS)


def test_a_seed_repeats_to_the_last_line() -> None:
    flaw = next(flaw for flaw in FLAWS if flaw.name == "nobody_sweeps")
    with silence():
        first, second = (simulate(flaw.near, setup=flaw.setup, traced=True) for _ in range(2))
    assert first is not None
    assert first == second
    assert len(first.trace) > 50


def test_a_seed_that_breaks_a_law_prints_as_a_test() -> None:
    flaw = next(flaw for flaw in FLAWS if flaw.name == "promotion_drops_a_job")
    with silence():
        outcome = simulate(flaw.near, setup=flaw.setup, traced=True)
    assert outcome is not None
    text = as_test(outcome)
    assert f"def test_seed_{outcome.seed}() -> None:" in text
    compile(text, "printed", "exec")
