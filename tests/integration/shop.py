"""What the tests of schedule commands share: an application with three schedules, and a person who answers.

A test file takes the fixtures with `pytest_plugins`, and the names by import: PYTEST_DONT_REWRITE, for
there is no assertion here.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.test_cli_commands import Cli

SHOP = """
from chronoq import Scheduler, cron, every

app = Scheduler(queues=["mails"])

@app.task
def send(to: str = "all") -> None: ...

app.add_schedule("nightly", send, cron("30 2 * * *", tz="Europe/Berlin"))
app.add_schedule("hourly", send, cron("0 * * * *"))
app.add_schedule("tick", send, every("1d"), max_fires=3)
"""

CHANGED = SHOP.replace('add_schedule("hourly"', 'add_schedule("weekly"').replace(
    'tz="Europe/Berlin")', 'tz="Europe/Berlin", dst_gap="skip"), args=["boss"], overlap="allow", retries=7'
)

RANGE = ("--from", "2026-03-01", "--to", "2026-03-04", "--tz", "Europe/Berlin")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Write the application; it is imported anew."""

    def write(text: str) -> None:
        (tmp_path / "shop.py").write_text(text)
        monkeypatch.delitem(sys.modules, "shop", raising=False)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)

    return write


@pytest.fixture
def bare(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    redis_url: str,
    declare: Callable[[str], None],
) -> Cli:
    """Nothing is stored yet."""
    declare(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("CHRONOQ_URL", redis_url)
    monkeypatch.setenv("CHRONOQ_APP", "shop:app")
    return Cli(capsys)


@pytest.fixture
def cli(bare: Cli) -> Cli:
    """The schedules of SHOP are stored."""
    bare("schedules", "apply")
    return bare


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(f"{text}\n"))
