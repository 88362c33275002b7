"""Room in the write-ahead log, made before it is needed.

A commit that makes the log longer waits for the file system's own books besides its data. Where the log has room
it writes over zeros, which SQLite takes for the end of what was written.
"""

import os
from contextlib import suppress

from attrs import define

_HEAD, _FRAME = 32, 24 + 4096
_LEAST, _STEP, MOST = 64, 500, 2000
"""Frames: the room that is made at least and at most, and the length of a log that begins anew."""
_FULL = _HEAD + MOST * _FRAME
_PIECE = 16_384
"""Bytes. What is written at once may become one large page of the system's cache, and a sync goes through all of
it wherever a part was changed: with two megabytes at once, each took half as long again."""


@define
class Log:
    """The log of one file, as this process sees it. When it was too short, it is doubled, by 2 MB at the most."""

    path: str
    synced: bool = True
    """Whether each commit is: else nobody waits, and no room is made."""
    short: bool = False
    """The last commit made it longer."""
    _size: int = 0
    _file: int | None = None

    def look(self) -> None:
        """To be called after each commit."""
        if self._file is None:
            self._open()
        # not by a `stat`: after one, the next write to the file has to note its time, and its sync waits for that
        elif (size := os.lseek(self._file, 0, os.SEEK_END)) != self._size:
            self.short = self._size < size < _FULL
            self._size = size

    def _open(self) -> None:
        if self.synced:
            with suppress(OSError):
                self._file = os.open(self.path, os.O_RDWR)
                self._size = os.lseek(self._file, 0, os.SEEK_END)

    def forget(self) -> None:
        """To be called when the file is closed: the log may be another one next time."""
        file, self._file = self._file, None  # forgotten first: its number may be another file's next
        self.short, self._size = False, 0
        if file is not None:
            os.close(file)

    def make_room(self) -> None:
        """To be called while nobody else writes. Where there is no room on the disk, nothing happens."""
        self.short = False
        if (file := self._file) is None:
            return
        with suppress(OSError):
            size = os.lseek(file, 0, os.SEEK_END)
            frames = (size - _HEAD) // _FRAME  # none: it was emptied, by a `vacuum`
            if 0 < frames < MOST and any(os.pread(file, 24, _HEAD + (frames - 1) * _FRAME)):
                _grow(file, size, min(_HEAD + (frames + min(frames + _LEAST, _STEP)) * _FRAME, _FULL))
        self._size = os.lseek(file, 0, os.SEEK_END)


def _grow(file: int, size: int, end: int) -> None:
    """All or nothing: the last room on a disk is for what has to be written."""
    at = size
    try:
        while at < end:
            at += os.pwrite(file, bytes(min(_PIECE - at % _PIECE, end - at)), at)
    except OSError:
        os.ftruncate(file, size)
        raise
