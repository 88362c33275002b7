"""Which stores a version may work on."""

import pytest

from chronoq.domain import schema
from chronoq.domain.errors import OtherSchema
from chronoq.domain.schema import SCHEMA, Schema

OURS = SCHEMA.version


@pytest.mark.parametrize(
    "stored",
    [None, SCHEMA, Schema(OURS - 1, OURS - 1), Schema(OURS + 1, OURS), Schema(OURS + 5, OURS - 1)],
)
def test_neighbours_work_side_by_side(stored: Schema | None) -> None:
    """A4"""
    schema.check(stored, where="here")


@pytest.mark.parametrize(
    ("stored", "advice"),
    [
        (Schema(OURS + 1, OURS + 1), "Upgrade chronoq here"),
        (Schema(OURS - 2, OURS - 2), "Run the release in between"),
    ],
)
def test_others_are_refused(stored: Schema, advice: str) -> None:
    """A4"""
    with pytest.raises(OtherSchema, match=advice) as refusal:
        schema.check(stored, where="unix:///s")
    assert f"stored at unix:///s has schema {stored.version}" in str(refusal.value)
    assert refusal.value.code == "E19"
