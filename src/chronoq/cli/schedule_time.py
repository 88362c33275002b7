"""Moments on the command line: how they are read, and in whose zone they are shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any

import click

from chronoq.domain.errors import Invalid
from chronoq.domain.rhythm_base import Excluding, Rhythm, Union
from chronoq.domain.rhythm_kinds import Cron, Rule
from chronoq.domain.time import zone


def zone_option(said: str = "Zone of the times that carry no offset.") -> Callable[[Any], Any]:
    return click.option("--tz", default="UTC", show_default=True, metavar="ZONE", help=said)


def moment(text: str, place: tzinfo, *, option: str) -> datetime:
    """The moment that `text` names in ISO form, read in `place` where it has no offset. Errors: `Invalid`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{option} {text!r} is not a moment. Write it in ISO form: 2030-01-01T09:00") from None
    try:
        return (found if found.tzinfo else found.replace(tzinfo=place)).astimezone(UTC)
    except OverflowError:
        raise Invalid(f"{option} {text!r} is too far away. Give a year from 2 to 9998.") from None


def zone_of(rhythm: Rhythm | None) -> tzinfo:
    """The zone on whose clock it fires, UTC where it follows none."""
    match rhythm:
        case Cron(tz=name) | Rule(tz=name):
            return zone(name)
        case Excluding(rhythm=inner):
            return zone_of(inner)
        case Union(rhythms=rhythms):
            return zone_of(rhythms[0])
    return UTC


def local(at: datetime, place: tzinfo) -> str:
    """As people read it, with weekday and offset: Mon 2026-03-30T02:30:00+02:00."""
    there = at.astimezone(place)
    return f"{there:%a} {iso(there)}"


def iso(at: datetime) -> str:
    """ISO form in its own zone, to the second unless there is more."""
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds")
