"""Everything in this process's memory: for one process, for tests, and as the reference of the ports."""

from chronoq.adapters.memory.people import MemoryLife, MemoryLock
from chronoq.adapters.memory.queue import MemoryQueue
from chronoq.adapters.memory.room import Room
from chronoq.adapters.memory.store import MemoryStore
from chronoq.adapters.system import SystemClock
from chronoq.domain.durability import IN_MEMORY, refused
from chronoq.domain.ports import PLAIN, Backend, Opening


def open_backend(url: str = "memory://", opening: Opening = PLAIN) -> Backend:
    """A new, empty backend that nobody else sees. It holds values, so there are no records to sign.

    Errors: `BadSetting` where it is asked to be durable.
    """
    if opening.durability != IN_MEMORY:
        raise refused(
            *(opening.durability, url, "all of it is gone with this process"),
            "Use a sqlite:/// or redis:// URL, or ask for less.",
        )
    room = Room()
    return Backend(
        queue=MemoryQueue(room),
        store=MemoryStore(room),
        lock=MemoryLock(),
        life=MemoryLife(),
        clock=SystemClock(),
        close=lambda: None,
    )
