"""What redis-py raises, said in chronoq's words: what happened, why, and what to do next."""

import re
import socket
import ssl

import redis.exceptions as raised

from chronoq.adapters.redis.address import Address
from chronoq.domain.errors import BackendError, LoginRefused, NotReady, TooOld, Unreachable

FLOOR = (6, 2)

_REASONS: tuple[tuple[type[BaseException], str, str], ...] = (
    (ConnectionRefusedError, "connection refused", "Nothing is listening there."),
    (FileNotFoundError, "no such file", "No server has made that socket."),
    (PermissionError, "permission denied", "This user may not connect there."),
    (socket.gaierror, "unknown host", "No machine of that name is known here."),
    (ssl.SSLError, "TLS failed", "The server's certificate and the TLS options do not fit."),
    (TimeoutError, "timed out", "The machine does not answer."),
    (raised.TimeoutError, "timed out", "The server does not answer."),
)

_FOR_NOW = {
    "OOM": ("its memory is full", "Let workers drain it, delete data, or raise maxmemory."),
    "LOADING": ("it is loading its data after a start", "Try again when that is done."),
    "READONLY": ("it is a read-only replica", "Connect to the primary; after a failover, try again."),
    "MASTERDOWN": ("it is a replica that has lost its primary", "Connect to the primary, or mend the link."),
    "MISCONF": ("it cannot save its data to disk", "Look at the server's log and its disk."),
    "BUSY": (
        "a script has been running for too long",
        "Try again; SCRIPT KILL ends a script that only reads.",
    ),
    "CLUSTERDOWN": ("its cluster is down", "Try again when all slots are served."),
    "TRYAGAIN": ("its cluster is moving these keys", "Try again."),
    "NOREPLICAS": ("too few replicas are connected", "Connect replicas, or lower min-replicas-to-write."),
    "MAXCLIENTS": ("it has as many clients as it allows", "Close some, or raise maxclients."),
}
_WORD = re.compile(rf"(?:^|-)({'|'.join(_FOR_NOW)})\b")
_BY_CLASS: tuple[tuple[type[Exception], str], ...] = (
    (raised.OutOfMemoryError, "OOM"),
    (raised.BusyLoadingError, "LOADING"),
    (raised.ReadOnlyError, "READONLY"),
    (raised.MasterDownError, "MASTERDOWN"),
    (raised.ClusterDownError, "CLUSTERDOWN"),
    (raised.TryAgainError, "TRYAGAIN"),
)
_LOGIN = (raised.AuthenticationError, raised.AuthenticationWrongNumberOfArgsError)


class Lost(Unreachable):
    """A request was sent, and its answer never came: it may or may not have been carried out."""


def refused(address: Address, error: Exception) -> BackendError | None:
    """What the server said no to; None when `error` is no answer of the server but a connection's end."""
    if isinstance(error, _LOGIN) or "NOAUTH" in str(error):
        return LoginRefused(
            f"Redis refused the login for user {address.user!r}. The URL has no password, or a wrong one."
        )
    if (word := _for_now(error)) is not None:
        why, advice = _FOR_NOW[word]
        return NotReady(f"Redis at {address} refuses this for now: {why} ({word}). {advice}")
    if isinstance(error, raised.NoPermissionError) or "NOPERM" in str(error):
        return BackendError(
            f"Redis at {address} does not allow this to user {address.user!r} ({error}). "
            "Its access list lacks a command, key or channel. Allow it, or log in as another user."
        )
    if isinstance(error, raised.MovedError | raised.AskError):
        return BackendError(
            f"Redis at {address} is one node of a cluster, and the keys are on another one. "
            "A redis:// address is for one server. Give the address of a server of its own."
        )
    if isinstance(error, raised.ConnectionError | raised.TimeoutError | OSError):
        return None
    return BackendError(
        f"Redis at {address} refused a command ({error}). Its data may not be chronoq's. "
        "Look at the keys of this namespace, or use another --namespace."
    )


def _for_now(error: Exception) -> str | None:
    for kind, word in _BY_CLASS:
        if isinstance(error, kind):
            return word
    if "max number of clients" in str(error):
        return "MAXCLIENTS"
    found = _WORD.search(str(error))  # before Redis 7, an error inside a script is quoted in another one
    return found and found[1]


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


def lost(address: Address, error: Exception) -> Lost:
    why, _ = _reason(error)
    return Lost(
        f"Lost {address} before it answered ({why}). It may have carried out what it was asked. "
        "Ask again when it is back."
    )


def too_old(version: str) -> TooOld:
    """E03."""
    floor = ".".join(map(str, FLOOR))
    advice = "Upgrade it, or use memory:// to try without it."
    return TooOld(f"Redis {version} is too old; chronoq needs {floor}. {advice}")


def _reason(error: BaseException) -> tuple[str, str]:
    cause: BaseException | None = error
    while cause is not None:
        for kind, why, meaning in _REASONS:
            if isinstance(cause, kind):
                return why, meaning
        cause = cause.__cause__ or cause.__context__
    return str(error).rstrip(".") or type(error).__name__, "The connection failed."
