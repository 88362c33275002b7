"""A port whose calls fail on command: before they were carried out, or after, when only the reply is lost."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from attrs import define, field

from chronoq.domain.errors import BackendError, ChronoqError, Unknown, Unreachable

P = TypeVar("P")


@define
class _Wish:
    verbs: frozenset[str]
    after: bool
    left: int | None
    error: ChronoqError | None

    def covers(self, verb: str) -> bool:
        return (not self.verbs or verb in self.verbs) and self.left != 0


@define(eq=False)
class Outage(Generic[P]):
    """Stands in front of a port; `port` is what the application gets instead of the true one.

        outage = Outage(backend.queue)
        fetcher = Fetcher(outage.port, ...)
        outage.fail("settle", times=3, after=True)   # carried out, but the reply is lost
        outage.heal()

    `calls` and `failed` count by verb. A claim that brings verdicts is a settling as well: it is counted
    as both, and fails with either. Any thread may call.
    """

    true: P
    calls: Counter[str] = field(factory=Counter)
    failed: Counter[str] = field(factory=Counter)
    _wishes: list[_Wish] = field(factory=list)
    _guard: threading.Lock = field(factory=threading.Lock)
    port: P = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.port = cast("P", Front(self.true, self._call))

    def fail(
        self, *verbs: str, times: int | None = None, after: bool = False, error: ChronoqError | None = None
    ) -> None:
        """Let calls of these verbs (of all, when none is named) fail, `times` times or until healed.

        With `after` the call is carried out, and its reply is lost. The error is `Unreachable`; for a
        submission whose reply is lost it is `Unknown`, as a backend says it; or `error`.
        """
        for verb in verbs:
            if not callable(getattr(self.true, verb, None)):
                raise AttributeError(f"{type(self.true).__name__} has no verb {verb!r}")
        with self._guard:
            self._wishes.append(_Wish(frozenset(verbs), after, times, error))

    def heal(self) -> None:
        """From now on every call is answered again."""
        with self._guard:
            self._wishes.clear()

    @property
    def active(self) -> bool:
        """Whether some call will still fail."""
        return any(wish.left != 0 for wish in self._wishes)

    def _call(self, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        verbs = (verb, "settle") if kwargs.get("verdicts") else (verb,)
        with self._guard:
            self.calls.update(verbs)
            wish = next((wish for wish in self._wishes if any(map(wish.covers, verbs))), None)
            if wish is not None:
                self.failed.update(verbs)
                if wish.left is not None:
                    wish.left -= 1
        if wish is None or wish.after:
            answer = getattr(self.true, verb)(*args, **kwargs)
            if wish is None:
                return answer
        raise wish.error or lost(verb, args, after=wish.after)


class Front:
    """Looks like `true`, and hands every call of a verb to `call(verb, args, kwargs)`."""

    def __init__(self, true: object, call: Callable[[str, tuple[Any, ...], dict[str, Any]], Any]) -> None:
        self._true = true
        self._call = call

    def __getattr__(self, name: str) -> Any:
        value = getattr(object.__getattribute__(self, "_true"), name)
        if not callable(value):
            return value
        call = object.__getattribute__(self, "_call")

        def verb(*args: Any, **kwargs: Any) -> Any:
            return call(name, args, kwargs)

        self.__dict__[name] = verb
        return verb


def lost(verb: str, args: tuple[Any, ...], *, after: bool) -> ChronoqError:
    """What a backend raises when it got no answer; `after`: when it may have been carried out."""
    if after and verb == "submit":
        ids = [str(job.id) for job in args[0]]
        return Unknown(
            "Lost the backend before it answered. It may have carried out what it was asked.", ids=ids
        )
    error: BackendError = Unreachable("Cannot reach the backend (an outage in a test).")
    return error
