"""Where live jobs stand, for those who want to move them."""

from collections.abc import Sequence
from typing import NamedTuple

from chronoq.adapters.sqlite.common import listed
from chronoq.adapters.sqlite.statements import SQL
from chronoq.adapters.sqlite.step import Step
from chronoq.domain.job import Claim, State
from chronoq.domain.time import to_ms
from chronoq.domain.verdict import Verdict, crashed


class Stand(NamedTuple):
    """A live job: its row, its place, and what its claims have left."""

    key: str
    id: int
    place: str
    at: int
    token: int
    excused: int
    crashes: int
    stopping: int
    worker: str
    schedule: str | None

    def holds(self, claim: Claim) -> bool:
        """Whether the claim is the current one: leased to the same worker, under the same token (L4)."""
        return self.place == State.RUNNING and (self.token, self.worker) == (claim.token, claim.worker)

    def yields(self, claim: Claim, verdict: Verdict) -> bool:
        """Whether the verdict may end the lease: one on a crash not if it was extended meanwhile (L2)."""
        return self.holds(claim) and not (crashed(verdict) and self.at != to_ms(claim.expires_at))


def stands(step: Step, queue: str, keys: Sequence[str]) -> dict[str, Stand]:
    """Those of `keys` that are live."""
    row = step.find(queue)
    if row is None:
        return {}
    found = step.db.execute(SQL["jobs.held"], (row.id, listed(keys))).fetchall()
    return {one[0]: Stand._make(one) for one in found}
