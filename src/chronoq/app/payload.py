"""Arguments and results as JSON: what can be stored, how large it may be, how it comes back."""

import math
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from chronoq.domain.errors import BadArgument, NotStorable, TooLarge

if TYPE_CHECKING:
    from cattrs import Converter

DEPTH = 100
"""How deep lists and objects may lie in each other: deeper ones would exhaust the stack of those who walk them."""

_LONG_NUMBER = re.compile(rb"\d{19}")
_DIGITS = b"0123456789"


@lru_cache(maxsize=1)
def converter() -> "Converter":
    """The cattrs converter for annotated arguments: strict about plain types, open for registration.

    Made at first use: who passes plain JSON never pays for it.
    """
    from datetime import time, timedelta
    from decimal import Decimal
    from uuid import UUID

    from cattrs.preconf.orjson import make_converter

    made = make_converter(detailed_validation=False)
    for plain in (str, int, float, bool):
        made.register_structure_hook(plain, strictly(plain))
    made.register_unstructure_hook(Decimal, str)
    made.register_structure_hook(Decimal, lambda value, _: Decimal(value))
    made.register_structure_hook(UUID, lambda value, _: UUID(value))
    made.register_structure_hook(time, lambda value, _: time.fromisoformat(value))
    made.register_unstructure_hook(timedelta, timedelta.total_seconds)
    made.register_structure_hook(timedelta, lambda value, _: timedelta(seconds=value))
    return made


def strictly(plain: type) -> Callable[..., Any]:
    """A structure hook that takes a value of exactly this JSON type; an int will do for a float."""

    def check(value: Any, _: Any = None) -> Any:
        if type(value) is plain:
            return value
        if plain is float and type(value) is int:
            return float(value)
        raise TypeError(f"expected {plain.__name__}, got {type(value).__name__} {shown(value)}")

    return check


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def encoded(value: Any) -> bytes:
    """`value` as JSON. Errors: `TypeError` or `ValueError` that names the reason, for what JSON cannot hold."""
    try:
        data = orjson.dumps(value, default=_unstructured)
    except orjson.JSONEncodeError as error:
        if isinstance(error.__cause__, TypeError):  # our own reason, which orjson hides
            raise error.__cause__ from None
        raise
    if data.find(b"null") >= 0:  # twice as fast as `in`
        _refuse_nan(value)
    if len(data) > DEPTH and _deep(data):
        raise ValueError(f"it is nested more than {DEPTH} levels deep")
    return data


def _deep(data: bytes) -> bool:
    """Whether JSON of more than `DEPTH` bytes is nested too deep. Only what has so many brackets is walked."""
    if data.count(b"[") + data.count(b"{") <= DEPTH:
        return False
    level = [orjson.loads(data)]
    for _ in range(DEPTH):
        inner = [within for one in level for within in (one.values() if isinstance(one, dict) else one)]
        level = [one for one in inner if isinstance(one, dict | list)]
        if not level:
            return False
    return True


def _unstructured(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return _in_order(value)  # the same set is the same work, in every process
    made = converter().unstructure(value)
    if type(made) is type(value):
        raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} has no JSON form")
    return made


def _in_order(values: Iterable[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=repr)


def _refuse_nan(value: Any) -> None:
    """JSON has no NaN and no infinity; orjson would write null."""
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, float) and not math.isfinite(one):
            raise ValueError(f"{one} is not a JSON number")
        if isinstance(one, dict):
            pending.extend(one.values())
        elif isinstance(one, list | tuple | set | frozenset):
            pending.extend(one)
        elif hasattr(one, "__dataclass_fields__") or hasattr(one, "__attrs_attrs__"):
            pending.append(converter().unstructure(one))


def decoded(data: bytes) -> Any:
    """The value of stored JSON. Errors: `ValueError` for what is not JSON, or holds an integer past 64 bits."""
    value, size = orjson.loads(data), len(data)
    if size > DEPTH and _deep(data):
        raise ValueError(f"it is nested more than {DEPTH} levels deep")
    # whether there are enough digits for a long number, anywhere: to count them takes a fifth of a search
    if size - len(data.translate(None, _DIGITS)) >= 19 and _LONG_NUMBER.search(data) and _has_huge(data):
        raise ValueError("an integer is longer than 64 bits")
    return value


def _has_huge(data: bytes) -> bool:
    """orjson alone would read an integer past 64 bits as a float."""
    import json

    found = False

    def read(text: str) -> int:
        nonlocal found
        number = int(text) if len(text) < 40 else 2**64
        found |= not -(2**63) <= number < 2**64
        return number

    json.loads(data, parse_int=read)
    return found


def sized(data: bytes, *, limit: int, what: str) -> bytes:
    """`data`, if it is not above `limit` bytes. Errors: `TooLarge` (E12)."""
    if len(data) > limit:
        raise TooLarge(
            f"{what} are {sizes(len(data))} (limit {sizes(limit)}). Nothing was enqueued. "
            "Store the data elsewhere and pass a reference, or raise max_payload."
        )
    return data


def sizes(count: int) -> str:
    """So many bytes, as people read it."""
    for unit, size in (("MB", 1_000_000), ("kB", 1_000)):
        if count >= size:
            return f"{count / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{count} bytes"


def result_bytes(value: Any, *, task: str, limit: int) -> bytes:
    """A result as JSON. Errors: `NotStorable` or `TooLarge`; the job did run."""
    try:
        data = encoded(value)
    except (TypeError, ValueError) as error:
        raise NotStorable(
            f"The result of {task} ({type(value).__name__}) cannot be stored: {error}."
        ) from None
    if len(data) > limit:
        raise TooLarge(
            f"The result of {task} is {sizes(len(data))} (limit {sizes(limit)}). Return a reference."
        )
    return data


def reader(annotation: Any) -> Callable[[Any], Any] | None:
    """How to make an argument of that annotation from JSON; None when the JSON value will do as it is."""
    if (
        annotation in (Any, object, None, type(None))
        or isinstance(annotation, str)
        or not _is_concrete(annotation)
    ):
        return None
    if annotation in (str, int, float, bool):
        return strictly(annotation)
    if annotation in (list, dict):
        return strictly(annotation)
    structure = None

    def read(value: Any) -> Any:
        nonlocal structure
        if structure is None:
            structure = converter().get_structure_hook(annotation)
        return structure(value, annotation)

    return read


def _is_concrete(annotation: Any) -> bool:
    from typing import ParamSpec, TypeVar

    return not isinstance(annotation, TypeVar | ParamSpec)


def bad_argument(name: str, task: str, annotation: Any, value: Any, error: Exception) -> BadArgument:
    """E11, in words. The value, and what may quote it, come after the first line: that one is logged."""
    wanted = (
        getattr(annotation, "__name__", str(annotation)) if isinstance(annotation, type) else str(annotation)
    )
    reason = "" if isinstance(error, TypeError) and str(error).startswith("expected") else f" ({error})"
    return BadArgument(
        f"Argument {name!r} of {task}() expected {wanted}, got {type(value).__name__}. "
        f"Failed without a retry: the same input would fail again.\nIt was {shown(value)}{reason}."
    )
