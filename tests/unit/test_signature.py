"""Calls are checked against the signature where they are made."""

import functools
from typing import TYPE_CHECKING, Any

import pytest

from chronoq import Context
from chronoq.app.signature import Signature
from chronoq.domain.errors import BadArgument, BadCall
from tests.unit import postponed

if TYPE_CHECKING:
    from decimal import Decimal

LIMIT = 256_000


def encoded(fn: Any, *args: Any, **kwargs: Any) -> bytes:
    return Signature.of(fn).encode(args, kwargs, limit=LIMIT)


def refusal(fn: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(BadCall) as caught:
        encoded(fn, *args, **kwargs)
    assert caught.value.code == "E09"
    return str(caught.value)


def send(to: str, subject: str) -> None: ...


def test_e09_reads_as_the_documentation_shows_it() -> None:
    assert refusal(send, "a@b.c") == (
        "send() got a wrong call: missing 'subject'. Signature: send(to: str, subject: str). "
        "Nothing was enqueued."
    )


def test_e09_reads_the_same_where_annotations_are_postponed() -> None:
    assert refusal(postponed.send, "a@b.c").endswith(
        "Signature: send(to: str, subject: str). Nothing was enqueued."
    )


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ((), {}, "missing 'to'"),
        (("a", "b", "c"), {}, "too many positional arguments"),
        (("a",), {"subjekt": "b"}, "missing 'subject'"),
        (("a", "b"), {"cc": "c"}, "got an unexpected keyword argument 'cc'"),
        (("a", "b"), {"to": "c"}, "multiple values for argument 'to'"),
    ],
)
def test_each_wrong_call_is_refused_with_its_reason(args: Any, kwargs: Any, reason: str) -> None:
    assert f"send() got a wrong call: {reason}. Signature: " in refusal(send, *args, **kwargs)


def test_positions_and_keywords_are_kept_as_they_were_given() -> None:
    assert encoded(send, "a", "b") == b'[["a","b"],{}]'
    assert encoded(send, "a", subject="b") == b'[["a"],{"subject":"b"}]'


def test_what_has_a_default_may_be_left_out() -> None:
    def greet(name: str, loud: bool = False) -> None: ...

    assert encoded(greet, "Ada") == b'[["Ada"],{}]'
    assert encoded(greet, "Ada", True) == b'[["Ada",true],{}]'
    assert "missing 'name'" in refusal(greet)


def test_a_keyword_only_argument_has_to_be_given_by_name() -> None:
    def greet(name: str, *, loud: bool) -> None: ...

    assert encoded(greet, "Ada", loud=True)
    assert "'loud'" in refusal(greet, "Ada")
    assert "too many positional arguments" in refusal(greet, "Ada", True)


def test_a_keyword_only_argument_with_a_default_may_be_left_out() -> None:
    def greet(name: str, *, loud: bool = False) -> None: ...

    assert encoded(greet, "Ada")


def test_a_positional_only_argument_cannot_be_named() -> None:
    def greet(name: str, /) -> None: ...

    assert encoded(greet, "Ada")
    assert refusal(greet, name="Ada")


def test_any_number_of_arguments_where_the_function_takes_them() -> None:
    def total(first: int, *more: int, **named: int) -> None: ...

    assert encoded(total, 1, 2, 3, four=4) == b'[[1,2,3],{"four":4}]'
    assert "missing 'first'" in refusal(total)


def test_a_leading_context_is_no_part_of_the_call() -> None:
    def greet(ctx: Context, name: str) -> None: ...

    signature = Signature.of(greet)
    assert signature.takes_context
    assert encoded(greet, "Ada") == b'[["Ada"],{}]'
    assert "Signature: greet(name: str)." in refusal(greet)


def test_a_context_is_known_where_annotations_are_postponed() -> None:
    assert Signature.of(postponed.with_context).takes_context
    assert Signature.of(postponed.with_context_among_strangers).takes_context


def test_only_the_first_parameter_can_be_the_context() -> None:
    def greet(name: str, ctx: Context) -> None: ...

    assert not Signature.of(greet).takes_context


def test_an_annotation_that_only_the_type_checker_knows_is_left_alone() -> None:
    def pay(amount: "Decimal", times: int) -> None: ...

    args, _ = Signature.of(pay).decode(b'[["1.10",3],{}]')
    assert args == ["1.10", 3]


def test_each_argument_is_read_by_its_annotation_wherever_it_stands() -> None:
    def greet(name: str, loud: bool, *rest: int, times: int = 1) -> None: ...

    signature = Signature.of(greet)
    assert signature.decode(b'[["Ada",true,"x"],{"times":2}]') == (["Ada", True, "x"], {"times": 2})
    with pytest.raises(BadArgument, match="Argument 'times'"):
        signature.decode(b'[["Ada",true],{"times":"2"}]')
    with pytest.raises(BadArgument, match="Argument 'loud'"):
        signature.decode(b'[["Ada"],{"loud":"yes"}]')


@pytest.mark.parametrize(
    "payload", [b"[[],{}]", b'[["a","b","c"],{}]', b'[["a"],{"to":"b"}]', b'[["a"],{"x":1}]']
)
def test_stored_arguments_that_do_not_fit_the_signature_are_bad(payload: bytes) -> None:
    """Q12: the task may have changed since they were stored."""
    with pytest.raises(BadArgument, match=r"send\(\) do not fit its signature"):
        Signature.of(send).decode(payload)
    assert Signature.of(send).decode(b'[["a"],{"subject":"b"}]') == (["a"], {"subject": "b"})


def test_a_result_comes_back_in_the_form_of_the_return_annotation() -> None:
    def span() -> tuple[int, int]:
        return (1, 2)

    assert Signature.of(span).read_result(b"[1,2]") == (1, 2)
    assert Signature.of(send).read_result(b"") is None


def test_what_has_no_name_of_its_own_has_that_of_its_kind() -> None:
    assert "partial() got a wrong call" in refusal(functools.partial(send, "a"), "b", "c")
