"""Functions and classes that RQ's workers and the familiar scheduler's process import."""

from __future__ import annotations

from typing import Any

import redis
from rq import Queue, get_current_job
from rq.job import Job


def record(*args: Any, **kwargs: Any) -> list[Any]:
    """Write down, in RQ's database, who was run with what."""
    job = get_current_job()
    assert job is not None
    client = redis.Redis(connection_pool=job.connection.connection_pool)
    client.rpush(f"ran:{job.meta.get('test')}", f"{job.id} {list(args)} {kwargs}")
    return [*args]


def greet(name: str, *, greeting: str = "hello") -> str:
    return f"{greeting} {name}"


def fail() -> None:
    raise ValueError("on purpose")


def succeeded(job: Job, connection: redis.Redis, result: Any) -> None:
    connection.rpush(f"ran:{job.meta.get('test')}", f"{job.id} succeeded")


def failed(job: Job, connection: redis.Redis, *error: Any) -> None:
    connection.rpush(f"ran:{job.meta.get('test')}", f"{job.id} failed")


class Shop:
    def method(self) -> None: ...


class OwnJob(Job):
    """A job class of the user's."""


class OwnQueue(Queue):
    """A queue class of the user's: it counts what is enqueued."""

    def enqueue_job(self, job: Job, pipeline: Any = None, at_front: bool = False, **more: Any) -> Any:
        self.connection.incr(f"own:{type(job).__name__}")
        return super().enqueue_job(job, pipeline=pipeline, at_front=at_front, **more)
