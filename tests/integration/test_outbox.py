"""Jobs in a transaction of the application's own database, and the relay that delivers them."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chronoq import Queue, Scheduler, Task, errors
from chronoq.adapters.outbox import connector, dialect
from chronoq.adapters.outbox.dialects import dialect_of
from chronoq.app import courier
from chronoq.cli.main import run as cli
from chronoq.domain.signing import SigningKey
from chronoq.outbox import Outbox, Relay
from chronoq.testing import Drill, ManualClock
from tests.databases import Database
from tests.servers import eventually

DAY = timedelta(days=1)


def application(url: str = "memory://", **settings: Any) -> Scheduler:
    app = Scheduler(url, queues=["mail", Queue("narrow", max_length=1)], **settings)

    @app.task(name="send", queue="mail")
    def send(to: str, subject: str = "") -> str:
        return f"{subject} to {to}"

    @app.task(name="squeeze", queue="narrow")
    def squeeze(number: int) -> int:
        return number

    return app


def task(app: Scheduler, name: str = "send") -> Any:
    found = app.tasks.find(name)
    assert found is not None
    return Task(app, found)


@pytest.fixture
def drill(database: Database) -> Iterator[Drill]:
    with Drill(application()) as drill:
        yield drill


@pytest.fixture
def outbox(drill: Drill, database: Database) -> Outbox:
    outbox = Outbox(drill.app, clock=drill.clock)
    with database.transaction() as connection:
        outbox.create(connection)
        outbox.create(connection)  # once more changes nothing
    return outbox


@pytest.fixture
def relay(outbox: Outbox, database: Database) -> Iterator[Relay]:
    relay = Relay(outbox, database.connect)
    with closing(relay):
        yield relay


def names(drill: Drill) -> list[str]:
    """Who is to get mail, in the order in which it will be sent."""
    return [one.args[0] for one in drill.enqueued(task(drill.app))]


def test_what_is_committed_is_delivered_in_order_and_then_waits_no_more(
    drill: Drill, outbox: Outbox, relay: Relay, database: Database
) -> None:
    send = task(drill.app)
    with database.transaction() as connection:
        ids = [outbox.put(connection, send, f"user {n}") for n in range(5)]
        ids += outbox.put_many(connection, [outbox.job(send, f"user {n}", subject="Hi") for n in range(5, 9)])
    assert database.waiting() == 9
    relay.step(drill.now)
    assert names(drill) == [f"user {n}" for n in range(9)]
    assert database.waiting() == 0
    assert len(set(ids)) == 9
    drill.run_pending()
    assert drill.handle(str(ids[8])).result() == "Hi to user 8"


def test_what_is_rolled_back_leaves_nothing(
    drill: Drill, outbox: Outbox, relay: Relay, database: Database
) -> None:
    with closing(database.connect()) as connection:
        outbox.put(connection, task(drill.app), "nobody")
        connection.rollback()
    relay.step(drill.now)
    assert database.ask("SELECT count(*) FROM chronoq_outbox") == [(0,)]
    assert names(drill) == []


def test_a_job_shares_the_fate_of_what_was_written_with_it_and_is_seen_by_nobody_before(
    drill: Drill, outbox: Outbox, relay: Relay, database: Database
) -> None:
    database.ask("CREATE TABLE orders (id integer PRIMARY KEY)")
    with closing(database.connect()) as connection:
        with closing(connection.cursor()) as cursor:
            cursor.execute("INSERT INTO orders VALUES (1)")
        outbox.put(connection, task(drill.app), "Ada")
        relay.step(drill.now)
        assert names(drill) == []
        connection.commit()
    relay.step(drill.now)
    assert names(drill) == ["Ada"]
    assert database.ask("SELECT id FROM orders") == [(1,)]


def test_any_text_survives_the_way(drill: Drill, outbox: Outbox, relay: Relay, database: Database) -> None:
    text = "Zoë \x00 🎈 '%s' ? \\ \n"
    with database.transaction() as connection:
        outbox.put(connection, task(drill.app), text)
    relay.step(drill.now)
    assert names(drill) == [text]


@pytest.mark.parametrize("after", [False, True])
def test_what_the_backend_has_not_answered_for_is_delivered_again_and_is_one_job(
    drill: Drill, outbox: Outbox, relay: Relay, database: Database, after: bool
) -> None:
    with database.transaction() as connection:
        outbox.put(connection, task(drill.app), "Ada")
    drill.queue.fail("submit", times=2, after=after)
    for _ in range(2):
        with pytest.raises(errors.BackendError):
            relay.step(drill.now)
        assert database.waiting() == 1
    relay.step(drill.now)
    assert database.waiting() == 0
    drill.run_pending()
    assert len(drill.jobs()) == 1


def test_a_lost_reply_is_said_to_be_one_that_will_be_asked_for_again(
    drill: Drill, outbox: Outbox, relay: Relay, database: Database
) -> None:
    with database.transaction() as connection:
        outbox.put(connection, task(drill.app), "Ada")
    drill.queue.fail("submit", times=1, error=errors.Unknown("The reply was lost."))
    with pytest.raises(errors.Unreachable, match="The jobs stay in the outbox, and are delivered again"):
        relay.step(drill.now)
    assert database.waiting() == 1


def test_an_id_is_remembered_after_the_end_so_that_a_late_second_delivery_changes_nothing(
    drill: Drill, outbox: Outbox, relay: Relay, database: Database
) -> None:
    job = outbox.job(task(drill.app), "Ada")
    for wait in ("23h", "2h"):
        with database.transaction() as connection:
            outbox.put_many(connection, [job])
        relay.step(drill.now)
        assert database.waiting() == 0
        drill.advance(wait)
    assert len(drill.jobs("done")) <= 1
    assert drill.queue.true.counts(["mail"], now=drill.now)[0].accepted == 1


def test_a_job_whose_id_is_taken_by_other_work_is_set_aside_and_holds_up_nobody(
    drill: Drill, outbox: Outbox, relay: Relay, database: Database
) -> None:
    send = task(drill.app)
    send.using(id="welcome").enqueue("Ada")
    with database.transaction() as connection:
        outbox.put(connection, send.using(id="welcome"), "Bob")
        outbox.put(connection, send, "Cy")
    relay.step(drill.now)
    assert names(drill) == ["Ada", "Cy"]
    assert database.waiting() == 0
    [(key, reason)] = database.refused()
    assert key == "welcome"
    assert "taken by a job with another task or other arguments" in reason
    relay.step(drill.now)
    assert len(database.refused()) == 1


def test_a_set_aside_job_can_be_tried_again(
    drill: Drill, outbox: Outbox, relay: Relay, database: Database
) -> None:
    send = task(drill.app)
    send.using(id="welcome").enqueue("Ada")
    with database.transaction() as connection:
        outbox.put(connection, send.using(id="welcome"), "Bob")
    relay.step(drill.now)
    drill.advance("2d")  # the other one is forgotten
    database.ask("UPDATE chronoq_outbox SET refused = NULL")
    relay.step(drill.now)
    assert names(drill) == ["Bob"]
    assert database.refused() == []


def test_the_jobs_of_a_full_queue_wait_in_order_and_hold_up_no_other_queue(
    drill: Drill, outbox: Outbox, relay: Relay, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "AT_ONCE", 4)
    send, squeeze = task(drill.app), task(drill.app, "squeeze")
    with database.transaction() as connection:
        for number in range(6):
            outbox.put(connection, squeeze, number)
        outbox.put(connection, send, "Ada")
    again = relay.step(drill.now)
    assert [one.args for one in drill.enqueued(squeeze)] == [(0,)]
    assert again == drill.now, "it goes on at once: there is more"
    again = relay.step(drill.now)
    assert names(drill) == ["Ada"]
    assert again > drill.now
    for number in range(1, 6):
        drill.run_pending()
        drill.advance("1s")
        relay.step(drill.now)
        assert [one.args for one in drill.enqueued(squeeze)] == [(number,)]
    assert database.waiting() == 0


def test_a_record_that_cannot_be_read_is_set_aside(
    drill: Drill, outbox: Outbox, relay: Relay, database: Database
) -> None:
    with database.transaction() as connection:
        outbox.put(connection, task(drill.app), "Ada")
        outbox.put(connection, task(drill.app).using(id="spoilt"), "Bob")
    database.ask("UPDATE chronoq_outbox SET record = ? WHERE key = ?", b"rubbish", "spoilt")
    relay.step(drill.now)
    assert names(drill) == ["Ada"]
    [(key, reason)] = database.refused()
    assert (key, "cannot be read" in reason) == ("spoilt", True)


def test_where_records_are_signed_one_that_somebody_else_wrote_is_set_aside(database: Database) -> None:
    with Drill(application(signing_keys=(SigningKey("k1", b"s" * 32),))) as drill:
        outbox, forger = Outbox(drill.app), Outbox(application())
        with database.transaction() as connection:
            outbox.create(connection)
            forger.put(connection, task(forger.app).using(id="forged"), "Mallory")
            outbox.put(connection, task(drill.app), "Ada")
        with closing(Relay(outbox, database.connect)) as relay:
            relay.step(drill.now)
        assert names(drill) == ["Ada"]
        assert [key for key, _ in database.refused()] == ["forged"]


def test_a_delayed_job_keeps_its_moment_and_what_is_wanted_at_once_is_so_by_the_backends_clock(
    drill: Drill, relay: Relay, database: Database
) -> None:
    ahead = Outbox(drill.app, clock=ManualClock(drill.now + timedelta(hours=1)))
    later = drill.now + 5 * DAY
    with database.transaction() as connection:
        ahead.put(connection, task(drill.app), "now")
        ahead.put(connection, task(drill.app).using(at=later), "later")
    relay.step(drill.now)
    assert {one.args[0]: one.due for one in drill.enqueued(task(drill.app))} == {
        "now": drill.now,
        "later": later,
    }


def test_two_relays_side_by_side_deliver_each_job_once(
    drill: Drill, outbox: Outbox, relay: Relay, database: Database
) -> None:
    """The second one looks while the first one is between delivering and removing."""
    send = task(drill.app)
    with database.transaction() as connection:
        outbox.put(connection, send, "Ada")

    with closing(Relay(outbox, database.connect)) as other:

        def deliver(jobs: Any) -> Any:
            fates = relay._courier._deliver(jobs, until=drill.now)
            other.step(drill.now)
            with database.transaction() as connection:
                outbox.put(connection, send, "Bob")
            return fates

        relay._table.move(deliver, limit=10, without=(), now=drill.now)
        assert database.waiting() == 1, "the row that came meanwhile is not taken for the one that went"
        relay.step(drill.now)
    assert sorted(names(drill)) == ["Ada", "Bob"]


def test_the_rows_that_a_relay_holds_are_passed_by_and_writers_are_not_held_up(
    drill: Drill, outbox: Outbox, relay: Relay, database: Database
) -> None:
    """A writer that had to wait for the relay's step would wait for ever here."""
    with database.transaction() as connection:
        outbox.put(connection, task(drill.app), "Ada")
    table = relay._table

    def deliver(jobs: Any) -> Any:
        with database.transaction() as connection:
            outbox.put(connection, task(drill.app), "Bob")
        return [courier.LATER for _ in jobs]

    assert table.move(deliver, limit=10, without=(), now=drill.now) == 1
    assert database.waiting() == 2


def test_a_job_can_be_put_while_the_backend_is_away(database: Database) -> None:
    outbox = Outbox(application("redis://127.0.0.1:1"))
    with database.transaction() as connection:
        outbox.create(connection)
        outbox.put(connection, task(outbox.app).using(delay="1h"), "Ada")
    with closing(Relay(outbox, database.connect)) as relay, pytest.raises(errors.Unreachable):
        relay.step(datetime.now(UTC))
    assert database.waiting() == 1


def test_inside_an_application_all_of_it_runs_in_one_process(database: Database) -> None:
    app = application()
    outbox = Outbox(app)
    with database.transaction() as connection:
        outbox.create(connection)
    with app, Relay(outbox, database.connect, every="50ms") as relay:
        with database.transaction() as connection:
            id = outbox.put(connection, task(app), "Ada", subject="Hi")
        eventually(lambda: app.job(str(id)).info() is not None, 20)
        assert app.job(str(id)).result(timeout=20) == "Hi to Ada"
        eventually(lambda: relay.idle)
    app.close()


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_relay_decides_itself_when_transactions_begin(
    drill: Drill, outbox: Outbox, database: Database, autocommit: bool
) -> None:
    """Whatever the connections that it is given would do; the server has nothing to remark."""
    remarks: list[str] = []

    def connect() -> Any:
        if database.mark == "?":
            new = {"autocommit": autocommit} if sys.version_info >= (3, 12) else {}
            return database.connect(**new)
        connection = database.connect(autocommit=autocommit)
        connection.add_notice_handler(lambda notice: remarks.append(notice.message_primary))
        return connection

    with database.transaction() as connection:
        outbox.put(connection, task(drill.app), "Ada")
    with closing(Relay(outbox, connect)) as relay:
        relay.step(drill.now)
        relay.step(drill.now)
    assert names(drill) == ["Ada"]
    assert database.waiting() == 0
    assert remarks == []


def test_draining_delivers_all_that_waits_and_gives_the_connection_back(
    drill: Drill, outbox: Outbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "AT_ONCE", 3)
    with database.transaction() as connection:
        outbox.put_many(connection, [outbox.job(task(drill.app), str(number)) for number in range(10)])
    opened: list[Any] = []

    def connect() -> Any:
        opened.append(database.connect())
        return opened[-1]

    Relay(outbox, connect).drain()
    assert names(drill) == [str(number) for number in range(10)]
    with pytest.raises(opened[0].Error, match="closed"):
        opened[0].cursor().execute("SELECT 1")


def test_a_missing_table_is_said_with_what_to_do(drill: Drill, database: Database) -> None:
    with (
        closing(Relay(Outbox(drill.app), database.connect)) as relay,
        pytest.raises(errors.BackendError, match="Create it with what `chronoq outbox ddl` prints"),
    ):
        relay.step(drill.now)


def test_the_table_that_the_command_line_prints_is_the_one(
    drill: Drill, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["outbox", "ddl", "--dialect", database.url.partition(":")[0]]) == 0
    for statement in capsys.readouterr().out.split(";"):
        if statement.strip():
            database.ask(statement)
    outbox = Outbox(drill.app)
    with database.transaction() as connection:
        outbox.put(connection, task(drill.app), "Ada")
    assert database.waiting() == 1


def test_a_url_opens_the_database(drill: Drill, outbox: Outbox, database: Database) -> None:
    with database.transaction() as connection:
        outbox.put(connection, task(drill.app), "Ada")
    with closing(Relay(outbox, database.url)) as relay:
        relay.step(drill.now)
    assert names(drill) == ["Ada"]


@pytest.mark.parametrize("names", [[], ["mail"]])
def test_the_look_for_what_waits_is_served_by_the_index(
    drill: Drill, outbox: Outbox, database: Database, names: list[str]
) -> None:
    many = [outbox.job(task(drill.app), "Ada"), outbox.job(task(drill.app, "squeeze"), 1)] * 2_500
    with database.transaction() as connection, closing(connection.cursor()) as cursor:
        speaks = dialect_of(connection)
        outbox.put_many(connection, many)
        cursor.execute("UPDATE chronoq_outbox SET refused = 'for a test' WHERE id > 100")
        cursor.execute("ANALYZE chronoq_outbox")
        explain = "EXPLAIN QUERY PLAN" if database.mark == "?" else "EXPLAIN"
        cursor.execute(f"{explain} {speaks['waiting']}", (speaks.many(names), 10))
        plan = "\n".join(str(row) for row in cursor.fetchall())
    assert "chronoq_outbox_waiting" in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan


def test_on_a_server_no_two_relays_are_handed_the_same_row(
    drill: Drill, outbox: Outbox, relay: Relay, database: Database
) -> None:
    if database.mark == "?":
        pytest.skip("a file has no locks of rows: there the id alone makes it one job")
    with database.transaction() as connection:
        outbox.put_many(connection, [outbox.job(task(drill.app), str(number)) for number in range(4)])
    seen: list[int] = []
    with closing(Relay(outbox, database.connect)) as other:

        def none(jobs: Any) -> Any:
            return [courier.LATER for _ in jobs]

        def deliver(jobs: Any) -> Any:
            seen.append(other._table.move(none, limit=4, without=(), now=drill.now))
            return none(jobs)

        assert relay._table.move(deliver, limit=3, without=(), now=drill.now) == 3
    assert seen == [1]


# what is refused where it is written


def test_a_task_of_another_application_is_refused(tmp_path: Path) -> None:
    outbox, other = Outbox(application()), application()
    with (
        closing(sqlite3.connect(tmp_path / "app.db")) as connection,
        pytest.raises(errors.BadCall, match="is no task of this application"),
    ):
        outbox.put(connection, task(other), "Ada")


def test_what_does_not_fit_is_refused_before_anything_is_written() -> None:
    outbox = Outbox(application())
    with pytest.raises(errors.BadCall):
        outbox.job(task(outbox.app))
    with pytest.raises(errors.BadCall, match=r"put_many\(\) takes jobs"):
        outbox.put_many(object(), ["Ada"])  # type: ignore[arg-type, list-item]


def test_a_connection_of_another_kind_is_refused_with_the_drivers_that_do() -> None:
    outbox = Outbox(application())
    with pytest.raises(
        errors.BadCall, match=r"cannot write through a builtins\.object.*psycopg, psycopg2, sqlite3"
    ):
        outbox.put(object(), task(outbox.app), "Ada")  # type: ignore[arg-type]


def test_an_unknown_dialect_or_database_is_refused() -> None:
    with pytest.raises(errors.BadSetting, match="Did you mean 'postgresql'"):
        dialect("postgres")
    with pytest.raises(errors.BadSetting, match="is no database that an outbox can be in"):
        connector("mysql://u:secret@host/db")


def test_a_missing_driver_is_said_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(errors.BadSetting, match=r"pip install 'chronoq\[postgresql\]'") as caught:
        connector("postgresql://u:secret@host/db")
    assert "secret" not in str(caught.value)


def test_a_file_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    with (
        closing(Relay(Outbox(application()), f"sqlite:///{tmp_path}/typo.db")) as relay,
        pytest.raises(errors.Unreachable, match="The outbox's database does not answer: unable to open"),
    ):
        relay.step(datetime.now(UTC))
    assert not list(tmp_path.iterdir())


def test_a_relay_without_a_database_or_with_a_private_backend_is_misuse(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHRONOQ_URL", raising=False)
    assert cli(["outbox", "relay"]) == 2
    assert "--database URL (or CHRONOQ_DATABASE)" in capsys.readouterr().err
    assert cli(["outbox", "relay", "--database", "sqlite:///app.db"]) == 2
    assert "private to each process" in capsys.readouterr().err
