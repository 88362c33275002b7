"""chronoq as a later version might be: `python -m tests.next_version ARGS`, beside this one.

It writes one part more into everything, and says in its mark that the version before can read that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from chronoq.adapters import codec
from chronoq.domain import schema

LATER = schema.Schema(schema.SCHEMA.version + 1, schema.SCHEMA.version)


def _object(text: bytes) -> bytes:
    return json.dumps(
        json.loads(text) | {"later": {"x": [1]}}, sort_keys=True, separators=(",", ":")
    ).encode()


def _with_more(encode: Callable[..., bytes], more: Callable[[bytes], bytes]) -> Callable[..., bytes]:
    def encoded(*args: Any, **kwargs: Any) -> bytes:
        return more(encode(*args, **kwargs))

    return encoded


def _job(record: bytes) -> bytes:
    options, envelope, payload = record.split(b"\n", 2)
    parts = json.loads(envelope)
    parts += [0] * (4 - len(parts)) + [{"later": 1}]
    return b"\n".join((_object(options or b"{}"), json.dumps(parts).encode(), payload))


def _ending(text: bytes) -> bytes:
    head, result = text.split(b"\n", 1)
    until, work, form = head.split(b" ", 2)
    return b"%b %b %b\n%b" % (until, work, json.dumps([*json.loads(form), 1]).encode(), result)


def _schedule(record: bytes) -> bytes:
    head, payload = record.split(b"\n", 1)
    return b"%b\n%b" % (_object(head), payload)


codec.encode_job = _with_more(codec.encode_job, _job)
codec.encode_ending = _with_more(codec.encode_ending, _ending)
codec.encode_schedule = _with_more(codec.encode_schedule, _schedule)
codec.encode = _with_more(codec.encode, _object)
schema.SCHEMA = LATER

from chronoq.adapters.redis import store  # noqa: E402 - it takes what was put in place above

store.encode_cursor = _with_more(store.encode_cursor, _object)  # type: ignore[attr-defined]
"""Not the one that tells what is expected: there it reads what stands, as a later version would."""

if __name__ == "__main__":
    from chronoq.cli.main import run

    sys.exit(run())
