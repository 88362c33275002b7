"""How the Redis adapter connects, what it says when it cannot, and how it gets over what servers do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import Any

import pytest
from attrs import evolve

from chronoq import Scheduler
from chronoq.adapters.redis import RedisClock, open_backend
from chronoq.adapters.redis.address import Address
from chronoq.adapters.redis.calls import Command
from chronoq.adapters.redis.wire import PIECE, Wire
from chronoq.domain.errors import (
    BackendError,
    BadSetting,
    ChronoqError,
    LoginRefused,
    NotReady,
    TooOld,
    Unknown,
    Unreachable,
)
from chronoq.domain.job import Pause, Progress, State
from chronoq.domain.ports import Cancel, Fired, Hold, Submitted
from chronoq.domain.retry import Failure
from chronoq.domain.schedule import Firing
from chronoq.domain.stream import Stream
from chronoq.domain.verdict import Dead, Done
from chronoq.testing.contracts.values import NOW, cursor, job, schedule
from tests.fake_server import FakeServer
from tests.servers import Server, eventually

LEASE = timedelta(seconds=30)
SOON = timedelta(seconds=5)


def refusal(url: str) -> ChronoqError:
    with pytest.raises(ChronoqError) as caught:
        open_backend(url)
    return caught.value


def test_nothing_listens_there() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"redis://localhost:{probe.getsockname()[1]}/0"
    error = refusal(url)
    assert isinstance(error, Unreachable)
    assert error.code == "E01"
    assert str(error) == (
        f"Cannot reach {url} (connection refused). Nothing is listening there. "
        "Start Redis, set CHRONOQ_URL, or use memory:// to try without it."
    )


def test_no_server_has_made_that_socket() -> None:
    error = refusal("unix:///nowhere/at/all?db=1&password=secret")
    assert isinstance(error, Unreachable)
    assert "Cannot reach unix:///nowhere/at/all?db=1&password=*** (no such file)" in str(error)


def test_passwords_are_not_shown() -> None:
    for url in (
        "redis://:secret@localhost:1/0",
        "redis://ann:secret@localhost:1",
        "rediss://a:secret@localhost:1",
    ):
        assert "secret" not in str(refusal(url))
        assert "secret" not in repr(Address(url))


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "redis://localhost/zero",
        "redis://localhost:port/0",
        "redis://localhost/0?db=x",
        "redis://localhost/0?unheard_of=1",
        "rediss://localhost/0?ssl_cert_reqs=perhaps",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    assert isinstance(refusal(url), BadSetting)


def test_a_missing_or_wrong_password_is_said(new_server: Callable[..., Server]) -> None:
    server = new_server("valkey-9.1", "--requirepass", "secret", tcp=True)
    wrong = server.url().replace("//", "//:wrong@")
    for url, user in ((server.url(), "default"), (wrong, "default"), (wrong.replace("//:", "//ann:"), "ann")):
        error = refusal(url)
        assert isinstance(error, LoginRefused)
        assert error.code == "E02"
        assert str(error) == (
            f"Redis refused the login for user {user!r}. The URL has no password, or a wrong one."
        )


def test_password_and_database_are_taken_from_the_url(new_server: Callable[..., Server]) -> None:
    server = new_server("redis-6.2", "--requirepass", "secret", tcp=True)
    for url in (
        f"redis://:secret@127.0.0.1:{server.port}/3",
        f"redis://default:secret@127.0.0.1:{server.port}/0?db=3",
        f"unix://{server.socket_path}?db=3&password=secret",
        f"unix://:secret@{server.socket_path}?db=3",
    ):
        backend = open_backend(url)
        backend.queue.submit([job("a")], now=NOW)
        with server.client(db=3, password="secret") as client:
            assert client.exists("chronoq:{mail}:jobs")
            client.flushdb()
        backend.close()


def test_a_database_that_the_server_does_not_have_is_said(valkey: Server) -> None:
    assert "DB index is out of range" in str(refusal(valkey.url(db=99)))


def test_a_user_without_the_right_is_told_so(new_server: Callable[..., Server]) -> None:
    server = new_server("valkey-9.1", tcp=True)
    server.client().execute_command(
        "ACL", "SETUSER", "ann", "on", ">pw", "~*", "&*", "+@all", "-evalsha", "-eval"
    )
    backend = open_backend(server.url().replace("//", "//ann:pw@"))
    with pytest.raises(BackendError, match="does not allow this to user 'ann'"):
        backend.queue.submit([job("a")], now=NOW)
    backend.close()


@contextmanager
def impostor(*replies: bytes) -> Iterator[str]:
    """The URL of something that answers each request with the next of `replies`, then with the last one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        left = list(replies)

        def serve(connection: socket.socket) -> None:
            with connection:
                while request := connection.recv(65536):
                    for _ in range(request.count(b"SETINFO") or 1):
                        connection.sendall(
                            b"+OK\r\n" if b"SETINFO" in request else left.pop(0) if left[1:] else left[0]
                        )

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


def bulk(text: str) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text.encode())


def test_a_server_that_is_too_old_is_refused() -> None:
    with impostor(bulk("# Server\r\nredis_version:5.0.7\r\n")) as url:
        error = refusal(url)
    assert isinstance(error, TooOld)
    assert error.code == "E03"
    assert str(error).startswith("Redis 5.0.7 is too old; chronoq needs 6.2. Upgrade")


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        ("-LOADING Redis is loading the dataset in memory", NotReady, "loading"),
        ("-READONLY You can't write against a read only replica.", NotReady, "replica"),
        ("-MASTERDOWN Link with MASTER is down", NotReady, "lost its primary"),
        ("-BUSY Redis is busy running a script.", NotReady, "script"),
        ("-MISCONF Redis is configured to save RDB snapshots", NotReady, "disk"),
        ("-OOM command not allowed when used memory > 'maxmemory'.", NotReady, "memory is full"),
        ("-ERR Error running script: @user_script:1: -OOM command not allowed", NotReady, "memory is full"),
        ("-CLUSTERDOWN The cluster is down", NotReady, "cluster"),
        ("-TRYAGAIN Multiple keys request during rehashing of slot", NotReady, "cluster"),
        ("-NOREPLICAS Not enough good replicas to write.", NotReady, "replicas"),
        ("-ERR max number of clients reached", NotReady, "as many clients"),
        ("-NOAUTH Authentication required.", LoginRefused, "password"),
        ("-NOPERM this user has no permissions", BackendError, "does not allow"),
        ("-MOVED 3999 127.0.0.1:6381", BackendError, "cluster"),
        ("-WRONGTYPE Operation against a key", BackendError, "refused a command"),
        ("garbage", BackendError, "."),
    ],
)
def test_what_a_server_refuses_is_said_in_three_parts(reply: str, kind: type[Exception], says: str) -> None:
    with impostor(reply.encode() + b"\r\n") as url:
        error = refusal(url)
    assert isinstance(error, kind)
    assert says in str(error)
    assert str(error).count(". ") >= 1


def test_forgotten_scripts_are_sent_again(any_redis_url: str, any_redis: Server) -> None:
    backend, client = open_backend(any_redis_url), any_redis.client()
    queue = backend.queue
    for round in range(3):
        client.script_flush()
        jobs = [job(f"{round}-{i}", queue=f"q{i % 3}") for i in range(500)]
        assert queue.submit(jobs, now=NOW) == [Submitted.ACCEPTED] * 500
        client.script_flush()
        claims = queue.claim([("q0", 200), ("q1", 200), ("q2", 200)], worker="w", lease=LEASE, now=NOW).claims
        assert [claim.id for claim in claims] == [one.id for q in range(3) for one in jobs[q::3]]
        client.script_flush()
        assert all(queue.settle([(claim, Done()) for claim in claims], now=NOW))
    backend.close()


def test_the_server_works_on_a_claim_while_something_else_is_done(
    any_redis_url: str, any_redis: Server
) -> None:
    backend, other = open_backend(any_redis_url), open_backend(any_redis_url)
    backend.queue.submit([job("a"), job("b")], now=NOW)
    seen = list[list[str]]()

    def look() -> None:
        running = eventually(lambda: other.queue.find("mail", State.RUNNING, now=NOW, mark="", limit=9).items)
        seen.append([one.job.id.key for one in running])

    granted = backend.queue.claim([("mail", 5)], worker="w", lease=LEASE, now=NOW, meanwhile=look)
    assert seen == [["a", "b"]]
    assert len(granted.claims) == 2
    assert granted.claims == tuple(granted.claims)
    assert granted.claims != ()
    assert [claim.id.key for claim in granted.claims] == ["a", "b"]
    assert (granted.claims[1].token, granted.claims[:1]) == (1, list(granted.claims)[:1])
    backend.close()
    other.close()


class Counting(Wire):
    """Counts its round trips."""

    trips = 0

    def _exchange(self, connection, requests, **how):  # type: ignore[no-untyped-def]
        self.trips += 1
        return super()._exchange(connection, requests, **how)


def test_several_queues_are_one_round_trip(redis_url: str) -> None:
    backend = open_backend(redis_url)
    wire = Counting(Address(redis_url))
    queue = type(backend.queue)(evolve(backend.queue.server, wire=wire))  # type: ignore[attr-defined, call-arg]
    jobs = [job(f"{i}", queue=f"q{i % 5}") for i in range(1500)]
    queue.submit(jobs, now=NOW)  # sends the scripts too
    queue.claim([("q0", 1)], worker="w", lease=LEASE, now=NOW)
    for action in (
        lambda: queue.submit(jobs, now=NOW),
        lambda: queue.claim([(f"q{i}", 10) for i in range(5)], worker="w", lease=LEASE, now=NOW),
        lambda: queue.counts([f"q{i}" for i in range(5)], now=NOW),
    ):
        action()
        before = wire.trips
        action()
        assert wire.trips == before + 1
    wire.close()
    backend.close()


def test_what_is_made_is_sent_before_the_next_is_made(redis_url: str) -> None:
    wire, other = Wire(Address(redis_url)), Wire(Address(redis_url))

    def making() -> Iterator[Command[bool]]:
        yield Command(("SET", "first", "1"), bool)  # however small: the server has something to do
        eventually(lambda: other.run(Command(("EXISTS", "first"), bool)))
        yield Command(("SET", "second", "x" * (PIECE + 1)), bool)
        eventually(lambda: other.run(Command(("EXISTS", "second"), bool)))
        yield Command(("SET", "third", "1"), bool)

    assert wire.run_all(Stream(making())) == [True, True, True]
    wire.close()
    other.close()


def test_one_that_cannot_be_made_leaves_no_answer_behind_for_the_next_to_ask(redis_url: str) -> None:
    wire = Wire(Address(redis_url))

    def making() -> Iterator[Command[bool]]:
        yield Command(("SET", "first", "x" * (PIECE + 1)), bool)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        wire.run_all(Stream(making()))
    assert wire.run(Command(("ECHO", "mine"), bytes)) == b"mine"
    wire.close()


class Cutting:
    """A proxy in front of a server that swallows the next `cut` replies and closes the connection instead."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.cut = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            upstream = socket.create_connection(("127.0.0.1", self._server.port))
            threading.Thread(target=self._requests, args=(client, upstream), daemon=True).start()
            threading.Thread(target=self._replies, args=(client, upstream), daemon=True).start()

    def _requests(self, client: socket.socket, upstream: socket.socket) -> None:
        try:
            while data := client.recv(65536):
                self.asked = b"EVAL" in data
                upstream.sendall(data)
        except OSError:
            pass

    def _replies(self, client: socket.socket, upstream: socket.socket) -> None:
        try:
            while data := upstream.recv(65536):
                if self.cut and self.asked:
                    self.cut -= 1
                    break
                client.sendall(data)
        except OSError:
            pass
        for end in (client, upstream):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture
def cutting(new_server: Callable[..., Server]) -> Iterator[Cutting]:
    proxy = Cutting(new_server("valkey-9.1", tcp=True))
    yield proxy
    proxy.close()


def test_a_lost_reply_is_asked_for_once_more(cutting: Cutting) -> None:
    backend = open_backend(cutting.url)
    assert backend.queue.submit([job("a")], now=NOW) == [Submitted.ACCEPTED]
    cutting.cut = 1
    assert backend.queue.submit([job("b")], now=NOW) == [Submitted.DUPLICATE]  # by itself, the first time
    (counts,) = backend.queue.counts(["mail"], now=NOW)
    assert counts.accepted == counts.ready == 2
    backend.close()


def test_a_submission_whose_replies_are_lost_is_unknown_by_id(cutting: Cutting) -> None:
    backend = open_backend(cutting.url)
    cutting.cut = 2
    with pytest.raises(Unknown, match="again under the same ids") as caught:
        backend.queue.submit([job("a"), job("b", queue="other")], now=NOW)
    assert caught.value.ids == ("mail:a", "other:b")
    assert backend.queue.submit([job("a")], now=NOW) in ([Submitted.ACCEPTED], [Submitted.DUPLICATE])
    backend.close()


def test_a_claim_whose_reply_is_lost_is_not_repeated(cutting: Cutting) -> None:
    backend = open_backend(cutting.url)
    backend.queue.submit([job("a"), job("b")], now=NOW)
    backend.queue.claim([("mail", 0)], worker="w", lease=LEASE, now=NOW)
    cutting.cut = 1
    with pytest.raises(Unreachable, match="Lost"):
        backend.queue.claim([("mail", 1)], worker="w", lease=LEASE, now=NOW)
    (counts,) = backend.queue.counts(["mail"], now=NOW)
    assert (counts.running, counts.ready) == (1, 1)
    backend.close()


def test_a_lost_reply_never_changes_an_answer(cutting: Cutting) -> None:
    """Whatever is asked for once more by itself has to answer as if nothing had been lost."""
    backend = open_backend(cutting.url)
    queue, store, lock = backend.queue, backend.store, backend.lock
    plan = schedule("report")
    at = cursor()
    queue.submit([job(name) for name in "abcdef"], now=NOW)
    claims = queue.claim([("mail", 4)], worker="w", lease=LEASE, now=NOW).claims
    queue.settle([(claims[3], Dead(Failure("E", "")))], now=NOW)
    lease = lock.acquire("one", owner="me", ttl=LEASE, now=NOW)
    assert lease is not None
    asks: list[tuple[Callable[[], object], object]] = [
        (lambda: queue.extend(claims[:1], lease=LEASE, now=NOW), [Hold.KEPT]),
        (lambda: queue.report(claims[0], Progress(1, 2)), True),
        (lambda: queue.settle([(claims[0], Done())], now=NOW), [True]),
        (lambda: queue.release(claims[1:2], now=NOW), [True]),
        (lambda: queue.cancel([job("e").id], now=NOW), [Cancel.CANCELLED]),
        (lambda: queue.revive([job("d").id], now=NOW), [True]),
        (lambda: queue.pause("mail", Pause()), None),
        (lambda: queue.resume("mail"), True),
        (lambda: queue.promote(["mail"], now=NOW, limit=1)[0].moved, 0),
        (lambda: store.put(plan, cursor=at, expected=None, now=NOW), True),
        (lambda: store.fire([Firing(plan.id, at, at)], fence=None, now=NOW), [Fired.YES]),
        (lambda: store.drop([plan.id]), [True]),
        (lambda: lock.acquire("one", owner="me", ttl=LEASE, now=NOW), lease),
        (lambda: lock.renew(lease, ttl=LEASE, now=NOW), lease),
        (lambda: lock.release(lease), True),
    ]
    for number, (ask, answer) in enumerate(asks):
        cutting.cut = 1
        with suppress(Unreachable):
            assert ask() == answer, number
        cutting.cut = 0
    backend.close()


@pytest.mark.parametrize("executed", [True, False])
def test_unknown_is_resolved_by_the_id(new_server: Callable[..., Server], executed: bool) -> None:
    """The server dies with the request in its hands, after it was carried out or before."""
    server = new_server("valkey-9.1", tcp=True, aof=True)
    proxy = Cutting(server)
    app = Scheduler(proxy.url if executed else server.url() + "?socket_timeout=1")
    work = app.add_task(print, name="work")
    work.enqueue("the scripts are known")
    if executed:
        proxy.cut = 2
    else:
        server.pause()
    with pytest.raises(Unknown) as caught:
        work.using(id="one").enqueue("here")
    server.restart()
    handle = app.job(caught.value.ids[0])
    assert handle.status() is (State.READY if executed else None)
    work.using(id="one").enqueue("here")
    assert handle.status() is State.READY
    (counts,) = app.backend.queue.counts(["default"], now=app.backend.clock.now())
    assert counts.accepted == 2
    app.close()
    proxy.close()


def test_a_hung_server_is_not_asked_twice(new_server: Callable[..., Server]) -> None:
    server = new_server("valkey-9.1", tcp=True)
    backend = open_backend(server.url() + "?socket_timeout=0.2")
    backend.queue.submit([job("a")], now=NOW)
    server.pause()
    began = monotonic()
    with pytest.raises(Unknown):
        backend.queue.submit([job("b")], now=NOW)
    assert monotonic() - began < 0.39
    server.resume()
    assert backend.queue.submit([job("c")], now=NOW) == [Submitted.ACCEPTED]
    backend.close()


def test_after_a_restart_the_same_backend_goes_on(new_server: Callable[..., Server]) -> None:
    server = new_server("valkey-9.1", aof=True)
    backend = open_backend(server.url())
    backend.queue.submit([job("a")], now=NOW)
    assert backend.queue.wait_ended(["mail"], timeout=timedelta(0)) == []
    server.kill()
    for attempt in (
        lambda: backend.queue.submit([job("b")], now=NOW),
        lambda: backend.queue.wait_ready(["mail"], timeout=SOON),
    ):
        with pytest.raises(Unreachable, match="Cannot reach"):
            attempt()
    with pytest.raises(Unreachable):
        backend.queue.wait_ended(["mail"], timeout=SOON)
    server.start()
    assert backend.queue.wait_ended(["mail"], timeout=SOON) == []  # it has only now subscribed
    assert backend.queue.cancel([job("a").id], now=NOW) == [Cancel.CANCELLED]
    assert backend.queue.wait_ended(["mail"], timeout=SOON) == [job("a").id]
    backend.close()


@pytest.mark.parametrize("wait", ["wait_ready", "wait_due", "wait_ended"])
def test_closing_ends_what_waits(redis_url: str, wait: str) -> None:
    backend = open_backend(redis_url)
    answers: list[object] = []
    if wait == "wait_ended":
        backend.queue.wait_ended(["mail"], timeout=timedelta(0))
    waiter = threading.Thread(
        target=lambda: answers.append(getattr(backend.queue, wait)(["mail"], timeout=timedelta(minutes=1)))
    )
    waiter.start()
    sleep(0.1)
    backend.close()
    waiter.join(5)
    assert answers in ([None], [[]])


def test_the_clock_is_the_servers_and_never_ahead(valkey: Server) -> None:
    wire = Wire(Address(valkey.url()))
    clock = RedisClock(wire)
    for _ in range(100):
        before = clock.now()
        seconds, micros = wire.run(Command(("TIME",), list))
        told = datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=int(micros))
        assert before <= told <= before + SOON
        assert clock.now() >= before
    wire.close()


def test_the_clock_asks_the_server_now_and_then_only(new_server: Callable[..., Server]) -> None:
    server = new_server("valkey-9.1")
    backend = open_backend(server.url())
    times = sorted(backend.clock.now() for _ in range(1000))
    assert times == sorted(times)
    assert server.client().info("commandstats")["cmdstat_time"]["calls"] == 1
    server.kill()
    with pytest.raises(Unreachable):
        backend.queue.queues()
    moment = backend.clock.now()
    assert eventually(lambda: backend.clock.now() > moment)  # goes on without it
    backend.close()


def test_a_server_that_hangs_holds_up_nobody_who_reads_the_clock(new_server: Callable[..., Server]) -> None:
    server = new_server("valkey-9.1")
    clock = RedisClock(wire := Wire(Address(server.url() + "&socket_timeout=600")))
    before = clock.now()
    server.pause()
    clock.doubt()
    assert clock.now() >= before  # asked in this thread, it would hang for ten minutes
    server.resume()
    eventually(lambda: clock._fresh_until > 0)
    wire.close()


def test_a_clock_that_was_set_back_stands_still(valkey: Server) -> None:
    wire = Wire(Address(valkey.url()))
    clock = RedisClock(wire)
    ahead = clock.now()
    clock._offset -= 3_600_000_000  # what a reply from a server whose clock was set back does
    assert clock.now() == ahead
    wire.close()


def test_many_threads_share_one_backend(redis_url: str) -> None:
    backend = open_backend(redis_url)
    backend.queue.submit([job(str(i)) for i in range(400)], now=NOW)
    done: list[bool] = []

    def work() -> None:
        while claims := backend.queue.claim([("mail", 7)], worker="w", lease=LEASE, now=NOW).claims:
            done.extend(backend.queue.settle([(claim, Done()) for claim in claims], now=NOW))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert done == [True] * 400
    assert {
        end.state for end in backend.queue.endings([job(str(i)).id for i in range(400)], now=NOW) if end
    } == {State.DONE}
    backend.close()


def test_a_connection_that_is_taken_apart_while_it_is_looked_at_is_not_used(valkey: Server) -> None:
    wire = Wire(Address(valkey.url()))
    assert wire.run(Command(("PING",), bool))
    connection, _ = wire._lines._idle.pop()
    wire._lines._idle.append((connection, 0.0))  # it has waited for long

    def torn() -> bool:
        wire.close()
        raise TypeError("argument must be an int, or have a fileno() method.")

    wire._lines._looks[connection] = torn
    with pytest.raises(BackendError, match="closed by this application"):
        wire.take()


def test_a_connection_that_is_closed_while_it_is_opened_is_not_used(valkey: Server) -> None:
    wire = Wire(Address(valkey.url()))
    connect = wire._lines._pool.get_connection

    def closing() -> Any:
        connection = connect()
        wire.close()
        return connection

    wire._lines._pool.get_connection = closing  # type: ignore[method-assign]
    with pytest.raises(BackendError, match="closed by this application"):
        wire.take()


def test_an_answer_too_many_is_nobody_elses() -> None:
    with FakeServer() as fake:
        wire = Wire(Address(fake.url))
        fake.says(b"$5\r\nfirst\r\n$5\r\nfirst\r\n", to="GET")
        assert wire.run(Command(("GET", "a"), bytes)) == b"first"
        line, _ = wire._lines._idle.pop()
        wire._lines._idle.append((line, 0.0))  # it has waited for long
        fake.says(b"$6\r\nsecond\r\n", to="GET")
        assert wire.run(Command(("GET", "b"), bytes)) == b"second"


def test_a_short_page_behind_many_that_have_moved_on_takes_few_round_trips(valkey: Server) -> None:
    backend, client = open_backend(valkey.url()), valkey.client()
    gone = [job(f"gone{n}") for n in range(900)]
    backend.queue.submit([*gone, job("here")], now=NOW)
    backend.queue.cancel([one.id for one in gone], now=NOW)
    client.config_resetstat()
    page = backend.queue.find("mail", State.READY, now=NOW, limit=1)
    assert [one.job.id.key for one in page.items] == ["here"]
    assert client.info("commandstats")["cmdstat_lrange"]["calls"] < 20
    backend.close()
