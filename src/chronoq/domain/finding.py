"""What an examination finds, and what to do about it."""

from enum import StrEnum

from attrs import frozen


class Level(StrEnum):
    FINE = "fine"
    NOTE = "note"
    """Worth knowing; nothing is at risk."""
    DANGER = "danger"
    """Jobs may be lost, or do not run."""


@frozen
class Finding:
    """One thing that was looked at. `code` is that of docs/messages.md, where it has one."""

    level: Level
    topic: str
    what: str
    why: str = ""
    remedy: str = ""
    code: str = ""


EVICTS = "W4"
"""The store throws away what it likes when it is full."""
