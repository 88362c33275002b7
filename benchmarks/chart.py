"""Draws the JSON of a run: `python -m benchmarks.chart RESULT.json FOLDER` writes one SVG a figure that has peers.

Bars on a logarithmic scale, since chronoq and the slowest peer are three orders of magnitude apart; and
histograms of the start on an idle system and of lateness, one row a subject.
"""

import json
import math
import sys
from collections import Counter
from pathlib import Path

NAMES = {
    "chronoq_threads": "chronoq, threads",
    "chronoq_async": "chronoq, coroutines",
    "chronoq_processes": "chronoq, child processes",
    "chronoq_memory": "chronoq, memory",
    "chronoq_rq": "chronoq and RQ",
    "chronoq_sqlite": "chronoq, file",
    "chronoq_sqlite_normal": "chronoq, file, normal",
    "ceiling": "raw loop",
}
HISTOGRAMS = {
    "idle_start": "Start on an idle system",
    "lateness": "Lateness of a delayed job",
    "relay_lateness": "Lateness of a job that RQ runs, schedulers at their defaults",
}
WIDTH, LEFT, RIGHT, ROW = 760, 190, 90, 24
STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #333 } .title { font-weight: 600 } .small { font-size: 11px; fill: #777 }
.bar { fill: #b8c0cc } .ours { fill: #2f6fde } .raw { fill: #e3e6ea } line { stroke: #ddd }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .small { fill: #999 } .bar { fill: #566070 }
.raw { fill: #343a44 } line { stroke: #444 } }
</style>"""


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    draw(Path(sys.argv[1]), Path(sys.argv[2]))


def draw(saved: Path, folder: Path) -> None:
    result = json.loads(saved.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    for name, one in result["figures"].items():
        if one["others"] and one["unit"] != "%":
            (folder / f"{name}.svg").write_text(bars(one))
    for what, title in HISTOGRAMS.items():
        found = {
            key.removeprefix(f"{what} "): one
            for key, one in result["samples"].items()
            if key.startswith(f"{what} ")
        }
        if found:
            (folder / f"{what}.svg").write_text(histogram(f"{title}, ms", found))


def bars(one: dict) -> str:
    ours = {one["subject"]: one["ours"]}
    rows = {
        **ours,
        **one["others"],
        **({"ceiling": one["ceiling"]} if one["ceiling"] and one["ratio"] else {}),
    }
    ordered = sorted(rows.items(), key=lambda each: each[1]["value"], reverse=one["more_is_better"])
    values = [found["value"] for _, found in ordered if found["value"] > 0]  # who is early has no bar
    low, high = math.log10(min(values)) - 0.3, math.log10(max(values))
    parts = []
    for place, (name, found) in enumerate(ordered):
        y = 44 + place * ROW
        share = (math.log10(found["value"]) - low) / (high - low) if found["value"] > 0 else 0.0
        long = max(2.0, share * (WIDTH - LEFT - RIGHT))
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{NAMES.get(name, name)}</text>',
            f'<rect class="{kind(name)}" x="{LEFT}" y="{y}" width="{long:.0f}" height="16" rx="2"/>',
            f'<text x="{LEFT + long + 6:.0f}" y="{y + 13}">{shown(found["value"])}</text>',
        ]
    better = "more is better" if one["more_is_better"] else "less is better"
    return drawing(
        f"{one['title']}, {one['unit']}", f"{better}; logarithmic scale", parts, 54 + len(ordered) * ROW
    )


def histogram(title: str, found: dict[str, list[float]]) -> str:
    """One row a subject: how many of its samples lie in each third of a power of ten."""
    edges = [10 ** (step / 6) for step in range(-6, 31)]  # 0.1 ms to 100 s
    row, step = 34, (WIDTH - LEFT - 20) / len(edges)
    parts = [
        f'<text class="small" x="{LEFT + step * at:.0f}" y="40" text-anchor="middle">{shown(edges[at])}</text>'
        for at in range(0, len(edges), 6)
    ]
    for place, (name, samples) in enumerate(
        sorted(found.items(), key=lambda each: each[1][len(each[1]) // 2])
    ):
        y = 48 + place * row
        counts = Counter(sum(edge < sample for edge in edges) for sample in samples)
        most = max(counts.values())
        parts.append(f'<text x="{LEFT - 8}" y="{y + 22}" text-anchor="end">{NAMES.get(name, name)}</text>')
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y + row - 4}" y2="{y + row - 4}"/>')
        for at, many in counts.items():
            tall = max(1.5, many / most * (row - 8))
            x, top = LEFT + step * (at - 1), y + row - 4 - tall
            parts.append(
                f'<rect class="{kind(name)}" x="{x:.1f}" y="{top:.1f}" width="{step - 1:.1f}" height="{tall:.1f}"/>'
            )
    return drawing(title, "share of the samples; logarithmic scale", parts, 60 + len(found) * row)


def kind(name: str) -> str:
    return (
        "ours"
        if name.startswith("chronoq")
        else "raw"
        if name in ("ceiling", "push to blocking pop")
        else "bar"
    )


def shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 20 else f"{value:.2g}"


def drawing(title: str, note: str, parts: list[str], height: int) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">'
    words = [
        f'<text class="title" x="8" y="18">{title}</text>',
        f'<text class="small" x="{WIDTH - 8}" y="18" text-anchor="end">{note}</text>',
    ]
    return "\n".join([head, STYLE, *words, *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    main()
