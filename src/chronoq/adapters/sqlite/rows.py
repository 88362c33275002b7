"""A queue in figures: what a step reads of it first, and writes back last."""

from operator import attrgetter

from attrs import define, fields

HINTS = 64
"""So many of those who wait hear of one batch at the most."""


@define
class Row:
    """One row of `queues`, in the order of its columns; docs/sqlite.md says what each holds."""

    id: int
    name: str
    known: int = 0
    delayed: int = 0
    ready: int = 0
    running: int = 0
    dead: int = 0
    accepted: int = 0
    done: int = 0
    cancelled: int = 0
    expired: int = 0
    purged: int = 0
    retried: int = 0
    crashed: int = 0
    front: int = 0
    back: int = 0
    fence: int = 0
    work: int = 0
    time: int = 0
    news: int = 0
    pause: bytes | None = None

    @property
    def live(self) -> int:
        return self.delayed + self.ready + self.running + self.dead

    def count(self, name: str, many: int = 1) -> None:
        """Add to a place or a counter."""
        setattr(self, name, getattr(self, name) + many)

    def to_back(self, many: int = 1) -> int:
        """The turn of a job that comes last, or the first turn of many; counts them as ready."""
        first = self.back + 1
        self.ready += many
        self.back += many
        return first

    def to_front(self) -> int:
        """The turn of a job that comes first; counts it as ready."""
        self.ready += 1
        self.front -= 1
        return self.front

    def values(self) -> tuple[object, ...]:
        return _values(self)


_values = attrgetter(*(part.name for part in fields(Row)))
"""Thrice as fast as attrs' own: each step asks twice."""
