"""Everything in one file on this machine: durable, for several processes, without a server."""

from chronoq.adapters.records import Records
from chronoq.adapters.sqlite.address import Address, refuse_remote
from chronoq.adapters.sqlite.bell import Bells
from chronoq.adapters.sqlite.clock import shared_clock
from chronoq.adapters.sqlite.database import Database
from chronoq.adapters.sqlite.opening import check_version, prepare
from chronoq.adapters.sqlite.people import SqliteLife, SqliteLock
from chronoq.adapters.sqlite.queue import SqliteQueue
from chronoq.adapters.sqlite.store import SqliteStore
from chronoq.adapters.sqlite.upkeep import SqliteUpkeep
from chronoq.adapters.system import SystemClock
from chronoq.domain.durability import Durability, refused
from chronoq.domain.ports import PLAIN, Backend, Opening

__all__ = ["open_backend"]


def _refuse_more(wanted: Durability, address: Address) -> None:
    """A commit that is synced is on the disk before anybody hears of it."""
    if wanted.replicas:
        raise refused(
            wanted, str(address.path), "a file has no replicas", "Ask for aof, or use a redis:// URL."
        )
    if wanted.synced and address.synchronous != "full":
        why = f"synchronous={address.synchronous} acknowledges before the disk has it"
        raise refused(wanted, str(address.path), why, "Leave synchronous= out, or ask for less.")


def open_backend(url: str, opening: Opening = PLAIN) -> Backend:
    """The file of a sqlite:/// URL, made if it is new. `?synchronous=normal` trades the last commits for speed.

    Errors: `BadSetting` for a URL that is refused, `TooOld` (E03), `Unreachable` (E01) when it cannot be
    opened, `NotReady` while the disk or another process refuses, `BackendError` for a file that is not ours.
    """
    check_version()
    address = Address.parse(url)
    refuse_remote(address.path)
    _refuse_more(opening.durability, address)
    bells = Bells.beside(address.path)
    data = Database(address, opening.namespace, Records.of(opening), bells.ring)
    try:
        prepare(data)
        clock = shared_clock(data, SystemClock())
    except BaseException:
        data.close()
        raise

    def close() -> None:
        data.close()
        bells.ring({"work", "time", "news"})
        bells.close()

    return Backend(
        queue=SqliteQueue(data, bells),
        store=SqliteStore(data),
        lock=SqliteLock(data),
        life=SqliteLife(data),
        clock=clock,
        close=close,
        upkeep=SqliteUpkeep(data, clock),
    )
