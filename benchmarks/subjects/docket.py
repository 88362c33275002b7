"""docket, tuned: 50 at once, a look each millisecond."""

from datetime import timedelta

from docket import Docket, Worker
from job import QUEUE, URL, anoop, script, utc

JOBS = 4000
SETTINGS = "concurrency 50, a look each 1 ms, scheduling each 10 ms (the defaults are 10, 100 and 250 ms)"
ON_KILL = "again, after 5 min"
WORKERS = {"tuned": lambda n: [script(__file__)] * n}
TIMER = "tuned"


async def open_():
    docket = Docket(name=QUEUE, url=URL)
    await docket.__aenter__()
    docket.register(anoop)
    return docket


async def put(docket, a, b, s):
    await docket.add(anoop)(a, b, s)


async def put_many(docket, items):
    await docket.add_many([docket.call(anoop)(*item) for item in items])


async def put_at(docket, due, a, b, s):
    await docket.add(anoop, when=utc(due))(a, b, s)


async def put_many_at(docket, items):
    await docket.add_many([docket.call(anoop, when=utc(due))(*item) for due, item in items])


async def close(docket):
    await docket.__aexit__(None, None, None)


if __name__ == "__main__":
    import asyncio
    import logging

    from job import use_uvloop

    async def work():
        each, grain = timedelta(milliseconds=1), timedelta(milliseconds=10)
        async with Worker(
            await open_(), concurrency=50, minimum_check_interval=each, scheduling_resolution=grain
        ) as worker:
            await worker.run_forever()

    logging.basicConfig(level=logging.WARNING)
    use_uvloop()
    asyncio.run(work())
