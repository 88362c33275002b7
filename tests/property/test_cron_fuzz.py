"""Text that is no cron expression: refused with one class, or read; never anything else."""

import os
import random
import string

import pytest

from chronoq.domain.errors import BadExpression
from chronoq.domain.rhythm import cron

RUNS = 1_000_000 if os.environ.get("CHRONOQ_LONG") == "1" else 20_000
CHUNKS = 10
VALID = [
    *(
        "0 9 * * 1-5",
        "*/15 0-6,22/2 1,15W,LW JAN-MAR FRIL,1-5#2",
        "0 0 0 29 2 ? 2028",
        "@daily",
        "@every 90s",
    ),
    *("H H(0-5) * * *", "H/15 * * * SUN", "0,59 30 */2 * * *", "0 0 31 2 *", "0 0 L * 7L", "@reboot"),
]
ALPHABET = "0123456789*/-,#?LWHR() @" + string.ascii_letters
STRANGE = string.printable + "\0\u0660\u2003\u00b2\ud800é🕐"


def mangled(source: random.Random) -> str:
    """A valid expression with some of its characters removed, doubled, moved or replaced."""
    text = list(source.choice(VALID))
    for _ in range(source.randint(1, 4)):
        place = source.randrange(len(text) + 1)
        letter = source.choice(ALPHABET if source.random() < 0.9 else STRANGE)
        match source.randrange(4):
            case 0:
                text[place:place] = [letter] * source.choice([1, 1, 2, 300])
            case 1:
                text[place : place + 1] = []
            case 2:
                text[place : place + 1] = [letter]
            case _:
                other = source.randrange(len(text) + 1)
                text[place:place] = text[min(place, other) : max(place, other)]
    return "".join(text)


def noise(source: random.Random) -> str:
    letters = ALPHABET if source.random() < 0.7 else STRANGE
    return "".join(source.choice(letters) for _ in range(source.randint(0, 40)))


def fields(source: random.Random) -> str:
    pieces = [
        "*",
        "?",
        "L",
        "LW",
        "5L",
        "15W",
        "5#3",
        "1-5",
        "5-1",
        "*/2",
        "/",
        "-",
        ",",
        "H",
        "H(",
        "99",
        "0",
        "MON",
    ]
    words = [
        "".join(source.choices(pieces, k=source.choice([1, 1, 2, 3]))) for _ in range(source.randint(4, 8))
    ]
    return " ".join(words)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_whatever_is_written_is_read_or_refused_with_one_class(chunk: int) -> None:
    source = random.Random(f"malformed {chunk}")
    for _ in range(RUNS // CHUNKS):
        text = source.choice([mangled, mangled, noise, fields])(source)
        seed = source.choice([None, "seed"])
        try:
            rhythm = cron(text, seed=seed, day_match=source.choice(["or", "and"]))
        except BadExpression as refusal:
            where = refusal.position
        except Exception as error:
            raise AssertionError(f"{text!r} raised {error!r}") from error
        else:
            where = 0
            assert rhythm.describe(), text
        assert 0 <= where <= len(text), text
