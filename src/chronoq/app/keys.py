"""Fresh names for jobs and processes."""

import os

from attrs import define, field

_LENGTH = 16
_AT_ONCE = 256
_LETTERS = b"abcdefghijklmnopqrstuvwxyz234567" * 8
"""One of 32 for each byte: five of its bits."""


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
            text = os.urandom(_LENGTH * _AT_ONCE).translate(_LETTERS).decode()
            key, *rest = (text[at : at + _LENGTH] for at in range(0, len(text), _LENGTH))
            self.stock += rest
            return key


def new_key() -> str:
    """One key of a job."""
    return Mint().key()


def new_process_id(host: str) -> str:
    """A process's name: where it runs, its pid, and what tells it from one that had the pid before."""
    return f"{host}-{os.getpid()}-{os.urandom(3).hex()}"


def host_name() -> str:
    import platform  # it loads what runs other programs

    return platform.node() or "localhost"
