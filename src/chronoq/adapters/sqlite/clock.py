"""One clock for all processes that share a file: the time since this machine was started, plus an agreed epoch.

Whoever opens the file while nobody is alive sets the epoch by the wall clock; the others take it over. So a
step of the wall clock changes nothing, and no two processes disagree about what is due.
"""

from datetime import timedelta
from pathlib import Path

from chronoq.adapters.sqlite.database import Database
from chronoq.adapters.sqlite.statements import SQL
from chronoq.adapters.sqlite.step import Step
from chronoq.adapters.system import SystemClock
from chronoq.domain.time import EPOCH, to_ms

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_TICK = timedelta(microseconds=1)
_CLOSE = timedelta(seconds=1)


def shared_clock(data: Database, wall: SystemClock) -> SystemClock:
    """The clock of the file; `wall` is what this process would take by itself."""

    def work(step: Step) -> SystemClock:
        boot, epoch = step.db.execute(SQL["clock.get"]).fetchone() or ("", 0)
        agreed = SystemClock(EPOCH + epoch * _TICK)
        if boot and boot == _this_boot():
            close = abs(agreed.epoch - wall.epoch) < _CLOSE
            (last,) = step.db.execute(SQL["clock.alive"]).fetchone()
            if close or (last is not None and last > to_ms(agreed.now())):
                return agreed
        step.db.execute(SQL["clock.set"], (_this_boot(), (wall.epoch - EPOCH) // _TICK))
        return wall

    return data.write(work)


def _this_boot() -> str:
    """What tells this run of the machine from others; "" where nothing does."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""
