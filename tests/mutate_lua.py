"""Does the contract notice when a check in a script is missing? Breaks each on purpose, one at a time.

    python tests/mutate_lua.py [SCRIPT[:LINE] ...]       # all scripts, or those named: submit settle:42 ...

Works on copies of the package: in each, one condition of one script always holds, never holds, has lost one
of its parts, or compares the other way or one off. Then the contract runs against Valkey with that copy. A
mutant that passes has survived: the exit code is 1, and a check is missing, either from the contract or, if
nobody can tell the difference, from `EQUIVALENT` below, with the reason.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from time import monotonic

from attrs import frozen

ROOT = Path(__file__).parent.parent
LUA = Path("chronoq/adapters/redis/lua")
SUITE = "tests/integration/test_redis_contract.py"
OPTIONS = ("-k", "valkey", "-x", "-q", "-p", "no:cacheprovider")
CHAPTERS = ("TestQueue", "TestStore", "TestLock", "TestLife", "TestPages", "TestDamage")
NEAREST = {
    **dict.fromkeys(("fire", "put", "due", "live", "drop", "stored"), "TestStore"),
    **dict.fromkeys(("acquire", "renew", "unlock"), "TestLock"),
    **dict.fromkeys(("birth", "beat"), "TestLife"),
    "page": "TestPages",
    **dict.fromkeys(
        ("sweep", "bury", "strays", "restore", "rejoin", "plans", "watch", "leave"), "TestDamage"
    ),
}
"""Which chapter comes first because it is the likeliest to notice; the others follow."""
PATIENCE = 180
"""Seconds after which a run counts as failed: a mutant may loop for ever."""

_FOREIGN = "what is stored is never written otherwise"
_HINT = "a hint too many costs one look, and few are kept"
_TIME = "it saves time only"
_REST = "after a thousand marks in a row: the next look finds the rest"
_NONE = "no hints are made when no job was"
_CLAIMED = "a job that is leased or dead was claimed before, so it has a history"
_ABOUT = "the bound is about so many bytes"
_LATEST = "it is the highest by then, or the same"

EQUIVALENT: tuple[tuple[str, str, str, str], ...] = (
    ("accept", "count == 1", "false", _TIME),
    ("accept", "waiting <= 64", "waiting < 64", _HINT),
    ("accept", "redis.call('EXISTS', unpack(KEYS, FIXED + 1)) > 0 and redis", " redis", _TIME),
    ("accept", "FIXED + 1)) > 0", "FIXED + 1)) >= 0", _TIME),
    ("accept", "redis.call('EXISTS', KEYS[2]) == 1 and redis", " redis", _TIME),
    ("accept", "if known or ended or skipped then", "if true then", _TIME),
    ("accept", "if skipped and skipped[i] == 1 then", "if true then", _TIME),
    ("accept", "if skipped and skipped[i] == 1 then", "if skipped then", _TIME),
    ("adopt", "ARGV[at + 4] ~= ''", "true", "an empty history reads as none"),
    ("adopt", "#later > 0 and redis", " redis", _HINT),
    ("claim", "#keys < limit and budget > 0", " budget > 0", "LPOP of none pops none, which ends the loop"),
    ("claim", "#keys < limit", "#keys <= limit", "LPOP of none pops none, which ends the loop"),
    ("claim", "and budget > 0", "", "the budget bounds the time of one call only"),
    ("claim", "budget > 0", "budget >= 0", "the budget bounds the time of one call only"),
    ("claim", "#popped < wanted", "false", _TIME),
    ("claim", "string.match(member, '^[0-3]') or '2'", "string.match(member, '^[0-3]')", _FOREIGN),
    ("claim", "marks > 0 and", " ", _TIME),
    ("claim", "marks > 0", "marks >= 0", _TIME),
    ("claim", "skipped[i] == 1 and", " ", "SREM alone says whether there was a mark"),
    ("claim", "if #keys < limit and budget > 0 then first", "if false then first", _TIME),
    ("claim", "if cut or #keys >= limit or budget <= 0 then", "if true then", _TIME),
    ("claim", "or budget <= 0 then", " then", _REST),
    ("claim", "budget <= 0", "budget < 0", _REST),
    ("claim", "weight > bound", "weight >= bound", _ABOUT),
    ("claim", "kept > 16", "kept >= 16", _TIME),
    ("claim", "if few < kept then", "if true then", _TIME),
    ("claim", "few < kept", "few <= kept", _TIME),
    ("claim", "if kept > few then", "if true then", _TIME),
    ("claim", "kept > few", "kept >= few", _TIME),
    ("claim", "if cut then", "if true then", _TIME),
    ("claim", "ends < (tonumber", "ends <= (tonumber", "it is the same moment"),
    ("claim", "wanted = #due > 0 and", "wanted = ", _HINT),
    ("claim", "wanted = #due > 0", "wanted = #due >= 0", _HINT),
    ("done", "redis.call('EXISTS', place) == 1", "true", _TIME),
    ("done", "redis.call('EXISTS', KEYS[6]) == 1", "true", _TIME),
    ("extend", "and token and", "and", _CLAIMED),
    ("fire", "or 0) or 0", "or 0)", _FOREIGN),
    ("fire", "not known[word]", "true", _TIME),
    ("fire", "redis.call('EXISTS', KEYS[5]) == 1", "true", _TIME),
    ("fire", "skipped[job] == 1", "true", _TIME),
    ("fire", "wake ~= ''", "true", "what is no number comes last"),
    ("fire", "long > most", "true", _TIME),
    ("fire", "long > most", "long >= most", _TIME),
    ("fire", "tonumber(due) < earliest", "tonumber(due) <= earliest", _HINT),
    ("fire", "math.huge) < earliest", "math.huge) <= earliest", _HINT),
    ("fire", "fence and fence > seen", "fence ", _LATEST),
    ("fire", "fence > seen", "fence >= seen", _LATEST),
    ("fire", "sooner and redis", " redis", _HINT),
    ("fire", "made > 0", "true", _NONE),
    ("fire", "made > 0", "made >= 0", _NONE),
    ("live", "redis.call('EXISTS', unpack(KEYS)) == 0", "false", _TIME),
    ("page", "member ~= '' and redis", " redis", "no member is without a name"),
    ("page", "elseif member ~= '' then", "elseif true then", "no score is below that of no mark"),
    ("promote", "- 47] or lanes[3]", "- 47]", _FOREIGN),
    ("put", "sooner and redis", " redis", _HINT),
    ("put", "math.huge) < earliest", "math.huge) <= earliest", _HINT),
    ("report", "not token or token", "token", _CLAIMED),
    ("revive", "if token then", "if true then", _CLAIMED),
    ("revive", "#written > 0", "true", _CLAIMED),
    ("settle", "if not token then", "if false then", _CLAIMED),
    ("settle", "tonumber(again) < earliest", "tonumber(again) <= earliest", _HINT),
    ("settle", "made > 0", "true", _NONE),
    ("settle", "made > 0", "made >= 0", _NONE),
    ("settle", "sooner and redis", " redis", _HINT),
    ("submit", "room >= 0 and redis", " redis", _TIME),
    ("submit", "size = room >= 0", "size = room > 0", "where there is no room, any size is too much"),
    ("submit", "#later > 0 then", "true then", "without later ones the first of them is never"),
    ("submit", "first < math.min", "first <= math.min", _HINT),
    ("submit", "made > 0", "true", _NONE),
    ("submit", "made > 0", "made >= 0", _NONE),
    ("submit", "sooner and redis", " redis", _HINT),
)
"""Script, what stands there, what becomes of it, and why nobody can tell the difference."""

_CONDITION = re.compile(r"\b(?:if|elseif|while)\b(.*?)\b(?:then|do)\b", re.DOTALL)
_ASSIGNED = re.compile(r"\blocal [\w, ]+ = ([^\n]*\b(?:and|or)\b[^\n]*)")
_COMPARISON = re.compile(r"<=|>=|==|~=|<|>")
_OTHER = {"<=": "<", "<": "<=", ">=": ">", ">": ">=", "==": "~=", "~=": "=="}
_IS_THERE = re.compile(r"#[\w.]+ > 0")
"""Compared one off, it always holds: that is among the others already, as is the opposite of an equation."""
_JOINT = re.compile(r"\b(and|or)\b")


@frozen
class Mutant:
    """One change to one script: the text between `start` and `end` becomes `text`."""

    script: str
    start: int
    end: int
    text: str
    body: str

    def apply(self) -> str:
        return self.body[: self.start] + self.text + self.body[self.end :]

    @property
    def line(self) -> int:
        return self.body.count("\n", 0, self.start) + 1

    @property
    def before(self) -> str:
        return _line(self.body, self.line)

    @property
    def changed(self) -> str:
        """The line as it reads now, without its comment."""
        return _line(self.apply(), self.line)

    def excused_by(self, entry: tuple[str, str, str, str]) -> bool:
        script, there, becomes, _ = entry
        if self.script != script or there not in self.before:
            return False
        return self.before.replace(there, becomes, 1).split() == self.changed.split()


def _line(body: str, number: int) -> str:
    return re.sub(r"\s+--.*", "", body.splitlines()[number - 1]).strip()


@frozen
class Verdict:
    mutant: Mutant
    caught_by: str
    seconds: float


def mutants(script: str, body: str) -> Iterator[Mutant]:
    """All changes to one script, each once."""
    code = _without_prose(body)
    seen: set[str] = set()
    for start, end, text in _changes(code):
        one = Mutant(script, start, end, text, body)
        if one.apply() not in seen and one.apply() != body:
            seen.add(one.apply())
            yield one


def _changes(code: str) -> Iterator[tuple[int, int, str]]:
    for found in _CONDITION.finditer(code):
        loop = found[0].startswith("while")
        yield found.start(1), found.end(1), " false "
        if not loop:  # one that never ends tells nothing
            yield found.start(1), found.end(1), " true "
        yield from _less(code, found.start(1), found.end(1), whole=False)
    for found in _ASSIGNED.finditer(code):
        yield from _less(code, found.start(1), found.end(1), whole=False)
    conditions = [found.span(1) for found in _CONDITION.finditer(code)]
    sizes = list(_IS_THERE.finditer(code))
    for found in _COMPARISON.finditer(code):
        within = any(start <= found.start() < end for start, end in conditions)
        told = found[0] in ("==", "~=") or any(there.start() < found.start() < there.end() for there in sizes)
        if not (within and told):
            yield found.start(), found.end(), _OTHER[found[0]]


def _less(code: str, start: int, end: int, *, whole: bool) -> Iterator[tuple[int, int, str]]:
    """Leave out each part of `a and b or (c and d)`, with the word that joins it to the others."""
    parts, joints, last, depth = [], [], start, 0
    for at in range(start, end):
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(code[at], 0)
        if depth == 0 and (joint := _JOINT.match(code, at, end)) and not code[at - 1].isalnum():
            parts.append((last, at))
            joints.append((at, joint.end()))
            last = joint.end()
    parts.append((last, end))
    for n, (first, after) in enumerate(parts):
        if joints:
            yield (first, joints[n][1], " ") if n < len(joints) else (joints[n - 1][0], after, " ")
        inner = re.compile(r"\s*(?:not\s+)?\((.*)\)\s*$", re.DOTALL).match(code, first, after)
        if inner and (joints or whole or _JOINT.search(inner[1])):
            yield from _less(code, inner.start(1), inner.end(1), whole=True)


def _without_prose(body: str) -> str:
    """The same with comments and strings blanked out, so that every place keeps its position."""
    blank = lambda found: re.sub(r"[^\n]", "_", found[0])  # noqa: E731
    return re.sub(r"--[^\n]*|'[^'\n]*'|\"[^\"\n]*\"", blank, body)


def run(mutant: Mutant, tree: Path) -> Verdict:
    """Break the copy in `tree`, run the contract with it, mend it."""
    file = tree / LUA / f"{mutant.script}.lua"
    began = monotonic()
    file.write_text(mutant.apply())
    try:
        return Verdict(mutant, contract(tree, NEAREST.get(mutant.script, "TestQueue")), monotonic() - began)
    finally:
        file.write_text(mutant.body)


def contract(tree: Path, first: str = "TestQueue") -> str:
    """The first test that fails with the package in `tree`; "" when all pass."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    chapters = sorted(CHAPTERS, key=lambda chapter: chapter != first)
    command = (sys.executable, "-m", "pytest", *(f"{SUITE}::{chapter}" for chapter in chapters), *OPTIONS)
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            said, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # so that it takes its server along
            try:
                process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
            return "(time ran out)"
    if process.returncode == 0:
        return ""
    culprit = re.search(r"^(?:FAILED|ERROR) \S*::(\S+)", said, re.MULTILINE)
    if culprit is None:
        raise RuntimeError(f"pytest did not run:\n{said}")
    return culprit[1]


def copy_of_the_package(folder: Path) -> Path:
    """A tree whose `chronoq` is used instead of the installed one."""
    shutil.copytree(
        ROOT / "src" / "chronoq", folder / "chronoq", ignore=shutil.ignore_patterns("__pycache__")
    )
    where = subprocess.run(
        (sys.executable, "-c", "import chronoq; print(chronoq.__file__)"),
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(folder), where.stdout
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT[:LINE]", help="all when none is given")
    parser.add_argument("--list", action="store_true", help="only show the mutants")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    asked = parser.parse_args()

    files = sorted((ROOT / "src" / LUA).glob("*.lua"))
    bodies = {file.stem: file.read_text() for file in files}
    every = [mutant for script, body in bodies.items() for mutant in mutants(script, body)]
    excused = {mutant for mutant in every if any(mutant.excused_by(entry) for entry in EQUIVALENT)}
    stale = [entry for entry in EQUIVALENT if not any(mutant.excused_by(entry) for mutant in excused)]
    for script, there, becomes, _ in stale:
        print(f"EQUIVALENT names a mutant that does not exist any more: {script}: {there} => {becomes}")
    if asked.scripts:
        every = [one for one in every if {one.script, f"{one.script}:{one.line}"} & set(asked.scripts)]
    todo = [mutant for mutant in every if mutant not in excused]
    print(f"{len(every)} mutants, {len(every) - len(todo)} of them equivalent")
    if asked.list:
        for mutant in every:
            print(f"{mutant.script}.lua:{mutant.line:<4} {mutant.changed}")
        return 1 if stale else 0

    survivors: list[Mutant] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for n in range(asked.jobs):
            trees.put(copy_of_the_package(Path(folder) / str(n)))
        tree = trees.get()
        if (failed := contract(tree)) != "":
            print(f"the contract fails as it is: {failed}")
            return 2
        trees.put(tree)

        def work(mutant: Mutant) -> Verdict:
            mine = trees.get()
            try:
                return run(mutant, mine)
            finally:
                trees.put(mine)

        with ThreadPoolExecutor(asked.jobs) as pool:
            for verdict in pool.map(work, todo):
                mutant = verdict.mutant
                fate = f"caught by {verdict.caught_by}" if verdict.caught_by else "SURVIVED"
                place = f"{mutant.script}.lua:{mutant.line}"
                print(f"{place:<18} {verdict.seconds:5.1f} s  {fate}\n    {mutant.changed}", flush=True)
                if not verdict.caught_by:
                    survivors.append(mutant)

    print(f"\n{len(todo) - len(survivors)} of {len(todo)} caught, {len(survivors)} survived")
    for mutant in survivors:
        print(f"  {mutant.script}.lua:{mutant.line:<4} {mutant.changed}")
    return 1 if survivors or stale else 0


if __name__ == "__main__":
    sys.exit(main())
