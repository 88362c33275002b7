"""What every backend keeps: run these classes against yours.

A backend is a callable `open_backend(url, opening) -> Backend`, registered under a URL scheme
in the entry-point group `chronoq.backends`. It is right when it passes all four contracts. In a test file of
yours:

    import pytest

    from chronoq.domain.ports import Opening
    from chronoq.testing.contracts import LifeContract, LockContract, QueueContract, StoreContract

    @pytest.fixture
    def backend():
        backend = open_backend("mine://localhost", Opening(namespace=f"test-{uuid4().hex}"))
        yield backend
        backend.close()

    class TestQueue(QueueContract): ...
    class TestStore(StoreContract): ...
    class TestLock(LockContract): ...
    class TestLife(LifeContract): ...

All that they need is that fixture `backend`, of a class or of the module: an empty backend for each test.
They speak to it through the ports of `chronoq.domain.ports` only, whose docstrings are the promises tested
here, and hand in every `now`: no test reads or waits for a clock. Who waits has to be
woken within six seconds of what it waits for.

Numbers such as Q5 refer to the invariants in `docs/guarantees.md`.
"""

# ruff: noqa: E402 - pytest has to hear of the chapters before they are imported, so that it shows both sides

from pkgutil import iter_modules

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))

from chronoq.testing.contracts.life import LifeContract
from chronoq.testing.contracts.lock import LockContract
from chronoq.testing.contracts.queue import QueueContract
from chronoq.testing.contracts.store import StoreContract

__all__ = ["LifeContract", "LockContract", "QueueContract", "StoreContract"]
