"""The statements in `sql/*.sql`, by noun and verb. Each is text of ours only: values are always bound."""

import re
from importlib.resources import files

_HEAD = re.compile(r"^-- (\w+).*\n", re.MULTILINE)


def _load() -> dict[str, str]:
    found: dict[str, str] = {}
    for file in (files(__package__) / "sql").iterdir():
        _, *parts = _HEAD.split(file.read_text(encoding="utf-8"))
        noun = file.name.removesuffix(".sql")
        found |= {f"{noun}.{verb}": text.strip() for verb, text in zip(parts[::2], parts[1::2], strict=True)}
    return found


SQL = _load()


def schema() -> list[str]:
    """The steps from an empty file to the present form, in order; a file says how many it has taken."""
    steps = sorted((files(__package__) / "schema").iterdir(), key=lambda file: file.name)
    return [step.read_text(encoding="utf-8") for step in steps]
