"""What is measured. Each run of a measure starts from an empty server and gives one or more figures.

`run(lab, subject, scale)` does it for one subject; `scale` 1 is the full size. `ceiling(lab, scale)` gives
the same figures for the raw loop, in the same run of the harness.
"""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from benchmarks import ceilings, environments
from benchmarks import growth as grown
from benchmarks.lab import Lab, quantile

Figures = Mapping[str, float]

OURS = ("chronoq_threads",)
BOTH = ("chronoq_threads", "chronoq_async")
ALL_MODES = (*BOTH, "chronoq_processes")
RQ = ("chronoq_rq",)


@frozen
class Measure:
    """`needs`: a subject without that verb is left out. `repeat`: how often in a full run; `peers`: how often
    they take part, who take longest; `quick`: how often in a quick run, where what is over in a moment is noise
    if it is looked at once. `server`: it measures the server, so those who need none are left out."""

    name: str
    run: Callable[[Lab, str, float], Figures]
    ceiling: Callable[[Lab, float], Figures] | None = None
    ours: Sequence[str] = OURS
    needs: str = "put"
    peers: int = 0
    repeat: int = 3
    quick: int = 1
    server: bool = False


# --- putting in -----------------------------------------------------------------------------------


def enqueue_one(lab: Lab, name: str, scale: float) -> Figures:
    return {"enqueue_one": lab.ask(name, "enqueue", max(500, int(5_000 * scale)), "one")["rate"]}


def enqueue_threads(lab: Lab, name: str, scale: float) -> Figures:
    """One by one from eight threads of a process, as a web server does."""
    return {"enqueue_threads": lab.ask(name, "enqueue", max(800, int(5_000 * scale)), "threads")["rate"]}


def enqueue_bulk(lab: Lab, name: str, scale: float) -> Figures:
    return {"enqueue_bulk": lab.ask(name, "enqueue", max(5_000, int(50_000 * scale)), "bulk")["rate"]}


def memory(lab: Lab, name: str, scale: float) -> Figures:
    """Bytes of the server for one job."""
    n, found = max(5_000, int(20_000 * scale)), {}
    for kind, verb, need in (("delayed", "far", "put_at"), ("queued", "fill", "put")):
        if need not in lab.describe(name)["can"]:
            continue
        lab.fresh()
        lab.ask(name, verb, 2_000)  # what there is once only: scripts, names, first nodes
        before = lab.redis.info("memory")["used_memory"]
        lab.ask(name, verb, n)
        found[f"memory_{kind}"] = (lab.redis.info("memory")["used_memory"] - before) / n
    return found


# --- running --------------------------------------------------------------------------------------


def drain(lab: Lab, name: str, scale: float, *, processes: int = 1) -> float:
    """Jobs a second, from one of the first to the last of a queue that is full when the workers start."""
    facts = lab.describe(name)
    n = int(facts["JOBS"] * max(scale, 0.5) * (1.6 if processes > 1 else 1))
    lab.ask(name, "fill", n)
    lab.start(name, next(iter(facts["workers"])), processes)
    lab.until(lambda: lab.ran() >= n, 180, poll=0.02)
    moments = sorted(moment for _, moment in lab.moments())
    first = n // 50  # starting a pool of threads is not what is measured
    return (n - 1 - first) / ((moments[n - 1] - moments[first]) / 1e6)


def drain_one(lab: Lab, name: str, scale: float) -> Figures:
    own = {"chronoq_async": "drain_async", "chronoq_processes": "drain_processes"}
    return {own.get(name, "drain_threads"): drain(lab, name, scale)}


def drain_two(lab: Lab, name: str, scale: float) -> Figures:
    own = {"chronoq_processes": "drain_two_processes"}
    return {own.get(name, "drain_two"): drain(lab, name, scale, processes=2)}


def idle_start(lab: Lab, name: str, scale: float) -> Figures:
    """Milliseconds from the call of enqueue to the start of the job, on an idle system."""
    facts = lab.describe(name)
    lab.start(name, next(iter(facts["workers"])))
    lab.ask(name, "fill", 20)
    lab.until(lambda: lab.ran() >= 20, 60)
    samples = int(max(300, 500 * scale)) if facts["GAP"] < 0.1 else 60
    first = lab.ask(name, "latency", samples, facts["GAP"])["first"]
    found = sorted((started - called) / 1000 for called, started in lab.moments(first))
    lab.keep(name, "idle_start", found)
    return {"idle_start_p50": quantile(found, 0.5), "idle_start_p99": quantile(found, 0.99)}


# --- time -----------------------------------------------------------------------------------------


def delayed(lab: Lab, name: str, verb: str, *args: object) -> dict:
    timer = lab.describe(name)["TIMER"]
    if not timer:
        return lab.hold(name, verb, *args)
    lab.start(name, timer)
    return lab.ask(name, verb, *args)


def due_at_once(lab: Lab, name: str, scale: float) -> Figures:
    """Jobs a second, from the instant at which all are due to the start of the last one."""
    n = max(2_000, int(20_000 * scale))
    moment = delayed(lab, name, "due", n)["due"]
    lab.until(lambda: lab.ran() >= n, 150, poll=0.02)
    last = max(started for _, started in lab.moments()) / 1e6
    return {"due_at_once": n / (last - moment)}


def lateness(lab: Lab, name: str, scale: float) -> Figures:
    """Milliseconds from the moment at which a job is due to its start."""
    n, span = max(100, int(500 * scale)), max(5, int(20 * scale))
    delayed(lab, name, "spread", n, span, 4)
    lab.until(lambda: lab.ran() >= n, span + 90, poll=0.05)
    late = sorted((started - due) / 1000 for due, started in lab.moments())
    lab.keep(name, "lateness", late)
    early = sum(each < 0 for each in late) / len(late)
    return {"lateness_p50": quantile(late, 0.5), "lateness_p99": quantile(late, 0.99), "early": 100 * early}


def promote(lab: Lab, name: str, scale: float) -> Figures:
    """Jobs a second from delayed to ready, all due at one instant, by the scheduler's own calls."""
    return {"promote": lab.ask(name, "promote", max(20_000, int(100_000 * scale)))["rate"]}


def recurring(lab: Lab, name: str, scale: float) -> Figures:
    """Schedules fired a second, all due at one instant."""
    return {"recurring": lab.ask(name, "recurring", max(5_000, int(10_000 * scale)))["rate"]}


def recurring_memory(lab: Lab, name: str, scale: float) -> Figures:
    return {"recurring_memory": lab.ask(name, "recurring_memory", max(5_000, int(10_000 * scale)))["rate"]}


# --- into the engine of others --------------------------------------------------------------------


def relay_due(lab: Lab, name: str, scale: float) -> Figures:
    """Due jobs a second that come into RQ's queue."""
    return {"relay_due": lab.ask(name, "relay_due", max(2_000, int(20_000 * scale)))["rate"]}


def relay_cron(lab: Lab, name: str, scale: float) -> Figures:
    """Due cron schedules a second whose jobs come into RQ's queue."""
    return {"relay_cron": lab.ask(name, "relay_cron", max(1_000, int(10_000 * scale)))["rate"]}


def relay_lateness(lab: Lab, name: str, scale: float) -> Figures:
    """As `lateness`, over two minutes, with schedulers as they are started by default, run by RQ's SimpleWorker."""
    n, span = max(50, int(200 * scale)), max(20, int(120 * scale))
    lab.start(name, lab.describe(name)["AS_INSTALLED"])
    lab.ask(name, "spread", n, span, 6)
    lab.until(lambda: lab.ran() >= n, span + 150, poll=0.1)
    late = sorted((started - due) / 1000 for due, started in lab.moments())
    lab.keep(name, "relay_lateness", late)
    early = sum(each < 0 for each in late) / len(late)
    return {
        "relay_lateness_p50": quantile(late, 0.5),
        "relay_lateness_p99": quantile(late, 0.99),
        "relay_early": 100 * early,
    }


# --- what it takes --------------------------------------------------------------------------------


def longest_script(lab: Lab, name: str, scale: float) -> Figures:
    """Milliseconds for which one script held the server up, while many jobs fell due at once and ran."""
    lab.redis.config_set("slowlog-log-slower-than", 500)
    lab.redis.config_set("slowlog-max-len", 10_000)
    lab.redis.slowlog_reset()
    due_at_once(lab, name, scale)
    slow = [one["duration"] / 1000 for one in lab.redis.slowlog_get(10_000) if one["command"][:4] == b"EVAL"]
    return {"longest_script": max(slow, default=0.5)}


def server_cost(lab: Lab, name: str, scale: float) -> Figures:
    """Microseconds of the server's processor for one job: put in bulk; claimed and settled by a busy worker."""
    n = max(20_000, int(60_000 * scale))
    start = lab.server_cpu()
    lab.ask(name, "fill", n)
    filled = lab.server_cpu()
    lab.start(name, "threads")
    lab.until(lambda: lab.ran() >= n, 120, poll=0.05)
    return {"server_put": 1e6 * (filled - start) / n, "server_run": 1e6 * (lab.server_cpu() - filled) / n}


def growth(lab: Lab, name: str, scale: float) -> Figures:
    """Beside ten million delayed jobs, what was cheap beside a thousand: each a multiple of that cost."""
    lab.growth, times = grown.rows(lab, 10_000_000 if scale >= 1 else 80_000)
    return {
        "growth": times["run"],
        "growth_promote": times["promote"],
        "growth_counts": times["counts"],
        "growth_page": max(times["page"], times["page_deep"]),
    }


def idle_cost(lab: Lab, name: str, scale: float) -> Figures:
    """One idle worker and one idle scheduler: commands a second, per cent of a core, the worker's megabytes.

    Of a peer whose worker has its scheduler with it, or beside it, the megabytes are of both.
    """
    facts = lab.describe(name)
    for ran in (20, 40):
        lab.stop()  # the first one compiled what it imports, and keeps more memory for that
        lab.start(name, facts["TIMER"] or next(iter(facts["workers"])))
        lab.ask(name, "fill", 20)
        lab.until(lambda ran=ran: lab.ran() >= ran, 60)
        time.sleep(0.5)  # until that is settled
    held = lab.resident()
    if "scheduler" in facts["workers"]:
        lab.start(name, "scheduler")
    time.sleep(3)
    used, seconds = lab.cpu(), max(6, 20 * scale) if name in OURS else 8
    sent = lab.sent(seconds)
    return {
        "idle_commands": sent / seconds,
        "idle_cpu": 100 * (lab.cpu() - used) / seconds,
        "worker_memory": held,
    }


def idle_file(lab: Lab, name: str, scale: float) -> Figures:
    """Per cent of a core that an idle worker and an idle scheduler take, each, with their jobs in a file."""
    lab.start(name, "threads")
    lab.ask(name, "fill", 20)
    lab.until(lambda: lab.ran() >= 20, 60)
    lab.start(name, "scheduler")
    time.sleep(3)
    used, seconds = lab.cpu(), max(10, 30 * scale)
    time.sleep(seconds)
    return {"idle_file": 100 * (lab.cpu() - used) / seconds / 2}


def start_up(lab: Lab, name: str, scale: float) -> Figures:
    """Milliseconds: `import chronoq` with its `Scheduler`, or of what a peer's client needs, above an empty
    interpreter; `chronoq --help` as a whole."""
    program = environments.python(name)
    empty = python(lab, program, "-c", "pass")
    full = python(lab, program, "-c", environments.IMPORTS.get(name, "import chronoq; chronoq.Scheduler"))
    helped = (
        {} if name in environments.PACKAGES else {"help": python(lab, program, "-m", "chronoq", "--help")}
    )
    return {"import": full - empty, **helped}


def python(lab: Lab, program: str, *args: str) -> float:
    """Milliseconds from start to exit: the best of five, after one that compiles."""
    best = 1e9
    for turn in range(6):
        began = time.perf_counter()
        subprocess.run([program, *args], env=lab.env(), capture_output=True, check=True)
        if turn:
            best = min(best, 1000 * (time.perf_counter() - began))
    return best


# --- all of them ----------------------------------------------------------------------------------


def _wake(lab: Lab, scale: float) -> Figures:
    found = ceilings.wake(lab, int(max(200, 1000 * scale)))
    lab.keep("push to blocking pop", "idle_start", found)
    p50, p99 = quantile(found, 0.5), quantile(found, 0.99)
    return {"idle_start_p50": p50, "idle_start_p99": p99, "lateness_p50": p50, "lateness_p99": p99}


def _memory(lab: Lab, scale: float) -> Figures:
    n = max(5_000, int(20_000 * scale))
    return {
        f"memory_{kind}": ceilings.memory(lab, n, delayed=kind == "delayed") for kind in ("delayed", "queued")
    }


def _set(figure: str) -> Callable[[Lab, float], Figures]:
    return lambda lab, scale: {figure: lab.reference(4_000)}


def _raw(figure: str, loop: Callable[[Lab, int], float], n: int) -> Callable[[Lab, float], Figures]:
    return lambda lab, scale: {figure: loop(lab, max(5_000, int(n * scale) // 1000 * 1000))}


def _drains(lab: Lab, scale: float) -> Figures:
    n = max(20_000, int(100_000 * scale) // 1000 * 1000)
    return {"drain_threads": ceilings.threads(lab, n), "drain_async": ceilings.event_loop(lab, n)}


WORKERS = (drain_one, drain_two, idle_start, idle_cost)
"""What is measured of workers in processes of their own."""

ALL = (
    Measure("enqueue_one", enqueue_one, _raw("enqueue_one", ceilings.enqueue_one, 10_000), peers=3, quick=5),
    Measure(
        "enqueue_bulk",
        enqueue_bulk,
        _raw("enqueue_bulk", ceilings.enqueue_bulk, 100_000),
        needs="put_many",
        peers=3,
        quick=5,
    ),
    Measure("enqueue_threads", enqueue_threads, needs="threads", peers=2),
    Measure("drain_one", drain_one, _drains, ours=ALL_MODES, peers=3, quick=3),
    Measure("drain_two", drain_two, ours=ALL_MODES, peers=1, repeat=2),
    Measure("idle_start", idle_start, _wake, ours=BOTH, peers=2),
    Measure("lateness", lateness, needs="put_at", peers=1, repeat=1),
    Measure("due_at_once", due_at_once, needs="put_at", peers=1, repeat=2),
    Measure(
        "promote",
        promote,
        _raw("promote", ceilings.mover, 100_000),
        needs="promote",
        peers=1,
        quick=5,
    ),
    Measure("recurring", recurring, _set("recurring"), needs="recurring", peers=1, quick=3),
    Measure(
        "recurring_memory",
        recurring_memory,
        _set("recurring_memory"),
        ours=("chronoq_memory",),
        needs="recurring_memory",
        peers=1,
        quick=3,
    ),
    Measure("relay_due", relay_due, ours=RQ, needs="relay_due", peers=1),
    Measure("relay_cron", relay_cron, ours=RQ, needs="relay_cron", peers=1),
    Measure("relay_lateness", relay_lateness, ours=RQ, needs="relay_due", peers=1, repeat=1),
    Measure("memory", memory, _memory, needs="put_at", peers=1, repeat=1, server=True),
    Measure("longest_script", longest_script, repeat=2),
    Measure("server_cost", server_cost),
    Measure("growth", growth, repeat=1),
    Measure("idle_cost", idle_cost, peers=1, repeat=1, server=True),
    Measure("idle_file", idle_file, ours=("chronoq_sqlite",), repeat=1),
    Measure("start_up", start_up, needs="put_at", peers=1, server=True),
)
