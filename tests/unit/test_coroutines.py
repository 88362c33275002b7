"""The event loop that a worker makes for its coroutines."""

import asyncio
from importlib.util import find_spec

import pytest

from chronoq.app import coroutines


@pytest.mark.parametrize("installed", [False, True])
def test_uvloop_is_used_where_it_is_installed(installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not installed:
        monkeypatch.setattr(coroutines, "find_spec", lambda name: None)
    elif find_spec("uvloop") is None:
        pytest.skip("uvloop is not installed")
    loop = coroutines._new_loop()
    try:
        assert type(loop).__module__.partition(".")[0] == ("uvloop" if installed else "asyncio")
        assert loop.run_until_complete(asyncio.sleep(0, "ran")) == "ran"
    finally:
        loop.close()
