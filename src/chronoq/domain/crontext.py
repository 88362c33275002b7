"""The text of a cron expression: a short line of ASCII, cut into its fields."""

import re

from chronoq.domain.cronfields import FIELDS, Field, Piece
from chronoq.domain.errors import BadExpression, near

LONGEST = 256
PRESETS = {
    "@YEARLY": "0 0 1 1 *",
    "@ANNUALLY": "0 0 1 1 *",
    "@MONTHLY": "0 0 1 * *",
    "@WEEKLY": "0 0 * * 0",
    "@DAILY": "0 0 * * *",
    "@MIDNIGHT": "0 0 * * *",
    "@HOURLY": "0 * * * *",
}
_WORD = re.compile(r"[^ \t]+")


def fields(expression: str) -> dict[Field, Piece]:
    """What stands in each field, with an @-word replaced by what it means.

    Errors: `BadExpression` when it is no list of five to seven fields.
    """
    pieces = _pieces(check_text(expression))
    return dict(zip(FIELDS[len(pieces)], pieces, strict=True))


def _pieces(whole: Piece) -> list[Piece]:
    pieces = [whole.cut(*word.span()) for word in _WORD.finditer(whole.text)]
    if len(pieces) == 1 and pieces[0].text.startswith("@"):
        if pieces[0].text not in PRESETS:
            raise pieces[0].bad(_unknown_preset(pieces[0].text))
        return [Piece(whole.expression, text, pieces[0].at) for text in PRESETS[pieces[0].text].split()]
    if len(pieces) not in FIELDS:
        position = pieces[7].at if len(pieces) > 7 else len(whole.text.rstrip())
        count = f"{len(pieces)} field{'s' * (len(pieces) != 1)}"
        raise Piece(whole.expression, "", position).bad(
            f"it has {count}, needs 5 (minute hour day month weekday), "
            f"6 with seconds first, or 7 with a year at the end."
        )
    return pieces


def check_text(expression: object) -> Piece:
    """The whole expression. Errors: `BadExpression` for what is no short line of ASCII."""
    if not isinstance(expression, str):
        raise BadExpression(f"Bad cron {expression!r}: it is not text. Example: '0 9 * * 1-5'.")
    if len(expression) > LONGEST:
        raise BadExpression(
            f"Bad cron {expression[:40]!a}...: it has {len(expression)} characters, allowed {LONGEST}.",
            position=LONGEST,
        )
    for position, character in enumerate(expression):
        if not (" " <= character <= "~" or character == "\t"):
            why = f"the character {character!a} cannot stand in it. Type it again by hand."
            raise BadExpression(f"Bad cron {expression!a}: {why}", position=position)
    return Piece(expression, expression.upper(), 0)


def _unknown_preset(word: str) -> str:
    if word == "@REBOOT":
        return "@reboot names no time. Enqueue the job when your program starts."
    hint = near(word.lower(), [*(preset.lower() for preset in PRESETS), "@every"])
    hint = hint or " Known: @yearly @monthly @weekly @daily @hourly, @every 90s."
    return f"{word.lower()} is not known.{hint}"
