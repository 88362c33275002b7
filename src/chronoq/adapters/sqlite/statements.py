"""The statements in `sql/*.sql`, by noun and verb, and the steps of the schema."""

import re
from functools import cache
from importlib.resources import files

from chronoq.adapters.statements import statements

SQL = statements(__package__)

MOST_ROWS = 256
"""So many rows go into one statement."""

_ROW = re.compile(r"(?<=VALUES )\([?, ]+\)")


@cache
def widened(name: str, rows: int) -> str:
    """A statement with `VALUES (?, ...)`, for so many rows."""
    return _ROW.sub(lambda row: ", ".join([row[0]] * rows), SQL[name])


def schema() -> list[str]:
    """The steps from an empty file to the present form, in order; a file says how many it has taken."""
    steps = sorted((files(__package__) / "schema").iterdir(), key=lambda file: file.name)
    return [step.read_text(encoding="utf-8") for step in steps]
