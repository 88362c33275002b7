"""Who may do what: the one table from which the access lists in docs/acl follow.

    python -m tests.acl        # write them anew, after a script or a role has changed

A role has verbs of the ports, and what those send to the server: scripts, whose commands and keys are read
from the Lua files, and plain commands with their keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import field, frozen

from tests.servers import Server

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "acl"
ADAPTER = ROOT / "src" / "chronoq" / "adapters" / "redis"
NAMESPACE = "chronoq"

EVERYONE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("ASKING", "CLUSTER|SLOTS", "EVAL", "EVALSHA", "INFO", "ROLE", "SELECT", "TIME", "WAIT"), ()
    ),
    "GET": (":schema",),
}
"""Commands with their keys: parts of a queue, or, with a colon before them, of the whole namespace."""

ON_REQUEST = {"CONFIG", "WAITAOF"}
"""Only with durability="aof"; older servers do not know the second, and refuse a list that names it."""

_PHRASES = {
    "ready:0 .. ready:3": ("ready:*",),
    "the ready list of that priority": ("ready:*",),
    "the ending of each job": ("ending:*",),
    "then the ending of each job": ("ending:*",),
    "the runs of schedules": ("runs:*",),
    "then the runs of schedules": ("runs:*",),
    "the schedule's runs": ("runs:*",),
    "then for each step the schedule's runs and its ledger": ("runs:*", "ledger:*"),
    "then the ledger of each schedule": ("ledger:*",),
    "the lock": (":lock:*",),
    "the process": (":process:*",),
    "the list": (":processes",),
    "the set": (":queues",),
    "where": (":schema",),
    "the sorted set": ("delayed", "leases", "dead"),
}


@frozen
class Role:
    """`hears`: it subscribes to what has ended. Whose scripts publish it needs no more than they say."""

    verbs: tuple[str, ...]
    scripts: tuple[str, ...]
    commands: dict[str, tuple[str, ...]] = field(factory=dict)
    hears: bool = False


_LOOKING = Role(
    (
        *("queue.endings", "queue.get", "queue.find", "queue.counts", "queue.queues"),
        *("store.get", "store.find", "store.live", "store.ledger", "life.roll"),
    ),
    ("counts", "endings", "look", "page", "stored"),
    {
        "HKEYS": ("schedules",),
        "HMGET": (":process:*",),
        "LRANGE": ("ready:*", "recent", "ledger:*"),
        "SMEMBERS": (":queues", "runs:*"),
        "ZRANGEBYSCORE": (":processes",),
    },
)
_LIVING = Role(
    ("life.birth", "life.beat", "life.death"),
    ("birth", "beat", "enlist", "once", "announce"),
    {"DEL": (":process:*",), "ZREM": (":processes",), "ZREMRANGEBYSCORE": (":processes",)},
)
_SUBMITTING = Role(
    ("queue.submit", "queue.cancel", "queue.endings", "queue.get", "queue.wait_ended"),
    ("submit", "accept", "once", "announce", "cancel", "endings", "look"),
    {"HMGET": ("jobs",)},
    hears=True,
)
_CALLING = Role(
    ("queue.forget", "queue.purge", "life.roll"),
    ("forget", "purge"),
    {"HMGET": (":process:*",), "ZRANGEBYSCORE": (":processes",)},
)
_MENDING = Role(
    ("queue.sweep",), ("sweep", "bury", "strays", "restore", "rejoin", "look"), {"SMEMBERS": (":queues",)}
)
_PLANNING = Role(
    ("store.put", "store.drop", "store.fire", "store.get", "store.find", "queue.queues"),
    ("put", "drop", "fire", "stored", "once", "announce"),
    {"HKEYS": ("schedules",), "SMEMBERS": (":queues",)},
)


def _all(*roles: Role) -> Role:
    commands: dict[str, tuple[str, ...]] = {}
    for role in roles:
        for name, keys in role.commands.items():
            commands[name] = (*commands.get(name, ()), *keys)
    verbs = tuple(dict.fromkeys(verb for role in roles for verb in role.verbs))
    scripts = tuple(script for role in roles for script in role.scripts)
    return Role(verbs, scripts, commands, hears=any(role.hears for role in roles))


ROLES = {
    "producer": _SUBMITTING,
    "caller": _all(_SUBMITTING, _CALLING),
    "worker": _all(
        _LIVING,
        Role(
            (
                *(
                    "queue.claim",
                    "queue.extend",
                    "queue.prepare",
                    "queue.settle",
                    "queue.release",
                    "queue.report",
                ),
                *("queue.expired", "queue.promote", "queue.wait_ready", "queue.queues"),
                *("queue.wait_claim", "queue.recall"),
                *("store.find", "store.get", "life.roll"),
            ),
            ("claim", "extend", "settle", "done", "report", "expired", "promote", "stored"),
            {
                "BLPOP": ("wake:work",),
                "LPOP": ("wake:work",),
                "HKEYS": ("schedules",),
                "HMGET": (":process:*",),
                "SMEMBERS": (":queues",),
                "ZRANGEBYSCORE": (":processes",),
            },
        ),
    ),
    "scheduler": _all(
        _LIVING,
        _MENDING,
        _PLANNING,
        Role(
            (
                *("store.due", "store.sweep", "queue.promote", "queue.wait_due"),
                *("lock.acquire", "lock.renew", "lock.release"),
            ),
            ("due", "live", "plans", "watch", "leave", "promote", "acquire", "renew", "unlock"),
            {"BLPOP": ("wake:time",), "LPOP": ("wake:time",)},
        ),
    ),
    "observer": _LOOKING,
    "operator": _all(
        _LOOKING,
        _SUBMITTING,
        _CALLING,
        _PLANNING,
        Role(
            ("queue.adopt", "queue.revive", "queue.purge", "queue.pause", "queue.resume"),
            ("adopt", "revive", "purge", "resume"),
            {"SET": ("paused",)},
        ),
    ),
}


def scripts() -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(ADAPTER.glob("lua/*.lua"))}


def calls(body: str) -> set[str]:
    """The commands that a script calls in any of its branches."""
    found: set[str] = set()
    for first in re.findall(r"redis\.p?call\(([^,)]*)", body):
        named = re.findall(r"'([A-Z]+)'", first)
        assert named, f"a command that is not written out: {first}"
        found.update(named)
    return found


def places(body: str) -> Iterator[str]:
    """The keys that the head of a script names. KeyError for words that `_PHRASES` does not know."""
    head = re.search(r"^-- KEYS: (.*?)(?=^-- (?:ARGV|Returns))", body, re.DOTALL | re.MULTILINE)
    assert head, "its head names no KEYS"
    for part in re.sub(r"\n--\s*", " ", head[1]).split(","):
        word = part.strip()
        yield from (word,) if re.fullmatch(r"[a-z]+(:[a-z]+)?", word) and word != "where" else _PHRASES[word]


def line(name: str, role: Role) -> str:
    """The role as a line of an access list, without a password: nobody can log in before it has one."""
    known = scripts()
    commands, keys = set(EVERYONE) | set(role.commands), set[str]()
    for parts in (*EVERYONE.values(), *role.commands.values()):
        keys.update(parts)
    for script in role.scripts:
        commands |= calls(known[script])
        keys.update(places(known[script]))
    hears = {"SUBSCRIBE", "UNSUBSCRIBE"} if role.hears else set()
    patterns = [f"~{NAMESPACE}{key if key[0] == ':' else ':{*}:' + key}" for key in sorted(keys)]
    channels = [f"&{NAMESPACE}:*:ended"] * (role.hears or "PUBLISH" in commands)
    allowed = [f"+{command.lower()}" for command in sorted(commands | hears)]
    return " ".join([f"user {NAMESPACE}-{name} reset on resetchannels", *patterns, *channels, *allowed])


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, role in ROLES.items():
        (FOLDER / f"{name}.acl").write_text(line(name, role) + "\n", encoding="utf-8")


def let_in(server: Server) -> None:
    """Make the users of docs/acl, each with its role as its password."""
    with server.client() as root:
        for role in ROLES:
            _, name, *rules = (FOLDER / f"{role}.acl").read_text().split()
            root.execute_command("ACL", "SETUSER", name, *rules, f">{role}")


def url_of(server: Server, role: str) -> str:
    return f"{server.url()}&username=chronoq-{role}&password={role}"


if __name__ == "__main__":
    main()
