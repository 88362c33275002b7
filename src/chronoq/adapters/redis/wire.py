"""Runs operations on one server, one round trip for as many as are given."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeGuard, TypeVar

from hiredis import pack_command
from redis.exceptions import ConnectionError as ConnectionEnded
from redis.exceptions import NoScriptError, RedisError, ResponseError

from chronoq.adapters.redis import trouble
from chronoq.adapters.redis.address import Address, Line
from chronoq.adapters.redis.calls import Call, Operation, Word, popping
from chronoq.adapters.redis.lines import Lines
from chronoq.adapters.redis.link import Confirmation, Link
from chronoq.adapters.redis.recall import Recall
from chronoq.domain.errors import BackendError, ChronoqError, Unreachable
from chronoq.domain.ports import nothing
from chronoq.domain.stream import Stream

T = TypeVar("T")

PIECE = 50_000
"""Bytes to send at once, of what is made bit by bit: the server is not woken for too little, but to begin."""

FORGOTTEN = 3
"""How often scripts are sent anew within one round trip, while somebody flushes them."""


class Wire:
    """Safe for many threads: each round trip has a connection of its own, taken from a pool.

    `on_loss` is told whenever a connection broke. `confirmation` follows what is to be durable, in the
    same round trip. Errors: `Unreachable` (nothing was sent), `Lost` (sent, but the answer never came),
    `LoginRefused`, `NotReady`, `NotDurable` (carried out, but not confirmed), `BackendError`.
    """

    def __init__(self, address: Address, *, longer: float = 0) -> None:
        self.address = address
        self.on_loss: Callable[[], None] = lambda: None
        self.confirmation: Confirmation | None = None
        self._lines = Lines(address, longer=longer)
        self._brought: set[str] = set()

    @property
    def closed(self) -> bool:
        return self._lines.closed

    @closed.setter
    def closed(self, closed: bool) -> None:
        self._lines.closed = closed

    def run(self, operation: Operation[T]) -> T:
        """The answer to one operation. Alone, and of a script that the server knows, it needs half of the work."""
        if self.confirmation is not None or _brings_text(operation, self._brought):
            return self.run_all([operation])[0]
        try:
            reply = self._lone(operation)
        except trouble.Lost as error:
            (reply,) = self._once_more([operation], error)
        else:
            if isinstance(reply, NoScriptError) and isinstance(operation, Call):  # it has not run
                self._brought.discard(operation.script.sha)
                return self.run_all([operation])[0]
            if isinstance(reply, Exception):
                raise self._refused(reply) from reply
        return self._answer(operation, reply)

    def run_all(
        self,
        operations: Sequence[Operation[T]],
        *,
        meanwhile: Callable[[], None] = nothing,
        recall: Recall | None = None,
    ) -> list[T]:
        """The answers, in order, in one round trip; `meanwhile` is done when they have been asked for.

        Of a `Stream` what is made is sent before the next is made, if that is worth it, so that the server
        works on the first while the last are still made.
        A lost answer is asked for once more where that does no harm; a server that is merely slow
        is not asked again.
        """
        if not operations:
            return []
        try:
            replies = self._replies(operations, meanwhile, recall)
        except trouble.Lost as error:
            replies = self._once_more(operations, error)
        return list(map(self._answer, operations, replies))

    def _once_more(self, operations: Sequence[Operation[T]], error: trouble.Lost) -> list[Any]:
        """The replies after all, to what was asked without hearing any: where it does no harm to ask again."""
        if not isinstance(error.__cause__, ConnectionEnded) or not all(one.again for one in operations):
            raise error
        try:
            return self._replies(operations)
        except Unreachable as second:
            raise trouble.lost(self.address, error.__cause__) from second

    def _answer(self, operation: Operation[T], reply: Any) -> T:
        try:
            return operation.parse(reply)
        except ChronoqError:
            raise
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            self._leave()  # one that has lost count would give every later question a wrong answer
            raise trouble.garbled(self.address, error) from error

    def pop(self, lists: Sequence[str], seconds: float) -> str:
        """Take an entry from the first list that has one; its name, or "" when none came in time."""
        return self.run(popping(lists, seconds))

    def pop_then(
        self, lists: Sequence[str], seconds: float, then: Sequence[Operation[T]], *, recall: Recall
    ) -> list[T]:
        operations: list[Operation[Any]] = [popping(lists, seconds), *then]
        return self.run_all(operations, recall=recall)[1:]

    def take(self) -> Line:
        """A connection to use alone until it is given back. Errors: `Unreachable`."""
        try:
            return self._lines.take()
        except (RedisError, OSError) as error:
            self.on_loss()
            raise self._no_connection(error) from error

    def give_back(self, connection: Line, *, broken: bool = False) -> None:
        self._lines.give_back(connection, broken=broken)

    def _leave(self) -> None:
        """Give up every connection that waits: they lead to the wrong server, or cannot be trusted."""
        self._lines.leave()
        self.on_loss()

    def each(self) -> Sequence[Link]:
        return [self]

    def close(self) -> None:
        self._lines.close()

    def _no_connection(self, error: Exception) -> BackendError:
        if type(error) is ResponseError:
            return trouble.unopened(self.address, error)
        return trouble.refused(self.address, error) or trouble.unreachable(self.address, error)

    def _replies(
        self,
        operations: Sequence[Operation[T]],
        meanwhile: Callable[[], None] = nothing,
        recall: Recall | None = None,
    ) -> list[Any]:
        replies = self.replies(operations, meanwhile, recall)
        for reply in replies:
            if isinstance(reply, Exception):
                error = self._refused(reply)
                raise error from (None if error is reply else reply)
        return replies

    def _refused(self, reply: Exception) -> BackendError:
        return trouble.refused(self.address, reply) or BackendError(str(reply))

    def _lone(self, operation: Operation[Any]) -> Any:
        """As the server gave it: the reply to one operation, or redis-py's exception."""
        connection, broken = self.take(), True
        try:
            connection.send_packed_command([_packed(operation.words)], check_health=False)
            reply = _reply(connection)
            broken = isinstance(reply, Exception) and trouble.leaves(reply)
        except Exception as error:
            if (lost := self._lost(error)) is None:
                raise
            raise lost from error
        finally:
            self.give_back(connection, broken=broken)
        if broken:
            self._leave()
        return reply

    def replies(
        self,
        operations: Sequence[Operation[Any]],
        meanwhile: Callable[[], None] = nothing,
        recall: Recall | None = None,
    ) -> list[Any]:
        """As the server gave them, in one round trip; what it refused is redis-py's exception in that place.

        What is not confirmed to be durable has `NotDurable` in its place.
        """
        connection, broken = self.take(), True
        last = self.confirmation
        if last and not any(one.durable for one in operations):
            last = None
        try:
            if last:
                self._meet(connection, last)
                last = last if last.words else None
            if recall:
                recall.held(connection)
            replies = self._answers(connection, operations, [last.words] if last else [], meanwhile)
            broken = any(isinstance(reply, Exception) and trouble.leaves(reply) for reply in replies)
        finally:
            usable = recall.left() if recall else True
            # replies that nobody read would answer somebody else's question
            self.give_back(connection, broken=broken or not usable)
        if broken:
            self._leave()
        if last:
            answer = last.check(replies.pop())
            for at, one in enumerate(operations):
                if answer and one.durable and not isinstance(replies[at], Exception):
                    replies[at] = answer
        return replies

    def _meet(self, connection: Line, confirmation: Confirmation) -> None:
        if connection not in self._lines.met:
            try:
                confirmation.meet(connection, self.address)
            except (RedisError, OSError) as error:
                self.on_loss()
                raise self._no_connection(error) from error
            self._lines.met.add(connection)

    def _answers(
        self,
        connection: Line,
        operations: Sequence[Operation[T]],
        last: list[Sequence[Word]],
        meanwhile: Callable[[], None],
    ) -> list[Any]:
        """One for each, after sending what the server has forgotten: what it does not know it has not run."""
        # a script's first use brings its text: sent after a refusal, it would come behind the rest of its batch
        step_by_step = isinstance(operations, Stream)
        requests = chain(_in_full(operations, self._brought), last)
        replies = self._exchange(connection, requests, step_by_step=step_by_step, meanwhile=meanwhile)
        for _ in range(FORGOTTEN):
            unknown = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if not unknown:
                break
            full = _in_full([operations[at] for at in unknown], set())
            again = self._exchange(connection, chain(full, last), begun=True)
            for at, reply in zip([*unknown, *range(-len(last), 0)], again, strict=True):
                replies[at] = reply
        return replies

    def _exchange(
        self,
        connection: Line,
        requests: Iterable[Sequence[Word]],
        *,
        step_by_step: bool = False,
        meanwhile: Callable[[], None] = nothing,
        begun: bool = False,
    ) -> list[Any]:
        """One reply, or the server's error, for each request. Sent together, or in pieces as they are made.

        `begun`: they go on with an operation of which a part has been answered.
        """
        asked, ready, size = 0, list[bytes](), 0
        replies: list[Any] = []
        try:
            for request in map(_packed, requests):
                asked, size = asked + 1, size + len(request)
                ready.append(request)
                # the first goes at once: from then on the server works beside us
                if step_by_step and (size > PIECE or asked == 1):
                    connection.send_packed_command([b"".join(ready)], check_health=False)
                    ready, size = [], 0
            if ready:
                connection.send_packed_command([b"".join(ready)], check_health=False)
            meanwhile()
            # one by one: an error leaves what came before
            replies += (_reply(connection) for _ in range(asked))
            return replies
        except Exception as error:
            if (lost := self._lost(error, begun=begun or bool(replies))) is None:
                raise
            raise lost from error

    def _lost(self, error: Exception, *, begun: bool = False) -> BackendError | None:
        """What it means that no reply came; None: a mistake of ours. `begun`: a part of it has been answered."""
        if isinstance(error, RedisError | OSError):
            self.on_loss()
            return trouble.refused(self.address, error) or trouble.lost(self.address, error, begun=begun)
        if self.closed:  # the connection was taken apart under our hands
            return trouble.lost(self.address, error)
        return None


def _packed(words: Sequence[Word]) -> bytes:
    """Packed without redis-py's own checks of each word, which cost more than the rest of the call."""
    packed: bytes = pack_command(tuple(words))  # type: ignore[arg-type]  # its stub knows one word only
    return packed


def _reply(connection: Line) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def _brings_text(operation: Operation[Any], brought: set[str]) -> TypeGuard[Call[Any]]:
    """Whether its script's text has to come with it."""
    return isinstance(operation, Call) and operation.script.sha not in brought


def _in_full(operations: Iterable[Operation[Any]], brought: set[str]) -> Iterator[Sequence[Word]]:
    """The calls, of which the first of each script brings its text, unless that was brought before."""
    for one in operations:
        if _brings_text(one, brought):
            brought.add(one.script.sha)
            yield one.words_in_full
        else:
            yield one.words
