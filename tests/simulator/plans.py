"""What must have become of every schedule: each nominal time has one fate, and the fates follow each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from attrs import define, field

from chronoq.domain.identity import JobId, ScheduleId
from chronoq.domain.ports import Fired
from chronoq.domain.schedule import GRACE, Cursor, Firing, Happened, Outcome, Overlap, Schedule
from tests.simulator.jobs import Books, End

BESIDE = (Happened.MANUAL, Happened.BACKFILL, Happened.SET_ASIDE)
"""Outcomes that decide on no nominal time: runs beside the rhythm, and times that stay pending."""


@define(eq=False)
class Plan:
    """A schedule. `open`: the first nominal time that has no fate yet."""

    schedule: Schedule
    cursor: Cursor
    open: datetime | None
    fired: datetime | None = None
    made: set[datetime] = field(factory=set)
    """Nominal times that became a job."""

    def after(self, moment: datetime) -> datetime | None:
        try:
            return self.schedule.next_after(moment, since=self.cursor.since)
        except RuntimeError:  # a broken one
            return None


@define(eq=False)
class Plans:
    """All schedules that are stored. `fail(law, text)` is told of a broken law."""

    fail: Callable[[str, str], None]
    now: Callable[[], datetime]
    jobs: Books
    stored: dict[ScheduleId, Plan] = field(factory=dict)
    fences: dict[str, int] = field(factory=dict)

    def put(
        self, answer: bool, schedule: Schedule, *, cursor: Cursor, expected: Cursor | None, now: datetime
    ) -> list[JobId]:
        plan = self.stored.get(schedule.id)
        if answer != ((plan.cursor if plan else None) == expected):
            self.fail("S4", f"saving {schedule.id} over a cursor that has moved: {answer}")
        if not answer:
            return []
        if plan is not None and cursor.version <= plan.cursor.version:
            self.fail("S8", f"{schedule.id} was saved as version {cursor.version} once more")
        new = Plan(schedule, cursor, cursor.next)
        if plan is not None:
            new.fired, new.made = plan.fired, plan.made
        self.stored[schedule.id] = new
        self._has_a_next(new)
        return []

    def drop(self, answers: list[bool], ids: Sequence[ScheduleId]) -> list[JobId]:
        for id, answer in zip(ids, answers, strict=True):
            if answer != (id in self.stored):
                self.fail("S8", f"dropping {id}: {answer}")
            self.stored.pop(id, None)
        return []

    def fire(
        self, answers: list[Fired], firings: Sequence[Firing], *, fence: int | None, now: datetime
    ) -> list[JobId]:
        touched: list[JobId] = []
        for firing, answer in zip(firings, answers, strict=True):
            if answer is not self._right(firing, fence):
                self._misfired(firing, answer, fence)
            if answer is not Fired.STALE and fence is not None:
                self.fences[firing.id.queue] = max(fence, self.fences.get(firing.id.queue, 0))
            if answer is Fired.YES and firing.id in self.stored:
                touched += self._apply(self.stored[firing.id], firing, fence, now)
        return touched

    def _right(self, firing: Firing, fence: int | None) -> Fired:
        if fence is not None and fence < self.fences.get(firing.id.queue, 0):
            return Fired.STALE
        plan = self.stored.get(firing.id)
        return Fired.YES if plan is not None and plan.cursor == firing.expected else Fired.MOVED

    def _misfired(self, firing: Firing, answer: Fired, fence: int | None) -> None:
        plan = self.stored.get(firing.id)
        if fence is not None and fence < self.fences.get(firing.id.queue, 0):
            self.fail(
                "S2", f"a step of {firing.id} under fence {fence}, when a younger leader was seen: {answer}"
            )
        elif plan is None or plan.cursor.version != firing.expected.version:
            self.fail("S8", f"a step of {firing.id} as it was before: {answer}")
        elif plan.cursor != firing.expected:
            self.fail("S4", f"a step of {firing.id} from a cursor that has moved: {answer}")
        else:
            self.fail("S2", f"a step of {firing.id} under fence {fence}: {answer}")

    def _apply(self, plan: Plan, firing: Firing, fence: int | None, now: datetime) -> list[JobId]:
        rhythmic, schedule = fence is not None, plan.schedule
        if rhythmic:
            self._fires(plan, firing, now)
        if firing.stop:
            for id in self.jobs.runs.get((firing.id.queue, firing.id.key), ()):
                self.jobs.live[id].stop |= self.jobs.live[id].until is not None
        for job in firing.jobs:
            end = self.jobs.ended.get(job.id)
            if job.id in self.jobs.live or (isinstance(end, End) and end.forget > now):
                continue
            if job.payload != schedule.payload:
                self.fail("S8", f"{job.id} was made by a version that was replaced")
            if rhythmic and job.origin:
                if job.origin.nominal in plan.made:
                    self.fail("S1", f"{firing.id} made a second job for {job.origin.nominal}")
                plan.made.add(job.origin.nominal)
            self.jobs.add(job, now, beside=not rhythmic)
        for outcome in firing.outcomes:
            self._decide(plan, outcome)
        if plan.open != firing.cursor.next:
            spent = schedule.policy.max_fires is not None and firing.cursor.next is None
            if not spent and firing.cursor.pause is None:
                law = "S3" if firing.cursor.next is not None else "S4"
                self.fail(law, f"{firing.id}: {plan.open} has no fate, and {firing.cursor.next} is next")
            plan.open = firing.cursor.next
        plan.cursor = firing.cursor
        self._has_a_next(plan)
        return [job.id for job in firing.jobs]

    def _fires(self, plan: Plan, firing: Firing, now: datetime) -> None:
        """What only the rhythm has to keep: pauses, the overlap policy, the bound on catching up."""
        nominals = [job.origin.nominal for job in firing.jobs if job.origin]
        before, policy = firing.expected, plan.schedule.policy
        for nominal in nominals:
            if nominal > self.now():
                self.fail("Q9", f"{firing.id} fired for {nominal}, which has not come")
            if before.pause is not None and (before.pause.until is None or nominal < before.pause.until):
                self.fail("S8", f"{firing.id} fired for {nominal}, while it was paused")
        late = sum(nominal <= now - GRACE for nominal in nominals)
        most = {"skip": 0, "latest": 1}.get(str(policy.catch_up), policy.catch_up)
        if late > int(most) and not before.held:
            self.fail("S7", f"{firing.id} caught up with {late} times, {most} are allowed")
        if nominals and policy.overlap is not Overlap.ALLOW:
            runs = self.jobs.runs.get((firing.id.queue, firing.id.key), ())
            others = [id for id in runs if not self.jobs.live[id].beside]
            if len(others) + len(nominals) > 1:
                self.fail("S10", f"{firing.id} fired {len(nominals)} runs beside {len(others)}")

    def _decide(self, plan: Plan, outcome: Outcome) -> None:
        if outcome.what in BESIDE:
            return
        if outcome.nominal != plan.open:
            self.fail("S3", f"{plan.schedule.id}: {plan.open} is open, not {outcome}")
        if outcome.what is Happened.FIRED:
            if plan.fired is not None and outcome.nominal <= plan.fired:
                self.fail("S5", f"{plan.schedule.id}: {outcome.nominal} fired after {plan.fired}")
            plan.fired = outcome.nominal
        plan.open = plan.after(outcome.last or outcome.nominal)

    def _has_a_next(self, plan: Plan) -> None:
        if plan.cursor.next is None and plan.cursor.pause is None:
            policy = plan.schedule.policy
            spent = policy.max_fires is not None and plan.cursor.fires >= policy.max_fires
            if not spent and plan.after(self.now()) is not None:
                self.fail("S4", f"{plan.schedule.id} is active and has no next time")
