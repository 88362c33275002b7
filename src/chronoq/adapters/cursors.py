"""How far a schedule has come, as the text that is stored: equal cursors have equal texts, for texts are compared.

A schedule that fires reads one cursor and writes two, so what is usual is read and written by hand: cattrs
takes five times as long. What is not usual it reads, and refuses.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from types import NoneType
from typing import Any

import orjson
from attrs import fields

from chronoq.adapters.codec import Malformed, decode, encode
from chronoq.domain.schedule import Cursor
from chronoq.domain.time import EPOCH, from_us
from chronoq.domain.values import value

_MICROSECOND = timedelta(microseconds=1)
_PARTS = {part.name for part in fields(Cursor)}
_PLAIN = _PARTS - {"pause"}
_MOMENT = (int, NoneType)


@value
class Damaged(Cursor):
    """Stands for a cursor that cannot be read; `text` is what is stored, so that it can be replaced."""

    text: bytes = b""


@value
class Newer(Cursor):
    """A cursor with parts that this version does not know. They are kept when it moves on.

    `text` is what is stored, for the comparison; `rest` is a JSON object of the unknown parts.
    """

    text: bytes = b""
    rest: bytes = b"{}"


def encode_cursor(cursor: Cursor) -> bytes:
    """A JSON object of what differs from the defaults, with sorted keys."""
    form: dict[str, Any] = {"next": _us(cursor.next), "since": _us(cursor.since), "version": cursor.version}
    if cursor.last is not None:
        form["last"] = _us(cursor.last)
    if cursor.fires:
        form["fires"] = cursor.fires
    if cursor.held:
        form["held"] = True
    if cursor.pause is not None:
        form["pause"] = orjson.loads(encode(cursor.pause))
    if isinstance(cursor, Newer):
        form |= orjson.loads(cursor.rest)
    return orjson.dumps(form, option=orjson.OPT_SORT_KEYS)


def expected_text(cursor: Cursor | None) -> bytes:
    """What must be stored for `cursor` to be the expected one; b"": nothing."""
    if cursor is None:
        return b""
    return cursor.text if isinstance(cursor, Damaged | Newer) else encode_cursor(cursor)


def read_cursor(text: bytes | None) -> tuple[Cursor, str]:
    """The cursor, and "" or the reason for which it cannot be read."""
    try:
        if text is None:
            raise Malformed("the schedule's cursor is missing")
        return _read(text), ""
    except Malformed as error:
        return Damaged(0, None, EPOCH, text=text or b""), str(error)


def _read(text: bytes) -> Cursor:
    form = _loaded(text)
    if form.keys() <= _PLAIN and (plain := _plain(form)) is not None:
        return plain
    cursor = decode(Cursor, text)
    if form.keys() <= _PARTS and (cursor.pause is None or encode_cursor(cursor) == text):
        return cursor
    rest = {key: value for key, value in form.items() if key not in _PARTS}
    known = {name: getattr(cursor, name) for name in _PARTS}
    return Newer(**known, text=text, rest=orjson.dumps(rest))


def _loaded(text: bytes) -> dict[str, Any]:
    """Nothing, for what is no JSON object: `decode` says what it is."""
    try:
        form = orjson.loads(text)
    except ValueError:
        return {}
    return form if type(form) is dict else {}


def _plain(form: dict[str, Any]) -> Cursor | None:
    """A cursor that is not paused; None when a part of it is missing, or not of its type."""
    version, next, since = form.get("version"), form.get("next", ""), form.get("since")
    last, fires, held = form.get("last"), form.get("fires", 0), form.get("held", False)
    if not (type(version) is type(since) is type(fires) is int and type(held) is bool):
        return None
    if not (type(next) in _MOMENT and type(last) in _MOMENT):
        return None
    try:
        return Cursor(version, _moment(next), from_us(since), _moment(last), fires, held)
    except OverflowError:
        return None


@lru_cache(maxsize=256)
def _moment(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


@lru_cache(maxsize=256)
def _us(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - EPOCH) // _MICROSECOND
