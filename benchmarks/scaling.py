"""What several masters carry: a small simulation on the measured cost of a job on its server.

    python -m benchmarks.scaling [--cost MICROSECONDS]

A queue, or each shard of a sharded one, is one slot of the cluster (CRC16 of its name, as Redis Cluster
does it), and a slot is on one master, in contiguous ranges as cluster tools lay them out. A master is
saturated at `BUSY` of its one thread. The most that a cluster carries is the rate at which its fullest
master is saturated, with the load spread over the queues as given.
"""

import argparse
from collections.abc import Mapping, Sequence

from attrs import frozen
from redis.crc import key_slot

SLOTS = 16_384
BUSY = 0.7
"""Above this share of its thread a server answers noticeably later."""
MASTERS = (1, 3, 12, 48)
DAY = 86_400


@frozen
class Load:
    """A name, and queues with their weights."""

    name: str
    queues: Mapping[str, float]


def even(count: int) -> Load:
    return Load(
        "one queue" if count == 1 else f"{count} even queues", {f"queue-{n}": 1.0 for n in range(count)}
    )


def hot(shards: int, share: float = 0.8, others: int = 50) -> Load:
    """One queue with most of the load, in so many shards, beside others."""
    parts = {f"hot~{n}" if shards > 1 else "hot": share / shards for n in range(shards)}
    title = f"one queue with {share:.0%}" + (f", {shards} shards" if shards > 1 else "")
    return Load(title, parts | {f"queue-{n}": (1 - share) / others for n in range(others)})


LOADS = (even(1), even(50), even(1000), hot(1), hot(8), hot(64), hot(512))


def master_of(queue: str, masters: int) -> int:
    return key_slot(f"chronoq:{{{queue}}}:jobs".encode()) * masters // SLOTS


def carried(load: Load, masters: int, cost: float) -> float:
    """Jobs a second at which the fullest master is saturated. `cost`: microseconds of the server for one job."""
    shares = [0.0] * masters
    whole = sum(load.queues.values())
    for queue, weight in load.queues.items():
        shares[master_of(queue, masters)] += weight / whole
    return BUSY / (max(shares) * cost * 1e-6)


def table(cost: float, loads: Sequence[Load] = LOADS) -> str:
    """Markdown: jobs a second for each load and number of masters."""
    head = "| load | " + " | ".join(f"{n} master{'s' * (n > 1)}" for n in MASTERS) + " |"
    rows = [
        f"| {load.name} | " + " | ".join(f"{carried(load, n, cost):,.0f}" for n in MASTERS) + " |"
        for load in loads
    ]
    return "\n".join([head, "|---" * (len(MASTERS) + 1) + "|", *rows])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.split("\n")[0])
    parser.add_argument("--cost", type=float, default=12.0, help="microseconds of the server for one job")
    given = parser.parse_args()
    print(table(given.cost))
    print(f"\nA billion jobs a day are {1e9 / DAY:,.0f} a second.")


if __name__ == "__main__":
    main()
