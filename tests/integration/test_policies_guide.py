"""Every picture in docs/policies.md is drawn by the true engine, and is on the page to the letter.

A text block under `<!-- picture: NAME -->` holds what `PICTURES["NAME"]` draws. To draw them anew:

    python -m tests.integration.test_policies_guide --write
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from attrs import define, field, frozen

from chronoq import Context, Scheduler, cron, every
from chronoq.domain.schedule import Happened, Outcome
from chronoq.testing import Drill, simulate

PAGE = Path(__file__).parents[2] / "docs" / "policies.md"
BLOCK = re.compile(
    r"(?<=^<!-- picture: )(?P<name>[\w-]+) -->\n```text\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MARGIN, WIDTH = 10, 62
MISSED = "\N{MULTIPLICATION SIGN}"
MARKS = {
    "●": "fires on time",
    "◑": "fires later",
    "○": "left out: overlap",
    MISSED: "left out: catch-up",
    "‖": "left out: paused",
    "·": "pending",
    "↺": "made up",
    "┣━": "a run",
    "▪": "a short run",
    "✗": "fails",
    "░": "the scheduler is down",
    "▒": "paused",
}


@define
class Canvas:
    """Rows of one character a column, each with a label in the margin."""

    rows: list[tuple[str, list[str]]] = field(factory=list)

    def row(self, label: str) -> list[str]:
        self.rows.append((label, [" "] * WIDTH))
        return self.rows[-1][1]

    def text(self, label: str, words: Mapping[int, str]) -> None:
        row = self.row(label)
        for column, word in words.items():
            row[column : column + len(word)] = word

    def __str__(self) -> str:
        lines = [f"{label:<{MARGIN}}{''.join(cells)[:WIDTH]}".rstrip() for label, cells in self.rows]
        used = "".join("".join(cells) for _, cells in self.rows)
        legend = [f"{mark} {words}" for mark, words in MARKS.items() if mark[0] in used]
        folded, line = [], ""
        for entry in legend:
            if len(line) + len(entry) > WIDTH:
                folded, line = [*folded, line], ""
            line += f"{entry}   "
        return "\n".join([*lines, "", *(" " * MARGIN + line.rstrip() for line in [*folded, line])]) + "\n"


@frozen
class Scene:
    """One schedule at noon, a column a minute: runs of so many minutes, and what people and faults do."""

    length: int = 0
    options: Mapping[str, Any] = {}
    acts: Mapping[int, Callable[[Drill], object]] = {}
    shade: tuple[str, str, int, int] | None = None
    """A row of its own: its label and mark, from which minute to which."""
    fails: bool = False

    def __call__(self) -> str:
        app, runs = Scheduler(), list[list[datetime]]()

        async def work(context: Context) -> None:
            run = [drill.now, drill.now]
            runs.append(run)
            try:
                await asyncio.sleep(self.length * 60)
            finally:
                run[1] = drill.now
            if self.fails:
                raise RuntimeError

        app.add_schedule("plan", app.task(name="work", retries=0)(work), every("5m"), **self.options)
        with Drill(app, start=NOON) as drill:
            for minute, act in sorted(self.acts.items()):
                drill.move_to(NOON + minute * MINUTE)
                act(drill)
            drill.move_to(NOON + (WIDTH - 1) * MINUTE)
            ledger, stored = drill.ledger("plan"), app.stored_schedule("plan").info()
            going = [run for run in runs if run[0] == run[1] and self.length]
            for run in going:
                run[1] = drill.now + MINUTE
        canvas = Canvas()
        canvas.text("", {minute: f"{NOON + minute * MINUTE:%H:%M}" for minute in range(0, WIDTH - 5, 10)})
        nominal = canvas.row("nominal")
        assert stored.schedule
        rhythm = stored.schedule.rhythm.bind(seed="plan", anchor=NOON)
        times = list(rhythm.fires(NOON, until=NOON + (WIDTH - 1) * MINUTE))
        for moment in times:
            if stored.schedule.next_after(moment - MINUTE, since=NOON) == moment:
                nominal[column(moment)] = fate(moment, ledger, stored.cursor.next)
        made = [(one.nominal, one.last or one.nominal) for one in ledger if one.what is Happened.BACKFILL]
        if made:
            backfill = canvas.row("backfill")
            for moment in times:
                if any(first <= moment <= last for first, last in made):
                    backfill[column(moment)] = "↺"
        if self.shade:
            label, mark, begin, end = self.shade
            canvas.row(label)[begin:end] = mark * (end - begin)
        self.draw(canvas, runs)
        return str(canvas)

    def draw(self, canvas: Canvas, runs: list[list[datetime]]) -> None:
        """Runs beside each other in rows of their own; several short ones at once as a number."""
        if not self.length:
            row = canvas.row("runs")
            for place, many in Counter(column(start) for start, _ in runs).items():
                row[place] = ("✗" if self.fails else "▪") if many == 1 else str(many)
            return
        lanes: list[list[str]] = []
        for start, end in runs:
            begin, until = column(start), max(column(end), column(start) + 1)
            lane = next((lane for lane in lanes if lane[begin] == " "), None)
            if lane is None:
                lane = canvas.row("" if lanes else "runs")
                lanes.append(lane)
            lane[begin:until] = "┣" + "━" * (until - begin - 1)


def column(moment: datetime) -> int:
    return (moment - NOON) // MINUTE


def fate(moment: datetime, ledger: list[Outcome], pending: datetime | None) -> str:
    for one in ledger:
        if one.nominal <= moment <= (one.last or one.nominal) and one.what is not Happened.BACKFILL:
            match one.what:
                case Happened.FIRED:
                    return "●" if one.at - moment < MINUTE else "◑"
                case Happened.OVERLAP:
                    return "○"
                case Happened.MISSED:
                    return MISSED
                case Happened.PAUSED:
                    return "‖"
                case _:
                    continue
    return " " if pending is None else "·"


def outage(begin: int, end: int) -> dict[str, Any]:
    """Nobody fires between two minutes."""
    return {
        "acts": {begin: lambda drill: drill.kill_scheduler(), end: lambda drill: drill.add_scheduler()},
        "shade": ("outage", "░", begin, end),
    }


def pause(begin: int, end: int, **resume: Any) -> dict[str, Any]:
    return {
        "acts": {
            begin: lambda drill: drill.app.stored_schedule("plan").pause(),
            end: lambda drill: drill.app.stored_schedule("plan").resume(**resume),
        },
        "shade": ("pause", "▒", begin, end),
    }


def backfilled() -> Scene:
    given = pause(12, 33)
    given["acts"][47] = lambda drill: drill.app.stored_schedule("plan").backfill(
        NOON + 10 * MINUTE, NOON + 40 * MINUTE
    )
    return Scene(**given)


def shifted(**options: Any) -> str:
    """Four schedules of the same rhythm, a row each, by `simulate`."""
    app = Scheduler()
    task = app.task(name="work")(lambda: None)
    names = ("mail", "prices", "report", "search")
    for name in names:
        app.add_schedule(name, task, cron("*/20 * * * *"), **options)
    timeline = simulate(app, NOON - MINUTE, NOON + (WIDTH - 1) * MINUTE)
    canvas = Canvas()
    canvas.text("", {minute: f"{NOON + minute * MINUTE:%H:%M}" for minute in range(0, WIDTH - 5, 10)})
    nominal = canvas.row("nominal")
    for run in timeline.runs:
        nominal[column(run.nominal)] = "●"
    for name in names:
        row = canvas.row(name)
        for run in timeline.of(name):
            row[column(run.start)] = "▪"
    return str(canvas)


def night(day: datetime, **choice: Any) -> str:
    """The night on which the clocks change in Berlin, five minutes a column, by `simulate`."""
    app = Scheduler()
    task = app.task(name="work")(lambda: None)
    expressions = ("30 2 * * *", "*/30 * * * *")
    for place, expression in enumerate(expressions):
        app.add_schedule(f"plan-{place}", task, cron(expression, tz="Europe/Berlin", **choice))
    timeline = simulate(app, day - MINUTE, day + (WIDTH - 1) * 5 * MINUTE)
    canvas = Canvas()
    moments = {place: day + place * 5 * MINUTE for place in range(0, WIDTH - 5, 6)}
    canvas.text("UTC", {place: f"{moment:%H:%M}" for place, moment in moments.items()})
    zone = ZoneInfo("Europe/Berlin")
    canvas.text("Berlin", {place: f"{moment.astimezone(zone):%H:%M}" for place, moment in moments.items()})
    for place, label in enumerate(("30 2", "*/30 *")):
        row = canvas.row(label)
        for run in timeline.of(f"plan-{place}"):
            row[(run.start - day) // (5 * MINUTE)] = "●"
    return str(canvas)


SPRING = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 24, 23, 0, tzinfo=UTC)

PICTURES: dict[str, Callable[[], str]] = {
    "latest": Scene(**outage(12, 38)),
    "skip-missed": Scene(options={"catch_up": "skip"}, **outage(12, 38)),
    "last-three": Scene(options={"catch_up": 3, "overlap": "allow"}, **outage(12, 38)),
    "three-in-turn": Scene(length=2, options={"catch_up": 3, "overlap": "queue_all"}, **outage(12, 38)),
    "window": Scene(options={"catch_up": 3, "window": "10m", "overlap": "allow"}, **outage(12, 38)),
    "skip": Scene(length=12),
    "allow": Scene(length=12, options={"overlap": "allow"}),
    "queue-one": Scene(length=12, options={"overlap": "queue_one"}),
    "queue-all": Scene(length=7, options={"overlap": "queue_all"}),
    "cancel-running": Scene(length=12, options={"overlap": "cancel_running"}),
    "jitter": lambda: shifted(jitter="15m"),
    "spread": lambda: shifted(spread="15m"),
    "starts-ends": Scene(options={"starts_at": NOON + 12 * MINUTE, "ends_at": NOON + 45 * MINUTE}),
    "max-fires": Scene(options={"max_fires": 4}),
    "pause-after": Scene(fails=True, options={"pause_after": 3}, shade=("set aside", "▒", 20, WIDTH)),
    "pause": Scene(**pause(12, 38)),
    "pause-catch-up": Scene(**pause(12, 38, catch_up=True)),
    "backfill": backfilled(),
    "gap": lambda: night(SPRING),
    "gap-skip": lambda: night(SPRING, dst_gap="skip"),
    "overlap": lambda: night(AUTUMN),
    "overlap-both": lambda: night(AUTUMN, dst_overlap="both"),
}


def shown() -> dict[str, str]:
    return {match["name"]: match["text"] for match in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("name", PICTURES)
def test_each_picture_on_the_page_is_what_the_engine_does(name: str) -> None:
    assert shown()[name] == PICTURES[name]()


def test_the_page_shows_no_other_pictures_and_none_is_too_wide() -> None:
    assert sorted(shown()) == sorted(PICTURES)
    assert all(len(line) <= 80 for text in shown().values() for line in text.splitlines())


def write() -> None:
    """Draw all pictures anew, each where it stands."""
    text = PAGE.read_text(encoding="utf-8")
    drawn = BLOCK.sub(lambda match: f"{match['name']} -->\n```text\n{PICTURES[match['name']]()}```", text)
    PAGE.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    else:
        print("\n".join(f"{name}\n{draw()}" for name, draw in PICTURES.items()))
