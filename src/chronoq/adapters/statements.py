"""Statements kept in `.sql` files: `-- verb` above each, and whatever else that line says is for readers."""

import re
from importlib.resources import files

_HEAD = re.compile(r"^-- (\w+).*\n", re.MULTILINE)


def statements(package: str) -> dict[str, str]:
    """What the files in the package's folder `sql` hold, by `file.verb`. Text of ours only: values are bound."""
    found: dict[str, str] = {}
    for file in (files(package) / "sql").iterdir():
        _, *parts = _HEAD.split(file.read_text(encoding="utf-8"))
        noun = file.name.removesuffix(".sql")
        found |= {f"{noun}.{verb}": text.strip() for verb, text in zip(parts[::2], parts[1::2], strict=True)}
    return found
