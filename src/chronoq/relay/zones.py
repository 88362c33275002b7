"""The time zone of this machine, by its name."""

import os
import time
from pathlib import Path

ZONES = "/zoneinfo/"
ALIKE = ("Etc/UTC", "Etc/UCT", "Etc/Zulu", "Etc/Universal", "Universal", "Zulu", "UCT")


def local_zone() -> str | None:
    """Its IANA name; None when it has none that is known."""
    named = os.environ.get("TZ", "").removeprefix(":")
    if named and not named.startswith("/"):
        return named
    path = named or os.path.realpath("/etc/localtime")
    if ZONES in path and Path(path).exists():
        found = path.partition(ZONES)[2].removeprefix("posix/").removeprefix("right/")
        return "UTC" if found in ALIKE else found
    return None if time.timezone or time.daylight else "UTC"
