"""What can be told of a server by what it says of itself."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chronoq.adapters.redis.calls import Command
from chronoq.adapters.redis.link import Link
from chronoq.domain.finding import EVICTS, Finding, Level

_FULL = 0.8
_HOLE = "CVE-2025-49844"
_MENDED = {
    "Redis": ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
    "Valkey": ((7, 2, 11), (8, 0, 6), (8, 1, 4)),
}
"""The first release of each series without that hole; what is younger than the last series never had it."""


def examine(wire: Link) -> Sequence[Finding]:
    """Findings on the server; of a cluster, on the node that was asked. Errors: `BackendError`."""
    told = wire.run(Command(("INFO",), _read))
    return [*_version(told), *_eviction(told), *_memory(told), *_persistence(told), *_replication(told)]


def _read(reply: Any) -> dict[str, str]:
    pairs = (line.partition(":") for line in reply.decode(errors="replace").splitlines() if ":" in line)
    return {name: value for name, _, value in pairs}


def _version(told: Mapping[str, str]) -> Iterator[Finding]:
    name = "Valkey" if "valkey_version" in told else "Redis"
    text = told.get("valkey_version") or told.get("redis_version", "")
    if has_hole(name, text):
        yield Finding(
            Level.DANGER,
            "version",
            f"{name} {text} has a known hole ({_HOLE}).",
            "Whoever may run scripts on it can run programs on its machine.",
            f"Upgrade {name} to the latest release of its series or a later one.",
        )
    else:
        yield Finding(Level.FINE, "version", f"{name} {text}")


def has_hole(name: str, text: str) -> bool:
    """Whether that release came before the mended one of its series."""
    parts = tuple(int(part) for part in text.split(".") if part.isdigit())
    if len(parts) < 3:
        return False
    mended = next((one for one in _MENDED[name] if one[:2] == parts[:2]), None)
    return parts < mended if mended else parts < _MENDED[name][-1]


def _eviction(told: Mapping[str, str]) -> Iterator[Finding]:
    policy, bound = told.get("maxmemory_policy", ""), int(told.get("maxmemory", 0))
    if policy in ("", "noeviction"):
        yield Finding(Level.FINE, "eviction", "nothing is evicted")
        return
    remedy = "CONFIG SET maxmemory-policy noeviction, and the same in its configuration file."
    if bound:
        why = f"maxmemory-policy is {policy}."
        what = "The server throws keys away when it is full, and jobs with them."
        yield Finding(Level.DANGER, "eviction", what, why, remedy, code=EVICTS)
    else:
        why = f"maxmemory-policy is {policy}, but maxmemory is not set."
        yield Finding(Level.NOTE, "eviction", "Nothing is evicted as long as there is no bound.", why, remedy)


def _memory(told: Mapping[str, str]) -> Iterator[Finding]:
    used = int(told.get("used_memory", 0))
    bound = int(told.get("maxmemory", 0)) or int(told.get("total_system_memory", 0))
    if bound and used > _FULL * bound:
        yield Finding(
            Level.DANGER,
            "memory",
            f"{used / bound:.0%} of its memory is used.",
            "When it is full, new jobs are refused.",
            "Let workers drain it, purge dead letters, or give it more memory.",
        )
    elif bound:
        yield Finding(Level.FINE, "memory", f"{used / bound:.0%} of {bound / 2**30:.1f} GiB used")


def _persistence(told: Mapping[str, str]) -> Iterator[Finding]:
    failing = [
        name
        for name in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
        if told.get(name, "ok") != "ok"
    ]
    if failing:
        why = f"{', '.join(failing)} is not ok."
        yield Finding(
            Level.DANGER,
            "persistence",
            "The server cannot save its data.",
            why,
            "Look at its log and its disk.",
        )
    elif told.get("aof_enabled") == "1":
        yield Finding(Level.FINE, "persistence", "an append-only file is written")
    else:
        yield Finding(
            Level.DANGER,
            "persistence",
            "A crash of the server loses what was accepted since its last snapshot, or everything.",
            "appendonly is off.",
            "CONFIG SET appendonly yes, and the same in its configuration file.",
            code="W5",
        )


def _replication(told: Mapping[str, str]) -> Iterator[Finding]:
    if told.get("role") == "slave":
        what = "This is a replica: it refuses every write."
        yield Finding(Level.DANGER, "replication", what, remedy="Connect to the primary.")
        return
    count = int(told.get("connected_slaves", 0))
    yield Finding(Level.FINE, "replication", f"{count} replica{'' if count == 1 else 's'} connected")
