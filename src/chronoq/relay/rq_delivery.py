"""A delivery into RQ: RQ's own enqueue, a mark that it happened, and our settlement, in one transaction."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import redis
from attrs import define, evolve, field, frozen
from redis.client import Pipeline
from redis.exceptions import RedisError, WatchError
from rq.exceptions import InvalidJobDependency, NoSuchJobError
from rq.job import Job as RqJob

from chronoq.adapters.redis import trouble
from chronoq.adapters.redis.address import Address
from chronoq.adapters.redis.calls import Scripts
from chronoq.adapters.redis.ends import endings
from chronoq.adapters.redis.keys import Keys
from chronoq.adapters.redis.words import history
from chronoq.app.relay import Parcel
from chronoq.domain.errors import BadSetting, NotReady
from chronoq.domain.job import Claim
from chronoq.domain.retry import Failure
from chronoq.domain.time import MS, to_ms
from chronoq.domain.verdict import Dead, Done, Snooze, Verdict, before_start
from chronoq.relay.rq_jobs import LATEST, SOONEST, UNDER_WAY, Blueprint, dependencies, states

MOST = 100
TRIES = 50
KEPT = timedelta(days=30)
"""How long a mark outlives the last look at it."""


class Transaction(Pipeline):
    """A transaction that may be begun several times: older versions of RQ do so for each job."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction=True, shard_hint=None)

    def multi(self) -> None:
        if not self.explicit_transaction:
            super().multi()


@frozen
class Plan:
    """What is to happen with a claim. `job`: to be enqueued in RQ, at the front or not. `known`: marked before.
    `waits`: for others, so RQ does not get it yet.
    """

    claim: Claim
    verdict: Verdict
    known: bool = False
    job: RqJob | None = None
    at_front: bool = False
    waits: bool = False


@define
class RqDelivery:
    """`shared`: RQ's database is ours too, so that delivery and settlement are one transaction, which happens
    only while the lease is ours. Otherwise the mark, written with RQ's job, keeps deliveries from being two.
    """

    client: redis.Redis
    address: Address
    keys: Keys
    scripts: Scripts
    blueprint: Blueprint
    shared: bool
    size: int = field(default=MOST, init=False)
    """How many travel in one transaction: fewer while others change the same queue."""

    def deliver(self, parcels: Sequence[Parcel], *, now: datetime) -> list[Verdict | None]:
        """See `chronoq.app.relay.Relay`."""
        settled: list[Verdict | None] = []
        tries = 0
        while portion := self._portion(parcels[len(settled) :]):
            try:
                with self._understood():
                    settled += self._transact(portion, now)
            except WatchError:
                tries, self.size = tries + 1, max(1, len(portion) // 2)
                if tries > TRIES:
                    raise NotReady(
                        f"{self.address}: {tries} transactions in a row were overtaken by others. "
                        "Nothing is lost: they are tried again."
                    ) from None
            else:
                tries, self.size = 0, min(MOST, self.size * 2)
        return settled

    def close(self) -> None:
        self.client.close()

    def _portion(self, parcels: Sequence[Parcel]) -> Sequence[Parcel]:
        """The next few; one that depends on other RQ jobs travels alone, for RQ has to read about those first."""
        for place, parcel in enumerate(parcels[: self.size]):
            if depends(parcel.claim):
                return parcels[: max(1, place)]
        return parcels[: self.size]

    def _transact(self, parcels: Sequence[Parcel], now: datetime) -> list[Verdict | None]:
        """All of them or none. Errors: `WatchError` when somebody changed what was looked at."""
        queue = self.keys.of(parcels[0].claim.id.queue)
        ids = [parcel.claim.id for parcel in parcels]
        marks = [queue.relayed(id.key) for id in ids]
        states = self.blueprint.states([parcel.claim.job for parcel in parcels])
        with Transaction(self.client) as pipe:
            pipe.watch(*((queue.claims, queue.leases) if self.shared else marks))  # type: ignore[no-untyped-call]
            held = self._held(pipe, [parcel.claim for parcel in parcels])
            found: Any = pipe.mget(marks)
            plans = [
                self._plan(parcel, state, mark, now) if mine else None
                for parcel, state, mark, mine in zip(parcels, states, found, held, strict=True)
            ]
            plans = [plan and self._enqueue(plan, pipe) for plan in plans]
            pipe.multi()
            ours = [plan for plan in plans if plan is not None]
            for plan in ours:
                self._mark(plan, pipe)
            if self.shared and ours:
                verdicts = [(plan.claim, plan.verdict) for plan in ours]
                for call in endings(verdicts, keys=self.keys, scripts=self.scripts, now=now).calls:
                    pipe.execute_command(*call.words_in_full)  # type: ignore[no-untyped-call]
            pipe.execute()
        return [None if plan is None or self.shared else plan.verdict for plan in plans]

    def _held(self, pipe: Pipeline, claims: Sequence[Claim]) -> list[bool]:
        """Whether each lease is still ours; where that cannot be seen, whoever settles will find out."""
        if not self.shared:
            return [True] * len(claims)
        queue, names = self.keys.of(claims[0].id.queue), [claim.id.key for claim in claims]
        pasts: Any = pipe.hmget(queue.claims, names)
        leases: Any = pipe.zmscore(queue.leases, names)
        known = map(history, pasts)
        return [
            lease is not None and (past.token, past.worker) == (claim.token, claim.worker)
            for claim, past, lease in zip(claims, known, leases, strict=True)
        ]

    def _plan(self, parcel: Parcel, state: str, mark: bytes | None, now: datetime) -> Plan:
        claim, rq = parcel.claim, self.blueprint
        known = mark == _mark_of(claim)
        if known or state in UNDER_WAY:  # RQ has it; under the same id it is the same job
            return Plan(claim, rq.verdict(claim, state, now=now) if parcel.follow else Done(), known)
        if verdict := before_start(claim, now=now):
            return Plan(claim, verdict)
        try:
            job, at_front = rq.make(parcel, now=now)
            if waits := self._waits(parcel, now):
                return waits
        except BadSetting as error:
            return Plan(claim, Dead(Failure("BadSetting", str(error))))
        return Plan(
            claim,
            rq.under_way(claim, "queued", now=now) if parcel.follow else Done(),
            job=job,
            at_front=at_front,
        )

    def _waits(self, parcel: Parcel, now: datetime) -> Plan | None:
        """RQ would run at once what depends on a job that it does not know: that may be over, or still to come."""
        if not depends(parcel.claim):
            return None
        ids = dependencies(parcel.claim.job)
        for (said, _), state in zip(ids.items(), states(self.client, list(ids.values())), strict=True):
            at = None if state else parcel.to_come(said)
            if at is not None:
                until = min(max(at, now) + SOONEST, now + LATEST)
                why = f"It depends on {said!r}, which RQ does not have yet."
                return Plan(parcel.claim, Snooze(until, why), waits=True)
        return None

    def _enqueue(self, plan: Plan, pipe: Pipeline) -> Plan:
        """RQ's own enqueue, by our pipeline; a plan that RQ refuses becomes a dead letter."""
        if plan.job is None:
            return plan
        try:
            self.blueprint.queue.enqueue_job(plan.job, pipeline=pipe, at_front=plan.at_front)
        except (NoSuchJobError, InvalidJobDependency) as error:
            failure = Failure(type(error).__name__, f"it depends on an RQ job that is not there: {error}")
            return evolve(plan, verdict=Dead(failure), job=None)
        return plan

    def _mark(self, plan: Plan, pipe: Pipeline) -> None:
        id = plan.claim.id
        name = self.keys.of(id.queue).relayed(id.key)
        if plan.waits:
            return
        if isinstance(plan.verdict, Snooze) or (plan.job and not self.shared):
            pipe.set(name, _mark_of(plan.claim), px=KEPT // MS)
        elif plan.known and (self.shared or isinstance(plan.verdict, Dead)):
            pipe.delete(name)  # a dead letter that is revived is delivered anew

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except WatchError:
            raise
        except (RedisError, OSError) as error:
            raise trouble.refused(self.address, error) or trouble.lost(self.address, error) from error


def depends(claim: Claim) -> bool:
    return b'"depends_on"' in claim.job.options.meta


def _mark_of(claim: Claim) -> bytes:
    """Another job under the same id, submitted when the first was forgotten, has another mark."""
    return b"%d" % to_ms(claim.job.enqueued_at)
