"""What a server had answered, and did not know any more when it came back."""

from __future__ import annotations

from contextlib import suppress
from threading import Event, Thread
from time import monotonic
from typing import Any, Self

from redis.exceptions import RedisError

from tests.servers import Server

KEY = "witness"


class Witness:
    """Counts up on the server all the time, remembers when, and compares after each outage.

    With `everysec` a server answers before it writes while its last sync is still under way, so that even a
    kill of its process alone can take back what it had answered. Into `torn` goes from when on the answers
    were forgotten, and when that was found. Entered with `with`.
    """

    def __init__(self, server: Server, torn: list[tuple[float, float]]) -> None:
        self._torn = torn
        self._server = server
        self._sent = [monotonic()]
        """When the count of that place was sent."""
        self._over = Event()
        self._thread = Thread(target=self._count, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _count(self) -> None:
        answered = 0
        with self._server.client(socket_timeout=2) as client:
            while not self._over.wait(0.005):
                count = len(self._sent)
                self._sent.append(monotonic())
                try:
                    client.set(KEY, count)
                    answered = count
                except (RedisError, OSError):
                    self._compare(client, answered)

    def _compare(self, client: Any, answered: int) -> None:
        while not self._over.wait(0.01):
            with suppress(RedisError, OSError):
                kept = int(client.get(KEY) or 0)
                if kept < answered:
                    self._torn.append((self._sent[kept], monotonic()))
                return
