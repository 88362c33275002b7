"""What redis-py raises, said in chronoq's words: what happened, why, and what to do next."""

import re
import socket
import ssl
from enum import StrEnum

import redis.exceptions as raised
from attrs import frozen

from chronoq.adapters.redis.address import Address
from chronoq.domain.errors import BackendError, LoginRefused, NotAllowed, NotReady, TooOld, Unreachable

FLOOR = (6, 2)

_REASONS: tuple[tuple[type[BaseException], str, str], ...] = (
    (ConnectionRefusedError, "connection refused", "Nothing is listening there."),
    (FileNotFoundError, "no such file", "No server has made that socket."),
    (PermissionError, "permission denied", "This user may not connect there."),
    (socket.gaierror, "unknown host", "No machine of that name is known here."),
    (ssl.SSLError, "TLS failed", "The server's certificate and the TLS options do not fit."),
    (TimeoutError, "timed out", "The machine does not answer."),
    (raised.TimeoutError, "timed out", "The server does not answer."),
    (raised.InvalidResponse, "not the Redis protocol", "Something else is listening there."),
)


class Lost(Unreachable):
    """A request was sent, and its answer never came: it may or may not have been carried out."""

    begun: bool = False
    """Whether a part of the answer had come: then some of it was carried out."""


class Action(StrEnum):
    """What is done about an error that the server has answered with."""

    RECONNECT = "reconnect"
    """This server is the wrong one by now: leave all connections to it, for the address may lead to another."""
    LATER = "later"
    """The same may be asked again on the same connection; whoever keeps trying does so, with pauses."""
    REFUSE = "refuse"
    """Asking again does not help until a person has changed something. Said as an error, not as a pause."""


@frozen
class Kind:
    """One kind of error reply: the class that is raised for it, what is done, why it is so, what to do next."""

    error: type[BackendError]
    action: Action
    why: str
    advice: str


def _later(why: str, advice: str) -> Kind:
    return Kind(NotReady, Action.LATER, why, advice)


def _left(why: str, advice: str, error: type[BackendError] = NotReady) -> Kind:
    return Kind(error, Action.RECONNECT, why, advice)


def _never(why: str, advice: str, error: type[BackendError] = BackendError) -> Kind:
    return Kind(error, Action.REFUSE, why, advice)


KINDS = {
    "OOM": _later("its memory is full", "Let workers drain it, delete data, or raise maxmemory."),
    "LOADING": _later("it is loading its data after a start", "Try again when that is done."),
    "MISCONF": _later("it cannot save its data to disk", "Look at the server's log and its disk."),
    "BUSY": _later(
        "a script has been running for too long", "Try again; SCRIPT KILL ends a script that only reads."
    ),
    "CLUSTERDOWN": _later("its cluster is down", "Try again when all slots are served."),
    "TRYAGAIN": _later("its cluster is moving these keys", "Try again."),
    "NOREPLICAS": _later(
        "too few replicas are connected", "Connect replicas, or lower min-replicas-to-write."
    ),
    "MAXCLIENTS": _later("it has as many clients as it allows", "Close some, or raise maxclients."),
    "NOSCRIPT": _later("it forgets scripts as fast as they are sent", "Find out who calls SCRIPT FLUSH."),
    "READONLY": _left("it is a read-only replica", "Connect to the primary; after a failover, try again."),
    "MASTERDOWN": _left(
        "it is a replica that has lost its primary", "Connect to the primary, or mend the link."
    ),
    "UNBLOCKED": _left("it became a replica meanwhile", "Ask again when there is a primary.", error=Lost),
    "NOAUTH": _never("", "The URL has no password, or a wrong one.", error=LoginRefused),
    "NOPERM": _never(
        "its access list lacks a command, key or channel",
        "Allow it, or log in as another user.",
        error=NotAllowed,
    ),
    "DENIED": _never(
        "it is in protected mode", "Give it a password, or bind it where only its clients reach it."
    ),
    "MOVED": _never(
        "it is one node of a cluster, and the keys are on another one",
        "A redis:// address is for one server. Write redis+cluster:// instead, with some of its nodes.",
    ),
}
"""By the word with which the server begins; MAXCLIENTS stands for one that has no word."""

_SAME = {"WRONGPASS": "NOAUTH", "ASK": "MOVED"}
_WORD = re.compile(rf"(?:^|-)({'|'.join([*KINDS, *_SAME])})\b")
_BY_CLASS: tuple[tuple[type[Exception], str], ...] = (
    (raised.OutOfMemoryError, "OOM"),
    (raised.BusyLoadingError, "LOADING"),
    (raised.ReadOnlyError, "READONLY"),
    (raised.MasterDownError, "MASTERDOWN"),
    (raised.ClusterDownError, "CLUSTERDOWN"),
    (raised.TryAgainError, "TRYAGAIN"),
    (raised.NoScriptError, "NOSCRIPT"),
    (raised.AuthenticationError, "NOAUTH"),
    (raised.AuthenticationWrongNumberOfArgsError, "NOAUTH"),
    (raised.NoPermissionError, "NOPERM"),
    (raised.MovedError, "MOVED"),
    (raised.AskError, "MOVED"),
)


_BY_PHRASE = (
    ("max number of clients", "MAXCLIENTS"),
    ("ACL failure in script", "NOPERM"),
    ("The user executing the script can't", "NOPERM"),  # Redis 6.2
)


def word_of(error: BaseException) -> str:
    """Which of the `KINDS` an error reply is; "" for one that is none of them."""
    for kind, word in _BY_CLASS:
        if isinstance(error, kind):
            return word
    for phrase, word in _BY_PHRASE:
        if phrase in str(error):
            return word
    found = _WORD.search(str(error))  # before Redis 7, an error inside a script is quoted in another one
    return _SAME.get(found[1], found[1]) if found else ""


def leaves(error: object) -> bool:
    """Whether `error` says that the connections to this server lead to the wrong one."""
    word = word_of(error) if isinstance(error, raised.RedisError) else ""
    return word != "" and KINDS[word].action is Action.RECONNECT


def refused(address: Address, error: Exception) -> BackendError | None:
    """What the server said no to; None when `error` is no answer of the server but a connection's end."""
    if isinstance(error, BackendError):
        return error
    if word := word_of(error):
        return _said(address, word, error)
    if isinstance(error, raised.ConnectionError | raised.TimeoutError | raised.InvalidResponse | OSError):
        return None
    return BackendError(
        f"Redis at {address} refused a command ({error}). Its data may not be chronoq's. "
        "Look at the keys of this namespace, or use another --namespace."
    )


def _said(address: Address, word: str, error: Exception) -> BackendError:
    kind = KINDS[word]
    if kind.error is LoginRefused:
        said = f"Redis refused the login for user {address.user!r}."
    elif kind.error is Lost:
        said = f"Lost {address}: {kind.why} ({word}). It may have carried out what it was asked."
    elif word == "NOPERM":
        said = f"Redis at {address} does not allow this to user {address.user!r}: {kind.why} ({error})."
    elif kind.action is Action.REFUSE:
        said = f"Redis at {address} refuses this: {kind.why} ({word})."
    else:
        said = f"Redis at {address} refuses this for now: {kind.why} ({word})."
    return kind.error(f"{said} {kind.advice}")


def unreachable(address: Address, error: Exception) -> Unreachable:
    """E01: nothing was sent."""
    why, meaning = _reason(error)
    advice = "Start Redis, set CHRONOQ_URL, or use memory:// to try without it."
    return Unreachable(f"Cannot reach {address} ({why}). {meaning} {advice}")


def unopened(address: Address, error: Exception) -> BackendError:
    """The server was reached, but would not open a connection such as the URL describes."""
    return BackendError(
        f"Redis at {address} refused the connection ({error}). The URL asks for something that the server "
        "does not have. Correct it, or CHRONOQ_URL."
    )


def lost(address: Address | str, error: Exception, *, begun: bool = False) -> Lost:
    why, _ = _reason(error)
    said = Lost(
        f"Lost {address} before it answered ({why}). It may have carried out what it was asked. "
        "Ask again when it is back."
    )
    said.begun = begun
    return said


def garbled(address: Address, error: Exception) -> Lost:
    """An answer came, but it is none that such a request can have."""
    return Lost(
        f"{address} answered something that makes no sense here ({type(error).__name__}: {error}). It may have "
        "carried out what it was asked. Look at what stands between: a proxy that mixes answers up is not safe."
    )


def too_old(version: str) -> TooOld:
    """E03."""
    floor = ".".join(map(str, FLOOR))
    advice = "Upgrade it, or use sqlite:///jobs.db on one machine."
    return TooOld(f"Redis {version} is too old; chronoq needs {floor}. {advice}")


def _reason(error: BaseException) -> tuple[str, str]:
    cause: BaseException | None = error
    while cause is not None:
        for kind, why, meaning in _REASONS:
            if isinstance(cause, kind):
                return why, meaning
        cause = cause.__cause__ or cause.__context__
    return str(error).rstrip(".") or type(error).__name__, "The connection failed."
