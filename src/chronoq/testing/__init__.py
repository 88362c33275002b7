"""For the tests of those who use chronoq: the whole system in memory, in virtual time, stepped by hand.

    from chronoq.testing import Drill

    def test_a_reminder_is_sent_the_next_day():
        with Drill(app) as drill:
            remind.using(delay="1d").enqueue("Ada")
            drill.advance("23h")
            assert outbox == []
            drill.advance("1h")
            assert outbox == ["Ada"]

Nothing sleeps, no thread is started, and a run repeats exactly. `ManualClock` is the clock of a drill,
`Outage` makes any port fail on command, and `simulate` draws the timeline of all schedules without running
a single handler. The contracts that every backend keeps are in `chronoq.testing.contracts`.
"""

from chronoq.testing.clock import START, ManualClock
from chronoq.testing.drill import Drill, Enqueued
from chronoq.testing.outage import Outage
from chronoq.testing.simulate import Run, Skip, Timeline, simulate

__all__ = [
    "START",
    "Drill",
    "Enqueued",
    "ManualClock",
    "Outage",
    "Run",
    "Skip",
    "Timeline",
    "simulate",
]
