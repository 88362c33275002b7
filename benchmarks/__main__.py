"""Benchmarks: chronoq, the raw ceilings and the peers, side by side in one run.

    just bench                          everything, with all peers (each is installed on demand)
    just bench --quick                  chronoq and the ceilings only, smaller
    just bench --only drain --peers rq,huey --repeat 5
    just bench --files --only enqueue,drain,due      who needs no server, among themselves
    just bench --quick -o json          one JSON object, for other programs

Exit code 1 when a floor of the budget is missed, or when what it needs could not be measured.
"""

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from benchmarks import environments, measures
from benchmarks.budget import FIGURES, Figure
from benchmarks.lab import Lab, say

CEILING = "ceiling"
Runs = dict[str, dict[str, list[float]]]
"""Figure to subject to what each repetition gave."""


def main() -> None:
    given = arguments()
    everybody = environments.FILES if given.files else [] if given.quick else environments.PEERS
    peers = given.peers.split(",") if given.peers else everybody
    scale = given.scale or (0.2 if given.quick else 1.0)
    runs: Runs = {}
    failures: dict[str, str] = {}
    began = monotonic()
    with Lab() as lab:
        for measure in measures.ALL:
            if given.only and not any(word in measure.name for word in given.only.split(",")):
                continue
            repeat = given.repeat or (measure.quick if given.quick else measure.repeat)
            ours = [] if given.files else measure.ours
            theirs = (given.repeat or measure.peers) if measure.peers else 0
            for turn in range(repeat):  # interleaved: a slow minute of the machine is everybody's
                if measure.ceiling and not given.files:
                    attempt(lab, runs, failures, measure.name, CEILING, partial(measure.ceiling, lab, scale))
                for name in [*ours, *(peers if turn < theirs else [])]:
                    if able(lab, failures, measure, name):
                        run = partial(measure.run, lab, name, scale)
                        attempt(lab, runs, failures, measure.name, name, run)
        result = report(lab, runs, failures, took=monotonic() - began)
    if given.save:
        Path(given.save).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result) if given.output == "json" else table(result))
    if wrong := amiss(result):
        print(wrong, file=sys.stderr)
        sys.exit(1)


def amiss(result: dict) -> str:
    """Why this run does not show that every floor is held; '' when it does. A peer that fails is no reason."""
    found = [
        f"{name} is below its floor" for name, one in result["figures"].items() if one["floor_held"] is False
    ]
    found += [
        f"{what} failed" for what in result["failures"] if what.split()[-1].startswith(("chronoq", CEILING))
    ]
    if not result["figures"]:
        found.append("nothing was measured")
    return "; ".join(found)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="just bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="chronoq and the ceilings, smaller")
    parser.add_argument("--only", default="", help="measures whose name has one of these words")
    parser.add_argument("--peers", default="", help=f"of {', '.join(environments.PEERS)}")
    parser.add_argument("--files", action="store_true", help="only those who keep their jobs in a file")
    parser.add_argument("--scale", type=float, default=0, help="how many jobs: 1 in full, 0.2 with --quick")
    parser.add_argument("--repeat", type=int, default=0)
    parser.add_argument("--save", help="a file for the JSON, from which the charts are drawn")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    return parser.parse_args()


def able(lab: Lab, failures: dict[str, str], measure: measures.Measure, name: str) -> bool:
    try:
        facts = lab.describe(name)
    except Exception as error:
        failures.setdefault(name, str(error))
        return False
    workers = measure.run not in measures.WORKERS or facts["workers"]
    there = not measure.server or name not in environments.SERVERLESS
    return measure.needs in facts["can"] and bool(workers) and there


def attempt(
    lab: Lab,
    runs: Runs,
    failures: dict[str, str],
    measure: str,
    name: str,
    run: Callable[[], measures.Figures],
) -> None:
    try:
        lab.fresh()
        for figure, value in run().items():
            runs.setdefault(figure, {}).setdefault(name, []).append(value)
            say(f"{figure:18} {name:18} {value:,.2f} {FIGURES[figure].unit}")
    except Exception as error:
        failures[f"{measure} {name}"] = str(error)[-600:]
        say(f"{measure:18} {name:18} failed: {error}")
    finally:
        lab.stop()


def report(lab: Lab, runs: Runs, failures: dict[str, str], *, took: float) -> dict:
    """One entry for each figure: ours, the ceiling's, the peers', and whether floor and goal are held."""
    figures = {}
    for name, subjects in runs.items():
        bound, mine = FIGURES[name], [each for each in subjects if each.startswith("chronoq")]
        if not mine:
            continue
        ours = summary(subjects[mine[0]])
        raw = runs.get(name.replace("lateness", "idle_start"), {}).get(CEILING)
        ceiling = summary(raw) if raw else None
        value = ours["value"] if ceiling is None else ours["value"] / ceiling["value"]
        others = {each: summary(found) for each, found in subjects.items() if each not in (mine[0], CEILING)}
        drained = runs.get("drain_threads", {}) if name == "drain_async" else subjects
        found = rivals(bound, ours, drained, lab.facts)
        instead = any(one["instead"] for one in found)
        floors = [] if instead else [bound.holds(value, bound.floor)]
        floors += [one["times"] >= one["floor"] for one in found if one["floor"]]
        goals = [bound.holds(value, bound.goal)]
        goals += [one["times"] >= one["goal"] for one in found if one["goal"]]
        figures[name] = {
            "title": bound.title,
            "subject": mine[0],
            "unit": bound.unit,
            "ours": ours,
            "ceiling": ceiling,
            "ratio": None if ceiling is None else value,
            "floor": bound.floor,
            "goal": bound.goal,
            "more_is_better": bound.more,
            "rivals": found,
            "floor_held": None if None in floors else all(floors),
            "goal_held": None if None in goals else all(goals),
            "others": others,
        }
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command(sys.argv[1:]),
        "took_seconds": round(took),
        "machine": {"python": platform.python_version(), "cores": cores(), "system": platform.system()},
        "server": lab.version,
        "subjects": {
            name: {
                "version": environments.version(name),
                "settings": facts["SETTINGS"],
                "on_kill": facts["ON_KILL"],
            }
            for name, facts in lab.facts.items()
        },
        "figures": figures,
        "samples": {f"{what} {name}": thinned(found) for (name, what), found in lab.samples.items()},
        "growth": lab.growth,
        "failures": failures,
    }


def rivals(
    bound: Figure, ours: dict, others: dict[str, list[float]], facts: dict[str, dict]
) -> list[dict[str, Any]]:
    """For each bound beside peers the best of those, and how many times as good as that one ours is."""

    def counts(name: str, among: str) -> bool:
        durable = not facts[name]["ON_KILL"].startswith("lost")
        return among in {"every", name} or (among == "durable" and durable)

    found = []
    for one in bound.rivals:
        times = {
            name: bound.times(ours["value"], median(theirs))
            for name, theirs in others.items()
            if name in environments.PACKAGES and counts(name, one.among)
        }
        if times:
            best = min(times, key=times.__getitem__)
            found.append(
                {
                    "name": best,
                    "times": times[best],
                    "among": one.among,
                    "floor": one.floor,
                    "goal": one.goal,
                    "instead": one.instead,
                }
            )
    return found


def summary(runs: list[float]) -> dict:
    return {"value": median(runs), "least": min(runs), "most": max(runs), "runs": len(runs)}


def thinned(found: list[float], most: int = 200) -> list[float]:
    """Sorted samples, few enough to be kept."""
    return (
        [round(found[int(at * len(found) / most)], 3) for at in range(most)] if len(found) > most else found
    )


def command(argv: list[str]) -> str:
    """What was measured, without where it was kept."""
    return re.sub(r" --save[= ]\S+", "", " ".join(["python -m benchmarks", *argv]))


def cores() -> int:
    return len(os.sched_getaffinity(0))


def table(result: dict) -> str:
    lines = [f"{'':46}{'chronoq':>12}{'ceiling':>12}{'ratio':>8}{'floor':>8}{'goal':>8}  "]
    for one in result["figures"].values():
        ceiling, ratio = one["ceiling"], one["ratio"]
        mark = {None: "", True: "held", False: "MISSED"}[one["floor_held"]]
        goal = ", goal" if one["goal_held"] else ""
        for best in one["rivals"]:
            bounds = [f"{word} {best[word]:g}" for word in ("floor", "goal") if best[word]]
            goal += f", {best['times']:.2f} x {best['name']} ({', '.join(bounds)})"
        lines.append(
            f"{one['title'] + ', ' + one['unit']:46.46}{one['ours']['value']:>12,.2f}"
            f"{'' if ceiling is None else format(ceiling['value'], ',.2f'):>12}"
            f"{'' if ratio is None else format(ratio, '.2f'):>8}"
            f"{'' if one['floor'] is None else one['floor']:>8}{'' if one['goal'] is None else one['goal']:>8}"
            f"  {mark}{goal}"
        )
        others = sorted(
            one["others"].items(), key=lambda each: each[1]["value"], reverse=one["more_is_better"]
        )
        lines += [f"    {name:42}{found['value']:>12,.2f}" for name, found in others]
    lines += [
        f"failed: {what}: {why.splitlines()[-1] if why else ''}" for what, why in result["failures"].items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
