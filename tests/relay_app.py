"""An application whose jobs RQ runs, and the functions that its workers import."""

from __future__ import annotations

import os
from typing import Any

import redis
from rq import get_current_job

from chronoq import Queue, Scheduler
from chronoq.relay.rq import RqRelay, by_name, rq_options

RQ_URL = os.environ.get("RELAY_RQ_URL")
SERIALIZER = os.environ.get("RELAY_SERIALIZER")


def make(url: str | None = None, *, rq_url: str | None = RQ_URL, **settings: Any) -> Scheduler:
    """`mail` is handed over and done with, `checked` is followed to the end."""
    mail = Queue("mail", relay=RqRelay(url=rq_url, serializer=SERIALIZER))
    checked = Queue("checked", relay=RqRelay(url=rq_url, serializer=SERIALIZER, follow=True))
    app = Scheduler(url, queues=[mail, checked], **settings)
    app.add_task(add, queue="mail", name="add")
    app.add_task(add, queue="checked", name="add_checked")
    app.add_task(fail, queue="checked", name="fail")
    for name, queue in (("note", "mail"), ("note_checked", "checked")):
        app.add_task(by_name("tests.relay_app.note"), queue=queue, name=name)
    app.add_task(
        add,
        queue="mail",
        name="dressed",
        timeout="90s",
        result_ttl="2m",
        meta={"who": "us"}
        | rq_options(
            description="adds",
            failure_ttl="1h",
            at_front=True,
            retry={"max": 3, "interval": [1, 5]},
            on_success="tests.relay_app.note",
            on_failure={"func": "tests.relay_app.note", "timeout": 7},
        ),
    )
    return app


def add(a: int, b: int = 1) -> int:
    return a + b


def fail(text: str) -> None:
    raise ValueError(text)


def note(*_: Any) -> None:
    """Write down, in RQ's database, that this job was run."""
    job = get_current_job()
    assert job is not None
    redis.Redis(connection_pool=job.connection.connection_pool).rpush("ran", job.id)


def app() -> Scheduler:
    return make()
