"""`durability=`: what is acknowledged is as safe as was asked for, or it is said that it is not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve
from redis.crc import key_slot

from chronoq import Scheduler, Task, errors
from chronoq.adapters.memory import open_backend as open_memory
from chronoq.adapters.redis import open_backend
from chronoq.domain.durability import IN_MEMORY, Durability
from chronoq.domain.errors import BackendError, BadSetting, NotDurable, NotReady, Unknown
from chronoq.domain.identity import JobId
from chronoq.domain.job import Job, Pause, State
from chronoq.domain.ports import Backend, Cancel, Opening, Submitted
from chronoq.domain.schedule import Firing
from chronoq.domain.verdict import Done
from chronoq.testing.contracts.values import NOW, cursor, job, schedule
from tests.fake_server import FakeServer, array, bulk, error
from tests.servers import Server, eventually
from tests.topology import Nodes

LEASE = timedelta(seconds=30)
SOON = "?socket_timeout=0.6"
"""So that a confirmation that does not come is waited for 0.3 s."""

NewServer = Callable[..., Server]
KINDS = ("valkey-9.1", "redis-6.2")


def opened(url: str, durability: str) -> Backend:
    return open_backend(url, Opening(durability=Durability.of(durability)))


def primary_of(new_server: NewServer, kind: str = "valkey-9.1") -> Server:
    return new_server(kind, "--repl-diskless-sync-delay", "0", tcp=True)


def replica_of(primary: Server, new_server: NewServer) -> Server:
    """A replica, when it is in step."""
    replica = new_server(primary.kind, "--replicaof", "127.0.0.1", str(primary.port), tcp=True)
    with primary.client() as client:
        eventually(lambda: client.set("in step?", 1) and client.wait(1, 500) == 1, within=30)
        client.delete("in step?")
    return replica


@pytest.mark.parametrize("text", ["memory", "aof", "replica:1", "replica:12"])
def test_durability_is_read_from_its_text(text: str) -> None:
    assert str(Durability.of(text)) == text
    assert Durability.of(Durability.of(text)) == Durability.of(text)


@pytest.mark.parametrize("text", ["", "disk", "replica", "replica:0", "replica:-1", "replica:x", "AOF", "1"])
def test_another_durability_is_refused(text: str) -> None:
    with pytest.raises(
        BadSetting, match=r"durability=.*\(from the program\).*choose from memory, aof, and replica:N"
    ):
        Scheduler(durability=text)


@pytest.mark.parametrize("text", ["aof", "replica:1"])
def test_memory_gives_none(text: str) -> None:
    with pytest.raises(BadSetting, match="cannot be had at memory://: all of it is gone with this process"):
        open_memory("memory://", Opening(durability=Durability.of(text)))
    assert open_memory("memory://", Opening(durability=IN_MEMORY))
    with pytest.raises(BadSetting, match=text):
        Scheduler("memory://", durability=text).backend  # noqa: B018


def test_a_file_is_synced_but_has_no_replicas(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    Scheduler(url, durability="aof").backend.close()
    for options, text, why in (
        ("", "replica:1", "a file has no replicas"),
        ("?synchronous=normal", "aof", "acknowledges before the disk has it"),
    ):
        with pytest.raises(BadSetting, match=why):
            Scheduler(url + options, durability=text).backend  # noqa: B018


def test_memory_asks_the_server_for_nothing_more(new_server: NewServer) -> None:
    server = new_server("valkey-9.1")
    backend = opened(server.url(), "memory")
    backend.queue.submit([job("a")], now=NOW)
    assert not {"cmdstat_wait", "cmdstat_waitaof"} & set(server.client().info("commandstats"))
    backend.close()


# aof


@pytest.mark.parametrize("kind", KINDS)
def test_aof_is_given_by_a_server_that_syncs_before_it_answers(new_server: NewServer, kind: str) -> None:
    server = new_server(kind, aof=True)
    backend = opened(server.url(), "aof")
    assert backend.queue.submit([job("a")], now=NOW) == [Submitted.ACCEPTED]
    server.restart()
    assert backend.queue.cancel([job("a").id], now=NOW) == [Cancel.CANCELLED]
    backend.close()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ((), "its appendonly is no"),
        (("--appendonly", "yes", "--appendfsync", "everysec"), "its appendfsync is everysec"),
        (("--appendonly", "yes", "--appendfsync", "no"), "its appendfsync is no"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_aof_is_refused_where_answers_leave_before_the_disk_has_it(
    new_server: NewServer, kind: str, options: tuple[str, ...], why: str
) -> None:
    server = new_server(kind, *options)
    with pytest.raises(BadSetting, match=f"durability='aof' cannot be had at .*{why}. Set append"):
        opened(server.url(), "aof")


def test_aof_is_refused_where_the_setting_cannot_be_seen(new_server: NewServer) -> None:
    server = new_server("valkey-9.1", tcp=True, aof=True)
    server.client().execute_command("ACL", "SETUSER", "ann", "on", ">pw", "~*", "&*", "+@all", "-config")
    with pytest.raises(BadSetting, match="CONFIG GET, which would tell how it is set up, is not allowed"):
        opened(server.url().replace("//", "//ann:pw@"), "aof")


def test_an_aof_that_is_turned_off_later_is_noticed(new_server: NewServer) -> None:
    server = new_server("valkey-9.1", aof=True)
    backend = opened(server.url(), "aof")
    backend.queue.submit([job("a")], now=NOW)
    server.client().config_set("appendonly", "no")
    with pytest.raises(Unknown, match="appendonly is disabled") as caught:
        backend.queue.submit([job("b")], now=NOW)
    assert caught.value.ids == ("mail:b",)
    server.client().config_set("appendonly", "yes")
    assert eventually(lambda: _submitted(backend, "b")) is Submitted.DUPLICATE
    backend.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_comes_back_with_other_settings_is_sent_nothing(
    new_server: NewServer, kind: str
) -> None:
    server = new_server(kind, aof=True)
    backend = opened(server.url(), "aof")
    backend.queue.submit([job("a")], now=NOW)
    server.restart("--appendfsync", "everysec")
    with pytest.raises(
        BackendError, match=r"'aof' cannot be had .*appendfsync is everysec.*Nothing was sent"
    ):
        backend.queue.submit([job("b")], now=NOW)
    assert [one and one.job.id.key for one in backend.queue.get(ids("a", "b"), now=NOW)] == ["a", None]
    server.client().config_set("appendfsync", "always")
    assert backend.queue.submit([job("b")], now=NOW) == [Submitted.ACCEPTED]
    backend.close()


def ids(*keys: str) -> list[JobId]:
    return [job(key).id for key in keys]


@pytest.mark.xdist_group("cluster")
def test_a_master_that_joins_later_is_looked_at_before_anything_is_sent_to_it() -> None:
    always = ("--appendonly", "yes", "--appendfsync", "always")
    with Nodes("valkey-9.1", *always, masters=1) as nodes:
        backend = opened(nodes.url(), "aof")
        backend.queue.submit([job("a")], now=NOW)
        added = nodes.add()
        nodes.move(key_slot(b"mail"), added)
        why = rf"'aof' cannot be had at redis://127.0.0.1:{added.port}/0: its appendonly is no. Set appendonly yes"
        with pytest.raises(BackendError, match=why):
            backend.queue.submit([job("b")], now=NOW)
        assert [one and one.job.id.key for one in backend.queue.get(ids("a", "b"), now=NOW)] == ["a", None]
        for name, value in (("appendfsync", "always"), ("appendonly", "yes")):
            added.client().config_set(name, value)
        assert eventually(lambda: _submitted(backend, "b")) is Submitted.ACCEPTED
        backend.close()


def _submitted(backend: Backend, key: str) -> Submitted | None:
    try:
        return backend.queue.submit([job(key)], now=NOW)[0]
    except Unknown:
        return None


# replica:N


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_with_too_few_replicas_is_not_ready_for_it(new_server: NewServer, kind: str) -> None:
    primary = primary_of(new_server, kind)
    with pytest.raises(NotReady, match="has 0 replicas, and durability='replica:1' asks for 1"):
        opened(primary.url(), "replica:1")
    replica_of(primary, new_server)
    opened(primary.url(), "replica:1").close()
    with pytest.raises(NotReady, match="has 1 replicas, and durability='replica:2' asks for 2"):
        opened(primary.url(), "replica:2")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_acknowledged_survives_the_primary(new_server: NewServer, kind: str) -> None:
    primary = primary_of(new_server, kind)
    replica = replica_of(primary, new_server)
    assert kill_while_submitting(primary, replica) == 0


@pytest.mark.slow
@pytest.mark.parametrize("round", range(25))
def test_what_is_acknowledged_survives_the_primary_each_time(new_server: NewServer, round: int) -> None:
    primary = primary_of(new_server, KINDS[round % 2])
    replica = replica_of(primary, new_server)
    assert kill_while_submitting(primary, replica, after=50 + 40 * round) == 0


def kill_while_submitting(primary: Server, replica: Server, *, after: int = 300) -> int:
    """How many acknowledged jobs the promoted replica does not have."""
    backend = opened(primary.url(), "replica:1")
    acknowledged: list[str] = []

    def produce(name: str) -> None:
        number = 0
        try:
            while True:
                key = f"{name}-{number}"
                backend.queue.submit([job(key)], now=NOW)
                acknowledged.append(key)
                number += 1
        except (BackendError, Unknown):
            pass

    producers = [threading.Thread(target=produce, args=(name,)) for name in "abcd"]
    for producer in producers:
        producer.start()
    eventually(lambda: len(acknowledged) >= after, within=60)
    primary.kill()
    for producer in producers:
        producer.join(30)
    with replica.client() as client:
        client.execute_command("REPLICAOF", "NO", "ONE")
    promoted = open_backend(replica.url())
    found = promoted.queue.get([job(key).id for key in acknowledged], now=NOW)
    promoted.close()
    backend.close()
    return found.count(None)


def confirmed(work: Task[..., object, object], id: str) -> None:
    """Submit until a replica confirms it: on a busy machine that may take longer than anybody waits here."""

    def done() -> bool:
        try:
            work.using(id=id).enqueue("here")
        except errors.Unknown:
            return False
        return True

    eventually(done, within=30)


@pytest.mark.parametrize("kind", KINDS)
def test_a_replica_that_does_not_answer_makes_a_submission_unknown(new_server: NewServer, kind: str) -> None:
    primary = primary_of(new_server, kind)
    replica = replica_of(primary, new_server)
    app = Scheduler(primary.url() + SOON, durability="replica:1")
    work = app.add_task(print, name="work")
    confirmed(work, "known")  # so are the scripts, then

    replica.pause()
    with pytest.raises(errors.Unknown) as caught:
        work.using(id="one").enqueue("here")
    said = str(caught.value)
    assert (
        "has carried this out, but 0 of 1 replicas have confirmed it in time (durability replica:1)" in said
    )
    assert "Job 'default:one' is stored: ask app.job('default:one').status(), or submit it again" in said
    assert app.job(caught.value.ids[0]).status() is State.READY
    with pytest.raises(errors.Unknown):  # a duplicate is no more durable than the first
        work.using(id="one").enqueue("here")

    replica.resume()
    confirmed(work, "one")
    assert app.job("default:one").status() is State.READY
    (counts,) = app.backend.queue.counts(["default"], now=app.backend.clock.now())
    assert counts.accepted == 2
    app.close()


def test_all_that_anybody_relies_on_is_confirmed(new_server: NewServer) -> None:
    primary = primary_of(new_server)
    replica = replica_of(primary, new_server)
    backend = opened(primary.url(), "replica:1")
    queue, store, plan, at = backend.queue, backend.store, schedule(), cursor()
    queue.submit([job(name) for name in "abcd"], now=NOW)
    claims = queue.claim([("mail", 2)], worker="w", lease=LEASE, now=NOW).claims
    wire = backend.queue.server.wire  # type: ignore[attr-defined]
    wire.confirmation = evolve(wire.confirmation, words=("WAIT", 1, 20))
    replica.pause()
    for act in (
        lambda: queue.claim([("mail", 1)], worker="w", lease=LEASE, now=NOW),
        lambda: queue.settle([(claims[0], Done())], now=NOW),
        lambda: queue.release(claims[1:], now=NOW),
        lambda: queue.cancel([job("d").id], now=NOW),
        lambda: queue.revive([job("d").id], now=NOW),
        lambda: queue.purge([job("d").id], now=NOW),
        lambda: queue.pause("mail", Pause()),
        lambda: queue.resume("mail"),
        lambda: store.put(plan, cursor=at, expected=None, now=NOW),
        lambda: store.fire([Firing(plan.id, at, at)], fence=None, now=NOW),
        lambda: store.drop([plan.id]),
    ):
        with pytest.raises(NotDurable, match="0 of 1 replicas"):
            act()
    # what nobody is told of, or what is told anew each second, waits for nobody
    queue.promote(["mail"], now=NOW, limit=1)
    queue.extend(claims, lease=LEASE, now=NOW)
    queue.get([job("a").id], now=NOW)
    backend.lock.acquire("one", owner="me", ttl=LEASE, now=NOW)
    replica.resume()
    backend.close()


def test_the_confirmation_is_asked_for_in_the_same_round_trip(new_server: NewServer) -> None:
    primary = primary_of(new_server)
    replica_of(primary, new_server)
    backend = opened(primary.url(), "replica:1")
    backend.queue.submit([job("a")], now=NOW)  # the scripts and the queue's name are known
    wire = backend.queue.server.wire  # type: ignore[attr-defined]
    sent: list[list[str]] = []
    exchange = wire._exchange

    def noting(line: object, words: Iterable[list[str]], **how: bool) -> list[object]:
        words = list(words)
        sent.append([one[0] for one in words])
        return exchange(line, words, **how)  # type: ignore[no-any-return]

    wire._exchange = noting
    backend.queue.submit([job("b"), job("c", queue="other")], now=NOW)
    backend.queue.queues()
    assert sent[0][-1] == "WAIT"
    assert sent[0].count("WAIT") == 1
    assert sent[1:] == [["SMEMBERS"]]
    backend.close()


def test_a_primary_that_is_demoted_while_it_confirms_is_left() -> None:
    with FakeServer() as fake:
        fake.says(b"*1\r\n:1\r\n", to="EVALSHA")
        fake.says(
            bulk("slave0:ip=1.2.3.4,port=1,state=online,offset=1,lag=0\r\nredis_version:7.2.0\r\n"), to="INFO"
        )
        fake.says(error("UNBLOCKED force unblock from blocking operation"), to="WAIT")
        backend = opened(fake.url, "replica:1")
        before = fake.connections
        with pytest.raises(Unknown, match="maybe stored"):
            backend.queue.submit([job("a")], now=NOW)
        fake.says(error("NOPERM no WAIT for you"), to="WAIT")
        with pytest.raises(Unknown, match="could not say how safe that is"):
            backend.queue.submit([job("a")], now=NOW)
        assert fake.connections == before + 1
        backend.close()


def test_waitaof_that_counts_no_disk_is_not_enough() -> None:
    with FakeServer() as fake:
        fake.says(b"*1\r\n:1\r\n", to="EVALSHA")
        fake.says(
            array(*(bulk(word) for word in ("appendonly", "yes", "appendfsync", "always"))), to="CONFIG"
        )
        fake.says(b"*2\r\n:0\r\n:0\r\n", to="WAITAOF")
        backend = opened(fake.url, "aof")
        with pytest.raises(Unknown, match="its disk has not confirmed it in time"):
            backend.queue.submit([job("a")], now=NOW)
        backend.close()


@pytest.mark.xdist_group("cluster")
def test_each_node_of_a_cluster_confirms_what_it_has_stored() -> None:
    with Nodes(replicas=1) as nodes:
        backend = eventually(lambda: _when_ready(nodes.url()), within=30)
        jobs = [job("a", queue=f"q{number}") for number in range(9)]
        assert eventually(lambda: _all_confirmed(backend, jobs), within=30)
        waited = [int("cmdstat_wait" in one.client().info("commandstats")) for one in nodes.servers]
        assert waited == [1, 1, 1, 0, 0, 0], "each master, and no replica"
        backend.close()


def _when_ready(url: str) -> Backend | None:
    try:
        return opened(url, "replica:1")
    except NotReady:
        return None


def _all_confirmed(backend: Backend, jobs: list[Job]) -> bool:
    try:
        return len(backend.queue.submit(jobs, now=NOW)) == len(jobs)
    except Unknown:
        return False
