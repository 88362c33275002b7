"""How leases end on Redis, as calls that may travel with others."""

from collections.abc import Sequence
from datetime import datetime

from chronoq.adapters.redis.calls import Call, Scripts, Word
from chronoq.adapters.redis.keys import Keys
from chronoq.adapters.redis.server import HEAVY, Spread
from chronoq.adapters.redis.words import Released, Runs, done_call, verdict_words, yes_or_no
from chronoq.domain.job import Claim
from chronoq.domain.ports import RECENT
from chronoq.domain.time import to_ms
from chronoq.domain.verdict import Done, Verdict


class Worded(list[tuple[Claim, Verdict]]):
    """Verdicts with the calls that settle them, made ahead."""

    def __init__(self, verdicts: Sequence[tuple[Claim, Verdict]], ends: Spread[bool]) -> None:
        super().__init__(verdicts)
        self.ends = ends
        len(ends.calls)  # they are made now, not when they are looked at


def endings(
    verdicts: Sequence[tuple[Claim, Verdict | Released]], *, keys: Keys, scripts: Scripts, now: datetime
) -> Spread[bool]:
    """What settles these verdicts: a call or more for each queue. The answers are those of `settle`."""
    if isinstance(verdicts, Worded):
        return verdicts.ends

    def call(queue: str, part: list[tuple[Claim, Verdict | Released]]) -> Call[list[bool]]:
        own, ended = keys.of(queue), keys.ended(queue)
        if short := done_call(part, keys=own, ended=ended, script=scripts["done"], now=now):
            return short
        fixed = (
            *(own.leases, own.claims, own.jobs, own.notes, own.progress, own.stops, own.dead, own.stats),
            *(own.recent, own.delayed, own.dues, own.failures, own.work, own.time, *own.ready),
        )
        runs = Runs(own, len(fixed) + len(part))
        args: list[Word] = [to_ms(now), ended, RECENT, len(part)]
        for claim, verdict in part:
            args += verdict_words(claim, verdict, now=now, runs=runs)
        places = (*fixed, *(own.ending(claim.id.key) for claim, _ in part), *runs.names)
        return Call(scripts["settle"], places, args, yes_or_no, again=False, durable=True)

    return Spread.of(verdicts, queue=_queue, call=call, weight=_weight)


def _queue(one: tuple[Claim, Verdict | Released]) -> str:
    return one[0].job.id.queue


def _weight(one: tuple[Claim, Verdict | Released]) -> int:
    verdict = one[1]
    return 1 + len(verdict.result) // HEAVY if isinstance(verdict, Done) else 1
