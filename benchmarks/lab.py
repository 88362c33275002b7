"""A server of its own, the processes of a subject, and the file in which jobs say when they ran."""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import redis
from tests.servers import Server

from benchmarks import environments
from benchmarks.job import RECORD

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A subject did not do what it was asked."""


class Lab:
    """`with Lab() as lab:` there is an empty server; everything started here is gone when the block ends."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bench-"))
        self.server = Server("valkey-9.1", "--maxclients", "10000", tcp=True)
        self.records = self.folder / "records"
        self.log = self.folder / "log"
        self.live: list[subprocess.Popen[bytes]] = []
        self.facts: dict[str, dict] = {}
        self.samples: dict[tuple[str, str], list[float]] = {}
        self.growth: list[dict[str, float]] = []

    def __enter__(self) -> Self:
        self.server.start()
        self.redis: redis.Redis = self.server.client()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.server.close()
        subprocess.run(["rm", "-rf", self.folder], check=False)

    def fresh(self) -> None:
        """An empty server and an empty file."""
        self.stop()
        self.redis.flushall()
        self.records.write_bytes(b"")
        for file in self.folder.glob("jobs.db*"):
            subprocess.run(["rm", "-rf", file], check=True)

    def env(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        return {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith("CHRONOQ_") and name != "PYTHONDONTWRITEBYTECODE"
            },
            # modules are compiled once, as where they are installed, whatever this environment thinks of that
            "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode"),
            "BENCH_URL": self.server.url(),
            "BENCH_OUT": str(self.records),
            "PYTHONPATH": str(HERE),
            "PYTHONWARNINGS": "ignore",
            **(extra or {}),
        }

    def describe(self, name: str) -> dict:
        """What a subject can do."""
        if name not in self.facts:
            self.facts[name] = self.ask(name, "describe")
        return self.facts[name]

    def ask(self, name: str, verb: str, *args: object, env: dict[str, str] | None = None) -> dict:
        """One thing done by the subject in a process of its own. Errors: `Failed` with its last words."""
        argv = [environments.python(name), "agent.py", name, verb, *map(str, args)]
        done = subprocess.run(
            argv, cwd=HERE, env=self.env(env), capture_output=True, timeout=600, check=False
        )
        if done.returncode:
            raise Failed(f"{name} {verb}: {done.stderr.decode(errors='replace').strip()[-800:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def hold(self, name: str, verb: str, *args: object, env: dict[str, str] | None = None) -> dict:
        """As `ask`, by a process that stays and runs what it was given."""
        argv = [environments.python(name), "agent.py", name, verb, *map(str, args)]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                argv,
                cwd=HERE,
                env=self.env(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self.live.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise Failed(f"{name} {verb}: {self.log.read_text(errors='replace')[-800:]}")
        return json.loads(line)

    def start(self, name: str, label: str, processes: int = 1, env: dict[str, str] | None = None) -> None:
        """The worker processes of a subject."""
        for argv in self.describe(name)["workers"][label][str(processes)]:
            with self.log.open("ab") as log:
                self.live.append(
                    subprocess.Popen(
                        argv,
                        cwd=HERE,
                        env=self.env(env),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )

    def stop(self) -> None:
        """End what was started, with all its children: each has a process group of its own."""
        for process in self.live:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.live.clear()

    def ran(self) -> int:
        """How many jobs have run."""
        return self.records.stat().st_size // RECORD.size

    def moments(self, first: int = 0) -> list[tuple[int, int]]:
        """First argument and moment, in microseconds, of each run from number `first` on."""
        return list(RECORD.iter_unpack(self.records.read_bytes()[first * RECORD.size :]))

    def until(self, found: Callable[[], bool], within: float, poll: float = 0.005) -> None:
        """Errors: `Failed` when it is not so in time, or when a worker has ended."""
        end = time.monotonic() + within
        while not found():
            if time.monotonic() > end:
                raise Failed(f"not within {within} s: {self.log.read_text(errors='replace')[-500:]}")
            if self.live and all(process.poll() is not None for process in self.live):
                raise Failed(f"its processes ended: {self.log.read_text(errors='replace')[-500:]}")
            time.sleep(poll)

    def keep(self, name: str, what: str, found: list[float]) -> None:
        """Add samples of a subject, for the histograms."""
        self.samples[name, what] = sorted([*self.samples.get((name, what), []), *found])

    @property
    def version(self) -> str:
        facts = self.redis.info("server")
        return (
            f"Valkey {facts['valkey_version']}"
            if "valkey_version" in facts
            else f"Redis {facts['redis_version']}"
        )

    def reference(self, n: int = 2000) -> float:
        """Plain SET round trips a second, by redis-py: how fast this machine is at this moment."""
        began = time.perf_counter()
        for _ in range(n):
            self.redis.set("reference", b"x")
        took = time.perf_counter() - began
        self.redis.delete("reference")
        return n / took

    def sent(self, seconds: float) -> int:
        """How many commands clients send in so many seconds; those inside of scripts do not count."""
        found, end = 0, time.monotonic() + seconds
        with self.server.client().monitor() as monitor:
            while time.monotonic() < end:
                if monitor.connection.can_read(0.2):
                    found += monitor.next_command()["client_type"] != "lua"
        return found

    def family(self) -> list[list[str]]:
        """Of each started process and its children, what the system says from its state on."""
        started = {str(process.pid) for process in self.live}
        found = []
        for place in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = place.read_text().rpartition(")")[2].split()
                if fields[3] in started:  # the session
                    found.append(fields)
        return found

    def cpu(self) -> float:
        """Seconds of processor time that the started processes have used."""
        return sum(int(fields[11]) + int(fields[12]) for fields in self.family()) / TICKS

    def server_cpu(self) -> float:
        """Seconds of processor time that the server has used."""
        facts = self.redis.info("cpu")
        return float(facts["used_cpu_sys"] + facts["used_cpu_user"])

    def resident(self) -> float:
        """Megabytes that the started processes hold."""
        return sum(int(fields[21]) for fields in self.family()) * resource.getpagesize() / 1e6


def quantile(values: Sequence[float], part: float) -> float:
    """Of sorted values."""
    return values[min(len(values) - 1, int(len(values) * part))]


def say(*words: object) -> None:
    print(time.strftime("%H:%M:%S"), *words, file=sys.stderr, flush=True)
