"""A hot queue in several parts: which part holds what, and what the parts are called.

A part is a queue of its own to the store, `orders~3.8`: the fourth of eight parts of `orders`. No name
that people give has a `~`.
"""

from zlib import crc32

from chronoq.domain.errors import BadSetting

MOST = 64


def count(value: int) -> int:
    """`value`, if a queue can have so many shards. Errors: `BadSetting`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
        raise BadSetting(f"shards={value!r}: give a whole number from 1 to {MOST}")
    return value


def part(queue: str, number: int, shards: int) -> str:
    """The name of one part; a queue with one shard is its own only part."""
    return queue if shards == 1 else f"{queue}~{number}.{shards}"


def parts(queue: str, shards: int) -> tuple[str, ...]:
    return tuple(part(queue, number, shards) for number in range(shards))


def part_of(queue: str, key: str, shards: int) -> str:
    """The part that holds a job or schedule. What a schedule makes lies beside it: its keys begin with `id@`."""
    if shards == 1:
        return queue
    return part(queue, crc32(key.partition("@")[0].encode()) % shards, shards)


def whole(part: str) -> str:
    """The queue to which a part belongs."""
    return part.partition("~")[0]


def shards_of(part: str) -> int:
    """How many shards its queue had when the part was made."""
    return int(part.rpartition(".")[2]) if "~" in part else 1
