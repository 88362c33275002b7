"""The form of what is stored: which version wrote it, and which can work with it."""

from attrs import frozen

from chronoq.domain.errors import OtherSchema


@frozen
class Schema:
    """What a store says of itself. Versions from `readable_by` on can read it, and write into it."""

    version: int
    readable_by: int


SCHEMA = Schema(version=1, readable_by=1)
"""Ours. A part that the version before can pass by keeps `readable_by`; all else raises it."""


def check(stored: Schema | None, *, where: str) -> None:
    """Whether this version may work on a store with that mark; None: it has none yet.

    Neighbours work side by side: a store of the version before is taken as it is, one of the version
    after when that says so. Errors: `OtherSchema`.
    """
    if stored is None or stored.readable_by <= SCHEMA.version <= stored.version + 1:
        return
    told = f"What is stored at {where} has schema {stored.version}"
    if stored.version > SCHEMA.version:
        raise OtherSchema(
            f"{told}, which needs a chronoq that knows schema {stored.readable_by}; this one knows "
            f"{SCHEMA.version}. Nothing was written. Upgrade chronoq here, or use another --namespace."
        )
    raise OtherSchema(
        f"{told}; this chronoq knows {SCHEMA.version} and {SCHEMA.version - 1}. Nothing was written. "
        "Run the release in between on it first, or use another --namespace."
    )


def unreadable(why: str, *, where: str) -> OtherSchema:
    """The mark itself cannot be read: what else is there is not guessed."""
    return OtherSchema(
        f"What is stored at {where} has a schema mark that cannot be read ({why}). Nothing was written. "
        "Look whose data it is, or use another --namespace."
    )
