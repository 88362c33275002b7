"""How much has to be safe before anything is acknowledged."""

import re
from typing import Self

from attrs import frozen

from chronoq.domain.errors import BadSetting

_FORM = re.compile(r"memory|aof|replica:([1-9]\d{0,2})")


@frozen
class Durability:
    """What an acknowledgement stands for. As text: `memory`, `aof` or `replica:N`.

    memory: the store has carried it out. aof: it is on the store's disk as well. replica:N: N replicas
    have it as well. A backend refuses with `BadSetting` what it cannot give.
    """

    synced: bool = False
    replicas: int = 0

    @classmethod
    def of(cls, value: "str | Durability") -> Self:
        """Errors: `BadSetting` for a text of another form."""
        if isinstance(value, cls):
            return value
        found = _FORM.fullmatch(str(value))
        if found is None:
            raise BadSetting("choose from memory, aof, and replica:N with a number N above zero")
        return cls(synced=found[0] == "aof", replicas=int(found[1] or 0))

    def __str__(self) -> str:
        return f"replica:{self.replicas}" if self.replicas else "aof" if self.synced else "memory"


IN_MEMORY = Durability()


def refused(wanted: Durability, where: str, why: str, advice: str) -> BadSetting:
    """The backend at `where` cannot give what was asked for."""
    return BadSetting(f"durability={str(wanted)!r} cannot be had at {where}: {why}. {advice}")
