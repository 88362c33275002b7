"""The contract of `QueuePort`, put together from its chapters."""

from chronoq.testing.contracts.adopting import Adopting
from chronoq.testing.contracts.cancelling import Cancelling
from chronoq.testing.contracts.claiming import Claiming
from chronoq.testing.contracts.long_polling import LongPolling
from chronoq.testing.contracts.looking import Looking
from chronoq.testing.contracts.racing import Racing
from chronoq.testing.contracts.settling import Settling
from chronoq.testing.contracts.submitting import Submitting
from chronoq.testing.contracts.sweeping import Sweeping
from chronoq.testing.contracts.waiting import Waiting


class QueueContract(
    Sweeping, Racing, LongPolling, Waiting, Looking, Cancelling, Settling, Claiming, Submitting, Adopting
):
    """Jobs, from submission to ending. Needs the fixture `backend`: an empty backend for each test."""
