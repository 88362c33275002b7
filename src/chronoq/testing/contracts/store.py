"""The contract of `StorePort`, put together from its chapters."""

from chronoq.testing.contracts.keeping import Keeping
from chronoq.testing.contracts.overlapping import Overlapping
from chronoq.testing.contracts.stepping import Stepping


class StoreContract(Overlapping, Stepping, Keeping):
    """Recurring schedules. Needs the fixture `backend`: an empty backend for each test."""
