"""Values that are made for every job: equal by what they hold. That none may be changed is said in tests/typing."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from attrs import evolve

from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.job import Claim, Origin
from chronoq.domain.schedule import Cursor
from chronoq.domain.verdict import Done, Retry
from chronoq.testing.contracts.values import FAILED, MAIL, NOW, job

VALUES = [
    JobId(MAIL, "a"),
    ScheduleId(MAIL, "a"),
    job("a"),
    Claim(job("a"), 1, 1, "w", NOW),
    Origin(ScheduleId(MAIL, "a"), NOW),
    Cursor(1, NOW, NOW),
    Done(b"1"),
    Retry(NOW, FAILED),
]


@pytest.mark.parametrize("one", VALUES, ids=lambda one: type(one).__name__)
def test_a_copy_is_equal_and_has_the_same_hash(one: Any) -> None:
    for other in (evolve(one), copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert other == one
        assert hash(other) == hash(one)
        assert not hasattr(other, "__dict__")


def test_kinds_of_values_are_different() -> None:
    assert len(set(VALUES)) == len(VALUES)
    assert JobId(MAIL, "a") != ScheduleId(MAIL, "a")
    assert JobId(MAIL, "a") < JobId(MAIL, "b")
