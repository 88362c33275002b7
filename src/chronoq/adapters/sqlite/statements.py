"""The statements in `sql/*.sql`, by noun and verb, and the steps of the schema."""

from importlib.resources import files

from chronoq.adapters.statements import statements

SQL = statements(__package__)


def schema() -> list[str]:
    """The steps from an empty file to the present form, in order; a file says how many it has taken."""
    steps = sorted((files(__package__) / "schema").iterdir(), key=lambda file: file.name)
    return [step.read_text(encoding="utf-8") for step in steps]
