"""A sequence that is still being made."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar, overload

T_co = TypeVar("T_co", covariant=True)


class Stream(Sequence[T_co]):
    """The items of `source`, each taken from it when it is first looked at, and kept.

    Who goes through it can use the first items before the last are made; who asks for its length waits for all.
    """

    def __init__(self, source: Iterable[T_co]) -> None:
        self._source = iter(source)
        self._made: list[T_co] = []

    def __len__(self) -> int:
        self._made += self._source
        return len(self._made)

    def __bool__(self) -> bool:
        return self._has(0)

    def __repr__(self) -> str:
        return f"Stream({self._made!r} ...)"

    def __iter__(self) -> Iterator[T_co]:
        made, at = self._made, 0
        while at < len(made) or self._has(at):
            yield made[at]
            at += 1

    @overload
    def __getitem__(self, at: int) -> T_co: ...
    @overload
    def __getitem__(self, at: slice) -> list[T_co]: ...
    def __getitem__(self, at: int | slice) -> T_co | list[T_co]:
        if isinstance(at, slice) or at < 0:
            return list(self)[at]
        self._has(at)
        return self._made[at]

    def _has(self, at: int) -> bool:
        made, source = self._made, self._source
        while len(made) <= at:
            try:
                made.append(next(source))
            except StopIteration:
                return False
        return True
