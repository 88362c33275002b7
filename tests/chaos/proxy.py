"""A TCP proxy that knows to which request a reply belongs, and does harm to the reply.

It stands between clients and one server on loopback. Requests are read frame by frame, and so are
replies; for each reply the plan may say what becomes of it. Every way is tried with every command
before any is tried again, so that a run covers command x way.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter, deque
from contextlib import suppress
from enum import StrEnum
from threading import Thread
from time import monotonic
from typing import Self

from attrs import define, field

from chronoq.adapters.redis.calls import load_scripts


class Way(StrEnum):
    DROP = "drop"
    """Carried out; the reply is gone and the connection ended."""
    DELAY = "delay"
    """The reply comes late."""
    SWALLOW = "half-open"
    """Carried out; nothing is ever heard on this connection again, and it stays open."""
    CUT = "cut"
    """Half of the reply, then the end."""
    RESET = "reset"
    """Carried out; the connection is reset."""
    REFUSE = "refuse"
    """Never carried out; the connection is reset."""


@define
class Proxy:
    """Entered with `with`; listens on `port`, leads to `target`. Harms nothing until `arm`."""

    target: int
    seed: int
    share: float = 0.02
    """How many of all replies are harmed, once every command has seen every way."""
    port: int = 0
    done: Counter[tuple[str, Way]] = field(factory=Counter)
    at: list[float] = field(factory=list)
    seen: Counter[str] = field(factory=Counter)
    chances: Counter[str] = field(factory=Counter)
    """How often harm could have been done to a command."""
    armed: bool = False
    pace: float = 0.05
    """Seconds between two faults at least."""
    _rng: random.Random = field(init=False)
    _names: dict[bytes, str] = field(init=False)
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.new_event_loop, init=False)
    _thread: Thread = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._names = {script.sha.encode(): name for name, script in load_scripts().known.items()}
        self._names |= {script.body.encode(): name for name, script in load_scripts().known.items()}

    def __enter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = listener.getsockname()[1]
        self._thread = Thread(target=self._run, args=(listener,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, listener: socket.socket) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(lambda loop, context: None)
        door = self._loop.run_until_complete(asyncio.start_server(self._serve, sock=listener))
        self._loop.run_forever()
        door.close()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0.01))  # transports close in a turn of their own

    async def _serve(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        try:
            far, to_far = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            to_near.transport.abort()
            return
        asked: deque[str] = deque()
        pumps = [
            asyncio.ensure_future(self._requests(near, to_far, asked, to_near)),
            asyncio.ensure_future(self._replies(far, to_near, asked)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            for side in (to_near, to_far):
                with suppress(OSError, RuntimeError):
                    side.close()

    async def _requests(
        self,
        near: asyncio.StreamReader,
        to_far: asyncio.StreamWriter,
        asked: deque[str],
        to_near: asyncio.StreamWriter,
    ) -> None:
        with suppress(OSError, EOFError):
            while True:
                words, raw = await _request(near)
                name = self._name(words)
                if self._harm(name, (Way.REFUSE,)):
                    _reset(to_near)
                    return
                asked.append(name)
                to_far.write(raw)
                await to_far.drain()

    async def _replies(
        self, far: asyncio.StreamReader, to_near: asyncio.StreamWriter, asked: deque[str]
    ) -> None:
        with suppress(OSError, EOFError):
            while True:
                raw = await _reply(far)
                name = "message" if raw.startswith(b"*3\r\n$7\r\nmessage\r\n") else ""
                name = name or (asked.popleft() if asked else "?")
                self.seen[name] += 1
                way = self._harm(name, tuple(way for way in Way if way is not Way.REFUSE))
                match way:
                    case Way.DROP:
                        return
                    case Way.DELAY:
                        await asyncio.sleep(self._rng.uniform(0.05, 0.4))
                        to_near.write(raw)
                    case Way.SWALLOW:
                        while await far.read(65536):
                            pass
                        await asyncio.sleep(3600)
                    case Way.CUT:
                        to_near.write(raw[: max(1, len(raw) // 2)])
                        await to_near.drain()
                        return
                    case Way.RESET:
                        _reset(to_near)
                        return
                    case _:
                        to_near.write(raw)
                await to_near.drain()

    def _harm(self, name: str, ways: tuple[Way, ...]) -> Way | None:
        """What becomes of this one: None, all is well."""
        if not self.armed or (self.at and monotonic() < self.at[-1] + self.pace):
            return None
        self.chances[name] += 1
        fresh = [way for way in ways if not self.done[name, way]]
        if not fresh and self._rng.random() > self.share:
            return None
        way = self._rng.choice(fresh or list(ways))
        self.done[name, way] += 1
        self.at.append(monotonic())
        return way

    def _name(self, words: list[bytes]) -> str:
        command = words[0].upper()
        if command in (b"EVALSHA", b"EVAL"):
            return self._names.get(words[1], "script")
        return command.decode(errors="replace")

    @property
    def missing(self) -> list[str]:
        """Commands that were not harmed in every way, though there were chances enough.

        What is sent once, when a process starts, has too few.
        """
        return sorted(
            f"{name}:{way}"
            for name, chances in self.chances.items()
            if name != "?" and chances >= 3 * len(Way)
            for way in Way
            if not self.done[name, way] and not (name == "message" and way is Way.REFUSE)
        )


async def _request(stream: asyncio.StreamReader) -> tuple[list[bytes], bytes]:
    head = await stream.readuntil(b"\r\n")
    raw, words = [head], []
    for _ in range(int(head[1:])):
        size = await stream.readuntil(b"\r\n")
        body = await stream.readexactly(int(size[1:]) + 2)
        raw += [size, body]
        words.append(body[:-2])
    return words, b"".join(raw)


async def _reply(stream: asyncio.StreamReader) -> bytes:
    """One whole reply of RESP2, nested arrays and all."""
    raw: list[bytes] = []
    left = 1
    while left:
        left -= 1
        head = await stream.readuntil(b"\r\n")
        raw.append(head)
        if head[:1] == b"$" and int(head[1:]) >= 0:
            raw.append(await stream.readexactly(int(head[1:]) + 2))
        elif head[:1] == b"*":
            left += max(0, int(head[1:]))
    return b"".join(raw)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
