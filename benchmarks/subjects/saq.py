"""saq on Redis, ten at once."""

from job import QUEUE, URL, record, script
from saq import Queue

JOBS = 4000
SETTINGS = "concurrency 10 (default), results kept 600 s"
ON_KILL = "aborted, with the default of one try"
WORKERS = {"concurrency 10": lambda n: [script(__file__)] * n}
TIMER = "concurrency 10"


async def anoop(context, *, a, b, s):
    record(a)


async def open_():
    queue = Queue.from_url(URL, name=QUEUE)
    await queue.connect()
    return queue


async def put(queue, a, b, s):
    await queue.enqueue("anoop", a=a, b=b, s=s)


async def put_at(queue, due, a, b, s):
    await queue.enqueue("anoop", a=a, b=b, s=s, scheduled=due)


if __name__ == "__main__":
    import asyncio
    import logging

    from job import use_uvloop
    from saq import Worker

    async def work():
        await Worker(await open_(), functions=[("anoop", anoop)], concurrency=10).start()

    logging.basicConfig(level=logging.WARNING)
    use_uvloop()
    asyncio.run(work())
