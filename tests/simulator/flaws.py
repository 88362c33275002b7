"""Deliberate faults, one for each way in which a law could be broken: the checker has to find every one.

A fault bends one verb of the backend, or one piece of the engine, for one world.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any

from attrs import evolve, frozen

from chronoq.adapters.memory.queue import MemoryQueue
from chronoq.adapters.memory.shelf import Shelf
from chronoq.app import reaper, schedules, ticker
from chronoq.app.client import Client
from chronoq.app.fetcher import Fetcher
from chronoq.app.heart import Heart
from chronoq.app.reaper import Reaper
from chronoq.app.runner import Runner
from chronoq.app.ticker import Ticker
from chronoq.domain import firing
from chronoq.domain.errors import ChronoqError
from chronoq.domain.job import Job, State
from chronoq.domain.lease import Lease
from chronoq.domain.ports import Cancel, Hold, Submitted
from chronoq.domain.schedule import Put, planned
from chronoq.domain.verdict import Dead, Done, Retry, crashed
from chronoq.testing.outage import Front
from tests.simulator.hub import Process
from tests.simulator.world import World

S = timedelta(seconds=1)
Bend = Callable[..., Any]


@frozen
class Flaw:
    """`laws`: those that it breaks; the checker has to name one of them."""

    name: str
    laws: tuple[str, ...]
    setup: Callable[[World], None]
    near: int = 0
    """Where to begin: a seed that finds it, so that a test need not look for long."""


FLAWS: list[Flaw] = []


def flaw(*laws: str, near: int = 0) -> Callable[[Callable[[World], None]], None]:
    def add(setup: Callable[[World], None]) -> None:
        FLAWS.append(Flaw(setup.__name__, laws, setup, near))

    return add


def bends(port: str, verb: str, *laws: str, near: int = 0) -> Callable[[Bend], None]:
    """A fault of the backend: `bend(true, shelves, *args, **kwargs)` stands in for one verb."""

    def add(bend: Bend) -> None:
        def setup(world: World) -> None:
            true = getattr(world.true, port)
            assert isinstance(world.checker.true.queue, MemoryQueue)
            shelves = world.checker.true.queue.room.shelves

            def call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
                if name != verb:
                    return getattr(true, name)(*args, **kwargs)
                return bend(getattr(true, verb), shelves, *args, **kwargs)

            world.true = evolve(world.true, **{port: Front(true, call)})

        FLAWS.append(Flaw(bend.__name__, laws, setup, near))

    return add


def _now_as_ever(shelf: Shelf, claim: Any) -> Any:
    """The claim as if it were the current one."""
    entry = shelf.jobs.get(claim.id.key)
    return evolve(claim, token=entry.token, worker=entry.worker) if entry else claim


# jobs


@bends("queue", "submit", "Q1")
def an_acknowledged_job_is_not_stored(true: Bend, shelves: Any, jobs: Any, **kw: Any) -> Any:
    return [Submitted.ACCEPTED if job.id.key == "c" else true([job], **kw)[0] for job in jobs]


@bends("queue", "cancel", "Q1", "Q8")
def an_ending_changes(true: Bend, shelves: Any, ids: Any, **kw: Any) -> Any:
    for id in ids:
        if (memory := shelves[id.queue].ended.get(id.key)) is not None:
            memory.ending = evolve(memory.ending, state=State.CANCELLED)
            if memory.ending.state is State.DONE:
                memory.ending = evolve(memory.ending, state=State.EXPIRED)
    return true(ids, **kw)


@bends("queue", "promote", "Q1", "Q3")
def a_promoted_job_stands_in_two_places(true: Bend, shelves: Any, queues: Any, **kw: Any) -> Any:
    before = {queue: dict(shelves[queue].delayed) for queue in queues}
    answer = true(queues, **kw)
    for queue in queues:
        for key, due in before[queue].items():
            if key not in shelves[queue].delayed:
                shelves[queue].delayed[key] = due + 3600 * S
                shelves[queue].order.append((due + 3600 * S, f"2{key}"))
    return answer


@bends("queue", "claim", "Q2")
def a_claim_leaves_no_lease(true: Bend, shelves: Any, *args: Any, **kw: Any) -> Any:
    claimed = true(*args, **kw)
    for claim in claimed.claims:
        del shelves[claim.id.queue].leases[claim.id.key]
    return claimed


@bends("queue", "claim", "Q2")
def a_claim_grants_more_than_was_asked_for(true: Bend, shelves: Any, wants: Any, **kw: Any) -> Any:
    return true([(queue, many + 2) for queue, many in wants], **kw)


@flaw("Q2")
def a_run_is_handed_over_twice(world: World) -> None:
    give = Fetcher._give
    world.patch(Fetcher, "_give", lambda self, *given: (give(self, *given), give(self, *given)))


@bends("queue", "promote", "Q3", near=2)
def promotion_drops_a_job(true: Bend, shelves: Any, queues: Any, **kw: Any) -> Any:
    for queue in queues:
        for key in [key for key, due in shelves[queue].delayed.items() if due <= kw["now"]][:1]:
            del shelves[queue].delayed[key]
    return true(queues, **kw)


@bends("queue", "claim", "Q3")
def a_retry_is_forgotten(true: Bend, shelves: Any, *args: Any, verdicts: Any = (), **kw: Any) -> Any:
    claimed = true(*args, verdicts=verdicts, **kw)
    for (claim, verdict), kept in zip(verdicts, claimed.settled, strict=True):
        if kept and isinstance(verdict, Retry):
            shelves[claim.id.queue].delayed.pop(claim.id.key, None)
    return claimed


@bends("queue", "release", "Q3", "Q10")
def a_released_job_is_lost(true: Bend, shelves: Any, claims: Any, **kw: Any) -> Any:
    answers = true(claims, **kw)
    for claim in claims:
        for lane in shelves[claim.id.queue].ready:
            lane.pop(claim.id.key, None)
    return answers


@bends("queue", "submit", "Q4")
def an_id_is_forgotten_with_its_end(true: Bend, shelves: Any, jobs: Any, **kw: Any) -> Any:
    for job in jobs:
        shelves[job.id.queue].ended.pop(job.id.key, None)
    return true(jobs, **kw)


@bends("queue", "submit", "Q4")
def a_conflict_is_called_a_duplicate(true: Bend, shelves: Any, jobs: Any, **kw: Any) -> Any:
    answers = true(jobs, **kw)
    return [Submitted.DUPLICATE if one is Submitted.CONFLICT else one for one in answers]


@bends("queue", "submit", "Q4")
def a_duplicate_is_accepted(true: Bend, shelves: Any, jobs: Any, **kw: Any) -> Any:
    answers = true(jobs, **kw)
    return [Submitted.ACCEPTED if one is Submitted.DUPLICATE else one for one in answers]


@bends("queue", "settle", "Q5", "L2", near=147)
def a_verdict_is_taken_under_any_token(true: Bend, shelves: Any, verdicts: Any, **kw: Any) -> Any:
    return true([(_now_as_ever(shelves[c.id.queue], c), v) for c, v in verdicts], **kw)


@bends("queue", "claim", "Q5", near=201)
def a_verdict_on_the_way_is_taken_under_any_token(
    true: Bend, shelves: Any, *args: Any, verdicts: Any = (), **kw: Any
) -> Any:
    return true(*args, verdicts=[(_now_as_ever(shelves[c.id.queue], c), v) for c, v in verdicts], **kw)


@bends("queue", "claim", "Q5")
def a_good_verdict_is_refused(true: Bend, shelves: Any, *args: Any, **kw: Any) -> Any:
    claimed = true(*args, **kw)
    return evolve(claimed, settled=tuple(False for _ in claimed.settled))


@bends("queue", "claim", "Q7", "Q10")
def a_claim_takes_what_is_not_due(true: Bend, shelves: Any, wants: Any, **kw: Any) -> Any:
    for queue, _ in wants:
        shelves[queue].promote(now=kw["now"] + 3 * S, limit=10)
    return true(wants, **kw)


@bends("queue", "cancel", "Q8")
def a_cancelled_job_stays(true: Bend, shelves: Any, ids: Any, **kw: Any) -> Any:
    places = [shelves[id.queue] for id in ids]
    waits = [id.key in place.delayed or place.is_ready(id.key) for place, id in zip(places, ids, strict=True)]
    return [Cancel.CANCELLED if here else true([id], **kw)[0] for id, here in zip(ids, waits, strict=True)]


@bends("queue", "cancel", "Q8")
def the_wish_to_stop_is_forgotten(true: Bend, shelves: Any, ids: Any, **kw: Any) -> Any:
    answers = true(ids, **kw)
    for id in ids:
        shelves[id.queue].stops.discard(id.key)
    return answers


@bends("queue", "extend", "Q8", near=10)
def nobody_is_told_to_stop(true: Bend, shelves: Any, claims: Any, **kw: Any) -> Any:
    return [Hold.KEPT if one is Hold.STOP else one for one in true(claims, **kw)]


@bends("queue", "claim", "Q9")
def a_pause_is_not_honoured(true: Bend, shelves: Any, wants: Any, **kw: Any) -> Any:
    pauses = {queue: shelves[queue].pause for queue, _ in wants}
    for queue in pauses:
        shelves[queue].pause = None
    claimed = true(wants, **kw)
    for queue, pause in pauses.items():
        shelves[queue].pause = pause
    return claimed


@bends("queue", "purge", "Q10", near=15)
def a_purge_is_not_counted(true: Bend, shelves: Any, ids: Any, **kw: Any) -> Any:
    answers = true(ids, **kw)
    for id, purged in zip(ids, answers, strict=True):
        shelves[id.queue].stats["purged"] -= purged
    return answers


@bends("queue", "claim", "Q10")
def an_ending_is_counted_twice(true: Bend, shelves: Any, *args: Any, **kw: Any) -> Any:
    claimed = true(*args, **kw)
    for (claim, verdict), kept in zip(kw.get("verdicts", ()), claimed.settled, strict=True):
        shelves[claim.id.queue].stats["done"] += kept and isinstance(verdict, Done)
    return claimed


@bends("queue", "claim", "Q11")
def the_last_comes_first(true: Bend, shelves: Any, wants: Any, **kw: Any) -> Any:
    for queue, _ in wants:
        for lane in shelves[queue].ready:
            for key in list(lane)[::-1]:
                lane.move_to_end(key)
    return true(wants, **kw)


@bends("queue", "claim", "Q11")
def priorities_are_ignored(true: Bend, shelves: Any, wants: Any, **kw: Any) -> Any:
    for queue, _ in wants:
        shelves[queue].ready = shelves[queue].ready[::-1]
    claimed = true(wants, **kw)
    for queue, _ in wants:
        shelves[queue].ready = shelves[queue].ready[::-1]
    return claimed


@flaw("Q12")
def arguments_that_do_not_fit_are_tried_again(world: World) -> None:
    start = Runner._start

    def patched(self: Runner, run: Any) -> Any:
        found = start(self, run)
        if isinstance(found, Dead) and found.failure.type == "BadArgument":
            return Retry(self.clock.now() + S, found.failure)
        return found

    world.patch(Runner, "_start", patched)


@bends("queue", "claim", "Q13")
def a_result_is_stored_later(true: Bend, shelves: Any, *args: Any, verdicts: Any = (), **kw: Any) -> Any:
    bare = [(claim, Done() if isinstance(verdict, Done) else verdict) for claim, verdict in verdicts]
    return true(*args, verdicts=bare, **kw)


@flaw("Q1")
def an_unknown_answer_is_taken_for_a_yes(world: World) -> None:
    submit = Client.submit

    def patched(self: Client, job: Job) -> None:
        with suppress(ChronoqError):
            submit(self, job)

    world.patch(Client, "submit", patched)


# leases and workers


@bends("queue", "expired", "L1")
def a_sweep_finds_nothing(true: Bend, shelves: Any, *args: Any, **kw: Any) -> Any:
    return []


@flaw("L1")
def nobody_sweeps(world: World) -> None:
    world.patch(Reaper, "step", lambda self, now: now + self.sweep)


@bends("queue", "expired", "L2")
def a_sweep_takes_live_leases(true: Bend, shelves: Any, *args: Any, **kw: Any) -> Any:
    return true(*args, **{**kw, "now": kw["now"] + 3 * S})


@flaw("L2", "L7")
def the_heart_does_not_beat(world: World) -> None:
    world.patch(Heart, "step", lambda self, now: now + S)


@bends("queue", "settle", "L2")
def who_extended_in_time_is_robbed(true: Bend, shelves: Any, verdicts: Any, **kw: Any) -> Any:
    def as_found(claim: Any) -> Any:
        return evolve(claim, expires_at=shelves[claim.id.queue].leases.get(claim.id.key, claim.expires_at))

    return true([(as_found(claim), verdict) for claim, verdict in verdicts], **kw)


@bends("queue", "settle", "L3")
def a_crash_is_not_counted(true: Bend, shelves: Any, verdicts: Any, **kw: Any) -> Any:
    answers = true(verdicts, **kw)
    for (claim, verdict), kept in zip(verdicts, answers, strict=True):
        if kept and crashed(verdict):
            shelves[claim.id.queue].jobs[claim.id.key].crashes -= 1
    return answers


@flaw("L3")
def poison_is_tried_for_ever(world: World) -> None:
    lapse = reaper.after_lapse
    world.patch(
        reaper, "after_lapse", lambda claim, *, now, max_crashes: lapse(claim, now=now, max_crashes=99)
    )


@flaw("L3", near=16)
def suspects_run_among_others(world: World) -> None:
    def arrest(self: Fetcher, suspect: Any, runs: Any) -> None:
        self._give(runs, self.fed)

    world.patch(Fetcher, "_arrest", arrest)


@bends("queue", "claim", "L4")
def a_claim_does_not_raise_the_token(true: Bend, shelves: Any, *args: Any, **kw: Any) -> Any:
    claimed = true(*args, **kw)
    old = []
    for claim in claimed.claims:
        entry = shelves[claim.id.queue].jobs[claim.id.key]
        entry.token = max(1, entry.token - 1)
        old.append(evolve(claim, token=entry.token))
    return evolve(claimed, claims=tuple(old))


@bends("queue", "extend", "L4", near=31)
def a_zombie_extends(true: Bend, shelves: Any, claims: Any, **kw: Any) -> Any:
    return true([_now_as_ever(shelves[claim.id.queue], claim) for claim in claims], **kw)


@bends("queue", "report", "L4", near=9)
def a_zombie_reports(true: Bend, shelves: Any, claim: Any, progress: Any) -> Any:
    true(claim, progress)
    return True


@bends("queue", "release", "L4")
def a_zombie_gives_back(true: Bend, shelves: Any, claims: Any, **kw: Any) -> Any:
    true(claims, **kw)
    return [True for _ in claims]


@bends("lock", "acquire", "L5")
def two_lead_at_once(true: Bend, shelves: Any, name: str, **kw: Any) -> Any:
    return true(name, **kw) or Lease(name, kw["owner"], 1_000, kw["now"] + kw["ttl"])


@bends("lock", "acquire", "L5")
def a_term_has_no_number(true: Bend, shelves: Any, *args: Any, **kw: Any) -> Any:
    lease = true(*args, **kw)
    return lease and evolve(lease, token=1)


@bends("lock", "renew", "L5")
def a_lock_that_ran_out_is_renewed(true: Bend, shelves: Any, lease: Any, **kw: Any) -> Any:
    return true(lease, **kw) or evolve(lease, expires_at=kw["now"] + kw["ttl"])


@flaw("L7", near=348)
def a_worker_that_is_cut_off_goes_on(world: World) -> None:
    world.patch(Heart, "_stop_before_the_end", lambda self, runs, now: None)


# schedules


def _earlier(stored: Any, schedule: Any, *, now: Any) -> Any:
    """A schedule that is saved anew goes back to times that have had their fate."""
    put, cursor = planned(stored, schedule, now=now)
    if stored is None:
        return put, cursor
    back = schedule.next_after(now - 10 * S, since=stored.cursor.since)
    return put, evolve(cursor, next=back, since=stored.cursor.since)


@flaw("S1", near=228)
def a_time_makes_a_second_job(world: World) -> None:
    numbers = count()
    world.patch(schedules, "planned", _earlier)
    minted = firing.minted
    world.patch(firing, "minted", lambda id, nominal: f"{minted(id, nominal)}-{next(numbers)}")


@bends("store", "fire", "S2", near=43)
def an_old_leader_is_heard(true: Bend, shelves: Any, firings: Any, *, fence: Any, now: Any) -> Any:
    for one in firings:
        shelves[one.id.queue].fence = 0
    return true(firings, fence=fence, now=now)


@flaw("S3")
def a_time_has_no_outcome(world: World) -> None:
    fire = ticker.fire
    world.patch(ticker, "fire", lambda due, *, now: evolve(fire(due, now=now), outcomes=()))


@bends("store", "fire", "S3")
def the_ledger_is_not_written(true: Bend, shelves: Any, firings: Any, **kw: Any) -> Any:
    return true([evolve(one, outcomes=()) for one in firings], **kw)


@flaw("S3")
def nobody_fires(world: World) -> None:
    world.patch(Ticker, "_fire", lambda self, found, now: {})


@bends("store", "fire", "S4", near=50)
def a_cursor_is_not_compared(true: Bend, shelves: Any, firings: Any, **kw: Any) -> Any:
    def meet(one: Any) -> Any:
        plan = shelves[one.id.queue].plans.get(one.id.key)
        return (
            evolve(one, expected=plan.cursor) if plan and plan.cursor.version == one.expected.version else one
        )

    return true([meet(one) for one in firings], **kw)


@flaw("S4")
def an_active_schedule_has_no_next_time(world: World) -> None:
    fire = ticker.fire

    def patched(due: Any, *, now: Any) -> Any:
        found = fire(due, now=now)
        return evolve(found, cursor=evolve(found.cursor, next=None))

    world.patch(ticker, "fire", patched)


@flaw("S5", near=281)
def times_go_back(world: World) -> None:
    world.patch(schedules, "planned", _earlier)


@flaw("S5", near=494)
def an_edit_trusts_a_clock_that_lags(world: World) -> None:
    def patched(stored: Any, schedule: Any, *, now: Any) -> Any:
        put, cursor = planned(stored, schedule, now=now)
        if put is not Put.UPDATED or cursor.next is None:
            return put, cursor
        return put, evolve(cursor, next=schedule.next_after(now, since=now), since=now)

    world.patch(schedules, "planned", patched)


@flaw("S6")
def a_process_trusts_the_clock_on_its_wall(world: World) -> None:
    world.patch(Process, "now", lambda self: self.hub.now + self.wall)


@flaw("S7", near=16)
def all_that_was_missed_is_made_up_for(world: World) -> None:
    catch_up = firing._catch_up
    world.patch(
        firing,
        "_catch_up",
        lambda cursor, policy, walk, now: (
            catch_up(cursor, policy, walk, now) if cursor.pause else (cursor, [])
        ),
    )


@bends("store", "drop", "S8")
def a_dropped_schedule_goes_on(true: Bend, shelves: Any, ids: Any) -> Any:
    return [id.key in shelves[id.queue].plans for id in ids]


@bends("store", "fire", "S8", near=379)
def a_step_of_an_old_version_is_taken(true: Bend, shelves: Any, firings: Any, **kw: Any) -> Any:
    def meet(one: Any) -> Any:
        plan = shelves[one.id.queue].plans.get(one.id.key)
        return (
            evolve(one, expected=plan.cursor) if plan and plan.cursor.version != one.expected.version else one
        )

    return true([meet(one) for one in firings], **kw)


@flaw("S8")
def an_edit_keeps_the_version(world: World) -> None:
    def patched(stored: Any, schedule: Any, *, now: Any) -> Any:
        put, cursor = planned(stored, schedule, now=now)
        return put, evolve(cursor, version=1)

    world.patch(schedules, "planned", patched)


@flaw("S9")
def a_broken_schedule_holds_up_the_others(world: World) -> None:
    world.patch(Ticker, "_firing", lambda self, due, now: ticker.fire(due, now=now))


@bends("store", "due", "S10")
def a_run_that_goes_on_is_not_seen(true: Bend, shelves: Any, *args: Any, **kw: Any) -> Any:
    found, nexts = true(*args, **kw)
    return [evolve(one, live=0) for one in found], nexts
