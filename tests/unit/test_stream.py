"""Sequences that are made when they are looked at."""

from collections.abc import Iterator

import pytest

from chronoq.domain.stream import Stream


class Making:
    """A stream of so many numbers, and which of them were made."""

    def __init__(self, many: int = 4) -> None:
        self.made: list[int] = []
        self.stream = Stream(self._numbers(many))

    def _numbers(self, many: int) -> Iterator[int]:
        for number in range(many):
            self.made.append(number)
            yield number


def test_nothing_is_made_before_it_is_looked_at_and_nothing_twice() -> None:
    making = Making()
    assert making.made == []
    assert making.stream
    assert making.made == [0]
    assert making.stream[1] == 1
    assert making.made == [0, 1]
    assert repr(making.stream) == "Stream([0, 1] ...)"
    assert (list(making.stream), list(making.stream), len(making.stream)) == ([0, 1, 2, 3], [0, 1, 2, 3], 4)
    assert making.made == [0, 1, 2, 3]


def test_two_may_go_through_it_side_by_side() -> None:
    making = Making()
    assert list(zip(making.stream, making.stream, strict=True)) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert making.made == [0, 1, 2, 3]


def test_it_is_a_sequence_like_any_other() -> None:
    stream = Making().stream
    assert (stream[-1], stream[1:3], list(reversed(stream)), 2 in stream) == (3, [1, 2], [3, 2, 1, 0], True)
    with pytest.raises(IndexError):
        stream[4]
    assert (bool(Stream([])), len(Stream([])), list(Stream([]))) == (False, 0, [])
