"""What really happened, kept outside the store: each process appends to a file of its own.

A line is a fact: what, whose, under which token, when (monotonic seconds, one clock for all processes of
this machine), and a note. One write a line or more, so a SIGKILL never leaves half of one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from time import monotonic

from attrs import frozen


class What(StrEnum):
    TRIED = "T"
    """A producer is about to submit this id."""
    ACKED = "A"
    """It was told that the id is stored."""
    UNKNOWN = "U"
    """It had no answer, or a refusal, and will try the same id again."""
    CONFLICT = "X"
    """It was told that the id belongs to other work: never true here."""
    CLAIMED = "C"
    STARTED = "S"
    ENDED = "E"
    SETTLED = "V"
    """A worker was told that its verdict `Done` is the one that counts."""
    REAPED = "R"
    """A worker took the job from one that was gone: it is ready again, or among the dead letters."""
    TICKED = "K"
    """A schedule's job ran; the note is its nominal time in milliseconds."""


@frozen
class Fact:
    what: str
    key: str
    token: int
    at: float
    note: str
    pid: int
    crashes: int = 0


class Notes:
    """The writing end."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / f"{os.getpid()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, what: What, key: str, token: int = 0, note: object = "-", crashes: int = 0) -> None:
        os.write(self._file, f"{what} {key} {token} {monotonic():.6f} {note} {crashes}\n".encode())

    def note_all(self, what: What, keys: Iterable[tuple[str, int]]) -> None:
        at = monotonic()
        lines = [f"{what} {key} {token} {at:.6f} - 0\n" for key, token in keys]
        if lines:
            os.write(self._file, "".join(lines).encode())


class Ledger:
    """The reading end: all facts of all processes so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._facts: dict[str, list[Fact]] = {what: [] for what in What}
        self._read: dict[str, int] = {}

    def refresh(self) -> Ledger:
        """Take in what has been written since the last time."""
        for path in self.folder.glob("*") if self.folder.exists() else ():
            with path.open("rb") as file:
                file.seek(self._read.get(path.name, 0))
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read[path.name] = self._read.get(path.name, 0) + len(whole)
            pid = int(path.name)
            for line in whole.decode().splitlines():
                what, key, token, at, note, crashes = line.split(" ")
                self.take(Fact(what, key, int(token), float(at), note, pid, int(crashes)))
        return self

    def take(self, *facts: Fact) -> None:
        for fact in facts:
            self._facts[fact.what].append(fact)

    def knows(self, pid: int) -> bool:
        """Whether that process has written anything."""
        path = self.folder / str(pid)
        return path.exists() and path.stat().st_size > 0

    def of(self, *whats: What) -> list[Fact]:
        return [fact for what in whats for fact in self._facts[what]]

    def all(self) -> list[Fact]:
        return self.of(*What)

    def keys(self, what: What) -> set[str]:
        return {fact.key for fact in self._facts[what]}

    def count(self, what: What) -> int:
        return len(self._facts[what])

    def moments(self, *whats: What) -> list[float]:
        """When these happened, in order."""
        return sorted(fact.at for fact in self.of(*whats))
