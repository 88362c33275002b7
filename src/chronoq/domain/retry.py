"""How often, how late and after which errors an attempt is made again."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Self

from attrs import field, frozen

from chronoq.domain.errors import BadSetting
from chronoq.domain.time import ZERO, Duration, duration


@frozen
class Failure:
    """What a handler raised, as text. `lineage` names the class and its bases, nearest first."""

    type: str
    message: str = ""
    traceback: str = ""
    lineage: tuple[str, ...] = ()

    def is_a(self, names: Sequence[str]) -> bool:
        """Whether one of `names` is the error's class or a base of it, by bare or dotted name."""
        own = (self.type, *self.lineage)
        return any(name in own or name in {o.rpartition(".")[2] for o in own} for name in names)


def _delays(values: Sequence[Duration]) -> tuple[timedelta, ...]:
    return tuple(duration(value) for value in values)


def _names(values: Iterable[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(values)


@frozen
class RetryPolicy:
    """At most `retries` further attempts, each after a delay.

    `delays` is followed in order, its last one repeated. Each delay is doubled per attempt when
    `factor` is 2, never above `cap`, and with `jitter` any part of it from nothing to the whole
    (full jitter, so that a crowd that failed together does not come back together).
    With `retry_on`, only errors of those classes are retried; those of `give_up_on` never are.
    """

    retries: int = 3
    delays: tuple[timedelta, ...] = field(default=(timedelta(seconds=1),), converter=_delays)
    factor: float = 2.0
    cap: timedelta = field(default=timedelta(hours=1), converter=duration)
    jitter: bool = True
    retry_on: tuple[str, ...] = field(default=(), converter=_names)
    give_up_on: tuple[str, ...] = field(default=(), converter=_names)

    def __attrs_post_init__(self) -> None:
        if isinstance(self.retries, bool) or not isinstance(self.retries, int) or self.retries < 0:
            raise BadSetting(f"retries={self.retries!r}: give a whole number of 0 or more")
        if not self.delays or self.factor < 1:
            raise BadSetting("a RetryPolicy needs at least one delay, and a factor of 1 or more")

    @classmethod
    def exponential(
        cls,
        base: Duration = "1s",
        *,
        retries: int = 3,
        factor: float = 2.0,
        cap: Duration = "1h",
        retry_on: Iterable[str] = (),
        give_up_on: Iterable[str] = (),
    ) -> Self:
        """`base`, doubling, with full jitter, never above `cap`."""
        return cls(retries, (duration(base),), factor, duration(cap), True, retry_on, give_up_on)

    @classmethod
    def fixed(
        cls,
        delay: Duration,
        *,
        retries: int = 3,
        retry_on: Iterable[str] = (),
        give_up_on: Iterable[str] = (),
    ) -> Self:
        """The same delay each time, exactly."""
        return cls.listed([delay], retries=retries, retry_on=retry_on, give_up_on=give_up_on)

    @classmethod
    def listed(
        cls,
        delays: Sequence[Duration],
        *,
        retries: int | None = None,
        retry_on: Iterable[str] = (),
        give_up_on: Iterable[str] = (),
    ) -> Self:
        """These delays in order, exactly; as many retries as there are delays unless `retries` says more."""
        exact = _delays(delays)
        many = len(exact) if retries is None else retries
        return cls(many, exact, 1.0, max(exact, default=ZERO), False, retry_on, give_up_on)

    def wants(self, failure: Failure) -> bool:
        """Whether an error of this kind is worth another attempt."""
        if self.give_up_on and failure.is_a(self.give_up_on):
            return False
        return not self.retry_on or failure.is_a(self.retry_on)

    def delay(self, attempt: int, *, chance: float) -> timedelta:
        """How long to wait after the failed `attempt` (from 1). `chance` in [0, 1) settles the jitter."""
        step = min(attempt, len(self.delays)) - 1
        try:
            full = min(self.delays[step] * self.factor ** (attempt - 1 - step), self.cap)
        except OverflowError:
            full = self.cap
        return full * chance if self.jitter else full
