"""A cluster is one store: its slots may move and its masters may fall."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from time import monotonic

import pytest
from redis.crc import key_slot

from chronoq import Queue, Scheduler, every
from chronoq.adapters.redis import open_backend
from chronoq.domain.errors import BackendError, BadSetting, NotReady, Unreachable
from chronoq.domain.job import Pause, State
from chronoq.domain.ports import Backend, QueuePort, Submitted
from chronoq.domain.verdict import Done
from chronoq.testing.contracts.values import LEASE, NOW, S, jid, job, listed
from tests.servers import Server, eventually
from tests.topology import Nodes, ask

pytestmark = pytest.mark.xdist_group("cluster")

QUEUES = [f"q{number}" for number in range(12)]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with Nodes() as nodes:
        yield nodes


@pytest.fixture
def backend(nodes: Nodes) -> Iterator[Backend]:
    nodes.flush()
    backend = open_backend(nodes.url())
    yield backend
    backend.close()


def slot_of(queue: str) -> int:
    return key_slot(queue.encode())


def add(port: QueuePort, key: str, *, queue: str) -> bool:
    return port.submit([job(key, queue=queue)], now=NOW) == [Submitted.ACCEPTED]


def elsewhere(nodes: Nodes, queue: str) -> Server:
    """A node that does not serve the queue."""
    return next(server for server in nodes.servers if server is not nodes.owner(queue))


def test_queues_spread_over_the_nodes_and_one_call_serves_all_of_them(nodes: Nodes, backend: Backend) -> None:
    backend.queue.submit([job(f"{n}", queue=queue) for queue in QUEUES for n in range(3)], now=NOW)

    assert all(server.client().keys("chronoq:{q*") for server in nodes.servers)
    found = backend.queue.claim([(queue, 2) for queue in QUEUES], worker="w", lease=LEASE, now=NOW).claims
    assert [str(claim.id) for claim in found] == [f"{queue}:{n}" for queue in QUEUES for n in range(2)]
    done = [(claim, Done(b"1")) for claim in found]
    third = backend.queue.claim([(QUEUES[0], 1)], worker="w", lease=LEASE, now=NOW, verdicts=done)
    assert third.settled == (True,) * len(found)
    assert [(counts.done, counts.ready) for counts in backend.queue.counts(QUEUES, now=NOW)][1:] == [
        (2, 1)
    ] * 11
    assert backend.queue.queues() == sorted(QUEUES)


def test_a_slot_that_has_moved_is_found_where_it_is(nodes: Nodes, backend: Backend) -> None:
    for number in range(120):
        add(backend.queue, f"{number}", queue="q1")

    assert nodes.move(slot_of("q1"), elsewhere(nodes, "q1")) >= 1

    add(backend.queue, "after", queue="q1")
    assert len(listed(backend.queue, State.READY, name="q1")) == 121


def test_while_a_slot_moves_its_queue_waits_and_others_go_on(nodes: Nodes, backend: Backend) -> None:
    add(backend.queue, "a", queue="q2")
    to = elsewhere(nodes, "q2")
    source = nodes.begin_move(slot_of("q2"), to)

    with pytest.raises(NotReady, match="moving these keys"):
        add(backend.queue, "b", queue="q2")
    add(backend.queue, "b", queue="q3")

    late: list[str] = []
    thread = threading.Thread(target=lambda: late.append(str(add(backend.queue, "c", queue="q2"))))
    thread.start()
    while nodes.carry(slot_of("q2"), source, to):
        pass
    nodes.end_move(slot_of("q2"), source, to)
    thread.join(10)
    assert late, "it was not asked again"
    assert listed(backend.queue, State.READY, name="q2") == ["a", "c"]


def test_what_has_one_key_is_asked_where_the_slot_is_going(nodes: Nodes, backend: Backend) -> None:
    add(backend.queue, "a", queue="q4")
    moving = {slot_of("q4"), key_slot(b"chronoq:lock:leader")}
    target = {slot: next(one for one in nodes.servers if one is not nodes.owner_of(slot)) for slot in moving}
    sources = {slot: nodes.begin_move(slot, to) for slot, to in target.items()}

    backend.queue.pause("q4", Pause("moving"))
    lease = backend.lock.acquire("leader", owner="me", ttl=60 * S, now=NOW)
    assert lease is not None

    for slot, to in target.items():
        while nodes.carry(slot, sources[slot], to):
            pass
        nodes.end_move(slot, sources[slot], to)
    assert backend.queue.counts(["q4"], now=NOW)[0].pause == Pause("moving")
    assert backend.lock.acquire("leader", owner="other", ttl=60 * S, now=NOW) is None
    assert backend.lock.renew(lease, ttl=60 * S, now=NOW)


def test_scripts_that_a_node_has_forgotten_are_sent_again(nodes: Nodes, backend: Backend) -> None:
    backend.queue.submit([job("a", queue=queue) for queue in QUEUES], now=NOW)
    for server in nodes.servers:
        server.client().script_flush()
    backend.queue.submit([job("b", queue=queue) for queue in QUEUES], now=NOW)
    assert all(counts.ready == 2 for counts in backend.queue.counts(QUEUES, now=NOW))


@pytest.mark.parametrize("many", [1, 12, 20])
def test_who_waits_for_work_on_several_nodes_is_woken_by_any(backend: Backend, many: int) -> None:
    names = [f"q{number}" for number in range(many)]
    backend.queue.wait_ready(names, timeout=timedelta(milliseconds=50))
    timer = threading.Timer(0.1, lambda: add(backend.queue, "late", queue=names[-1]))
    timer.start()
    started = monotonic()
    backend.queue.wait_ready(names, timeout=20 * S)
    assert monotonic() - started < 10, "it slept through"
    timer.join()


def test_who_waits_leaves_no_connection_that_takes_tokens(nodes: Nodes, backend: Backend) -> None:
    names = QUEUES[:4]
    add(backend.queue, "a", queue=names[0])
    backend.queue.wait_ready(names, timeout=60 * S)

    def blocked() -> int:
        return sum(server.client().info("clients")["blocked_clients"] for server in nodes.servers)

    eventually(lambda: blocked() == 0, within=4)  # they would have waited for ten


def test_what_ends_on_any_node_is_heard(backend: Backend) -> None:
    backend.queue.wait_ended(QUEUES, timeout=timedelta(milliseconds=10))
    backend.queue.submit([job("a", queue=queue) for queue in QUEUES], now=NOW)
    backend.queue.cancel([jid("a", queue) for queue in QUEUES], now=NOW)
    heard: set[str] = set()

    def all_heard() -> bool:
        heard.update(str(id) for id in backend.queue.wait_ended(QUEUES, timeout=S))
        return heard == {f"{queue}:a" for queue in QUEUES}

    assert eventually(all_heard)


def test_a_divided_queue_uses_all_nodes(nodes: Nodes) -> None:
    nodes.flush()
    app = Scheduler(nodes.url(), queues=[Queue("hot", shards=8)])

    @app.task(name="double", queue="hot")
    def double(number: int) -> int:
        return 2 * number

    app.add_schedule("often", double, every("100ms"), args=(21,), overlap="allow")
    with app:
        handles = app.enqueue_many([double.job(number) for number in range(100)])
        assert [handle.result(timeout="20s") for handle in handles] == [2 * number for number in range(100)]
        assert app.stored_schedule("often").trigger().result(timeout="20s") == 42
        assert app.backend.queue.queues() == ["hot"]
        assert app.backend.queue.counts(["hot"], now=app.backend.clock.now())[0].done > 100
    assert all(server.client().keys("chronoq:{hot~*.8}:stats") for server in nodes.servers)
    app.close()

    other = Scheduler(nodes.url(), queues=[Queue("hot", shards=4)])
    with pytest.raises(BadSetting, match="declare shards=8"):
        other.backend.queue.queues()
    other.close()


def test_the_time_is_that_of_one_node(nodes: Nodes, backend: Backend) -> None:
    before = [server.client().info("commandstats") for server in nodes.servers]
    for _ in range(3):
        open_backend(nodes.url()).close()
    after = [server.client().info("commandstats") for server in nodes.servers]
    asked = [
        new.get("cmdstat_time", {"calls": 0})["calls"] - old.get("cmdstat_time", {"calls": 0})["calls"]
        for old, new in zip(before, after, strict=True)
    ]
    assert sorted(asked) == [0, 0, 3]
    assert asked[nodes.servers.index(nodes.owner_of(0))] == 3


def test_one_living_node_of_the_url_is_enough(nodes: Nodes) -> None:
    with Server(tcp=True) as gone:
        port = gone.port
    backend = open_backend(f"redis+cluster://127.0.0.1:{port},127.0.0.1:{nodes.servers[1].port}")
    add(backend.queue, "a", queue="q5")
    backend.close()
    with pytest.raises(Unreachable, match="Cannot reach redis://127"):
        open_backend(f"redis+cluster://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis+cluster://a:1/3", "a cluster has only one"),
        ("redis+cluster://", "is no list of servers"),
        ("redis+cluster://a:1,b:x", "is no list of servers"),
        ("redis+cluster://a:1?colour=blue", "has an option that does not fit"),
    ],
)
def test_urls_that_do_not_fit_are_refused(url: str, words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        open_backend(url)


def test_a_server_that_is_no_cluster_is_refused(valkey_tcp: Server) -> None:
    with pytest.raises(BackendError, match="cluster support disabled"):
        open_backend(valkey_tcp.url().replace("redis://", "redis+cluster://").removesuffix("/0"))


@pytest.fixture
def valkey_tcp() -> Iterator[Server]:
    with Server(tcp=True) as server:
        yield server


def test_a_fallen_master_is_followed_by_its_replica() -> None:
    with Nodes(replicas=1) as nodes:
        backend = open_backend(nodes.url())
        backend.queue.submit([job("a", queue=queue) for queue in QUEUES], now=NOW)
        victim = nodes.owner("q0")
        here = next(queue for queue in QUEUES if nodes.owner(queue) is not victim)
        assert ask(victim, "WAIT", 1, 5000) == 1

        victim.kill()

        with pytest.raises(BackendError):
            add(backend.queue, "meanwhile", queue="q0")
        add(backend.queue, "b", queue=here)

        def again() -> bool:
            try:
                return add(backend.queue, "after", queue="q0")
            except BackendError:
                return False

        assert eventually(again, 60)
        assert listed(backend.queue, State.READY, name="q0")[0] == "a"
        moments = [backend.clock.now() for _ in range(5)]
        assert moments == sorted(moments)
        backend.close()
