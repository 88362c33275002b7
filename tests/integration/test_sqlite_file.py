"""What the SQLite adapter keeps, and where: its URLs, its statements, one file for many threads and processes."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from shutil import copyfile

import pytest

import chronoq
from chronoq.adapters.codec import encode, encode_ending, encode_job
from chronoq.adapters.sqlite import open_backend
from chronoq.adapters.sqlite.address import Address, refuse_remote
from chronoq.adapters.sqlite.clock import shared_clock
from chronoq.adapters.sqlite.ends import HEARD
from chronoq.adapters.sqlite.opening import OURS, check_version
from chronoq.adapters.sqlite.queue import SqliteQueue
from chronoq.adapters.sqlite.statements import SQL, schema
from chronoq.adapters.system import SystemClock
from chronoq.domain.durability import Durability
from chronoq.domain.errors import BackendError, BadSetting, NotReady, OtherSchema, TooOld, Unreachable
from chronoq.domain.job import Options, State
from chronoq.domain.lease import Kind, Process
from chronoq.domain.ports import PLAIN, Backend, Cancel, Opening, Submitted
from chronoq.domain.schema import SCHEMA, Schema
from chronoq.domain.time import to_ms
from chronoq.domain.verdict import Done
from chronoq.testing.contracts.values import HOUR, LEASE, MAIL, NOW, S, add, bring, jid, job, take, together
from tests.proc import python

FAST = "?synchronous=off"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def backend(path: Path) -> Iterator[Backend]:
    backend = open_backend(f"sqlite:///{path}{FAST}")
    yield backend
    backend.close()


def test_nothing_above_the_adapters_knows_of_it() -> None:
    """The ports are all that is needed; whoever imports a backend here has to mend a port instead."""
    source = Path(chronoq.__file__).parent
    above = [file for file in source.rglob("*.py") if "adapters" not in file.relative_to(source).parts]
    assert len(above) > 50
    assert [str(file) for file in above if "sqlite" in file.read_text(encoding="utf-8").lower()] == []


# --- URLs


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite://:memory:", "Use memory:// for one process"),
        ("sqlite:///:memory:", "Use memory:// for one process"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite://jobs.db", "Write sqlite:///jobs.db for a relative path, sqlite:////jobs.db"),
        ("sqlite:///jobs.db?synchronus=full", "Did you mean 'synchronous'?"),
        ("sqlite:///jobs.db?synchronous=maybe", "give full or normal"),
    ],
)
def test_a_url_that_names_no_file_is_refused_with_what_to_write_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadSetting) as refused:
        open_backend(url)
    assert says in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_path_is_relative_with_three_slashes_and_absolute_with_four(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Address.parse("sqlite:///a%20b/jobs.db").path == tmp_path / "a b" / "jobs.db"
    assert Address.parse("sqlite:////var/jobs.db?synchronous=NORMAL") == Address(
        Path("/var/jobs.db"), "normal"
    )


@pytest.mark.parametrize(
    ("wanted", "query", "says"),
    [
        ("replica:1", "", "a file has no replicas"),
        ("aof", "?synchronous=normal", "acknowledges before the disk has it"),
    ],
)
def test_durability_that_a_file_cannot_give_is_refused(
    path: Path, wanted: str, query: str, says: str
) -> None:
    """A1"""
    with pytest.raises(BadSetting, match=says):
        open_backend(f"sqlite:///{path}{query}", Opening(durability=Durability.of(wanted)))
    assert not path.exists()
    for fine in ("aof", "memory"):
        open_backend(f"sqlite:///{path}", Opening(durability=Durability.of(fine))).close()


def test_an_old_sqlite_is_refused() -> None:
    """E03"""
    with pytest.raises(TooOld, match=r"SQLite 3\.36\.0 is too old; chronoq needs 3\.37"):
        check_version((3, 36, 0))
    check_version((3, 37, 0))


def test_a_network_file_system_is_refused_where_the_machine_tells(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda / ext4 rw 0 0\nhost:/x /mnt/the\\040share nfs4 rw 0 0\n/dev/sdb /mnt/the\\040share/disk xfs rw 0 0\n"
    )
    with pytest.raises(BadSetting, match="network file system \\(nfs4\\)"):
        refuse_remote(Path("/mnt/the share/jobs.db"), mounts)
    for fine in ("/mnt/the share/disk/jobs.db", "/mnt/the shares/jobs.db", "/jobs.db"):
        refuse_remote(Path(fine), mounts)
    refuse_remote(Path("/mnt/the share/jobs.db"), tmp_path / "none")


# --- files that are not ours, or cannot be used


def test_what_is_no_database_is_left_alone(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(BackendError, match=r"is no SQLite database.*Nothing was overwritten"):
        open_backend(f"sqlite:///{path}")
    assert path.read_bytes() == b"Dear diary, " * 1000
    assert os.listdir(path.parent) == [path.name]


def test_the_database_of_another_application_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE jobs (mine TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(BackendError, match="database of another application"):
        open_backend(f"sqlite:///{path}")
    assert path.read_bytes() == before


@pytest.mark.parametrize("mark", [encode(Schema(2, 2)), b'{"version":-1}', b"junk", b""])
def test_a_file_of_a_stranger_is_refused_and_not_written_to(
    backend: Backend, path: Path, mark: bytes
) -> None:
    """A4"""
    backend.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE mark SET schema = ?", (mark,))
    db.close()
    before = path.read_bytes()
    with pytest.raises(OtherSchema, match="Nothing was written"):
        open_backend(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_the_file_of_a_neighbour_is_taken_as_it_is(backend: Backend, path: Path) -> None:
    """A4"""
    backend.close()
    for mark in (encode(Schema(0, 0)), encode(Schema(2, 1))):
        with sqlite3.connect(path) as db:
            db.execute("UPDATE mark SET schema = ?", (mark,))
            db.execute(f"PRAGMA user_version = {len(schema()) + 1}")
        db.close()
        open_backend(f"sqlite:///{path}").close()
        with sqlite3.connect(path) as db:
            assert db.execute("SELECT schema FROM mark").fetchone() == (mark,)
        db.close()


def _first_form(path: Path) -> None:
    """A file as it was made when the schema had one step, with a job in each place."""
    db = sqlite3.connect(path)
    db.executescript(schema()[0])
    db.execute("INSERT INTO mark (id, schema) VALUES (1, ?)", (encode(SCHEMA),))
    db.execute(
        "INSERT INTO queues (id, namespace, name, known, delayed, ready, running, dead, accepted, done, news, back)"
        " VALUES (1, ?, ?, 1, 1, 1, 1, 1, 5, 1, 1, 2)",
        (PLAIN.namespace, MAIL),
    )
    at, record, ending = to_ms(NOW), encode_job(job("x")), encode_ending(job("done"), State.DONE, at=NOW)
    for name, when in (("delayed", at + 1000), ("ready", 2), ("running", at + 9000), ("dead", at)):
        db.execute(
            "INSERT INTO jobs (queue, key, place, priority, at, token, worker, record)"
            " VALUES (1, ?, ?, 2, ?, 7, 'w', ?)",
            (name, name, when, record),
        )
    db.executemany(
        "INSERT INTO endings (queue, key, until, ending) VALUES (1, ?, ?, ?)",
        [("done", to_ms(NOW + HOUR), ending), ("ready", at - 1, ending)],
    )
    db.execute("INSERT INTO news (queue, seq, key) VALUES (1, 1, 'done')")
    db.execute(f"PRAGMA application_id = {OURS}")
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()


@pytest.mark.parametrize("steps", range(1, len(schema())))
def test_a_file_of_the_first_form_is_brought_to_the_present_one_with_all_that_is_in_it(
    path: Path, steps: int
) -> None:
    """And one of each form between them."""
    _first_form(path)
    with sqlite3.connect(path) as db:
        db.executescript(";".join(schema()[1:steps]))
        db.execute(f"PRAGMA user_version = {steps}")
        laid = ["z", "a"] if steps >= 3 else []  # since when there is an inbox
        for name in laid:
            values = (name, encode_job(job(name)))
            db.execute("INSERT INTO inbox (queue, key, priority, record) VALUES (1, ?, 2, ?)", values)
    db.close()
    backend = open_backend(f"sqlite:///{path}{FAST}")
    try:
        names = ("delayed", "ready", "running", "dead", "done")
        found = backend.queue.get([jid(name) for name in names], now=NOW)
        assert [one and one.state for one in found] == [State(name) for name in names]
        assert [one.token for one in found if one and one.state is not State.DONE] == [7, 7, 7, 7]
        assert [one.job.id.key for one in backend.queue.find(MAIL, State.DONE, now=NOW).items] == ["done"]
        assert backend.queue.submit([job("done")], now=NOW) == [Submitted.DUPLICATE]
        assert [claim.id.key for claim in take(backend.queue, 9)] == ["ready", *laid]
    finally:
        backend.close()
    fresh = path.with_name("fresh.db")
    open_backend(f"sqlite:///{fresh}{FAST}").close()
    assert _form(path) == _form(fresh)


def _form(path: Path) -> list[tuple[object, ...]]:
    db = sqlite3.connect(path)
    found = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
    found.append(db.execute("PRAGMA user_version").fetchone())
    db.close()
    return found


# --- the inbox


def _rows(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_job_that_comes_alone_lies_in_the_inbox_until_somebody_looks(backend: Backend, path: Path) -> None:
    add(backend.queue, "first")  # which makes the queue known
    for name in ("second", "third"):
        add(backend.queue, name)
    assert (_rows(path, "inbox"), _rows(path, "jobs")) == (2, 1)
    (counts,) = backend.queue.counts([MAIL], now=NOW)
    assert (counts.accepted, counts.ready) == (3, 3)
    assert (_rows(path, "inbox"), _rows(path, "jobs")) == (0, 3)


def test_jobs_run_in_the_order_in_which_they_came_alone_or_together(backend: Backend) -> None:
    backend.queue.submit([job("a"), job("b")], now=NOW)
    for name in "cd":
        add(backend.queue, name)
    backend.queue.submit([job("e"), job("f")], now=NOW)
    add(backend.queue, "g")
    assert [claim.id.key for claim in take(backend.queue, 3)] == ["a", "b", "c"]
    add(backend.queue, "h")
    assert [claim.id.key for claim in take(backend.queue, 9)] == ["d", "e", "f", "g", "h"]


def test_the_inbox_holds_no_more_than_256_jobs(backend: Backend, path: Path) -> None:
    names = [f"j{n:03}" for n in reversed(range(600))]
    most = 0
    for name in names:
        add(backend.queue, name)
        most = max(most, _rows(path, "inbox"))
    assert most == 256
    page = backend.queue.find(MAIL, State.READY, now=NOW, limit=300)
    rest = backend.queue.find(MAIL, State.READY, now=NOW, limit=300, mark=page.mark)
    assert [found.job.id.key for found in (*page.items, *rest.items)] == names
    assert [claim.id.key for claim in take(backend.queue, 600)] == names


def test_what_lies_in_the_inbox_is_there_for_another_process_that_knows_the_id(
    backend: Backend, path: Path
) -> None:
    with ExitStack() as closing_:
        other = open_backend(f"sqlite:///{path}{FAST}")
        closing_.callback(other.close)
        add(backend.queue, "first")
        add(backend.queue, "second")
        assert other.queue.submit([job("second")], now=NOW) == [Submitted.DUPLICATE]
        add(backend.queue, "third")
        assert other.queue.cancel([jid("third")], now=NOW) == [Cancel.CANCELLED]
        assert [claim.id.key for claim in take(other.queue, 9)] == ["first", "second"]


def test_a_job_that_comes_alone_writes_little_more_than_a_page(backend: Backend, path: Path) -> None:
    add(backend.queue, "first")
    add(backend.queue, "second")
    log = path.with_name("jobs.db-wal")
    before = log.stat().st_size
    for n in range(30):
        add(backend.queue, f"j{n}")
    assert (log.stat().st_size - before) / PAGE <= 35  # there are new pages, now and then


def test_a_job_that_comes_alone_is_synced_though_what_came_before_was_not(path: Path) -> None:
    with ExitStack() as closing_:
        backend = open_backend(f"sqlite:///{path}")
        closing_.callback(backend.close)
        assert isinstance(backend.queue, SqliteQueue)
        data = backend.queue.data
        add(backend.queue, "first")  # which makes the queue known
        data.write(lambda step: None, durable=False)
        assert data._writer is not None
        assert data._writer.execute("PRAGMA synchronous").fetchone() == (1,)
        add(backend.queue, "second")
        assert data._writer.execute("PRAGMA synchronous").fetchone() == (2,)
        assert _rows(path, "inbox") == 1


# --- room in the log

PAGE = 4096 + 24
"""A page in the log."""


def test_the_log_has_room_before_it_is_needed_and_the_room_is_taken_for_nothing_written(path: Path) -> None:
    with ExitStack() as closing_:
        backend = open_backend(f"sqlite:///{path}")
        closing_.callback(backend.close)
        log = path.with_name("jobs.db-wal")
        sizes = set()
        for n in range(60):
            add(backend.queue, f"j{n}")
            sizes.add(log.stat().st_size)
        assert len(sizes) < 8
        for file in (path, log):  # as a power failure would leave it
            copyfile(file, path.with_name(file.name.replace("jobs", "copy")))
        assert not any(log.read_bytes()[-PAGE:])
        again = open_backend(f"sqlite:///{path.with_name('copy.db')}")
        closing_.callback(again.close)
        assert [claim.id.key for claim in take(again.queue, 100)] == [f"j{n}" for n in range(60)]


def test_room_is_made_once_for_all_processes_that_share_the_log(path: Path) -> None:
    """Nobody takes the room that another has made for what has been written."""
    with ExitStack() as closing_:
        one, two = (open_backend(f"sqlite:///{path}") for _ in range(2))
        closing_.callback(one.close)
        closing_.callback(two.close)
        for n in range(40):
            add((one, two)[n % 2].queue, f"j{n}")
        assert path.with_name("jobs.db-wal").stat().st_size < 400 * PAGE
        assert one.queue.counts([MAIL], now=NOW)[0].accepted == 40


def test_where_the_disk_has_no_room_the_log_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(bytes(32) + b"x" * PAGE)
    with python("-c", FULL, str(path)) as child:
        assert child.wait() == 0
    assert path.stat().st_size == 32 + PAGE


FULL = """
import resource, signal, sys
from chronoq.adapters.sqlite.log import Log
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
log = Log(sys.argv[1], short=True)
log.make_room()
assert not log.short
"""


def test_an_ending_that_cannot_be_read_holds_no_id_up(backend: Backend, path: Path) -> None:
    bring(backend.queue, State.DONE, job("one"))
    with sqlite3.connect(path) as db:
        db.execute("UPDATE jobs SET record = x'00ff' WHERE place = 'ended'")
    db.close()
    assert backend.queue.get([jid("one")], now=NOW) == [None]
    add(backend.queue, "one")
    assert [claim.id.key for claim in take(backend.queue)] == ["one"]


def test_a_damaged_file_says_so_and_is_not_overwritten(backend: Backend, path: Path) -> None:
    backend.queue.submit([job(f"j{n}", due=NOW + HOUR) for n in range(500)], now=NOW)
    backend.close()
    whole = bytearray(path.read_bytes())
    whole[4096 * 3 :] = b"\xaa" * (len(whole) - 4096 * 3)
    path.write_bytes(whole)
    with pytest.raises(BackendError, match=r"is damaged.*Restore a backup"):
        open_backend(f"sqlite:///{path}").queue.submit([job("new")], now=NOW)
    assert path.read_bytes() == bytes(whole)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"Cannot open .*none/jobs.db.*Create the folder"):
        open_backend(f"sqlite:///{tmp_path}/none/jobs.db")


UNPRIVILEGED = """
import os, sys
from chronoq.adapters.sqlite import open_backend
from chronoq.domain.errors import BackendError
from chronoq.adapters.codec import encode
if os.getuid() == 0:
    os.setuid(65534)
try:
    open_backend(sys.argv[1])
except BackendError as error:
    print("refused:", error)
"""


def test_a_file_that_may_only_be_read_says_so(backend: Backend, path: Path) -> None:
    backend.close()
    path.chmod(0o444)
    for folder in (path.parent, *path.parent.parents):
        if (
            folder.stat().st_uid == os.getuid()
            and folder.is_relative_to(Path("/tmp/"))
            and folder != Path("/tmp")
        ):
            folder.chmod(0o755)
    path.parent.chmod(0o555)
    before = path.read_bytes()
    with python("-c", UNPRIVILEGED, f"sqlite:///{path}") as child:
        said = child.wait_line("refused: .*", within=30)[0]
    path.parent.chmod(0o755)
    assert "cannot be written" in said
    assert path.read_bytes() == before


def test_a_file_that_was_moved_is_not_written_any_more(backend: Backend, path: Path) -> None:
    """A1: nothing is acknowledged that would be lost with the old file"""
    add(backend.queue, "a")
    path.rename(path.with_name("old.db"))
    with pytest.raises(NotReady, match="is not the file that was opened"):
        add(backend.queue, "b")
    path.with_name("old.db").rename(path)
    add(backend.queue, "b")


def test_who_waits_too_long_for_another_process_is_told(backend: Backend, path: Path) -> None:
    assert isinstance(backend.queue, SqliteQueue)
    backend.queue.data.patience = 0.05
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(NotReady, match="another process has held it"):
        add(backend.queue, "a")
    other.execute("ROLLBACK")
    other.close()
    add(backend.queue, "a")


FULL_DISK = """
import resource, signal, sys
from chronoq.adapters.sqlite import open_backend
from chronoq.domain.errors import NotReady
from chronoq.domain.job import State
from chronoq.domain.verdict import Done
from chronoq.testing.contracts.values import LEASE, MAIL, NOW, job

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
backend = open_backend(sys.argv[1])
queue = backend.queue
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
stored, refused = 0, ""
while not refused:
    try:
        queue.submit([job(f"j{stored}", payload=b'[["%s"],{}]' % (b"x" * 5000))], now=NOW)
        stored += 1
    except NotReady as error:
        refused = str(error)
print("refused:", refused)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
counts = queue.counts([MAIL], now=NOW)[0]
print("stored:", stored, counts.accepted, counts.ready)
done = 0
while claims := queue.claim([(MAIL, 100)], worker="w", lease=LEASE, now=NOW).claims:
    done += sum(queue.settle([(claim, Done()) for claim in claims], now=NOW))
print("done:", done, flush=True)
"""


def test_a_full_disk_refuses_what_it_cannot_keep_and_goes_on_afterwards(path: Path) -> None:
    """F10, A1"""
    with python("-c", FULL_DISK, f"sqlite:///{path}{FAST}") as child:
        assert "cannot be used for now: the disk" in child.wait_line("refused: .*", within=30)[0]
        stored, accepted, ready = child.wait_line(r"stored: (\d+) (\d+) (\d+)").groups()
        done = child.wait_line(r"done: (\d+)")[1]
        assert child.wait() == 0
    assert int(stored) > 10
    assert stored == accepted == ready == done


def test_a_copy_made_while_it_is_written_opens_or_says_that_it_is_damaged(
    backend: Backend, path: Path, tmp_path: Path
) -> None:
    """A plain copy is no backup, but it must never harm the file that it was made of."""
    stop = threading.Event()
    added = []

    def write() -> None:
        while not stop.is_set():
            name = f"j{len(added)}"
            backend.queue.submit([job(name, payload=b'[["%s"],{}]' % (b"x" * 3000))], now=NOW)
            added.append(name)

    writer = threading.Thread(target=write)
    writer.start()
    copies = []
    for n in range(20):
        copy = tmp_path / f"copy{n}.db"
        for end in ("", "-wal"):
            if (source := path.with_name(path.name + end)).exists():
                copy.with_name(copy.name + end).write_bytes(source.read_bytes())
        copies.append(copy)
    stop.set()
    writer.join()
    told = [_looked_at(copy, at_most=len(added)) for copy in copies]
    assert not [one for one in told if one and "damaged" not in one and "another application" not in one]
    assert backend.queue.counts([MAIL], now=NOW)[0].ready == len(added)
    backend.close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def _looked_at(copy: Path, *, at_most: int) -> str:
    """Why it cannot be used, "" if it can."""
    try:
        there = open_backend(f"sqlite:///{copy}{FAST}")
        seen = there.queue.counts([MAIL], now=NOW)[0]
        there.close()
    except BackendError as error:
        return str(error)
    assert seen.accepted <= at_most
    return ""


# --- statements


SMALL = {"queues.names", "processes.roll", "processes.forget", "clock.alive"}
"""These may look at every row: there are as many as queues or processes."""


@pytest.mark.parametrize("name", sorted(SQL))
def test_no_statement_on_a_hot_path_scans_a_table_or_sorts(backend: Backend, path: Path, name: str) -> None:
    db = sqlite3.connect(path)
    many = max(SQL[name].count("?"), SQL[name].count("?3") and 3)
    plan = [line for *_, line in db.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", _values(SQL[name], many))]
    db.close()
    tables = (
        "queues",
        "jobs",
        "news",
        "schedules",
        "failures",
        "ledger",
        "locks",
        "processes",
    )  # the inbox is bounded
    scans = [line for line in plan if line.startswith("SCAN") and line.split()[1] in tables]
    assert not scans or name in SMALL, plan
    assert not [line for line in plan if "TEMP B-TREE FOR ORDER BY" in line], plan


def _values(text: str, many: int) -> list[object]:
    numbered = [int(part[0]) for part in text.split("?")[1:] if part[:1].isdigit()]
    return [None] * (max(numbered) if numbered else many)


# --- many threads, many processes


def test_writers_of_one_process_share_their_commits(backend: Backend, path: Path) -> None:
    """What waits while one writes is written by the next, all of it in one transaction."""
    assert isinstance(backend.queue, SqliteQueue)
    data = backend.queue.data
    gate, inside = threading.Event(), threading.Event()
    began: list[str] = []

    def hold(step: object) -> None:
        inside.set()
        gate.wait(30)

    holder = threading.Thread(target=lambda: data.write(hold))
    holder.start()
    inside.wait(30)
    assert data._writer is not None
    data._writer.set_trace_callback(
        lambda text: began.append(text) if text.startswith(("BEGIN", "COMMIT")) else None
    )
    adders = [threading.Thread(target=add, args=(backend.queue, f"j{n}")) for n in range(8)]
    for adder in adders:
        adder.start()
    while len(data._pending) < len(adders):
        pass
    gate.set()
    for thread in (holder, *adders):
        thread.join()
    data._writer.set_trace_callback(None)
    assert began == ["COMMIT", "BEGIN IMMEDIATE", "COMMIT"]
    assert backend.queue.counts([MAIL], now=NOW)[0].ready == 8


def test_of_steps_that_share_a_commit_one_that_fails_is_undone_alone(backend: Backend) -> None:
    assert isinstance(backend.queue, SqliteQueue)
    data = backend.queue.data

    def fail(step: object) -> None:
        step.queue(MAIL).accepted += 100  # type: ignore[attr-defined]
        step.flush()  # type: ignore[attr-defined]
        raise RuntimeError("on purpose")

    def try_to_fail() -> bool:
        with pytest.raises(RuntimeError, match="on purpose"):
            data.write(fail)
        return True

    def submit(name: str) -> bool:
        add(backend.queue, name)
        return True

    calls: list[Callable[[], bool]] = []
    for n in range(20):
        calls += [lambda n=n: submit(f"j{n}"), try_to_fail]  # type: ignore[misc]
    assert all(together(calls))
    counts = backend.queue.counts([MAIL], now=NOW)[0]
    assert (counts.accepted, counts.ready) == (20, 20)


def test_a_forked_child_goes_on_with_connections_of_its_own(backend: Backend, path: Path) -> None:
    add(backend.queue, "parent")
    backend.queue.wait_ready([MAIL], timeout=timedelta(0))
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            add(backend.queue, f"busy{(n := n + 1)}")

    writer = threading.Thread(target=write)
    writer.start()
    children = []
    for child in range(4):
        if (pid := os.fork()) == 0:
            try:
                add(backend.queue, *(f"child{child}x{n}" for n in range(25)))
                backend.queue.wait_ready([MAIL], timeout=timedelta(0))
                backend.close()
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4
    stop.set()
    writer.join()
    add(backend.queue, "after")
    found = backend.queue.get([jid(f"child{child}x{n}") for child in range(4) for n in range(25)], now=NOW)
    assert all(one is not None and one.state is State.READY for one in found)
    backend.close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


OPENER = """
import os, sys, time
from chronoq.adapters.sqlite import open_backend
from chronoq.testing.contracts.values import add
print("there", flush=True)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.001)
for name in sys.argv[3:]:
    backend = open_backend(sys.argv[1])
    add(backend.queue, name)
    backend.close()
print("stored", flush=True)
"""


def test_many_processes_may_make_the_file_at_the_same_moment(path: Path) -> None:
    gate = path.with_name("gate")
    with ExitStack() as stack:
        openers = [
            stack.enter_context(
                python("-c", OPENER, f"sqlite:///{path}", str(gate), *(f"p{n}x{m}" for m in range(5)))
            )
            for n in range(6)
        ]
        for opener in openers:
            opener.wait_line("there", within=60)
        gate.touch()
        for opener in openers:
            opener.wait_line("stored", within=60)
    there = open_backend(f"sqlite:///{path}")
    assert there.queue.counts([MAIL], now=NOW)[0].ready == 30
    there.close()


def test_namespaces_share_a_file_and_nothing_else(backend: Backend, path: Path) -> None:
    other = open_backend(f"sqlite:///{path}{FAST}", Opening(namespace="other"))
    add(backend.queue, "a")
    assert (backend.queue.queues(), other.queue.queues()) == ([MAIL], [])
    assert other.queue.get([jid("a")], now=NOW) == [None]
    add(other.queue, "a")
    assert [one.id.key for one in take(other.queue, 9)] == ["a"]
    assert backend.queue.counts([MAIL], now=NOW)[0].ready == 1
    assert other.lock.acquire("leader", owner="them", ttl=HOUR, now=NOW) is not None
    assert backend.lock.acquire("leader", owner="us", ttl=HOUR, now=NOW) is not None
    other.close()


def test_all_processes_go_by_the_clock_of_those_who_are_alive(backend: Backend) -> None:
    """S6: the wall clock was set forward by an hour meanwhile"""
    assert isinstance(backend.queue, SqliteQueue)
    data, here = backend.queue.data, backend.clock
    assert isinstance(here, SystemClock)
    stepped = SystemClock(here.epoch + HOUR)
    process = Process("w1", Kind.WORKER, "host", 1, here.now(), "0")
    backend.life.birth(process, ttl=HOUR, now=here.now())
    assert abs(shared_clock(data, stepped).epoch - here.epoch) < S
    backend.life.death("w1")
    assert shared_clock(data, stepped).epoch == stepped.epoch
    assert abs(shared_clock(data, here).epoch - here.epoch) < S


# --- growth


def test_what_is_forgotten_leaves_the_file(backend: Backend, path: Path) -> None:
    """Endings go in small steps while others come; news of them are bounded."""
    brief = Options(result_ttl=timedelta(0))
    now = NOW
    sizes = []
    for _ in range(40):
        backend.queue.submit(
            [job(f"j{now.timestamp()}x{n}", options=brief, due=now) for n in range(100)], now=now
        )
        claims = backend.queue.claim([(MAIL, 100)], worker="w", lease=LEASE, now=now).claims
        backend.queue.settle([(claim, Done(b'"%s"' % (b"x" * 500))) for claim in claims], now=now)
        now += timedelta(minutes=5)
        db = sqlite3.connect(path)
        sizes.append(int(db.execute("PRAGMA page_count").fetchone()[0]))
        left = db.execute("SELECT count(*) FROM jobs WHERE place = 'ended'").fetchone()[0]
        db.close()
        assert left <= 200
    results = 40 * 100 * 500
    assert sizes[-1] * 4096 < results / 2


def test_news_are_kept_for_those_who_listen_now(backend: Backend, path: Path) -> None:
    assert isinstance(backend.queue, SqliteQueue)

    def far(step: object) -> None:
        step.queue(MAIL).news += HEARD  # type: ignore[attr-defined]

    bring(backend.queue, State.DONE, job("old"))
    backend.queue.data.write(far)
    bring(backend.queue, State.DONE, job("new"))
    db = sqlite3.connect(path)
    assert db.execute("SELECT key FROM news").fetchall() == [("new",)]
    db.close()
