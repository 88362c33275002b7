"""taskiq on a Redis stream, with its schedule source in Redis."""

import time

from job import QUEUE, URL, beside, record, utc
from taskiq import TaskiqScheduler
from taskiq_redis import ListRedisScheduleSource, RedisStreamBroker

WORKER = [beside("taskiq"), "worker", "subjects.taskiq:broker", "--workers", "1", "--log-level", "WARNING"]
SERVICE = [
    *(beside("taskiq"), "scheduler", "subjects.taskiq:scheduler", "--log-level", "WARNING"),
    *("--update-interval", "1", "--loop-interval", "1"),
]
JOBS = 8000
SETTINGS = "RedisStreamBroker, no result backend, 100 coroutines, uvloop"
ON_KILL = "again, after 10 min"
WORKERS = {"stream": lambda n: [WORKER] * n, "stream, scheduler": lambda n: [WORKER] * n + [SERVICE]}
TIMER = "stream, scheduler"

broker = RedisStreamBroker(URL, queue_name=QUEUE)
source = ListRedisScheduleSource(URL, prefix="sch")
scheduler = TaskiqScheduler(broker, [source])


@broker.task(task_name="noop")
async def noop(a: int, b: int, s: str) -> None:
    record(a)


async def open_():
    await broker.startup()
    await source.startup()
    return noop


async def put(task, a, b, s):
    await task.kiq(a, b, s)


async def put_at(task, due, a, b, s):
    await task.schedule_by_time(source, utc(due), a, b, s)


async def recurring(n):
    """What its scheduler loop does when all are due: read all schedules, compare each, send."""
    import asyncio
    from datetime import UTC, datetime

    from taskiq.cli.scheduler.run import get_all_schedules, is_cron_task_now

    task = await open_()
    for i in range(n):
        await task.schedule_by_cron(source, "* * * * *", i, i, "x" * 20)
    now = datetime.now(UTC)
    began = time.perf_counter()
    sent = [
        asyncio.create_task(scheduler.on_ready(where, one))
        for where, tasks in await get_all_schedules(scheduler)
        for one in tasks
        if is_cron_task_now(one.cron, now, one.cron_offset, None)
    ]
    await asyncio.gather(*sent)
    return {"rate": len(sent) / (time.perf_counter() - began)}
