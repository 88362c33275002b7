"""What a run of the benchmark becomes: tables and drawings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from benchmarks import chart, page
from benchmarks.__main__ import command, rivals
from benchmarks.budget import Figure, Rival


def run(**values: float) -> dict[str, Any]:
    return {"runs": 3, **dict.fromkeys(("value", "least", "most"), 1.0), **values}


RESULT: dict[str, Any] = {
    "when": "2026-11-23T09:00:00+00:00",
    "command": "python -m benchmarks",
    "took_seconds": 600,
    "machine": {"cores": 2, "python": "3.11.7"},
    "server": "Valkey 9.1.2",
    "subjects": {"huey": {"version": "3", "settings": "-w 4", "on_kill": "lost"}},
    "figures": {
        "drain_threads": {
            "title": "drain",
            "unit": "jobs/s",
            "subject": "chronoq_threads",
            "ours": run(value=30_000, least=20_000, most=40_000),
            "ceiling": run(value=100_000, least=90_000, most=110_000),
            "ratio": 0.3,
            "floor": 0.4,
            "goal": 0.5,
            "more_is_better": True,
            "rivals": [
                {
                    "name": "huey",
                    "times": 12.0,
                    "among": "every",
                    "floor": 10,
                    "goal": 20,
                    "instead": False,
                },
                {
                    "name": "rq_scheduler",
                    "times": 150.0,
                    "among": "rq_scheduler",
                    "floor": 100,
                    "goal": None,
                    "instead": False,
                },
            ],
            "floor_held": False,
            "goal_held": False,
            "others": {"huey": run(value=2_500)},
        }
    },
    "samples": {"idle_start huey": [1.0, 2.0, 3.0], "idle_start chronoq_threads": [0.5, 0.6]},
    "growth": [dict.fromkeys(page.GROWTH, 1.0) | {"delayed": 10_000_000}],
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(RESULT))
    return path


def test_the_figures_between_the_markers_are_replaced_and_nothing_else(saved: Path, tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("# Head\n<!-- figures -->\nold\n<!-- end of figures -->\ntail\n")
    page.write(saved, document)
    text = document.read_text()
    assert text.startswith("# Head\n<!-- figures -->\n")
    assert text.endswith("<!-- end of figures -->\ntail\n")
    assert "old" not in text
    assert (
        "| drain, jobs/s | 30,000 (20,000 to 40,000) | 100,000 (90,000 to 110,000) | 0.30 "
        "| 0.4 and 10 times as good as the best peer and 100 times as good as rq_scheduler "
        "| 0.5 and 20 times as good as the best peer | **missed** | 12.00 times huey, 150.00 times rq_scheduler |"
        in text
    )
    assert text.index("| chronoq, threads | 30,000 |") < text.index("| huey | 2,500 |")
    assert "| 10,000,000 |" in text


def test_a_document_without_markers_is_left_alone(saved: Path, tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("# Head\n")
    with pytest.raises(SystemExit, match="no markers"):
        page.write(saved, document)
    assert document.read_text() == "# Head\n"


def test_each_figure_with_peers_and_each_histogram_is_a_drawing(saved: Path, tmp_path: Path) -> None:
    chart.draw(saved, tmp_path / "charts")
    drawn = {path.name: ET.parse(path) for path in (tmp_path / "charts").iterdir()}
    assert set(drawn) == {"drain_threads.svg", "idle_start.svg"}
    texts = [each.text for each in drawn["drain_threads.svg"].iter() if each.text]
    assert {"huey", "chronoq, threads", "raw loop", "2,500"} <= set(texts)


FACTS = {
    "huey": {"ON_KILL": "lost (taken from the queue before it runs)"},
    "taskiq": {"ON_KILL": "again"},
    "arq": {"ON_KILL": "again"},
}
MS = {"chronoq_sqlite": [0.1], "huey": [0.5, 9.0, 0.5], "taskiq": [2.0], "arq": [4.0]}


@pytest.mark.parametrize(
    ("among", "best", "times"), [("every", "huey", 0.5), ("durable", "taskiq", 2.0), ("arq", "arq", 4.0)]
)
def test_a_bound_is_the_best_peer_of_the_run_that_counts(among: str, best: str, times: float) -> None:
    figure = Figure("start", "ms", more=False, rivals=(Rival(among=among), Rival(2, among="rq")))
    (found,) = rivals(figure, run(value=1.0), MS, FACTS)
    assert (found["name"], found["times"]) == (best, times)
    assert rivals(figure, run(value=1.0), {"chronoq_sqlite": [0.1]}, FACTS) == [], "nobody else took part"


def test_what_was_measured_is_told_without_the_place_where_it_is_kept() -> None:
    assert (
        command(["--quick", "--save", "/somewhere/a.json", "-o", "json"])
        == "python -m benchmarks --quick -o json"
    )
