"""What rq-scheduler has planned moves in: from the data that rq-scheduler itself has written."""

from __future__ import annotations

import json
import pickle
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import crontab
import pytest
import redis
from attrs import evolve
from rq import Queue as RqQueue
from rq import SimpleWorker
from rq.job import Callback
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer
from rq_scheduler import Scheduler as OldScheduler

from chronoq import Queue, Scheduler, errors
from chronoq.cli.main import run as cli
from chronoq.compat.rq_scheduler import Scheduler as Face
from chronoq.domain.verdict import Done
from chronoq.migrate.comparing import Kind
from chronoq.migrate.moving import Fate, foreseen, move
from chronoq.migrate.plan import Planned, Planner
from chronoq.migrate.shadow import Report, Shadow
from chronoq.migrate.source import ENTRIES, LOCK, MOVING, Source
from chronoq.relay.rq import RqRelay
from chronoq.relay.rq_entry import NAMESPACE, cron_for
from tests.faults_app import ROOT
from tests.proc import Process, chronoq
from tests.servers import Server, eventually

pytestmark = [
    pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning"),  # rq-scheduler's own
    pytest.mark.filterwarnings("ignore:Version 0.22.0:FutureWarning"),  # its cron library's
]

HOUR = timedelta(hours=1)


@pytest.fixture
def server(valkey: Server, redis_url: str) -> Server:
    """An empty one."""
    return valkey


@pytest.fixture
def old(server: Server) -> OldScheduler:
    return OldScheduler("mail", connection=server.client())


@pytest.fixture
def app(server: Server) -> Iterator[Scheduler]:
    """It takes what goes to `mail` and to `other`, by the names of the functions."""
    with closing(make(server.url())) as app:
        yield app


def make(url: str) -> Scheduler:
    relay = RqRelay(unregistered=True)
    return Scheduler(
        url, queues=[Queue("mail", relay=relay), Queue("elsewhere", relay=evolve(relay, queue="other"))]
    )


def soon(**length: float) -> datetime:
    """As rq-scheduler wants it: UTC, without saying so."""
    return (datetime.now(UTC) + timedelta(**length)).replace(tzinfo=None)


class Cli:
    """The command, on one server; what it said."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url, self.capsys = url, capsys
        self.out = self.err = ""

    def __call__(self, *args: str) -> int:
        code = cli(["migrate", "rq-scheduler", "--url", self.url, *args])
        self.out, self.err = self.capsys.readouterr()
        return code

    def rows(self, *args: str) -> dict[str, Any]:
        self("-o", "json", *args)
        return {row["id"]: row for row in json.loads(self.out)}


@pytest.fixture
def migrate(server: Server, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(server.url(), capsys)


def dump(server: Server, pattern: str = "*") -> dict[bytes, Any]:
    client = server.client()
    return {key: client.dump(key) for key in sorted(client.scan_iter(pattern))}


def ids(server: Server, key: str = ENTRIES) -> list[str]:
    return sorted(id.decode() for id in server.client().zrange(key, 0, -1))  # type: ignore[union-attr]


def planned(server: Server, app: Scheduler, **options: Any) -> dict[str, Planned]:
    """The plan for the lines of this server."""
    with closing(Source.at(server.url())) as source:
        planner = Planner(app, source.client, trust_pickle=True, tz="UTC", **options)
        return {one.line.id: one for one in planner.plan(source.lines(), now=source.now())}


class Shop:
    def restock(self) -> None: ...


EXPLODED: list[str] = []


def explode() -> None:
    EXPLODED.append("here")
    raise ValueError("exploded")


class Bomb:
    """Whoever unpickles it runs `explode`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return explode, ()


class Leaver:
    """Whoever unpickles it leaves the program, as with a module that parses its command line when imported."""

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.exit, (7,)


# what becomes of what


def test_each_kind_of_entry_becomes_what_it_meant(old: OldScheduler, migrate: Cli) -> None:
    at = soon(hours=1).replace(microsecond=0)
    old.enqueue_at(at, "shop.send", 1, to="Ada", job_id="at")
    old.enqueue_in(HOUR, "shop.send", job_id="in", queue_name="other")
    old.schedule(at, "shop.tick", interval=90, id="every")
    old.schedule(at, "shop.tick", interval=90, repeat=3, id="thrice")
    old.schedule(at, "shop.tick", interval=90, repeat=0, id="one-more")
    old.schedule(at, "shop.tick", interval=0.5, id="cut")
    old.schedule(at, "shop.tick", id="plain")
    old.cron("0 7 * * *", "shop.tick", id="cron")
    old.cron("0 7 13 * fri 2027", "shop.tick", id="friday", repeat=2)
    rows = migrate.rows("--trust-pickle", "--tz", "UTC")
    told = {id: (row["kind"], row["becomes"], row["runs"], row["queue"]) for id, row in rows.items()}
    assert told == {
        "at": ("job", "once", None, "mail"),
        "in": ("job", "once", None, "other"),
        "every": ("schedule", "every 1m30s", None, "mail"),
        "thrice": ("schedule", "every 1m30s", 3, "mail"),
        "one-more": ("schedule", "every 1m30s", 1, "mail"),
        "cut": ("job", "once", None, "mail"),
        "plain": ("job", "once", None, "mail"),
        "cron": ("schedule", "at 07:00, UTC", None, "mail"),
        "friday": ("schedule", "at 07:00 on day 13, if it is Friday of 2027, UTC", 2, "mail"),
    }
    assert {row["fate"] for row in rows.values()} == {"moved"}
    assert rows["every"]["next"] == rows["at"]["next"] == at.replace(tzinfo=UTC).isoformat()
    assert rows["friday"]["next"] == "2027-08-13T07:00:00+00:00"
    assert "cuts fractions off" in rows["cut"]["remark"]


def test_what_is_overdue_stays_due_at_its_time(old: OldScheduler, server: Server, app: Scheduler) -> None:
    old.schedule(soon(seconds=-100), "shop.tick", interval=60, id="every")
    old.cron("* * * * *", "shop.tick", id="cron")
    past = datetime.now(UTC).replace(second=0, microsecond=0) - 2 * HOUR
    server.client().zadd(ENTRIES, {"cron": past.timestamp()})
    plan = planned(server, app)
    assert plan["cron"].next == past
    assert plan["every"].next == plan["every"].line.due


def test_what_rq_was_told_is_told_again(old: OldScheduler, server: Server, app: Scheduler) -> None:
    told: dict[str, Any] = {
        "timeout": "5m",
        "description": "sends",
        "meta": {"team": "shop"},
        "on_success": Callback("shop.sent", timeout=9),
        "on_failure": Callback("shop.unsent"),
        "depends_on": "before",
    }
    old.schedule(soon(hours=1), "shop.send", id="once", result_ttl=500, ttl=100, at_front=True, **told)
    old.schedule(soon(hours=1), "shop.send", id="again", interval=60, queue_name="other", **told)
    plan = planned(server, app)
    once, again = plan["once"].entry, plan["again"].entry
    assert once is not None
    assert again is not None
    both = {
        "timeout": 300,
        "description": "sends",
        "depends_on": ["before"],
        "on_success": {"func": "shop.sent", "timeout": 9},
        "on_failure": {"func": "shop.unsent", "timeout": 60},
    }
    assert once.rq == both | {"result_ttl": 500, "ttl": 100, "at_front": True}
    assert again.rq == both  # the endless result_ttl was there for rq-scheduler's sake
    assert once.meta == again.meta == {"team": "shop"}
    assert str(plan["again"].id) == "elsewhere:again"


def test_records_in_json_need_no_pickle(server: Server, migrate: Cli) -> None:
    class JsonJob(RqJob):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **(more | {"serializer": JSONSerializer}))

    old = OldScheduler("mail", connection=server.client(), job_class=JsonJob)
    old.schedule(soon(hours=1), "shop.tick", [1], {"a": [None]}, interval=60, id="every")
    assert migrate.rows()["every"]["becomes"] == "every 1m"
    with closing(Scheduler(server.url(), namespace=NAMESPACE)) as app:
        assert app.stored_schedule("mail:every").info().schedule.payload == b'[[1],{"a":[null]}]'  # type: ignore[union-attr]


def test_an_id_that_rq_would_not_take_today_becomes_another_one(
    old: OldScheduler, server: Server, app: Scheduler
) -> None:
    old.enqueue_in(HOUR, "shop.send", job_id="plain")
    client = server.client()
    client.rename("rq:job:plain", "rq:job:not plain")
    client.zadd(ENTRIES, {"not plain": client.zscore(ENTRIES, "plain")})
    one = planned(server, app)["not plain"]
    assert one.job is not None
    assert one.job.options.keep >= timedelta(days=30)  # moved once more, it does not run again
    assert str(one.id).startswith("mail:not-plain-")
    assert "another id" in one.notes[0]


LINES = [
    "* * * * *", "*/7 * * * *", "5/20 3,4 * * *", "0 9-17/2 * * mon-fri", "0 0 13 * 5", "0 0 */2 * 1",
    "0 12 L * *", "0 12 * * L5", "0 0 29 2 *", "30 0 1 jan,jul ?", "0 0 * * 7", "0 0 * * sat-sun",
    "0 0 1 1 * 2030", "15 30 4 * * * *", "0 0 12 1 1 * 2028-2030", "@hourly", "@weekly", "@yearly",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_a_cron_line_fires_when_rq_schedulers_library_says(line: str) -> None:
    moment = datetime(2027, 2, 10, 23, 59, 58)  # noqa: DTZ001  # that library walks without a zone
    theirs = []
    for _ in range(6):
        moment = crontab.CronTab(line).next(now=moment, return_datetime=True)
        if moment is None:
            break
        theirs.append(moment.replace(tzinfo=UTC))
    ours = cron_for(line).fires(datetime(2027, 2, 10, 23, 59, 58, tzinfo=UTC))
    assert list(islice(ours, 6)) == theirs


# what stays


def test_what_cannot_be_moved_says_why_and_what_to_do(
    old: OldScheduler, server: Server, migrate: Cli
) -> None:
    client = server.client()
    old.enqueue_in(HOUR, "shop.send", datetime.now(UTC), job_id="moment")
    old.enqueue_in(HOUR, "shop.send", key={1: 2}, job_id="key")
    old.enqueue_in(HOUR, Shop().restock, job_id="method")
    old.enqueue_in(HOUR, "shop.send", Bomb(), job_id="bomb")
    old.enqueue_in(HOUR, "shop.send", Leaver(), job_id="leaver")
    odd = {"odd-interval": {"interval": "soon"}, "odd-cron": {"cron_string": 5}, "year-one": {"interval": 60}}
    for id in ("gone", "garbage", "dataless", "other-type", *odd, "odd-meta", "never"):
        meta = odd.get(id)
        old.schedule(soon(hours=1), "shop.send", id=id, meta=meta)
    client.delete("rq:job:gone", "rq:job:other-type")
    client.set("rq:job:other-type", "text")
    client.hset("rq:job:garbage", "data", b"\xff\x00")
    client.hdel("rq:job:dataless", "data")
    client.hset("rq:job:odd-meta", "meta", pickle.dumps(["x"]))
    client.zadd(ENTRIES, {"never": float("inf"), "year-one": -62135596800})
    rows = migrate.rows("--trust-pickle")
    assert {row["fate"] for row in rows.values()} == {"stays"}
    for id, why in {
        "moment": "Argument #1 of shop.send() cannot be stored: datetime.datetime is no JSON type",
        "key": "the key 1 of a dict is no text",
        "method": "a method of an object (Shop)",
        "bomb": "cannot read its record (exploded)",
        "leaver": "cannot read its record (7)",
        "odd-meta": "its meta is no dict",
        "odd-cron": "its record is damaged",
        "gone": "no record",
        "other-type": "no record",
        "garbage": "cannot read its record",
        "dataless": "no data",
        "odd-interval": "interval is 'soon'",
        "never": "its time is inf seconds",
        "year-one": "date value out of range",
    }.items():
        assert why in rows[id]["remark"], id
        assert rows[id]["todo"] or id == "year-one"
    assert len(ids(server)) == 14


def test_nothing_is_unpickled_unless_it_is_trusted(old: OldScheduler, migrate: Cli) -> None:
    old.enqueue_in(HOUR, "shop.send", Bomb(), job_id="bomb", meta={"b": Bomb()})
    EXPLODED.clear()
    row = migrate.rows()["bomb"]
    assert EXPLODED == []
    assert row["remark"] == "its record is pickled, as RQ does by default"
    assert "--trust-pickle" in row["todo"]
    assert (row["function"], row["queue"]) == ("shop.send", "mail")
    migrate.rows("--trust-pickle")
    assert EXPLODED


def test_chronoq_itself_knows_no_pickle() -> None:
    names = r"(_?pickle|cPickle|dill|shelve)\b"
    imports = re.compile(rf"^\s*(import\s+([\w.]+\s*,\s*)*|from\s+){names}", re.MULTILINE)
    assert imports.search("from rq import x\nimport pickle")
    for path in (ROOT / "src").rglob("*.py"):
        assert not imports.search(path.read_text(encoding="utf-8")), path


# time zones


def test_a_cron_line_that_does_not_fit_the_zone_stays_until_somebody_says_which(
    old: OldScheduler, migrate: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    old.cron("0 7 * * *", "shop.tick", id="cron", use_local_timezone=True)
    old.cron("0 * * * *", "shop.tick", id="hourly")
    monkeypatch.setenv("TZ", "Asia/Tokyo")  # not where rq-scheduler runs: that has read TZ at its start
    rows = migrate.rows("--trust-pickle", "--dry-run")
    assert "cron '0 7 * * *' in Asia/Tokyo does not fire at" in rows["cron"]["remark"]
    assert rows["cron"]["todo"].endswith("UTC fits.")
    assert rows["hourly"]["becomes"].endswith("Asia/Tokyo")
    row = migrate.rows("--trust-pickle", "--dry-run", "--tz", "Europe/Berlin")["cron"]
    assert row["becomes"] == "at 07:00, Europe/Berlin"
    assert row["remark"].startswith("rq-scheduler has 20")
    assert migrate.rows("--trust-pickle", "--dry-run", "--tz", "UTC")["cron"]["remark"] == ""
    monkeypatch.setenv("TZ", "UTC")
    assert migrate.rows("--trust-pickle", "--dry-run")["cron"]["fate"] == "would move"


def test_a_cron_line_that_ran_on_local_time_unasked_is_pointed_out(
    old: OldScheduler, server: Server, migrate: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime(2030, 1, 1, 7, tzinfo=ZoneInfo("Europe/Berlin"))
    for asked in (True, False):
        old.cron("0 7 * * *", "shop.tick", id=f"asked-{asked}", use_local_timezone=asked)
        server.client().zadd(ENTRIES, {f"asked-{asked}": moment.timestamp()})  # as it does on such a machine
    monkeypatch.setenv("TZ", "Europe/Berlin")
    rows = migrate.rows("--trust-pickle", "--dry-run")
    assert rows["asked-True"]["remark"] == ""
    assert "although use_local_timezone was not set" in rows["asked-False"]["remark"]


@pytest.mark.parametrize("wrong", [("--shadow", "--retire"), ("--for", "1s"), ("--tz", "Europe/Berln")])
def test_options_that_do_not_fit_are_refused(wrong: tuple[str, ...], migrate: Cli) -> None:
    assert migrate(*wrong) == 2
    assert migrate.err


# the application


def test_an_application_that_does_not_cover_them_is_told_what_to_declare(
    old: OldScheduler, server: Server, migrate: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "narrow_app.py").write_text(
        "from chronoq import Queue, Scheduler\nfrom chronoq.relay.rq import RqRelay, by_name\n"
        "app = Scheduler(queues=[Queue('mail', relay=RqRelay())])\n"
        "app.add_task(by_name('shop.send'), queue='mail', name='send')\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    old.enqueue_in(HOUR, "shop.send", job_id="covered")
    old.enqueue_in(HOUR, "shop.tick", job_id="task")
    old.enqueue_in(HOUR, "shop.send", job_id="queue", queue_name="other")
    args = ("--trust-pickle", "--app", "narrow_app:app", "--to", server.url())
    before = dump(server)
    assert migrate(*args) == 2
    assert 'Queue("other", relay=RqRelay())' in migrate.err
    assert 'app.add_task(by_name("shop.tick"), queue="mail")' in migrate.err
    assert dump(server) == before
    rows = migrate.rows(*args, "--dry-run")
    assert [rows[id]["fate"] for id in ("covered", "task", "queue")] == ["would move", "stays", "stays"]
    assert rows["covered"]["to"] == "mail:covered"


def test_a_relay_that_leads_to_another_rq_is_pointed_out(
    old: OldScheduler, server: Server, migrate: Cli
) -> None:
    old.enqueue_in(HOUR, "shop.send", job_id="one")
    migrate("--trust-pickle", "--dry-run")
    assert "⚠" not in migrate.err
    migrate("--trust-pickle", "--dry-run", "--to", server.url(1))
    assert "⚠ Jobs of mail would go to RQ in another database" in migrate.err


# moving


@pytest.fixture
def some(old: OldScheduler) -> OldScheduler:
    """Three that can be moved, and one that cannot."""
    old.enqueue_in(HOUR, "shop.send", 1, job_id="once")
    old.schedule(soon(hours=1), "shop.tick", interval=60, id="every")
    old.cron("0 7 * * *", "shop.tick", id="cron")
    old.enqueue_in(HOUR, "shop.send", {1: 2}, job_id="odd")
    return old


ALL = ("--trust-pickle", "--tz", "UTC")


def test_a_dry_run_changes_nothing(some: OldScheduler, server: Server, migrate: Cli) -> None:
    before = dump(server)
    assert migrate(*ALL, "--dry-run") == 1  # one stays
    assert "Would move 3 of 4, 1 cannot be moved." in migrate.err
    assert dump(server) == before


def test_without_retire_the_source_stays_as_it_is_and_a_second_run_finds_all_there(
    some: OldScheduler, server: Server, migrate: Cli
) -> None:
    before = dump(server, "rq:*")
    assert migrate(*ALL) == 1
    assert "do not start it again" in migrate.err
    assert dump(server, "rq:*") == before
    after = dump(server)
    rows = migrate.rows(*ALL)
    assert sorted(row["fate"] for row in rows.values()) == ["already there"] * 3 + ["stays"]
    assert dump(server) == after


def test_retire_takes_out_exactly_what_was_moved(some: OldScheduler, server: Server, migrate: Cli) -> None:
    rows = migrate.rows(*ALL, "--retire")
    assert sorted(row["fate"] for row in rows.values()) == ["moved"] * 3 + ["stays"]
    assert ids(server) == ["odd"]
    assert not server.client().exists(MOVING, LOCK)
    assert migrate.rows(*ALL, "--retire").keys() == {"odd"}


def test_retire_after_a_run_without_it_takes_out_what_is_there(
    some: OldScheduler, server: Server, migrate: Cli
) -> None:
    migrate(*ALL)
    rows = migrate.rows(*ALL, "--retire")
    assert sorted(row["fate"] for row in rows.values()) == ["already there"] * 3 + ["stays"]
    assert ids(server) == ["odd"]


def test_an_id_that_stands_for_other_work_here_stays_there(
    old: OldScheduler, server: Server, app: Scheduler
) -> None:
    old.enqueue_in(HOUR, "shop.send", 1, job_id="job")
    old.schedule(soon(hours=1), "shop.tick", interval=60, id="schedule")
    found = list(moved(server, app))
    assert [fate for _, fate in found] == [Fate.MOVED] * 2
    old.enqueue_in(HOUR, "shop.send", 2, job_id="job")
    old.schedule(soon(hours=1), "shop.other", interval=60, id="schedule")
    assert [fate for _, fate in moved(server, app, retire=True)] == [Fate.TAKEN] * 2
    assert ids(server) == ["job", "schedule"]
    assert ids(server, MOVING) == []


def test_what_was_changed_in_rq_scheduler_after_a_move_stays_there(
    old: OldScheduler, server: Server, app: Scheduler
) -> None:
    old.enqueue_in(-HOUR, "shop.send", 1, job_id="ran")
    old.enqueue_in(HOUR, "shop.send", 1, job_id="job")
    old.enqueue_in(HOUR, "shop.send", 1, job_id="same")
    old.schedule(soon(hours=1), "shop.tick", interval=60, id="schedule")
    old.schedule(soon(hours=1), "shop.tick", interval=60, id="shifted")
    assert {fate for _, fate in moved(server, app)} == {Fate.MOVED}
    now = app.backend.clock.now()
    (claim,) = app.backend.queue.claim([("mail", 1)], worker="relay", lease=HOUR, now=now).claims
    app.backend.queue.settle([(claim, Done())], now=now)
    for id in ("ran", "job"):  # an id that is used again
        old.enqueue_in(2 * HOUR, "shop.send", 1, job_id=id)
    old.schedule(soon(hours=1), "shop.tick", interval=30, id="schedule")
    old.schedule(soon(hours=2), "shop.tick", interval=60, id="shifted")
    differs = {"ran", "job", "schedule"}
    plan = list(planned(server, app).values())
    assert {one.planned.line.id for one in foreseen(plan, app) if one.fate is Fate.DIFFERS} == differs
    found = dict(moved(server, app, retire=True))
    assert {id for id, fate in found.items() if fate is Fate.DIFFERS} == differs
    assert {id for id, fate in found.items() if fate is Fate.THERE} == {"same", "shifted"}
    assert set(ids(server)) == differs
    assert ids(server, MOVING) == []


def moved(server: Server, app: Scheduler, *, retire: bool = False) -> list[tuple[str, Fate]]:
    with closing(Source.at(server.url())) as source:
        planner = Planner(app, source.client, trust_pickle=True, tz="UTC", told=True)
        plan = list(planner.plan(source.lines(), now=source.now()))
        return [(one.planned.line.id, one.fate) for one in move(plan, app, source, retire=retire)]


class Killed(BaseException):
    """Stands for SIGKILL: whatever the process was about to do, it does not do."""


class Mortal(redis.UnixDomainSocketConnection):
    """Dies before it sends for the nth time, or after that without hearing the answer."""

    left = 0
    before = True

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        kind = type(self)
        kind.left -= 1
        if kind.left < 0:
            raise redis.ConnectionError("dead already")
        if kind.left == 0 and kind.before:
            raise Killed
        super().send_packed_command(command, check_health)
        if kind.left == 0:
            raise Killed


@pytest.mark.parametrize("before", [True, False], ids=["unsent", "unheard"])
def test_a_move_that_dies_at_any_point_is_finished_by_the_next_one(
    before: bool, old: OldScheduler, server: Server
) -> None:
    for point in range(1, 40):
        client = server.client()
        client.flushall()
        for id in ("a", "b"):
            old.enqueue_in(-HOUR, "shop.send", id, job_id=id)
            old.schedule(soon(hours=1), "shop.tick", interval=60, id=f"{id}-every")
        with closing(make(server.url())) as app:
            Mortal.left, Mortal.before = point, before
            died = _dies_moving(server, app)
            old.enqueue_jobs()  # an rqscheduler that comes in between runs what it still sees, and only that
            ran = RqQueue("mail", connection=client).job_ids
            moved(server, app, retire=True)
            here = [id for id in ("a", "b") if app.job(f"mail:{id}").status() is not None]
            assert sorted(ran + here) == ["a", "b"], point
            assert [one.id.key for one in app.stored.all(["mail"])] == ["a-every", "b-every"], point
        assert ids(server) == ids(server, MOVING) == [], point
        if not died:
            return
    pytest.fail("it never got through")


def _dies_moving(server: Server, app: Scheduler) -> bool:
    with closing(Source.at(server.url())) as whole:
        plan = list(
            Planner(app, whole.client, trust_pickle=True, tz="UTC").plan(whole.lines(), now=whole.now())
        )
        options = whole.client.connection_pool.connection_kwargs
        pool = redis.ConnectionPool(
            connection_class=Mortal, path=options["path"], retry=options["retry"], protocol=2
        )
        with closing(redis.Redis.from_pool(pool)) as client:
            try:
                list(move(plan, app, Source(client, whole.address), retire=True))
            except (Killed, errors.BackendError):
                return True
    return False


def test_what_rq_scheduler_runs_meanwhile_is_not_moved(
    old: OldScheduler, server: Server, app: Scheduler
) -> None:
    old.enqueue_in(-HOUR, "shop.send", job_id="due")
    old.enqueue_in(HOUR, "shop.send", job_id="later")
    plan = list(planned(server, app).values())
    old.enqueue_jobs()
    with closing(Source.at(server.url())) as source:
        found = {one.planned.line.id: one.fate for one in move(plan, app, source, retire=True)}
    assert found == {"due": Fate.CHANGED, "later": Fate.MOVED}
    assert app.job("mail:due").status() is None
    assert ids(server, MOVING) == []


def test_nothing_is_moved_while_an_rqscheduler_is_alive_unless_it_is_forced(
    some: OldScheduler, server: Server, migrate: Cli
) -> None:
    some.register_birth()
    before = dump(server)
    assert migrate(*ALL, "--retire") == 2
    assert "An rqscheduler is alive" in migrate.err
    assert dump(server) == before
    assert migrate(*ALL, "--retire", "--force") == 1
    assert ids(server) == ["odd"]
    some.register_death()
    assert migrate(*ALL) == 1
    assert "alive" not in migrate.err


def test_an_rqscheduler_at_work_is_waited_for_and_then_kept_out(
    some: OldScheduler, server: Server, app: Scheduler
) -> None:
    assert some.acquire_lock()
    plan = list(planned(server, app).values())
    with closing(Source.at(server.url())) as source:
        impatient = evolve(source, patience=timedelta(0))
        with pytest.raises(errors.InUse, match="is at work"):
            list(move(plan, app, impatient, retire=True))
        some.remove_lock()
        with source.locked():
            assert not some.acquire_lock()
        assert some.acquire_lock()


# with RQ's own workers


def test_a_moved_job_runs_in_rq_under_its_old_id_and_what_waits_for_it_too(
    old: OldScheduler, server: Server, app: Scheduler
) -> None:
    client = server.client()
    first = old.enqueue_in(timedelta(seconds=-1), "builtins.abs", -3, job_id="first")
    queue = RqQueue("mail", connection=client)
    queue.enqueue("builtins.abs", -4, job_id="second", depends_on=first)
    moved(server, app, retire=True)
    relay = app.relay(["mail"])
    for _ in range(2):
        relay.deliverer.step(app.backend.clock.now())
    assert queue.job_ids == ["first"]
    SimpleWorker([queue], connection=client).work(burst=True, logging_level="ERROR")
    results = [RqJob.fetch(id, client).return_value() for id in ("first", "second")]
    assert results == [3, 4]
    for way in relay.deliverer.relays.values():
        way.close()


def test_after_a_move_without_an_application_the_familiar_face_goes_on_with_it(
    old: OldScheduler, server: Server, migrate: Cli
) -> None:
    client = server.client()
    old.enqueue_in(HOUR, "builtins.abs", -1, job_id="job", meta={"team": "shop"})
    old.enqueue_in(-HOUR, "builtins.abs", -1, job_id="due", queue_name="other")
    old.schedule(soon(hours=1), "builtins.abs", [-1], interval=60, repeat=3, id="every")
    old.cron("0 7 * * *", "builtins.abs", [-1], id="cron")
    known = [job.id for job in old.get_jobs()]
    assert migrate(*ALL, "--retire") == 0
    with closing(Face("mail", connection=client)) as face:
        jobs = {job.id: job for job in face.get_jobs()}
        assert list(jobs) == known
        assert jobs["job"].meta == {"team": "shop"}
        assert jobs["every"].meta == {"interval": 60, "repeat": 3}
        before = dump(server, "rq-scheduler:{mail}:cursors")
        face.cron("0 7 * * *", "builtins.abs", [-1], id="cron")  # as a program does at each start
        assert dump(server, "rq-scheduler:{mail}:cursors") == before
        face.enqueue_jobs()
        assert RqQueue("other", connection=client).job_ids == ["due"]
        face.cancel("every")
        assert "every" not in face
        assert [job.id for job in face.get_jobs()] == [id for id in known if id not in ("due", "every")]


# the shadow


@contextmanager
def shadowing(server: Server, app: Scheduler, *, until: datetime, tz: str = "UTC") -> Iterator[Shadow]:
    """One that looks when it is told to."""
    with closing(Source.at(server.url())) as source:
        planner = Planner(app, source.client, trust_pickle=True, tz=tz, told=True)
        yield Shadow(source, planner, until, timedelta(seconds=1))


def told(shadow: Shadow, now: datetime) -> dict[str, tuple[int, int, list[Kind]]]:
    """Of each line: expected, ran, differences."""

    def of(one: Report) -> tuple[int, int, list[Kind]]:
        return one.expected, one.ran, [each.kind for each in one.differences]

    return {one.planned.line.id: of(one) for one in shadow.reports(now)}


def test_a_shadow_tells_late_missing_doubled_and_early(
    old: OldScheduler, server: Server, app: Scheduler
) -> None:
    start = datetime.now(UTC).replace(microsecond=0)
    at = (start + timedelta(seconds=10)).replace(tzinfo=None)
    jobs = {id: old.enqueue_at(at, "shop.send", job_id=id) for id in ("good", "late", "early", "cancelled")}
    jobs |= {id: old.schedule(at, "shop.tick", interval=60, id=id) for id in ("twice", "expired", "stuck")}
    end = start + timedelta(seconds=40)
    with shadowing(server, app, until=end) as shadow:
        shadow.begin(start)

        def look(seconds: float) -> None:
            shadow.look(start + timedelta(seconds=seconds))

        old.enqueue_job(jobs["early"])
        look(2)
        old.cancel("cancelled")
        look(3)
        server.client().delete("rq:job:expired")
        list(old.get_jobs())  # it drops what has no record
        look(5)
        for id in ("good", "twice", "twice"):  # two rqschedulers
            old.enqueue_job(jobs[id])
        look(10.5)
        old.enqueue_job(jobs["late"])
        look(30)
        before = dump(server)
        look(31)
        assert told(shadow, end) == {
            "good": (1, 1, []),
            "late": (1, 1, [Kind.LATE]),
            "early": (1, 1, [Kind.EARLY]),
            "cancelled": (0, 0, []),
            "twice": (1, 1, [Kind.DOUBLED]),
            "expired": (1, 0, [Kind.MISSING]),
            "stuck": (1, 0, [Kind.LATE]),
        }
    assert dump(server) == before


def test_a_shadow_tells_a_time_zone_that_is_not_the_one_that_was_meant(
    old: OldScheduler, server: Server, app: Scheduler
) -> None:
    old.cron("0 7 * * *", "shop.tick", id="cron", use_local_timezone=True)
    old.cron("0 * * * *", "shop.tick", id="hourly")
    now = datetime.now(UTC)
    with shadowing(server, app, until=now + timedelta(seconds=1), tz="Asia/Kolkata") as shadow:
        shadow.begin(now)
        assert told(shadow, now) == {"cron": (0, 0, [Kind.ZONE]), "hourly": (0, 0, [Kind.ZONE])}


def test_a_shadow_beside_a_real_rqscheduler_sees_its_runs_until_it_is_stopped(
    new_server: Callable[..., Server],
) -> None:
    server = new_server()
    client = server.client()
    old = OldScheduler("mail", connection=client)
    args = ("--url", server.url(), "--trust-pickle", "--shadow", "-o", "json")
    rq = ("-W", "ignore", "-m", "rq_scheduler.scripts.rqscheduler", "--url", server.url(), "-i", "0.2")
    with (
        Process(sys.executable, *rq, cwd=ROOT),
        chronoq("migrate", "rq-scheduler", *args) as shadow,
        closing(Source.at(server.url())) as source,
    ):
        shadow.wait_line("Watching", within=30)
        # it forgets parts of a second: one from now may be now, and gone before it was looked at
        old.enqueue_in(timedelta(seconds=2), "shop.send", job_id="seen")
        queue = RqQueue("mail", connection=client)
        eventually(lambda: queue.job_ids == ["seen"] and not source.scores(), within=30)
        shadow.sigint()
        assert shadow.wait(20) == 0
        assert source.alive()
    (row,) = json.loads("\n".join(shadow.out))
    assert (row["id"], row["expected"], row["ran"]) == ("seen", 1, 1)
    assert not any(key.startswith(b"rq-scheduler:") for key in client.scan_iter())


def test_a_shadow_outlives_an_outage_of_the_server_and_reports_in_the_end(
    new_server: Callable[..., Server],
) -> None:
    server = new_server(aof=True)
    OldScheduler("mail", connection=server.client()).enqueue_in(-HOUR, "shop.send", job_id="due")
    args = ("--url", server.url(), "--trust-pickle", "--shadow", "-o", "json")
    with chronoq("migrate", "rq-scheduler", *args) as shadow:
        shadow.wait_line("Watching", within=30)
        server.kill()
        shadow.wait_line("Cannot reach .* What happens meanwhile is not seen", within=30)
        server.start()
        shadow.wait_line("It answers again", within=30)
        server.kill()
        shadow.sigint()
        assert shadow.wait(20) == 0
    (row,) = json.loads("\n".join(shadow.out))
    assert (row["id"], row["expected"], row["ran"]) == ("due", 1, 0)
