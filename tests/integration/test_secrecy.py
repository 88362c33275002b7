"""What a job was given is in nobody's log, whatever becomes of the job."""

from functools import partial
from pathlib import Path
from typing import Any

from chronoq import Scheduler
from chronoq.app.schedules import NoSuchSchedule
from chronoq.domain.job import State
from tests.proc import chronoq
from tests.servers import Server, eventually

MARKER = "xyzzy"
APP = """
import time
from chronoq import Scheduler, errors, every

app = Scheduler(max_payload=500)

@app.task
def fine(what: str) -> str:
    return what

@app.task
def failing(what: str) -> None:
    raise ValueError("no")

@app.task
def strict(what: int) -> None: ...

@app.task
def pairs(what: list[tuple[int, int]]) -> None: ...

@app.task
def slow(what: str) -> None:
    time.sleep(0.3)

@app.task
def large(what: str) -> str:
    return what * 500

@app.task
def later(what: str) -> None:
    raise errors.Snooze("1h")

app.add_schedule("tick", fine, every("200ms"), args=["xyzzy"], overlap="allow")
app.add_schedule("broken", fine, every("200ms"), args=["xyzzy"])
"""
ENDS = {
    "fine": State.DONE,
    "failing": State.DEAD,
    "strict": State.DEAD,
    "pairs": State.DEAD,
    "slow": State.DEAD,
    "large": State.DEAD,
    "later": State.DELAYED,
    "unknown": State.DELAYED,
    "long": State.DEAD,
    "spoiled": State.DEAD,
    "expired": State.EXPIRED,
}
OPTIONS: dict[str, Any] = {
    "failing": {"retries": 1, "backoff": ["50ms"]},
    "slow": {"timeout": "100ms", "retries": 0},
    "expired": {"expires": "1ms"},
}
AS = {"long": "fine", "spoiled": "fine", "expired": "fine"}


def test_no_argument_appears_in_a_log(valkey: Server, redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(APP)
    producer, store = Scheduler(redis_url), valkey.client()

    def anything(what: Any) -> None: ...

    tasks = {name: producer.add_task(anything, name=f"jobs.{name}") for name in ENDS.keys() - AS.keys()}
    given: dict[str, Any] = {"long": MARKER * 200, "pairs": [[MARKER]]}
    for key in ENDS:
        task = tasks[AS.get(key, key)]
        task.using(id=key, **OPTIONS.get(key, {})).enqueue(given.get(key, MARKER))
    record = store.hget("chronoq:{default}:jobs", "spoiled")
    assert record
    store.hset("chronoq:{default}:jobs", "spoiled", record.replace(b"[", b"{", 1))

    where = ("--app", "jobs:app", "--url", redis_url, "-vv")
    with (
        chronoq(*where, "scheduler", cwd=tmp_path) as scheduler,
        chronoq(*where, "worker", cwd=tmp_path) as worker,
    ):
        eventually(lambda: _stored(producer), within=30)
        schedules = "chronoq:{default}:schedules"
        broken = store.hget(schedules, "broken")
        assert broken
        store.hset(schedules, "broken", broken.replace(b"{", b"[", 1))
        for key, state in ENDS.items():
            eventually(partial(_is, producer, key, state), within=30)
        scheduler.wait_line("broken is set aside", within=30)
        worker.wait_line(r"✔ jobs\.fine +tick@", within=30, times=2)
        for process in (worker, scheduler):
            process.sigterm()
        assert [process.wait(30) for process in (worker, scheduler)] == [0, 0]
        said = "\n".join([*worker.out, *worker.err, *scheduler.out, *scheduler.err])
    assert "BadArgument: Argument 'what' of strict() expected int, got str." in said
    assert MARKER not in said
    dead = producer.job("strict").info()
    assert dead
    assert dead.failure
    assert MARKER in dead.failure.message, "who may read the store may read it there"
    producer.close()


def _is(app: Scheduler, key: str, state: State) -> bool:
    return app.job(key).status() == state


def _stored(app: Scheduler) -> bool:
    try:
        return app.stored.find("broken").schedule is not None
    except NoSuchSchedule:
        return False
