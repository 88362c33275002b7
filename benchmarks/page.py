"""Writes the JSON of a run as Markdown: `python -m benchmarks.page RESULT.json DOCUMENT`.

What stands between the document's markers `<!-- figures -->` and `<!-- end of figures -->` is replaced.
"""

import json
import re
import sys
from pathlib import Path

from benchmarks.chart import NAMES, shown

PEERS = {
    "enqueue_one": "enqueue, one by one /s",
    "enqueue_bulk": "in bulk /s",
    "drain_threads": "drain, one process /s",
    "drain_two": "two processes /s",
    "idle_start_p50": "idle start, p50 ms",
    "idle_start_p99": "p99 ms",
    "lateness_p50": "lateness, p50 ms",
    "lateness_p99": "p99 ms",
    "early": "early %",
    "due_at_once": "all due at once /s",
    "recurring": "recurring, due at once /s",
    "memory_delayed": "bytes, delayed",
    "memory_queued": "bytes, queued",
    "idle_commands": "idle, commands /s",
    "idle_cpu": "% of a core",
    "worker_memory": "MB",
    "import": "import, ms",
}
GROWTH = {
    "delayed": "delayed jobs",
    "fill": "put in bulk /s",
    "bytes": "bytes a job",
    "run": "claim and settle, µs a job",
    "promote": "promote, µs a job",
    "counts": "counts, ms",
    "page": "first page of 100, ms",
    "page_deep": "tenth page, ms",
}
GROWN = (
    "Medians of turns with a thousand, each on a server of its own. The times in the first table are medians "
    "too: those of each turn's cost beside the most, divided by its cost beside a thousand."
)
OWN = {
    "chronoq_async": {"drain_threads": "drain_async"},
    "chronoq_memory": {"recurring": "recurring_memory"},
    "chronoq_processes": {"drain_threads": "drain_processes", "drain_two": "drain_two_processes"},
}
"""Figures of their own that stand in a common column."""
AMONG = {"durable": "the best peer that is safe", "every": "the best peer"}
RELAYS = {
    "relay_due": "due jobs /s",
    "relay_cron": "due cron schedules /s",
    "relay_lateness_p50": "lateness, p50 ms",
    "relay_lateness_p99": "p99 ms",
}
MARKED = re.compile(r"(<!-- figures -->\n).*(<!-- end of figures -->)", re.DOTALL)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    write(Path(sys.argv[1]), Path(sys.argv[2]))


def write(saved: Path, document: Path) -> None:
    """Errors: `SystemExit` when the document has no markers; then it is left alone."""
    result = json.loads(saved.read_text())
    text, found = MARKED.subn(lambda match: match[1] + page(result) + match[2], document.read_text())
    if not found:
        sys.exit(f"{document} has no markers, <!-- figures --> and <!-- end of figures -->")
    document.write_text(text)


def page(result: dict) -> str:
    figures, machine = result["figures"], result["machine"]
    head = (
        f"Measured on {result['when'][:10]}: `{result['command']}`, {result['took_seconds'] / 60:.0f} minutes, "
        f"{machine['cores']} cores, Python {machine['python']}, {result['server']}. Medians; "
        "in brackets the least and the most of several repetitions."
    )
    parts = [head, "### Beside the raw loops", budget(figures)]
    if any(one["others"] for one in figures.values()):
        parts += ["### Beside the peers", peers(figures, PEERS), settings(result["subjects"])]
    if "relay_due" in figures:
        parts += ["### Into RQ's queues", peers(figures, RELAYS)]
    if {"server_put", "server_run"} <= figures.keys():
        put, run = (spread(figures[name]["ours"]) for name in ("server_put", "server_run"))
        parts.append(
            f"The server's processor takes {put} µs to store a job in bulk, "
            f"and {run} to grant it to a busy worker and keep its ending."
        )
    if result["growth"]:
        parts += ["### Growth", growth(result["growth"]), GROWN]
    return "\n" + "\n\n".join(parts) + "\n\n"


def budget(figures: dict) -> str:
    rows = []
    for one in figures.values():
        if one["floor"] is None:
            continue
        ceiling, ratio, rivals = one["ceiling"], one["ratio"], one["rivals"]
        instead = any(each["instead"] for each in rivals)
        held = "goal" if one["goal_held"] else "floor" if one["floor_held"] else "**missed**"
        rows.append(
            [
                f"{one['title']}, {one['unit']}",
                spread(one["ours"]),
                "-" if ceiling is None else spread(ceiling),
                "-" if ratio is None else f"{ratio:.2f}",
                bounds([] if instead else [one["floor"]], rivals, "floor"),
                bounds([one["goal"]], rivals, "goal"),
                held,
                ", ".join(
                    f"{each['times']:.2f} times {NAMES.get(each['name'], each['name'])}" for each in rivals
                )
                or "-",
            ]
        )
    return table(["", "chronoq", "raw loop", "ratio", "floor", "goal", "held", "as good as"], rows)


def bounds(beside_the_raw_loop: list[float], rivals: list[dict], which: str) -> str:
    """The floor, or the goal, in words."""
    found = [f"{value:g}" for value in beside_the_raw_loop]
    for one in rivals:
        if one[which]:
            named = (
                NAMES.get(one["name"], one["name"]) if one["among"] == one["name"] else AMONG[one["among"]]
            )
            found.append(f"{one[which]:g} times as good as {named}")
    return " and ".join(found)


def peers(figures: dict, columns: dict[str, str]) -> str:
    """One row a subject, ours first, then as fast as they drain."""
    there = {name: title for name, title in columns.items() if name in figures}
    found: dict[str, dict[str, dict]] = {}
    for name in there:
        one = figures[name]
        for subject, values in {one["subject"]: one["ours"], **one["others"]}.items():
            found.setdefault(subject, {})[name] = values
    for subject, own in OWN.items():
        for column, name in own.items():
            if column in there and name in figures:
                found.setdefault(subject, {})[column] = figures[name]["ours"]

    def order(subject: str) -> tuple[bool, float]:
        rate = found[subject].get("drain_threads", {"value": 0})["value"]
        return not subject.startswith("chronoq"), -rate

    rows = [
        [NAMES.get(subject, subject), *(shown_or_dash(found[subject].get(name)) for name in there)]
        for subject in sorted(found, key=order)
    ]
    return table(["", *there.values()], rows)


def settings(subjects: dict) -> str:
    rows = [
        [f"{NAMES.get(name, name)} {facts['version']}", facts["settings"], facts["on_kill"]]
        for name, facts in subjects.items()
    ]
    return table(["", "ran with", "a job whose worker is killed with -9"], rows)


def growth(rows: list[dict]) -> str:
    return table(
        list(GROWTH.values()),
        [[f"{row['delayed']:,}", *(shown(row[name]) for name in list(GROWTH)[1:])] for row in rows],
    )


def spread(found: dict) -> str:
    value = shown(found["value"])
    return value if found["runs"] == 1 else f"{value} ({shown(found['least'])} to {shown(found['most'])})"


def shown_or_dash(found: dict | None) -> str:
    return "-" if found is None else shown(found["value"])


def table(head: list, rows: list[list]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    main()
