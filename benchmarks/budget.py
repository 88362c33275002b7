"""The budget: for each figure what it is, and where its floor and its goal lie.

A bound is a ratio to the ceiling of the same kind in the same run, where there is a ceiling, and else the
figure itself: at least, where more is better, at most where less is. Where the floor is a peer, it is measured
in the same run; a run without peers has the ratio of the best one to the ceiling, of the last full run, instead.
"""

from attrs import frozen


@frozen
class Rival:
    """A bound beside the best of the peers: so many times as good as that one. None: no floor, or no goal."""

    floor: float | None = 1
    goal: float | None = None
    among: str = "durable"
    """Of which peers: "durable", those who keep a job whose worker is killed; "every"; or one of them, by name."""
    instead: bool = False
    """Of the ratio to the ceiling, which is the floor where no peers take part; else both are."""


@frozen
class Figure:
    title: str
    unit: str
    floor: float | None = None
    goal: float | None = None
    more: bool = True
    """Whether more is better."""
    rivals: tuple[Rival, ...] = ()

    def holds(self, value: float, bound: float | None) -> bool | None:
        if bound is None:
            return None
        return value >= bound if self.more else value <= bound

    def times(self, ours: float, theirs: float) -> float:
        """How many times as good ours is."""
        return ours / theirs if self.more else theirs / ours


AHEAD = Rival(among="every", instead=True)

FIGURES = {
    "enqueue_one": Figure("enqueue one by one", "jobs/s", 0.75, 0.9, rivals=(Rival(None, 1, among="every"),)),
    "enqueue_threads": Figure("enqueue one by one, from eight threads", "jobs/s"),
    "enqueue_bulk": Figure("enqueue in bulk", "jobs/s", 0.4, 0.6, rivals=(Rival(None, 6),)),
    "drain_threads": Figure("drain, one process, threads", "jobs/s", 0.3, 0.5, rivals=(Rival(10, 20),)),
    "drain_async": Figure("drain, one process, coroutines", "jobs/s", 0.3, 0.5, rivals=(Rival(8, 15),)),
    "drain_processes": Figure("drain, one process, its jobs in child processes", "jobs/s"),
    "drain_two": Figure("drain, two processes", "jobs/s"),
    "drain_two_processes": Figure("drain, two processes, their jobs in child processes", "jobs/s"),
    "idle_start_p50": Figure("start on an idle system, median", "ms", 2.3, 1.5, more=False, rivals=(AHEAD,)),
    "idle_start_p99": Figure("start on an idle system, 99 %", "ms", 2.1, 1.5, more=False, rivals=(AHEAD,)),
    "lateness_p50": Figure("lateness of a delayed job, median", "ms", more=False),
    "lateness_p99": Figure(
        "lateness of a delayed job, 99 %", "ms", 16, 3, more=False, rivals=(Rival(instead=True),)
    ),
    "early": Figure("delayed jobs that start early", "%", 0, 0, more=False),
    "due_at_once": Figure("run jobs that are all due at once", "jobs/s"),
    "promote": Figure(
        "promote jobs that are all due at once",
        "jobs/s",
        0.4,
        0.7,
        rivals=(Rival(100, among="rq_scheduler"),),
    ),
    "recurring": Figure(
        "fire schedules that are all due at once, Redis",
        "fires/s",
        1.28,
        3.4,
        rivals=(Rival(1.5, 4, instead=True), Rival(14, 40, among="rq_scheduler")),
    ),
    "recurring_memory": Figure(
        "fire schedules that are all due at once, memory",
        "fires/s",
        1.28,
        3.4,
        rivals=(Rival(1.5, 4, among="apscheduler_memory"),),
    ),
    "relay_due": Figure("due jobs into RQ's queue", "jobs/s"),
    "relay_cron": Figure("due cron schedules into RQ's queue", "fires/s"),
    "relay_lateness_p50": Figure("lateness in RQ, all at their defaults, median", "ms", more=False),
    "relay_lateness_p99": Figure("lateness in RQ, all at their defaults, 99 %", "ms", more=False),
    "relay_early": Figure("jobs that start early in RQ, all at their defaults", "%", 0, 0, more=False),
    "memory_delayed": Figure(
        "memory of a delayed job",
        "bytes",
        1.3,
        1.1,
        more=False,
        rivals=(Rival(3, among="rq_scheduler"), Rival(None, 1, among="every")),
    ),
    "memory_queued": Figure("memory of a queued job", "bytes", more=False),
    "longest_script": Figure("longest script", "ms", 10, 2, more=False),
    "server_put": Figure("server's processor: to put a job in bulk", "us/job", more=False),
    "server_run": Figure("server's processor: to claim and settle a job", "us/job", more=False),
    "growth": Figure("cost of a job beside many delayed ones", "times", 1.5, 1.2, more=False),
    "growth_promote": Figure("cost of a promotion beside many delayed ones", "times", 1.5, 1.2, more=False),
    "growth_counts": Figure("cost of counting beside many delayed ones", "times", 1.5, 1.2, more=False),
    "growth_page": Figure("cost of a listed page beside many delayed ones", "times", 1.5, 1.2, more=False),
    "idle_commands": Figure("idle worker and scheduler: commands", "1/s", 5, 1, more=False),
    "idle_cpu": Figure("idle worker and scheduler: processor", "% of a core", 2, 1, more=False),
    "idle_file": Figure("idle worker or scheduler on a file: processor", "% of a core", 1, 0.5, more=False),
    "worker_memory": Figure("memory of an idle worker", "MB", 60, 40, more=False),
    "import": Figure("import chronoq", "ms", 150, 80, more=False),
    "help": Figure("chronoq --help", "ms", 250, 150, more=False),
}
