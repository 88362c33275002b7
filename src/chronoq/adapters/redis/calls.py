"""An operation is data: which script or command, with which keys and arguments, and how to read the reply."""

from collections.abc import Callable, Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any, Generic, TypeAlias, TypeVar

from attrs import field, frozen

from chronoq.domain.values import value

T = TypeVar("T")
Word: TypeAlias = str | bytes | int

AT_ONCE = 200
"""How many ids go into one script call: a script holds up the whole server while it runs."""


@frozen
class Script:
    """A Lua script. Its head is its contract."""

    body: str
    sha: str = field(init=False)

    @sha.default
    def _sha(self) -> str:
        return sha1(self.body.encode(), usedforsecurity=False).hexdigest()


@frozen
class Scripts:
    """All scripts, by the name of their file: `scripts["claim"]`."""

    known: dict[str, Script]

    def __getitem__(self, name: str) -> Script:
        return self.known[name]


def load_scripts() -> Scripts:
    """Read the scripts that are shipped with the package."""
    folder = files(__package__).joinpath("lua")
    return Scripts(
        {
            file.name.removesuffix(".lua"): Script(file.read_text(encoding="utf-8"))
            for file in folder.iterdir()
            if file.name.endswith(".lua")
        }
    )


@value
class Call(Generic[T]):
    """One script call.

    `again`: done twice, it has done the same and answers the same, so a lost reply may be asked for once
    more. `durable`: its answer counts when what it did is as durable as the user has asked for.
    """

    script: Script
    keys: Sequence[str]
    args: Sequence[Word]
    parse: Callable[[Any], T]
    again: bool = True
    durable: bool = False

    @property
    def key(self) -> str:
        """One of its keys: all are in one slot."""
        return self.keys[0]

    @property
    def words(self) -> tuple[Word, ...]:
        return ("EVALSHA", self.script.sha, str(len(self.keys)), *self.keys, *self.args)

    @property
    def words_in_full(self) -> tuple[Word, ...]:
        return ("EVAL", self.script.body, len(self.keys), *self.keys, *self.args)


@value
class Command(Generic[T]):
    """One plain command, where one is enough."""

    words: Sequence[Word]
    parse: Callable[[Any], T]
    again: bool = True
    durable: bool = False

    @property
    def words_in_full(self) -> Sequence[Word]:
        return self.words

    @property
    def key(self) -> str | None:
        """A key on which it works; None: any server can carry it out."""
        return None if self.words[0] in _WITHOUT_KEYS else str(self.words[1])


Operation: TypeAlias = Call[T] | Command[T]

_WITHOUT_KEYS = frozenset(
    {"ACL", "CLIENT", "CLUSTER", "CONFIG", "DBSIZE", "INFO", "LATENCY", "MEMORY", "PING", "ROLE", "TIME"}
)


def popping(lists: Sequence[str], seconds: float) -> Command[str]:
    """Wait for an entry in one of the lists, and take it: the list's name, or "" when none came."""
    # not to be run twice; 0 means for ever, and so does 1 ms to Redis 6.2
    words = ("BLPOP", *lists, f"{max(seconds, 0.01):.3f}")
    return Command(words, lambda reply: reply[0].decode() if reply else "", again=False)


def texts(reply: Any) -> list[str]:
    return [item.decode() for item in reply]
