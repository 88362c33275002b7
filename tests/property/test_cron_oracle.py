"""Every fire of a random expression, against an oracle that decides each instant by the stated rules.

The oracle knows nothing of the code under test: it has a parser of its own, walks real time minute by
minute (second by second with a seconds field), and asks of every instant whether it is a fire.
"""

import os
import random
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

import pytest

from chronoq.domain.errors import NeverFires
from chronoq.domain.rhythm import cron

RUNS = (
    20_000 if os.environ.get("CHRONOQ_LONG") == "1" else 500 if os.environ.get("CHRONOQ_CHECK") == "1" else 60
)
CHUNKS = 10
MOST_FIRES = 40
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
ZONES = [
    *("UTC", "Europe/Berlin", "Europe/Dublin", "Europe/Riga", "America/New_York", "America/Sao_Paulo"),
    *("America/Havana", "America/Nuuk", "America/St_Johns", "America/Santiago", "America/Caracas"),
    *("Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kwajalein", "Africa/Casablanca"),
    *(
        "Antarctica/Troll",
        "Antarctica/Casey",
        "Asia/Tehran",
        "Asia/Kathmandu",
        "Asia/Beirut",
        "Asia/Pyongyang",
    ),
]


# --- the oracle: what an expression means ---------------------------------------------------------


def words_of(expression: str) -> tuple[str, ...]:
    """Always seven: second, minute, hour, day, month, weekday, year."""
    words = expression.upper().split()
    if len(words) == 5:
        words = ["0", *words]
    return tuple(words if len(words) == 7 else [*words, "*"])


def number(text: str) -> int:
    for names, first in ((MONTHS, 1), (WEEKDAYS, 0)):
        if text in names:
            return names.index(text) + first
    return int(text)


@lru_cache(maxsize=100_000)
def in_list(value: int, text: str, low: int, high: int) -> bool:
    for item in text.split(","):
        base, _, step = item.partition("/")
        if base == "*":
            start, end = low, high
        elif "-" in base:
            left, right = base.split("-")
            start, end = number(left), number(right)
            if right == "SUN" and start > 0:
                end = 7
        else:
            start = number(base)
            end = high if step else start
        if start <= value <= end and (value - start) % int(step or 1) == 0:
            return True
    return False


def in_month_day(day: date, text: str) -> bool:
    length = monthrange(day.year, day.month)[1]
    for item in text.split(","):
        if item == "L":
            found = day.day == length
        elif item == "LW":
            later = [date(day.year, day.month, n) for n in range(day.day + 1, length + 1)]
            found = day.weekday() < 5 and all(each.weekday() >= 5 for each in later)
        elif item.endswith("W"):
            wanted = int(item[:-1])
            workdays = [n for n in range(1, length + 1) if date(day.year, day.month, n).weekday() < 5]
            found = wanted <= length and day.day == min(workdays, key=lambda n: (abs(n - wanted), n))
        else:
            found = in_list(day.day, item, 1, 31)
        if found:
            return True
    return False


def in_weekday(day: date, text: str) -> bool:
    weekday = day.isoweekday() % 7
    for item in text.split(","):
        base, hash_mark, place = item.partition("#")
        if hash_mark:
            found = in_weekday(day, base) and (day.day - 1) // 7 + 1 == int(place)
        elif item.endswith("L"):
            found = number(item[:-1]) % 7 == weekday and (day + timedelta(days=7)).month != day.month
        else:
            found = in_list(weekday, item, 0, 6) or (weekday == 0 and in_list(7, item, 0, 6))
        if found:
            return True
    return False


@lru_cache(maxsize=512)
def in_date(day: date, words: tuple[str, ...], day_match: str) -> bool:
    _, _, _, month_day, month, weekday, year = words
    if not in_list(day.month, month, 1, 12) or not in_list(day.year, year, 1970, 2099):
        return False
    free = ("*", "?")
    by_day = month_day in free or in_month_day(day, month_day)
    by_week = weekday in free or in_weekday(day, weekday)
    if month_day not in free and weekday not in free and day_match == "or":
        return by_day or by_week
    return by_day and by_week


def in_wall(wall: datetime, words: tuple[str, ...], day_match: str) -> bool:
    return (
        in_list(wall.minute, words[1], 0, 59)
        and in_list(wall.second, words[0], 0, 59)
        and in_list(wall.hour, words[2], 0, 23)
        and in_date(wall.date(), words, day_match)
    )


def expected(
    expression: str,
    zone: ZoneInfo,
    after: datetime,
    until: datetime,
    step: timedelta,
    options: dict[str, str],
) -> Iterator[datetime]:
    """The fires after `after` and up to `until`, in order, decided instant by instant."""
    words = words_of(expression)
    day_match = options["day_match"]
    fixed = not any(word.startswith("*") for word in words[:3])
    moment = after - timedelta(hours=4)  # what was seen before decides what is a second pass
    latest = before = wall_at(moment, zone)
    while moment <= until:
        wall = wall_at(moment, zone)
        missing = wall - before - step
        skipped = range(1, missing // step + 1) if missing <= timedelta(hours=3) else range(0)
        counts = not fixed or wall > latest or options["dst_overlap"] == "both"
        if moment > after and (
            (counts and in_wall(wall, words, day_match))
            or (
                fixed
                and options["dst_gap"] == "fire"
                and any(in_wall(before + step * n, words, day_match) for n in skipped)
            )
        ):
            yield moment
        latest, before = max(latest, wall), wall
        moment += step


def wall_at(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


# --- random questions -----------------------------------------------------------------------------


@cache
def changes(zone: ZoneInfo, year: int) -> list[datetime]:
    """The instants of a year after which the clock shows something else, to the hour."""
    start = datetime(year, 1, 1, tzinfo=UTC)
    offsets = [(start + timedelta(hours=n)).astimezone(zone).utcoffset() for n in range(366 * 24)]
    return [start + timedelta(hours=n) for n in range(1, len(offsets)) if offsets[n] != offsets[n - 1]]


def random_start(source: random.Random, zone: ZoneInfo, *, near_change: bool) -> datetime:
    for year in source.sample(range(1985, 2036), 51) if near_change else ():
        found = changes(zone, year)
        if found:
            reach = source.choice([2 * 3_600, 2 * 3_600, 2 * 86_400])
            return source.choice(found) + timedelta(seconds=source.randint(-reach, reach))
    seconds = source.randrange(int(timedelta(days=365 * 60).total_seconds()))
    return datetime(1975, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=source.choice([0, 500]))


def random_field(source: random.Random, low: int, high: int, names: list[str] | None = None) -> str:
    def value() -> int:
        return source.randint(low, high)

    def show(n: int) -> str:
        return names[n - low] if names and n - low < len(names) and source.random() < 0.3 else str(n)

    def item() -> str:
        start, end = sorted((value(), value()))
        step = source.randint(1, high - low)
        return source.choice(
            [
                show(start),
                show(start),
                f"{show(start)}-{show(end)}",
                f"{start}-{end}/{step}",
                f"*/{step}",
                f"{start}/{step}",
            ]
        )

    return ",".join(item() for _ in range(source.choice([1, 1, 1, 2, 3])))


def random_day(source: random.Random) -> str:
    special = ["L", "LW", f"{source.choice([1, 15, 30, 31])}W", f"{source.randint(1, 31)}W,L"]
    return source.choice(["*", "*", "*", "?", random_field(source, 1, 31), source.choice(special)])


def random_weekday(source: random.Random) -> str:
    name, place = source.choice(WEEKDAYS), source.randint(1, 5)
    special = [
        f"{name}L",
        f"{source.randint(0, 7)}L",
        f"{name}#{place}",
        f"1-5#{place}",
        "FRI-SUN",
        "5-7",
        "7",
    ]
    return source.choice(["*", "*", "*", "?", random_field(source, 0, 6, WEEKDAYS), source.choice(special)])


def random_expression(source: random.Random, *, any_day: bool = False) -> str:
    minute = source.choice(["*", "0", "30", random_field(source, 0, 59)])
    hour = source.choice(["*", "2", "1-3", "0", "23", random_field(source, 0, 23)])
    month = source.choice(["*", "*", "*", "*", random_field(source, 1, 12, MONTHS)])
    words = [minute, hour, random_day(source), month, random_weekday(source)]
    if any_day:
        words[2:] = ["*", "*", "*"]
    if source.random() < 0.3:
        words.insert(0, source.choice(["0", "59", "*/20", random_field(source, 0, 59)]))
    return " ".join(words)


def random_options(source: random.Random) -> dict[str, str]:
    usual = {"dst_gap": "fire", "dst_overlap": "first", "day_match": "or"}
    other = {"dst_gap": "skip", "dst_overlap": "both", "day_match": "and"}
    return {name: source.choice([value, value, other[name]]) for name, value in usual.items()}


# --- the properties -------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_fire_is_the_one_that_the_rules_name(chunk: int) -> None:
    source = random.Random(f"instants {chunk}")
    for run in range(RUNS // CHUNKS):
        zone = ZoneInfo(source.choice(ZONES))
        after = random_start(source, zone, near_change=run % 2 == 0)
        expression, options = random_expression(source, any_day=run % 4 == 0), random_options(source)
        with_seconds = len(expression.split()) > 5
        step = timedelta(seconds=1) if with_seconds else timedelta(minutes=1)
        until = after + (timedelta(hours=4) if with_seconds else timedelta(days=3))
        floor = after.replace(microsecond=0) if with_seconds else after.replace(second=0, microsecond=0)
        try:
            rhythm = cron(expression, tz=zone.key, **options)  # type: ignore[arg-type]
        except NeverFires:
            continue  # its own property, below
        question = f"{expression!r} {zone.key} after {after.isoformat()} {options}"
        answers = list(rhythm.fires(after, count=MOST_FIRES, until=until))
        oracle = expected(expression, zone, floor, until, step, options)
        wanted = [moment for _, moment in zip(range(MOST_FIRES), oracle, strict=False)]
        assert answers == wanted, question


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_date_is_one_that_the_fields_name(chunk: int) -> None:
    source = random.Random(f"dates {chunk}")
    for _ in range(RUNS // CHUNKS):
        month = source.choice(["*", "2", random_field(source, 1, 12, MONTHS)])
        words = ["0 0 12", random_day(source), month, random_weekday(source)]
        if source.random() < 0.3:
            words.append(random_field(source, 1970, 2099))
        expression, day_match = " ".join(words), source.choice(["or", "and"])
        year = source.randint(1970, 2089)
        days = [date(year, 1, 1) + timedelta(days=n) for n in range(3 * 365)]
        wanted = [day for day in days if in_date(day, words_of(expression), day_match)]
        question = f"{expression!r} from {year} {day_match}"
        try:
            rhythm = cron(expression, day_match=day_match)  # type: ignore[arg-type]
        except NeverFires:
            assert not any_date(words_of(expression), day_match), question
            continue
        start = datetime(year, 1, 1, tzinfo=UTC)
        answers = rhythm.fires(start, until=start + timedelta(days=3 * 365 - 1, hours=23))
        assert [fire.date() for fire in answers] == wanted, question


def any_date(words: tuple[str, ...], day_match: str) -> bool:
    first = date(1970, 1, 1)
    return any(in_date(first + timedelta(days=n), words, day_match) for n in range(130 * 365))
