"""The fields of a cron expression: what may stand in each, and the numbers it names.

A `Piece` is a part of an expression that knows where it stands, so that every refusal can point at
the mistake. Nothing here knows dates: `crondays` turns the day fields into days of a month.
"""

import hashlib
import re

from attrs import field, frozen

from chronoq.domain.errors import BadExpression, near

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DIGITS = re.compile(r"[0-9]+")
_HASH = re.compile(r"H(\((?P<range>[^()]*)\))?")


@frozen
class Field:
    """One field: its name in messages, its bounds, the names that stand for numbers, where `H` ends."""

    name: str
    low: int
    high: int
    names: dict[str, int] = field(factory=dict, hash=False)
    top: int = -1  # the end of `*`, where it is not `high`
    hash_top: int = -1  # the end of a bare `H`, where it is not the end of `*`

    @property
    def end(self) -> int:
        return self.high if self.top < 0 else self.top

    @property
    def hash_end(self) -> int:
        return self.end if self.hash_top < 0 else self.hash_top


SECOND = Field("second", 0, 59)
MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY = Field("day", 1, 31, hash_top=28)
MONTH = Field("month", 1, 12, {name: number for number, name in enumerate(MONTHS, 1)})
WEEKDAY = Field("weekday", 0, 7, {name: number for number, name in enumerate(WEEKDAYS)}, top=6)
YEAR = Field("year", 1970, 2099)
FIELDS = {
    5: (MINUTE, HOUR, DAY, MONTH, WEEKDAY),
    6: (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY),
    7: (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, YEAR),
}


@frozen
class Piece:
    """A part of `expression`, in capitals, that starts at index `at`."""

    expression: str
    text: str
    at: int

    def bad(self, why: str) -> BadExpression:
        """The refusal of this piece."""
        message = f"Bad cron {self.expression!r}: {why}"
        return BadExpression(message, expression=self.expression, position=self.at)

    def cut(self, start: int, stop: int) -> "Piece":
        return Piece(self.expression, self.text[start:stop], self.at + start)

    def split(self, mark: str) -> list["Piece"]:
        pieces, start = [], 0
        for text in self.text.split(mark):
            pieces.append(self.cut(start, start + len(text)))
            start += len(text) + 1
        return pieces


@frozen
class MonthDays:
    """The day-of-month field. `nearest` are the days of `15W`."""

    numbers: frozenset[int]
    restricted: bool
    last: bool = False
    last_workday: bool = False
    nearest: frozenset[int] = frozenset()


@frozen
class WeekDays:
    """The day-of-week field, Sunday as 0. `last` are the days of `5L`, `nth` the (day, n) of `5#3`."""

    numbers: frozenset[int]
    restricted: bool
    last: frozenset[int] = frozenset()
    nth: frozenset[tuple[int, int]] = frozenset()


def numbers(kind: Field, whole: Piece, seed: str) -> frozenset[int]:
    """The numbers that a field names. Errors: `BadExpression`."""
    found: set[int] = set()
    for item in _items(kind, whole):
        found |= _item(kind, item, seed)
    return frozenset(found)


def month_days(whole: Piece, seed: str) -> MonthDays:
    """The day-of-month field: numbers, `L`, `LW`, `15W`, `?`. Errors: `BadExpression`."""
    if whole.text in ("*", "?"):
        return MonthDays(frozenset(range(1, 32)), restricted=False)
    found: set[int] = set()
    nearest: set[int] = set()
    words: set[str] = set()
    for item in _items(DAY, whole):
        if item.text in ("L", "LW"):
            words.add(item.text)
        elif item.text.endswith("W"):
            nearest.add(_value(DAY, item.cut(0, -1)))
        else:
            found |= _item(DAY, item, seed)
    return MonthDays(
        frozenset(found),
        restricted=True,
        last="L" in words,
        last_workday="LW" in words,
        nearest=frozenset(nearest),
    )


def week_days(whole: Piece, seed: str) -> WeekDays:
    """The day-of-week field: numbers, names, `5L`, `FRIL`, `5#3`, `1-5#2`, `?`. Errors: `BadExpression`."""
    if whole.text in ("*", "?"):
        return WeekDays(frozenset(range(7)), restricted=False)
    found: set[int] = set()
    last: set[int] = set()
    nth: set[tuple[int, int]] = set()
    for item in _items(WEEKDAY, whole):
        if "#" in item.text:
            nth |= _nth(item)
        elif item.text == "L":
            raise item.bad("L needs a weekday before it, as in 5L or FRIL for the last Friday.")
        elif item.text.endswith("L"):
            last.add(_value(WEEKDAY, item.cut(0, -1)) % 7)
        else:
            found |= _item(WEEKDAY, item, seed)
    found = {number % 7 for number in found}
    return WeekDays(frozenset(found), restricted=True, last=frozenset(last), nth=frozenset(nth))


def _items(kind: Field, whole: Piece) -> list[Piece]:
    items = whole.split(",")
    for item in items:
        if not item.text:
            raise item.bad(f"{kind.name} has an empty place in its list. Remove the comma.")
    return items


def _nth(item: Piece) -> set[tuple[int, int]]:
    days, *places = item.split("#")
    if len(places) != 1:
        raise places[1].bad("one # is enough, as in 5#3 for the third Friday.")
    place = places[0]
    if place.text not in ("1", "2", "3", "4", "5"):
        raise place.bad(f"the number after # is {place.text or 'missing'}, allowed 1-5.")
    if days.text == "*" or "/" in days.text or days.text.startswith("H"):
        raise days.bad("a weekday or a range of weekdays stands before #, as in 5#3 or 1-5#3.")
    return {(day % 7, int(place.text)) for day in _item(WEEKDAY, days, "")}


def _item(kind: Field, item: Piece, seed: str) -> set[int]:
    """The numbers of one item: `*`, `5`, `1-5`, `5/15`, `1-5/2`, `H`, `H(0-29)/10`."""
    base, *steps = item.split("/")
    if len(steps) > 1:
        raise steps[1].bad(f"{kind.name} has a second step. One / is enough.")
    step = _step(kind, steps[0]) if steps else 1
    if base.text == "*":
        return set(range(kind.low, kind.end + 1, step))
    if base.text == "?":
        raise base.bad(f"? stands alone, in a day field. For any {kind.name} write *.")
    hashed = _HASH.fullmatch(base.text)
    if hashed and kind is not YEAR:
        inner = base.cut(*hashed.span("range")) if hashed["range"] is not None else None
        return _hashed(kind, inner, step if steps else 0, seed)
    low, high = _bounds(kind, base, open_ended=bool(steps))
    return set(range(low, high + 1, step))


def _step(kind: Field, piece: Piece) -> int:
    size = kind.end - kind.low + 1
    if not _DIGITS.fullmatch(piece.text):
        raise piece.bad(f"the step of {kind.name} is {piece.text or 'missing'}, allowed 1-{size}.")
    step = int(piece.text)
    if not 1 <= step <= size:
        hint = "" if step == 0 else " For a longer pace use a schedule with every(...)."
        raise piece.bad(f"the step of {kind.name} is {step}, allowed 1-{size}.{hint}")
    return step


def _bounds(kind: Field, base: Piece, *, open_ended: bool) -> tuple[int, int]:
    ends = base.split("-")
    if len(ends) > 2:
        raise ends[2].bad(f"{kind.name} has a range with three ends. Write it as 1-5.")
    low = _value(kind, ends[0])
    if len(ends) == 1:
        return low, max(low, kind.end) if open_ended else low
    high = _value(kind, ends[1])
    if kind is WEEKDAY and ends[1].text == "SUN" and low > 0:
        high = 7
    if low > high:
        raise base.bad(f"the range {base.text} of {kind.name} runs backwards.{_unwound(kind, low, high)}")
    return low, high


def _unwound(kind: Field, low: int, high: int) -> str:
    if kind is WEEKDAY and high == 0:
        return f" Sunday ends a range as 7: write {low}-7."
    return f" Write {low}-{kind.end},{kind.low}-{high}."


def _value(kind: Field, piece: Piece) -> int:
    text = piece.text
    if text in kind.names:
        return kind.names[text]
    allowed = f"allowed {kind.low}-{kind.high}"
    if not text:
        raise piece.bad(f"{kind.name} misses a number, {allowed}.")
    if not _DIGITS.fullmatch(text):
        names = f" or {min(kind.names, key=kind.names.__getitem__)} and so on" if kind.names else ""
        hint = near(text, kind.names) or _advice(kind, text)
        raise piece.bad(f"{kind.name} is {text!r}, {allowed}{names}.{hint}")
    value = int(text)
    if not kind.low <= value <= kind.high:
        raise piece.bad(f"{kind.name} is {value}, {allowed}.{_advice(kind, text)}")
    return value


def _advice(kind: Field, text: str) -> str:
    if kind is HOUR and text == "24":
        return " Midnight is 0."
    if kind is DAY and text.startswith("L"):
        return " The last day is L, the last workday LW."
    if kind is WEEKDAY and text.startswith("L"):
        return " The last Friday is 5L or FRIL."
    if text == "R" or text.startswith("R("):
        return " To spread schedules write H: it is random, and stays."
    return ""


def _hashed(kind: Field, inner: Piece | None, step: int, seed: str) -> set[int]:
    """`H` and `H(low-high)` choose one number by SHA-256 of the seed; with a step, where the steps begin."""
    if inner is None:
        low, high = kind.low, kind.hash_end
    elif "-" not in inner.text:
        raise inner.bad("H takes a range in its brackets, as in H(0-29).")
    else:
        low, high = _bounds(kind, inner, open_ended=False)
    digest = hashlib.sha256(f"{kind.name}\0{seed}".encode()).digest()
    chosen = int.from_bytes(digest[:8])
    if not step:
        return {low + chosen % (high - low + 1)}
    return set(range(low + chosen % min(step, high - low + 1), high + 1, step))
