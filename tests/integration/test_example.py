"""The example indexes Python's standard library, while one of its workers is killed."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sqlite3
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import ModuleType

import pytest

from chronoq import errors
from chronoq.domain.job import State
from tests.faults_app import ROOT
from tests.proc import Process, chronoq
from tests.servers import Server, eventually

NewServer = Callable[..., Server]

HERE = ROOT / "examples" / "file_index"
STDLIB = Path(sysconfig.get_paths()["stdlib"])
LARGE = 1 << 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A few files of our own beside the library: a large one, and links that lead nowhere."""
    folder = tmp_path / "ours"
    folder.mkdir()
    with (folder / "large").open("wb") as file:
        file.truncate(LARGE)  # all zeros, and none of them on disk
    (folder / "later").symlink_to(tmp_path / "target")
    (folder / "never").symlink_to(tmp_path / "nothing")
    return folder


@pytest.fixture
def env(new_server: NewServer, tmp_path: Path, folder: Path) -> dict[str, str]:
    return {
        "CHRONOQ_URL": new_server().url(),
        "CHRONOQ_LEASE": "2s",
        "FILE_INDEX_FOLDERS": f"{STDLIB}{os.pathsep}{folder}",
        "FILE_INDEX_DB": str(tmp_path / "index.db"),
    }


@pytest.fixture
def example(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The example's module, set up like the processes."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("file_index_example", HERE / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    module.app.close()


def walked(*folders: Path) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 of every file, found in another way than the example's."""
    found = {}
    for folder in folders:
        for path in folder.glob("**/*"):
            left_out = {"site-packages", "__pycache__", "node_modules", ".git", ".venv"}
            if path.is_file() and not left_out & set(path.relative_to(folder).parts):
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                found[str(path)] = (path.stat().st_size, digest)
    return found


def test_it_indexes_the_standard_library_though_a_worker_is_killed(
    example: ModuleType, env: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    app = example.app
    backend = app.backend

    def indexed() -> int:
        with closing(sqlite3.connect(env["FILE_INDEX_DB"])) as db:
            try:
                return int(db.execute("SELECT count(*) FROM files").fetchone()[0])
            except sqlite3.OperationalError:
                return 0

    def ended() -> bool:
        counts = backend.queue.counts(["files"], now=backend.clock.now())[0]
        return counts.accepted > 0 and counts.ready + counts.delayed + counts.running == 0

    def named(path: Path) -> str:
        return f"files:{example.version(str(path), path.lstat().st_mtime_ns)}"

    with ExitStack() as stack:

        def started(command: str) -> Process:
            return stack.enter_context(chronoq(command, "--app", "app:app", env=env, cwd=HERE))

        started("scheduler").wait_line("leads", within=30)
        steady, victim = started("worker"), started("worker")
        scan = app.stored_schedule("scan").trigger()  # its first turn would be in a minute
        scheduled = scan.result(timeout="30s")

        eventually(lambda: scheduled > indexed() > 200, within=30)
        victim.wait_line("✔ index_file")  # it has its part in it
        victim.sigkill()
        replaced = started("worker")

        large = app.job(named(folder / "large"))
        progress = eventually(large.progress, within=30)
        assert 0 < progress.done <= progress.total == LARGE

        later = app.job(named(folder / "later"))
        eventually(lambda: (info := later.info()) and info.failure, within=30)
        assert "FileNotFoundError" in later.info().failure.type
        (tmp_path / "target").write_text("here at last")

        eventually(ended, within=60)
        truth = walked(STDLIB, folder)
        total = app.stored_schedule("report").trigger().result(timeout="30s")
        for process in (steady, replaced):
            process.sigterm()
            assert process.wait(20) == 0

    assert len(truth) > 1_000
    with closing(sqlite3.connect(env["FILE_INDEX_DB"])) as db:
        rows = db.execute("SELECT path, size, sha256 FROM files").fetchall()
        attempts = dict(db.execute("SELECT path, attempt FROM files WHERE attempt > 1"))
    assert {path: (size, digest) for path, size, digest in rows} == truth
    assert len(rows) == len(truth)
    assert list(attempts) == [str(folder / "later")]

    assert total == {"files": len(truth), "bytes": sum(size for size, _ in truth.values())}
    counts = backend.queue.counts(["files"], now=backend.clock.now())[0]
    assert counts.balanced
    assert (counts.accepted, counts.done, counts.dead) == (len(truth) + 1, len(truth), 1)

    never = app.job(named(folder / "never"))
    assert never.status() is State.DEAD
    with pytest.raises(errors.JobFailed, match=r"FileNotFoundError: .*never"):
        never.result(timeout="5s")
