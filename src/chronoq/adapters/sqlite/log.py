"""Room in the write-ahead log, made before it is needed.

A commit that makes the log longer waits for the file system's own books besides its data. Where the log has room
it writes over zeros, which SQLite takes for the end of what was written.
"""

import os
from contextlib import suppress

from attrs import define

_HEAD, _FRAME = 32, 24 + 4096
_LEAST, _STEP, _MOST = 64, 500, 4000
"""Frames: the room that is made at least and at most, and the length of a log that begins anew
(`wal_autocheckpoint`)."""
_FULL = _HEAD + _MOST * _FRAME


@define
class Log:
    """The log of one file, as this process sees it. When it was too short, it is doubled, by 2 MB at the most."""

    path: str
    short: bool = False
    """The last commit made it longer."""
    _size: int | None = None

    def look(self) -> None:
        """To be called after each commit."""
        if self._size is not None and self._size >= _FULL:
            return
        with suppress(OSError):
            size = os.stat(self.path).st_size
            self.short = self._size is not None and size > self._size
            self._size = size

    def forget(self) -> None:
        """To be called when the file is closed: the log may be another one next time."""
        self.short, self._size = False, None

    def make_room(self) -> None:
        """To be called while nobody else writes. Where there is no room on the disk, nothing happens."""
        self.short = False
        with suppress(OSError):
            file = os.open(self.path, os.O_RDWR)
            try:
                size = os.fstat(file).st_size
                frames = (size - _HEAD) // _FRAME
                if frames < _MOST and any(os.pread(file, 24, _HEAD + (frames - 1) * _FRAME)):
                    _grow(file, size, min(_HEAD + (frames + min(frames + _LEAST, _STEP)) * _FRAME, _FULL))
                self._size = os.fstat(file).st_size
            finally:
                os.close(file)


def _grow(file: int, size: int, end: int) -> None:
    """All or nothing: the last room on a disk is for what has to be written."""
    if os.pwrite(file, bytes(end - size), size) < end - size:
        os.ftruncate(file, size)
