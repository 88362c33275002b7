"""Fresh names for jobs and processes."""

import os

from attrs import define, field

from chronoq.domain.forks import begin_anew

_RANDOM = 14
_LETTERS = b"234567abcdefghijklmnopqrstuvwxyz"
_OF_BYTES = _LETTERS * 8
"""One of 32 for each byte: five of its bits."""
_ENDS = [chr(one) + chr(two) for one in reversed(_LETTERS[:8]) for two in reversed(_LETTERS)]


@define(eq=False)
class Mint:
    """Makes job keys of 16 characters, 256 at a time: 70 random bits, and a number of two characters.

    Those of one time are neighbours, in order: an index of keys is written in one place and not all over. Any
    thread may ask; a forked child makes its own.
    """

    stock: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        begin_anew(self)  # to ask for the process with each key takes as long as all the rest

    def key(self) -> str:
        try:
            return self.stock.pop()
        except IndexError:
            begin = os.urandom(_RANDOM).translate(_OF_BYTES).decode()
            *rest, key = (begin + end for end in _ENDS)
            self.stock += rest
            return key

    def in_child(self) -> None:
        self.stock.clear()


def new_key() -> str:
    """One key of a job."""
    return Mint().key()


def new_process_id(host: str) -> str:
    """A process's name: where it runs, its pid, and what tells it from one that had the pid before."""
    return f"{host}-{os.getpid()}-{os.urandom(3).hex()}"


def host_name() -> str:
    import platform  # it loads what runs other programs

    return platform.node() or "localhost"
