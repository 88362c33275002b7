"""streaq: streams, a sorted set and functions."""

from job import QUEUE, URL, anoop, script, utc
from streaq import Worker

JOBS = 4000
SETTINGS = "concurrency 16 (default), results kept 5 min, uvloop"
ON_KILL = "again, after 60 s"
WORKERS = {"concurrency 16": lambda n: [script(__file__)] * n}
TIMER = "concurrency 16"

worker = Worker(URL, queue_name=QUEUE, concurrency=16, anyio_kwargs={"use_uvloop": True})
task = worker.task(name="noop", silent=True)(anoop)


async def open_():
    await worker.__aenter__()
    return task


async def put(task, a, b, s):
    await task.enqueue(a, b, s)


async def put_many(task, items):
    await worker.enqueue_many([task.enqueue(*item) for item in items])


async def put_at(task, due, a, b, s):
    await task.enqueue(a, b, s).start(schedule=utc(due))


async def put_many_at(task, items):
    await worker.enqueue_many([task.enqueue(*item).start(schedule=utc(due)) for due, item in items])


async def close(task):
    await worker.__aexit__(None, None, None)


if __name__ == "__main__":
    import logging

    import subjects.streaq

    logging.basicConfig(level=logging.WARNING)
    subjects.streaq.worker.run_sync()
