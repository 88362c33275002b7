"""A real PostgreSQL server for tests: on a Unix socket in a folder of its own, gone when its test is."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.servers import eventually

USER = "chronoq"


def find_programs() -> Path | None:
    """The folder with `initdb` and `postgres`: where Debian puts the newest, else on PATH; None: not here."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    for folder in (*reversed(debian), *map(Path, os.get_exec_path())):
        if all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres")):
            return folder
    return None


def _unprivileged() -> str | None:
    """Whom to run it as: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {one.pw_name for one in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


class Postgres:
    """An empty server; leaving the `with` block ends it, and its files are gone. The data outlast a `crash`."""

    def __init__(self) -> None:
        programs = find_programs()
        if programs is None:
            raise LookupError("no PostgreSQL server on this machine")
        self._programs = programs
        self._user = _unprivileged()
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            if self._user:
                shutil.chown(self.folder, self._user)
            flags = ("--auth=trust", f"--username={USER}", "--encoding=UTF8", "--no-locale", "--no-sync")
            self._run("initdb", f"--pgdata={self.folder / 'data'}", *flags).check_returncode()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}@/{database}?host={self.folder}"

    def connect(self, **options: Any) -> Any:
        """A connection of psycopg, with a transaction that begins by itself."""
        import psycopg

        return psycopg.connect(self.url(), **options)

    def start(self) -> None:
        """It answers when this returns; RuntimeError with its log when it does not come up."""
        assert self._process is None, "it runs already"
        settings = ("listen_addresses=", f"unix_socket_directories={self.folder}", "fsync=off")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self._programs / "postgres"),
                    *("-D", str(self.folder / "data")),
                    *(part for one in settings for part in ("-c", one)),
                ],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
                user=self._user,
                group=pwd.getpwnam(self._user).pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
            )
        process = self._process
        with suppress(AssertionError):
            eventually(lambda: self._answers() or process.poll() is not None, 30)
        if not self._answers():
            log_text = (self.folder / "log").read_text(errors="replace")
            self.crash()
            raise RuntimeError(f"PostgreSQL did not start; its log:\n{log_text}")

    def crash(self) -> None:
        """End it at once, without a word to its clients; it recovers at the next start."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def close(self) -> None:
        self.crash()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        with suppress(Exception):
            self.connect(connect_timeout=2).close()
            return True
        return False

    def _run(self, program: str, *args: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [str(self._programs / program), *args],
            cwd=self.folder,
            capture_output=True,
            user=self._user,
            group=pwd.getpwnam(self._user).pw_gid if self._user else None,
            extra_groups=[] if self._user else None,
            check=False,
        )
