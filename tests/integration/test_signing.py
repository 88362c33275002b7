"""What somebody can do who may write to the store, but has no signing key: nothing that runs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from chronoq import JobHandle, Scheduler, Task, every
from chronoq.cli.main import run
from chronoq.domain.errors import ChronoqError
from chronoq.domain.job import State
from chronoq.domain.schedule import Happened, Put
from tests.servers import Server, eventually

K1, K2 = (f"k{n}:{n:02x}" + "5a" * 31 for n in (1, 2))
JOBS, READY = "chronoq:{default}:jobs", "chronoq:{default}:ready:2"
SCHEDULES = "chronoq:{default}:schedules"

Make = Callable[..., Scheduler]


@pytest.fixture
def intruder(valkey: Server, redis_url: str) -> redis.Redis:
    """May write whatever it likes."""
    return valkey.client()


@pytest.fixture
def made(redis_url: str) -> Iterator[Make]:
    """An application with a task and a schedule, under those settings; `ran` has the arguments of its runs."""
    apps: list[Scheduler] = []

    def make(signing_keys: str = "", **settings: str) -> Scheduler:
        app = Scheduler(redis_url, signing_keys=signing_keys, **settings)

        @app.task(name="pay")
        def pay(to: str) -> str:
            return to

        app.add_schedule("hourly", pay, every("1h"), args=["landlord"])
        apps.append(app)
        return app

    yield make
    for app in apps:
        app.close()


def pay(app: Scheduler, to: str) -> JobHandle[str]:
    job = Task(app, app.tasks.find("pay"), {"id": to}).job(to)
    return app.enqueue_many([job])[0]


def why_dead(app: Scheduler, key: str) -> str:
    info = eventually(lambda: (found := app.job(key).info()) and found.state is State.DEAD and found)
    assert info.failure
    assert info.job.payload == b"null"
    return f"{info.failure.type}: {info.failure.message}"


def test_work_that_was_made_up_or_changed_reaches_the_dead_letters_and_delays_no_neighbour(
    made: Make, intruder: redis.Redis
) -> None:
    app = made(K1)
    for to in ("alice", "bob"):
        pay(app, to)
    record = intruder.hget(JOBS, "alice")
    unsigned = record.split(b":", 3)[3]
    intruder.hset(
        JOBS, mapping={"forged": unsigned, "copied": record, "bob": record.replace(b"alice", b"mafia")}
    )
    intruder.rpush(READY, "forged", "copied")
    pay(app, "carol")

    with app:
        assert app.job("carol").result(timeout="10s") == "carol"
        assert app.job("alice").result(timeout="10s") == "alice"
        assert why_dead(app, "forged") == "BadRecord: the job's record is refused: it is not signed"
        assert "its signature does not fit" in why_dead(app, "copied")
        assert "its signature does not fit" in why_dead(app, "bob")


def test_a_schedule_that_was_changed_fires_nothing_until_it_is_saved_again(
    made: Make, intruder: redis.Redis
) -> None:
    app = made(K1)
    app.apply()
    intruder.hset(SCHEDULES, "hourly", intruder.hget(SCHEDULES, "hourly").replace(b"landlord", b"burglars"))
    schedule = app.stored_schedule("hourly")
    with pytest.raises(ChronoqError, match=r"its signature does not fit.*Save it again"):
        schedule.trigger()
    intruder.zadd("chronoq:{default}:dues", {"hourly": 1})
    keeper = app.scheduler()
    keeper.start()
    try:
        eventually(lambda: app.stored.ledger("hourly"))
    finally:
        keeper.stop()
    (outcome,) = app.stored.ledger("hourly")
    assert outcome.what is Happened.SET_ASIDE
    assert "its signature does not fit" in outcome.note
    assert not intruder.exists(JOBS)

    assert [change.put for change in app.apply()] == [Put.UPDATED]
    schedule.resume()
    with app:
        assert schedule.trigger().result(timeout="10s") == "landlord"


def test_keys_are_changed_while_everything_runs(made: Make, intruder: redis.Redis) -> None:
    unsigned = made()
    unsigned.apply()
    pay(unsigned, "before")
    due = unsigned.stored.find("hourly").cursor

    accepting = made(K1, signing="accept")
    assert [change.put for change in accepting.apply()] == [Put.UNCHANGED]
    assert intruder.hget(SCHEDULES, "hourly").startswith(b"s1:k1:")
    pay(accepting, "first")
    with accepting:
        assert accepting.job("before").result(timeout="10s") == "before"
    pay(accepting, "second")

    rotating = made(f"{K2},{K1}")
    rotating.apply()
    assert intruder.hget(SCHEDULES, "hourly").startswith(b"s1:k2:")
    with rotating:
        assert rotating.job("second").result(timeout="10s") == "second"

    rotated = made(K2)
    stored = rotated.stored.find("hourly")
    assert stored.schedule
    assert stored.cursor == due, "the due time is kept"
    assert made().stored.find("hourly").schedule == stored.schedule, "who has no keys reads it all the same"


def test_no_command_tells_a_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    secret = K1.partition(":")[2]
    monkeypatch.setenv("CHRONOQ_SIGNING_KEYS", f"{K1},{K2}")
    for form in ("table", "json"):
        assert run(["config", "-o", form]) == 0
        said = capsys.readouterr()
        assert "k1:***" in said.out
        assert secret not in said.out + said.err
    monkeypatch.setenv("CHRONOQ_SIGNING_KEYS", secret)
    assert run(["config", "-vv"]) == 2
    said = capsys.readouterr()
    assert secret not in said.out + said.err


def test_a_file_is_signed_as_well_as_a_server(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"

    def under(keys: str) -> Scheduler:
        app = Scheduler(url, signing_keys=keys)
        app.add_schedule("hourly", app.task(name="pay")(pay_nobody), every("1h"))
        return app

    app = under(K1)
    app.apply()
    pay(app, "alice")
    app.close()
    for keys, why in ((K1, ""), (K2, "which is not among the signing_keys here"), ("", "")):
        reader = under(keys)
        info = reader.job("alice").info()
        assert info
        assert why in info.job.defect
        assert bool(info.job.defect) is bool(why)
        assert why in reader.stored.find("hourly").defect
        reader.close()


def pay_nobody(to: str = "") -> None: ...
