"""A worker's long poll: it waits for work with a claim in its hand, and what it brings starts at once."""

from collections.abc import Callable
from datetime import timedelta

from attrs import define

from chronoq.app.fetcher import Fetcher
from chronoq.domain.job import Claim
from chronoq.domain.ports import Claimed, Clock
from chronoq.domain.time import MS

SHARE = 4
SHORTEST = 500 * MS
"""A wait takes a quarter of a lease, for it makes leases longer by as much; where that is less than this, it
would be asked for too often."""

LONGEST = 2500 * MS
"""What comes due by the time that passes meanwhile, as a pause that ends, is seen after the wait."""

MOST = 4
"""Queues to claim from: each is one script more before the first job can start."""

ASIDE = 0.001
"""Seconds for what it brought to begin, before it does anything else that wants the interpreter."""


@define
class LongPoll:
    """What the ear of a worker does: with slots free it claims one job of each queue, in the moment in which it
    hears of one; else it only waits.

    It is the fetcher's second hand. What it may bring counts as taken as long as it is out, and what it does
    bring is handed over in the ear's thread, unless the fetcher has to decide about it.
    """

    fetcher: Fetcher
    clock: Clock
    at_home: bool = False
    """Never claim, only wait."""
    brings: Callable[[], None] = lambda: None
    """Called before what it brings is handed over: the look that follows a run is then one for this, too."""

    def listen(self, patience: timedelta) -> Claimed | None:
        """What was claimed. None: there may be work. Errors: `BackendError`."""
        fetcher = self.fetcher
        timeout = min(patience, LONGEST, fetcher.lease / SHARE)
        wants = [(name, 1) for name in fetcher.queues]
        may = not self.at_home and timeout >= SHORTEST and len(wants) <= MOST
        now = fetcher.reserve(len(wants), timeout + fetcher.lease, self.clock) if may else None
        if now is None:
            fetcher.queue.wait_ready(fetcher.queues, timeout=patience)
            return None
        claimed, claims = None, list[Claim]()
        try:
            claimed = fetcher.queue.wait_claim(
                wants, worker=fetcher.worker, lease=fetcher.lease, now=now, timeout=timeout
            )
            claims += claimed.claims if claimed else ()
        except Exception:
            # the store may go on waiting for us, for as long as it does not know that nobody is there
            fetcher.missing.append((now + 2 * timeout, now + timeout + fetcher.lease))
            raise
        finally:
            if claims:
                self.brings()
            fetcher.bring(claims, self.clock)
        if claims:
            fetcher.hands.stand_aside(ASIDE)
        return claimed
