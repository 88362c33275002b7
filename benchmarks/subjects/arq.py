"""arq, tuned: 100 jobs at once, a poll each 10 ms."""

import sys

from arq import create_pool
from arq.connections import RedisSettings
from job import PORT, record, script, utc

JOBS = 4000
GAP = 0.02
SETTINGS = "max_jobs 100, poll_delay 0.01 s (the defaults are 10 and 0.5 s)"
ON_KILL = "again"
WORKERS = {"tuned": lambda n: [script(__file__, "100", "0.01")] * n}
TIMER = "tuned"


async def anoop(context, a, b, s):
    record(a)


async def open_():
    return await create_pool(RedisSettings(host="127.0.0.1", port=PORT))


async def put(pool, a, b, s):
    await pool.enqueue_job("anoop", a, b, s)


async def put_at(pool, due, a, b, s):
    await pool.enqueue_job("anoop", a, b, s, _defer_until=utc(due))


async def recurring(n):
    """Cron jobs live in the code of the worker only."""
    import time
    from datetime import datetime

    from arq import cron
    from arq.worker import Worker

    pool = await open_()
    jobs = [cron(anoop, name=f"c{i}", second=0) for i in range(n)]
    worker = Worker(functions=[anoop], cron_jobs=jobs, redis_pool=pool, handle_signals=False)
    now = datetime.now(tz=worker.timezone)
    for one in worker.cron_jobs:
        one.next_run = now
    began = time.perf_counter()
    await worker.run_cron(now, 0.5)
    return {"rate": await pool.zcard("arq:queue") / (time.perf_counter() - began)}


if __name__ == "__main__":
    import asyncio
    import logging

    from arq.worker import Worker
    from job import use_uvloop

    logging.basicConfig(level=logging.WARNING)
    use_uvloop()
    asyncio.set_event_loop(asyncio.new_event_loop())
    server = RedisSettings(host="127.0.0.1", port=PORT)
    Worker(
        functions=[anoop], redis_settings=server, max_jobs=int(sys.argv[1]), poll_delay=float(sys.argv[2])
    ).run()
