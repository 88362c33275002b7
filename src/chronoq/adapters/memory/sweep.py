"""The sweep of one shelf, all at once: nothing damages a shelf but a hand that reaches into this process."""

from collections.abc import Iterator
from datetime import datetime

from chronoq.adapters.memory.shelf import Entry, Shelf
from chronoq.domain.identity import JobId
from chronoq.domain.job import Job
from chronoq.domain.sweep import LOST_PLACE, LOST_RECORD, Mend, Mended, Swept, replaced
from chronoq.domain.verdict import Dead

_ENDED = ("done", "cancelled", "expired", "purged", "lost")


def swept(shelf: Shelf, now: datetime) -> Swept:
    """Reconcile records and places both ways, then the books."""
    mended = [*_without_record(shelf, now), *_without_place(shelf, now), *_belongings(shelf)]
    shelf.stats["mended"] += len(mended)
    places = len(shelf.delayed) + len(shelf.leases) + len(shelf.dead) + sum(map(len, shelf.ready))
    lost = shelf.stats["accepted"] - (places - len(shelf.skips)) - sum(shelf.stats[name] for name in _ENDED)
    found = max(0, -lost - shelf.stats["lost"])
    shelf.stats["accepted"] += found
    shelf.stats["lost"] += lost + found
    return Swept(tuple(mended), lost)


def swept_plans(shelf: Shelf, now: datetime) -> Swept:
    """See to it that every active schedule is looked at, and waits for no run that is gone."""
    mended = []
    for id, plan in shelf.plans.items():
        for key in [key for key in shelf.runs.get(id, ()) if key not in shelf.jobs or key in shelf.dead]:
            del shelf.runs[id][key]
            mended.append(Mended(Mend.CLEARED, key))
        if plan.cursor.held and plan.freed is None and not shelf.runs.get(id):
            shelf.watch(id, freed=now)
        wake = shelf.wake(id)
        if wake is not None and (wake, id) not in shelf.dues:
            shelf.watch(id, freed=plan.freed)
            mended.append(Mended(Mend.WATCHED, id))
    shelf.stats["mended"] += len(mended)
    return Swept(tuple(mended))


def _without_record(shelf: Shelf, now: datetime) -> Iterator[Mended]:
    listed = [key for lane in shelf.ready for key in lane]
    for key in [key for key in (*listed, *shelf.delayed) if key not in shelf.jobs and key not in shelf.skips]:
        if shelf.remembered(key, now=now) is not None:
            shelf.skips.add(key)
            yield Mended(Mend.CLEARED, key)
            continue
        _stand_in(shelf, key, now)
        shelf.bury(key, LOST_RECORD, now=now)
        yield Mended(Mend.BURIED, key)
    for key in [key for key in (*shelf.leases, *shelf.dead) if key not in shelf.jobs]:
        _stand_in(shelf, key, now)
        yield Mended(Mend.MARKED, key)


def _stand_in(shelf: Shelf, key: str, now: datetime) -> None:
    shelf.jobs[key] = Entry(Job(JobId(shelf.name, key), "?", b"null", now, now, defect=LOST_RECORD.message))


def _without_place(shelf: Shelf, now: datetime) -> Iterator[Mended]:
    listed = {key for lane in shelf.ready for key in lane}
    for key in [key for key in shelf.skips if key not in listed]:
        shelf.skips.remove(key)
        yield Mended(Mend.CLEARED, key)
    placed = {*listed, *shelf.delayed, *shelf.leases, *shelf.dead}
    for key in [key for key in shelf.jobs if key not in placed]:
        entry = shelf.jobs[key]
        where = replaced(entry.job, attempt=entry.token - entry.excused, failure=entry.failure, now=now)
        if isinstance(where, Dead):
            shelf.dead[key] = now
        else:
            entry.reason = entry.reason or ("" if entry.failure else LOST_PLACE)
            shelf.place(key, where, now=now)
        yield Mended(Mend.REPLACED, key)


def _belongings(shelf: Shelf) -> Iterator[Mended]:
    for key in [key for key in shelf.stops if key not in shelf.leases]:
        shelf.stops.remove(key)
        yield Mended(Mend.CLEARED, key)
    for key, entry in shelf.jobs.items():
        run = entry.job.run_of
        if run and key not in shelf.dead and key not in shelf.runs.setdefault(run.key, {}):
            shelf.runs[run.key][key] = None
            yield Mended(Mend.JOINED, key)
