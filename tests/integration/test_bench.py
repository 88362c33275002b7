"""The benchmark as a command: what it prints, and when it says that something is amiss. The server is real."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest
from benchmarks import __main__ as bench
from benchmarks import measures
from benchmarks.lab import Lab
from benchmarks.measures import Figures, Measure

Run = Callable[..., None]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Run:
    """`just bench --quick -o json`, which measures no more than it is given."""

    def prepare(*measured: Measure) -> None:
        monkeypatch.setattr(measures, "ALL", measured)
        monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick", "-o", "json"])

    return prepare


def bulk(rate: float) -> Callable[[Lab, str, float], Figures]:
    return lambda lab, name, scale: {"enqueue_bulk": rate}


def ceiling(lab: Lab, scale: float) -> Figures:
    return {"enqueue_bulk": 100.0}


def broken(lab: Lab, name: str, scale: float) -> Figures:
    raise RuntimeError("no answer")


def test_it_prints_one_object_with_the_rates_and_the_bounds_of_each_figure(
    runs: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    runs(Measure("enqueue_bulk", bulk(50.0), ceiling))
    bench.main()
    found = json.loads(capsys.readouterr().out)["figures"]["enqueue_bulk"]
    assert (found["ours"]["value"], found["ceiling"]["value"], found["ratio"]) == (50.0, 100.0, 0.5)
    assert (found["floor"], found["goal"]) == (0.4, 0.6)
    assert (found["floor_held"], found["goal_held"]) == (True, False)


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        ((Measure("enqueue_bulk", bulk(30.0), ceiling),), "enqueue_bulk is below its floor"),
        (
            (Measure("enqueue_bulk", bulk(50.0), ceiling), Measure("growth", broken)),
            "growth chronoq_threads failed",
        ),
        ((), "nothing was measured"),
    ],
)
def test_a_floor_that_is_missed_or_not_measured_is_an_error(
    runs: Run, capsys: pytest.CaptureFixture[str], measured: tuple[Measure, ...], why: str
) -> None:
    runs(*measured)
    with pytest.raises(SystemExit) as ended:
        bench.main()
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == why
    assert json.loads(said.out)["figures"].keys() <= {"enqueue_bulk"}
