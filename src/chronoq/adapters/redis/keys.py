"""Every key name, written once. All keys of a queue share its hash tag: one slot, one script, one step."""

from collections.abc import Iterable

from attrs import field, frozen

from chronoq.domain.identity import name
from chronoq.domain.job import Priority


@frozen
class QueueKeys:
    """The keys of one queue; docs/redis.md says what each holds."""

    prefix: str
    jobs: str = field(init=False)
    delayed: str = field(init=False)
    ready: tuple[str, ...] = field(init=False)
    skips: str = field(init=False)
    leases: str = field(init=False)
    claims: str = field(init=False)
    stops: str = field(init=False)
    notes: str = field(init=False)
    progress: str = field(init=False)
    dead: str = field(init=False)
    stats: str = field(init=False)
    recent: str = field(init=False)
    paused: str = field(init=False)
    schedules: str = field(init=False)
    cursors: str = field(init=False)
    dues: str = field(init=False)
    failures: str = field(init=False)
    fence: str = field(init=False)
    work: str = field(init=False)
    time: str = field(init=False)
    accepting: tuple[str, ...] = field(init=False)
    """Those that accept takes of every job."""

    def __attrs_post_init__(self) -> None:
        # names are made once a queue, not once a call
        put = object.__setattr__
        for part in self.__attrs_attrs__[1:]:
            put(self, part.name, f"{self.prefix}:{part.name}")
        put(self, "ready", tuple(f"{self.prefix}:ready:{priority:d}" for priority in Priority))
        put(self, "work", f"{self.prefix}:wake:work")
        put(self, "time", f"{self.prefix}:wake:time")
        put(self, "accepting", (self.jobs, self.skips, self.stats, self.work, *self.ready))

    def ending(self, job: str) -> str:
        return f"{self.prefix}:ending:{job}"

    def endings(self, jobs: Iterable[str]) -> list[str]:
        begin = self.ending("")
        return [begin + job for job in jobs]

    def relayed(self, job: str) -> str:
        """The mark of a job that another engine has; in that engine's database."""
        return f"{self.prefix}:relayed:{job}"

    def runs(self, schedule: str) -> str:
        return f"{self.prefix}:runs:{schedule}"

    def ledger(self, schedule: str) -> str:
        return f"{self.prefix}:ledger:{schedule}"


class Keys:
    """The key names of one namespace. Global keys stand each in a slot of their own."""

    def __init__(self, namespace: str) -> None:
        self._namespace = name(namespace, what="namespace")
        self._queues: dict[str, QueueKeys] = {}
        self.queues = f"{namespace}:queues"
        self.processes = f"{namespace}:processes"
        self.schema = f"{namespace}:schema"

    def of(self, queue: str) -> QueueKeys:
        keys = self._queues.get(queue)
        if keys is None:
            keys = self._queues[queue] = QueueKeys(f"{self._namespace}:{{{queue}}}")
        return keys

    def ended(self, queue: str) -> str:
        """The channel that tells which jobs of the queue have ended."""
        return f"{self._namespace}:{queue}:ended"

    def lock(self, name: str) -> str:
        return f"{self._namespace}:lock:{name}"

    def process(self, id: str) -> str:
        return f"{self._namespace}:process:{id}"
