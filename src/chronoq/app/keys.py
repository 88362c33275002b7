"""Fresh names for jobs and processes."""

import base64
import os
import platform
import random

from attrs import define, field

_LENGTH = 16
_AT_ONCE = 64


@define
class Mint:
    """Makes job keys, of 80 random bits in 16 characters each.

    One call to the system brings many. Any thread may ask; a forked child makes its own.
    """

    stock: list[str] = field(factory=list)
    pid: int = 0

    def key(self) -> str:
        if self.pid != os.getpid():
            self.stock, self.pid = [], os.getpid()
        try:
            return self.stock.pop()
        except IndexError:
            text = base64.b32encode(os.urandom(10 * _AT_ONCE)).decode().lower()
            key, *rest = (text[at : at + _LENGTH] for at in range(0, len(text), _LENGTH))
            self.stock += rest
            return key


def new_key() -> str:
    """One key of a job."""
    return Mint().key()


def new_process_id(host: str) -> str:
    """A process's name: where it runs, its pid, and what tells it from one that had the pid before."""
    return f"{host}-{os.getpid()}-{random.getrandbits(24):06x}"


def host_name() -> str:
    return platform.node() or "localhost"
