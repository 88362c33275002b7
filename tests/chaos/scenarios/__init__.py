"""One scenario a fault of the design: what is done, to whom, and what must hold."""

from __future__ import annotations

from typing import Protocol

from tests.chaos.row import Row


class Scenario(Protocol):
    """`run` plays it once, on a stage of its own, and says what it found."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    def run(self, seed: int) -> Row: ...
