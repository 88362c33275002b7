"""A sqlite:// URL, taken apart, and the places that are refused."""

import re
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, unquote

from attrs import frozen

from chronoq.domain.errors import BadSetting, near

_SYNCHRONOUS = ("full", "normal", "off")
_REMOTE = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "ceph", "lustre", "gpfs", "beegfs"),
        *("glusterfs", "pvfs2", "orangefs", "davfs2"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone"),
    }
)
_OCTAL = re.compile(r"\\([0-7]{3})")


@frozen
class Address:
    """`path` is absolute. `synchronous`: when a commit counts as written; "off" is for tests."""

    path: Path
    synchronous: str = "full"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Errors: `BadSetting` for a URL that names no file of its own, or an unknown option."""
        rest, _, query = url.removeprefix("sqlite://").partition("?")
        if ":memory:" in rest or not rest.strip("/"):
            raise BadSetting(
                f"{url!r} names no file, so every process would see a store of its own. "
                "Use memory:// for one process, or sqlite:///jobs.db for a file."
            )
        if not rest.startswith("/"):
            raise BadSetting(
                f"{url!r} has a host where a file belongs. "
                f"Write sqlite:///{rest} for a relative path, sqlite:////{rest} for an absolute one."
            )
        options = dict(parse_qsl(query, keep_blank_values=True))
        synchronous = options.pop("synchronous", "full").lower()
        for name in options:
            raise BadSetting(f"{url!r} has the unknown option {name!r}.{near(name, ['synchronous'])}")
        if synchronous not in _SYNCHRONOUS:
            raise BadSetting(f"synchronous={synchronous!r} in {url!r}: give full or normal.")
        return cls(Path(unquote(rest[1:])).absolute(), synchronous)


def refuse_remote(path: Path, mounts: Path = Path("/proc/mounts")) -> None:
    """Errors: `BadSetting` for a file on a network file system, as far as this machine tells."""
    kind = _kind(path, mounts)
    if kind in _REMOTE:
        raise BadSetting(
            f"{path} is on a network file system ({kind}), where locks do not hold, so that jobs would run twice "
            "and the file break. Use a local disk, or redis:// for several machines."
        )


def _kind(path: Path, mounts: Path) -> str:
    """The type of the file system that `path` is on; "" where that is not told."""
    here = path.resolve()
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in lines:
        _, point, what, *_ = line.split(" ")
        place = Path(_OCTAL.sub(lambda found: chr(int(found[1], 8)), point))
        if here.is_relative_to(place) and len(place.parts) >= best:
            best, kind = len(place.parts), what
    return kind
