"""Jobs that come due are sent to Celery, and a worker that knows nothing of it runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from chronoq import Queue, Scheduler, errors
from chronoq.domain.job import State
from chronoq.relay.celery import CeleryRelay, by_name, celery_options
from tests.faults_app import ROOT
from tests.proc import python
from tests.servers import Server, eventually


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(tcp=True) as server:
        yield server


def make(server: Server, **options: Any) -> Scheduler:
    return Scheduler(server.url(), queues=[Queue("sums", relay=CeleryRelay(**options))])


def test_an_unmodified_celery_worker_runs_what_comes_due_and_its_end_is_known_here(server: Server) -> None:
    app = make(server, results=server.url(), follow=True)
    add = app.add_task(by_name("tests.relay_celery_app.add"), queue="sums")
    meta = celery_options(task="refuse")
    refuse = app.add_task(by_name("tests.relay_celery_app.refuse"), queue="sums", meta=meta)
    relay = app.relay()
    relay.start()
    command = ("-m", "celery", "-A", "tests.relay_celery_app", "worker", "-Q", "sums", "--pool", "solo")
    env = {"RELAY_CELERY_URL": server.url()}
    with python(*command, "--without-gossip", "--without-mingle", cwd=ROOT, env=env):
        good = add.using(delay="100ms").enqueue(2, b=3)
        bad = refuse.enqueue()
        assert good.result(timeout=60) == 5
        eventually(lambda: bad.status() is State.DEAD, within=60)
    found = bad.info()
    assert found is not None
    assert found.failure is not None
    assert (found.failure.type, found.failure.message) == ("ValueError", "no luck")
    relay.stop()
    app.close()


@pytest.mark.parametrize("options", [{}, {"follow": True}], ids=["not followed", "followed"])
def test_a_task_is_sent_once_for_each_time_that_it_comes_due(server: Server, options: dict[str, Any]) -> None:
    app = make(server, results=server.url(), **options)
    add = app.add_task(by_name("tests.relay_celery_app.add"), queue="sums")
    handle = add.enqueue(1)
    relay = app.relay()
    for minutes in range(3):
        relay.deliverer.step(app.backend.clock.now() + timedelta(minutes=minutes))
    relay.stop()
    assert server.client().llen("sums") == 1
    assert handle.status() is (State.DELAYED if options else State.DONE)
    app.close()


@pytest.mark.parametrize("told", [{"headers": 3}, 3])
def test_an_option_that_celery_cannot_take_holds_up_no_other_job(server: Server, told: Any) -> None:
    app = make(server)
    good = app.add_task(by_name("tests.relay_celery_app.add"), queue="sums")
    bad = app.add_task(by_name("tests.relay_celery_app.refuse"), queue="sums", meta={"celery": told})
    handles = [good.enqueue(1), bad.enqueue(), good.enqueue(2)]
    relay = app.relay()
    for _ in range(2):
        relay.deliverer.step(app.backend.clock.now())
    relay.stop()
    assert server.client().llen("sums") == 2
    assert [handle.status() for handle in handles] == [State.DONE, State.DEAD, State.DONE]
    app.close()


def test_a_job_waits_while_the_broker_is_away(server: Server, new_server: Callable[..., Server]) -> None:
    broker = new_server(tcp=True)
    app = make(server, broker=broker.url())
    handle = app.add_task(by_name("tests.relay_celery_app.add"), queue="sums").enqueue(1)
    relay = app.relay()
    broker.kill()
    with pytest.raises(errors.Unreachable, match="Celery"):
        relay.deliverer.step(app.backend.clock.now())
    assert handle.status() is State.READY
    broker.start()
    relay.deliverer.step(app.backend.clock.now())
    relay.deliverer.step(app.backend.clock.now())
    assert handle.status() is State.DONE
    assert broker.client().llen("sums") == 1
    relay.stop()
    app.close()


def test_what_celery_does_not_have_is_refused_where_it_is_written() -> None:
    with pytest.raises(errors.UnknownOption, match="priority"):
        celery_options(prority=3)
    with pytest.raises(errors.BadSetting, match="results="):
        CeleryRelay(follow=True)
    app = Scheduler("memory://", queues=[Queue("sums", relay=CeleryRelay())])
    with pytest.raises(errors.BadSetting, match=r"CeleryRelay\(broker="):
        app.relay()
    app.close()
