"""A cron expression in short English."""

import re
from collections.abc import Callable
from itertools import product

from chronoq.domain.crondays import MONTH_NAMES
from chronoq.domain.cronfields import DAY, HOUR, MINUTE, MONTH, MONTHS, SECOND, WEEKDAY, WEEKDAYS, YEAR
from chronoq.domain.crontext import fields

Namer = Callable[[str], str]

_DAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_PLACES = {"1": "1st", "2": "2nd", "3": "3rd", "4": "4th", "5": "5th"}
_NUMBERS = re.compile(r"\d+(,\d+)*")
_MOST_TIMES = 4


def describe_cron(expression: str, *, tz: str, both: bool) -> str:
    """When an expression that was checked fires: "at 09:00 on Monday to Friday, Europe/Berlin"."""
    text = {kind: piece.text for kind, piece in fields(expression).items()}
    clock = _clock(text.get(SECOND, "0"), text[MINUTE], text[HOUR])
    dates = _dates(text[DAY], text[WEEKDAY], both)
    month = f" in {_listed(text[MONTH], _month)}" if text[MONTH] != "*" else ""
    year = f" of {_listed(text[YEAR], str)}" if text.get(YEAR, "*") != "*" else ""
    return f"{clock}{dates}{month}{year}, {tz}"


def _clock(second: str, minute: str, hour: str) -> str:
    if all(_NUMBERS.fullmatch(each) for each in (second, minute, hour)):
        times = list(product(hour.split(","), minute.split(","), second.split(",")))
        if len(times) <= _MOST_TIMES:
            return "at " + _and([_time(*map(int, each)) for each in times])
    paces = [_pace(minute, "minute"), _pace(hour, "hour")]
    if second != "0":
        paces.insert(0, _pace(second, "second"))
    # "every 5 minutes of every hour" says no more than "every 5 minutes".
    while len(paces) > 1 and paces[-1] in ("every minute", "every hour") and "every" in paces[-2]:
        paces.pop()
    return ("" if paces[0].startswith("every") else "at ") + " of ".join(paces)


def _pace(text: str, unit: str) -> str:
    if text == "*":
        return f"every {unit}"
    if text.startswith("*/") and "," not in text:
        return f"every {text[2:]} {unit}s" if text != "*/1" else f"every {unit}"
    return f"{unit} {_listed(text, str)}"


def _dates(day: str, weekday: str, both: bool) -> str:
    any_day, any_weekday = day in ("*", "?"), weekday in ("*", "?")
    days = "" if any_day else _days(day)
    if any_weekday:
        return "" if any_day else f" on {days}"
    weekdays = _listed(weekday, _weekday)
    if any_day:
        return f" on {weekdays}"
    return f" on {days}, if it is {weekdays}" if both else f" on {days} or any {weekdays}"


def _days(text: str) -> str:
    if text.startswith("*/") and "," not in text:
        return f"every {text[2:]} days from day 1"
    names = {"L": "the last day", "LW": "the last workday"}
    words = []
    for item in text.split(","):
        if item in names:
            words.append(names[item])
        elif item.endswith("W"):
            words.append(f"the workday nearest to day {item[:-1]}")
        else:
            words.append(f"day {_span(item, str)}")
    return _and(words)


def _listed(text: str, name: Namer) -> str:
    return _and([_span(item, name) for item in text.split(",")])


def _span(item: str, name: Namer) -> str:
    base, _, step = item.partition("/")
    if base.startswith("H"):
        shown = base
    elif "-" in base and "#" not in base:
        shown = " to ".join(name(end) for end in base.split("-"))
    elif base == "*":
        shown = "any"
    else:
        shown = name(base) + (" on" if step else "")
    return f"{shown}, every {step}" if step else shown


def _weekday(text: str) -> str:
    base, hash_mark, place = text.partition("#")
    if hash_mark:
        return f"the {_PLACES[place]} {_span(base, _weekday)}"
    if base != "L" and base.endswith("L"):
        return f"the last {_weekday(base[:-1])}"
    return _DAY_NAMES[WEEKDAYS.index(base) if base in WEEKDAYS else int(base)]


def _month(text: str) -> str:
    return MONTH_NAMES[MONTHS.index(text) if text in MONTHS else int(text) - 1]


def _time(hour: int, minute: int, second: int) -> str:
    return f"{hour:02}:{minute:02}:{second:02}" if second else f"{hour:02}:{minute:02}"


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
