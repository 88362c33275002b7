"""Arguments and results as JSON, there and back."""

import inspect
import math
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from json import dumps
from typing import Any, Literal
from uuid import UUID

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoq.app.payload import DEPTH, converter, decoded, encoded, result_bytes
from chronoq.app.signature import Signature
from chronoq.domain.errors import BadArgument, NotStorable, TooLarge

LIMIT = 256_000


@dataclass
class Point:
    x: float
    y: float = 0.0


@attrs.frozen
class Order:
    number: int
    at: datetime
    tags: frozenset[str] = frozenset()


class Colour(Enum):
    RED = "red"


def there_and_back(annotation: Any, value: Any) -> Any:
    def task(value: Any) -> None: ...

    task.__annotations__["value"] = annotation
    signature = Signature.of(task)
    (back,), kwargs = signature.decode(signature.encode([value], {}, limit=LIMIT))
    assert kwargs == {}
    return back


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json)
def test_what_is_plain_json_comes_back_as_it_was(value: Any) -> None:
    assert decoded(encoded(value)) == value


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str, "Ada"),
        (int, 2**64 - 1),
        (int, -(2**63)),
        (float, 1.5),
        (bool, True),
        (str | None, None),
        (int | str, "3"),
        (list[int], [1, 2]),
        (dict[str, int], {"a": 1}),
        (tuple[int, str], (1, "a")),
        (set[int], {3, 1, 2}),
        (frozenset[str], frozenset({"b", "a"})),
        (datetime, datetime(2026, 3, 2, 12, tzinfo=UTC)),
        (date, date(2026, 3, 2)),
        (timedelta, timedelta(minutes=90)),
        (Decimal, Decimal("1.10")),
        (UUID, UUID(int=7)),
        (list[UUID], [UUID(int=7)]),
        (time, time(9, 30)),
        (bytes, b"\x00\xff"),
        (Colour, Colour.RED),
        (Literal["a", "b"], "b"),
        (Point, Point(1.5, 2.5)),
        (Order, Order(7, datetime(2026, 3, 2, tzinfo=UTC), frozenset({"b", "a"}))),
        (list[Order], [Order(7, datetime(2026, 3, 2, tzinfo=UTC))]),
        (Order | None, None),
    ],
)
def test_an_annotated_argument_comes_back_as_what_it_was(annotation: Any, value: Any) -> None:
    back = there_and_back(annotation, value)
    assert back == value
    assert type(back) is type(value)


def test_an_int_will_do_for_a_float() -> None:
    assert type(there_and_back(float, 3)) is float


def test_without_an_annotation_it_stays_json() -> None:
    assert there_and_back(Any, (1, {"a": datetime(2026, 3, 2, tzinfo=UTC)})) == [
        1,
        {"a": "2026-03-02T00:00:00+00:00"},
    ]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "wrap", [lambda x: x, lambda x: [{"a": (x,)}], lambda x: {x}, Point, lambda x: [Point(0, x)]]
)
def test_a_number_that_json_has_not_is_refused(number: float, wrap: Any) -> None:
    with pytest.raises(ValueError, match="is not a JSON number"):
        encoded(wrap(number))


def test_a_null_beside_it_harms_no_number() -> None:
    assert encoded([None, 1.5, "null"]) == b'[null,1.5,"null"]'


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**400])
def test_an_integer_past_64_bits_is_refused_on_the_way_in(number: int) -> None:
    with pytest.raises(TypeError, match="64-bit"):
        encoded([number])


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**100])
def test_an_integer_past_64_bits_is_refused_on_the_way_out(number: int) -> None:
    with pytest.raises(ValueError, match="longer than 64 bits"):
        decoded(f'[{{"a": {number}}}]'.encode())


def test_an_integer_past_all_bounds_is_refused_too() -> None:
    with pytest.raises(ValueError):
        decoded(b"1" + b"0" * 400)


def test_long_digits_that_are_no_integer_are_read() -> None:
    assert decoded(b'["123456789012345678901234", 18446744073709551615]') == [
        "123456789012345678901234",
        2**64 - 1,
    ]


@pytest.mark.parametrize("data", [b"", b"{", b"[1,]", b"NaN", b"\xff", b"[1] x"])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decoded(data)


def test_a_nest_without_an_end_is_refused_on_both_sides() -> None:
    nest: list[Any] = []
    nest.append(nest)
    with pytest.raises(TypeError, match="ecursion"):
        encoded(nest)
    with pytest.raises(ValueError):
        decoded(b"[" * 5_000 + b"]" * 5_000)


def test_the_same_set_is_the_same_work_in_every_process() -> None:
    program = (
        "from chronoq.app.payload import encoded; print(encoded({'a','b','c','d',(1,2)} - {1}).decode())"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(texts) == 1


def test_keywords_in_another_order_are_the_same_work() -> None:
    def send(**kwargs: int) -> None: ...

    signature = Signature.of(send)
    assert signature.encode([], {"a": 1, "b": 2}, limit=LIMIT) == signature.encode(
        [], {"b": 2, "a": 1}, limit=LIMIT
    )


def test_e10_names_the_argument_and_its_type_and_what_to_do() -> None:
    def send(to: str, lock: Any) -> None: ...

    with pytest.raises(NotStorable) as caught:
        Signature.of(send).encode(["a", threading.RLock()], {}, limit=LIMIT)
    assert caught.value.code == "E10"
    assert str(caught.value) == (
        "Argument 'lock' of send() (_thread.RLock) cannot be stored: _thread.RLock has no JSON form. "
        "Nothing was enqueued. Pass an id and load it in the task, or register a converter."
    )


@pytest.mark.parametrize(
    "value", [object(), lambda: None, {1: "a"}, 1j, 2**64, math.nan, "\ud800", [object()], Point]
)
def test_each_thing_without_a_json_form_is_refused_as_e10(value: object) -> None:
    def send(thing: Any) -> None: ...

    with pytest.raises(NotStorable, match=r"Argument 'thing' of send\(\)"):
        Signature.of(send).encode([value], {}, limit=LIMIT)


def test_e12_says_how_large_the_arguments_are_and_may_be() -> None:
    def send(text: str) -> None: ...

    signature = Signature.of(send)
    with pytest.raises(TooLarge) as caught:
        signature.encode(["x" * 7_300_000], {}, limit=LIMIT)
    assert caught.value.code == "E12"
    assert str(caught.value) == (
        "Arguments of send() are 7.3 MB (limit 256 kB). Nothing was enqueued. "
        "Store the data elsewhere and pass a reference, or raise max_payload."
    )
    exact = len(signature.encode(["abc"], {}, limit=LIMIT))
    assert signature.encode(["abc"], {}, limit=exact)
    with pytest.raises(TooLarge):
        signature.encode(["abcd"], {}, limit=exact)


def test_e11_says_what_was_expected_and_what_came() -> None:
    def send(to: str) -> None: ...

    with pytest.raises(BadArgument) as caught:
        Signature.of(send).decode(b"[[42],{}]")
    assert caught.value.code == "E11"
    assert str(caught.value) == (
        "Argument 'to' of send() expected str, got int. "
        "Failed without a retry: the same input would fail again.\nIt was 42."
    )


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, True),
        (int, 1.0),
        (int, "1"),
        (bool, 1),
        (float, "1.5"),
        (float, True),
        (str, None),
        (list[int], [1, "2"]),
        (dict[str, int], [1]),
        (list, {}),
        (datetime, "yesterday"),
        (Point, {"y": 1.0}),
        (Point, {"x": "1"}),
        (Colour, "blue"),
        (Literal["a"], "b"),
        (UUID, "7"),
        (Decimal, "many"),
        (str | None, 3),
    ],
)
def test_an_argument_that_does_not_fit_its_annotation_is_refused_as_e11(annotation: Any, value: Any) -> None:
    def send(to: Any) -> None: ...

    send.__annotations__["to"] = annotation
    with pytest.raises(BadArgument, match=r"Argument 'to' of send\(\) expected .*, got "):
        Signature.of(send).decode(orjson.dumps([[value], {}]))


def test_a_long_argument_is_cut_short_in_the_message() -> None:
    def send(to: int) -> None: ...

    with pytest.raises(BadArgument) as caught:
        Signature.of(send).decode(orjson.dumps([["x" * 10_000], {}]))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("payload", [b"", b"7", b"[]", b"[1,2,3]", b"{}", b"\xff\xfe", b"[[],{}"])
def test_stored_arguments_that_are_none_are_refused(payload: bytes) -> None:
    def send(to: Any = None) -> None: ...

    with pytest.raises(BadArgument):
        Signature.of(send).decode(payload)


def test_a_result_that_cannot_be_stored_says_so() -> None:
    with pytest.raises(
        NotStorable, match=r"The result of send \(object\) cannot be stored: .*object has no JSON form"
    ):
        result_bytes(object(), task="send", limit=LIMIT)
    with pytest.raises(TooLarge, match=r"The result of send is 1 MB \(limit 256 kB\)\. Return a reference\."):
        result_bytes("x" * 1_000_000, task="send", limit=LIMIT)


def test_stored_arguments_that_nest_too_deep_are_refused() -> None:
    def send(to: Any) -> None: ...

    deep = b"[" * 1_020 + b"12345678901234567890123" + b"]" * 1_020
    with pytest.raises(BadArgument, match="nested more than 100 levels deep"):
        Signature.of(send).decode(b"[[" + deep + b"],{}]")


class Spot:
    def __init__(self, x: int) -> None:
        self.x = x


def test_a_class_of_ones_own_travels_once_its_hooks_are_registered() -> None:
    def far(spot: Spot) -> int:
        return spot.x

    converter().register_unstructure_hook(Spot, lambda spot: spot.x)
    converter().register_structure_hook(Spot, lambda value, _: Spot(value))
    signature = Signature.of(far)
    (spot,), _ = signature.decode(signature.encode([Spot(3)], {}, limit=100))
    assert far(spot) == 3


def nest(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = {"a": value, "b": "[[["} if level % 2 else [value, 2]
    return value


def test_what_lies_too_deep_is_refused_on_both_sides() -> None:
    assert decoded(encoded(nest(DEPTH))) == nest(DEPTH)
    assert decoded(encoded(["[" * 500])) == ["[" * 500]
    with pytest.raises(ValueError, match="nested more than 100 levels deep"):
        encoded(nest(DEPTH + 1))
    with pytest.raises(ValueError, match="nested more than 100 levels deep"):
        decoded(orjson.dumps(nest(DEPTH + 1)))


def send(to: str, *, copy: int = 0) -> None: ...


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "cannot be used"),
        (b"[[],{}", "cannot be used"),
        (b"[1,2]", r"they are not \[args, kwargs\]"),
        (b"7", "they are not"),
        (b"[[],[]]", "they are not"),
        (b"[{},{}]", "they are not"),
        (b"[[],{},1]", "they are not"),
        (b"[[],{}]", "fit its signature: missing"),
        (b'[["a","b"],{}]', "too many positional arguments"),
        (b'[["a"],{"to":"b"}]', "multiple values"),
        (b'[["a"],{"self":1}]', "unexpected keyword"),
        (b'[["a"],{"copy":18446744073709551616}]', "longer than 64 bits"),
        (b'[["' + b"a" * 300 + b'"],{}]', "they are 309 bytes, and max_payload of this worker is 300 bytes"),
    ],
)
def test_stored_arguments_that_do_not_fit_are_refused_with_the_reason(payload: bytes, why: str) -> None:
    with pytest.raises(BadArgument, match=why):
        Signature.of(send).decode(payload, limit=300)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


@given(st.binary(max_size=50) | json_values.map(lambda value: dumps(value).encode()))
def test_whatever_is_stored_is_a_call_or_a_bad_argument(payload: bytes) -> None:
    def it(a: int, b: list[str] | None = None, **more: float) -> None: ...

    for fn in (it, send, lambda *args, **kwargs: None):
        with suppress(BadArgument):
            args, kwargs = Signature.of(fn).decode(payload)
            inspect.signature(fn).bind(*args, **kwargs)
