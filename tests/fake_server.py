"""Something that a client takes for a Redis server, and that answers whatever the test says."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import time
from types import TracebackType
from typing import BinaryIO, Self

CUT = b"cut"
"""Instead of an answer: close the connection."""

SILENCE = b"silence"
"""Instead of an answer: nothing, with the connection left open."""

Words = Sequence[bytes]
Answer = bytes | Callable[[Words], bytes]


class FakeServer:
    """Listens on a loopback port from the start of the `with` block to its end.

        with FakeServer() as fake:
            backend = open_backend(fake.url)                  # it behaves until it is told otherwise
            fake.says(error("READONLY You can't write against a read only replica."))
            fake.says(CUT, to="EVALSHA")
            fake.behaves()

    What `says` was given for a command goes before what it was given for all. The handshake (AUTH, HELLO,
    SELECT, CLIENT) is always answered as a server would, unless it is named. `asked` counts the commands,
    `connections` the connections that were made.
    """

    def __init__(self, version: str = "7.2.4") -> None:
        self.version = version
        self.asked: Counter[str] = Counter()
        self.connections = 0
        self._answers: dict[str, Answer] = {}
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.hang_up()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def says(self, answer: Answer, *, to: str = "") -> None:
        """From now on `answer` is the reply to that command, or to every one: RESP bytes, `CUT`, `SILENCE`,
        or a function from the words of the request to one of these."""
        self._answers[to.upper()] = answer

    def behaves(self) -> None:
        """Forget what it was told to say."""
        self._answers.clear()

    def hang_up(self) -> None:
        """Close every connection that is open now."""
        with self._guard:
            open_now, self._open = self._open, set()
        for connection in open_now:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with self._guard:
                    self.connections += 1
                    self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError), connection, connection.makefile("rb") as stream:
            while words := _request(stream):
                with self._guard:
                    self.asked[_name(words)] += 1
                answer = self._answer(words)
                if answer == CUT:
                    connection.shutdown(socket.SHUT_RDWR)
                    return
                if answer != SILENCE:
                    connection.sendall(answer)

    def _answer(self, words: Words) -> bytes:
        name = _name(words)
        usual = _HANDSHAKE.get(name)
        told = self._answers.get(name) or (None if usual else self._answers.get(""))
        if told is not None:
            return told if isinstance(told, bytes) else told(words)
        if name == "GET":
            return b"$-1\r\n"
        if name == "SMEMBERS":
            return array()
        if name == "INFO":
            return bulk(f"# Server\r\nredis_version:{self.version}\r\n")
        if name == "TIME":
            seconds, rest = divmod(time(), 1)
            return array(bulk(f"{seconds:.0f}"), bulk(f"{rest * 1_000_000:.0f}"))
        return usual or error(f"ERR unknown command '{name}'")


def error(text: str) -> bytes:
    return f"-{text}\r\n".encode()


def bulk(text: str) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text.encode()), text.encode())


def array(*items: bytes) -> bytes:
    return b"*%d\r\n%b" % (len(items), b"".join(items))


_HANDSHAKE = dict.fromkeys(("AUTH", "SELECT", "CLIENT"), b"+OK\r\n") | {"PING": b"+PONG\r\n"}


def _request(stream: BinaryIO) -> list[bytes]:
    """The words of the next request; [] at the end of the connection."""
    head = stream.readline()
    if not head.startswith(b"*"):
        return []
    words = []
    for _ in range(int(head[1:])):
        length = int(stream.readline()[1:])
        words.append(stream.read(length + 2)[:-2])
    return words


def _name(words: Sequence[bytes]) -> str:
    """The command; a script is one whether it comes with its text (EVAL) or without."""
    name = words[0].decode().upper()
    return "EVALSHA" if name == "EVAL" else name
