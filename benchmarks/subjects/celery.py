"""celery on Redis; beat for what recurs."""

import time
from datetime import timedelta

from celery import Celery
from job import QUEUE, URL, beside, utc
from job import noop as run

BASE = [beside("celery"), "-A", "subjects.celery", "worker", "--loglevel", "WARNING"]
JOBS = 5000
SETTINGS = "no result backend, prefetch multiplier 4, acks_late off, events off"
ON_KILL = "lost (acknowledged before it runs)"
WORKERS = {
    "-P threads -c 8": lambda n: [[*BASE, "-P", "threads", "-c", "8", "-n", f"w{i}@%h"] for i in range(n)],
    "-P prefork": lambda n: [[*BASE, "-P", "prefork", "-c", str(n)]],
}
TIMER = "-P threads -c 8"

app = Celery("bench", broker=URL)
app.conf.update(
    task_default_queue=QUEUE,
    worker_hijack_root_logger=False,
    redbeat_redis_url=URL,
    broker_connection_retry_on_startup=True,
    timezone="UTC",
)


@app.task(name="noop")
def noop(a, b, s):
    run(a, b, s)


def open_():
    with app.connection_for_write() as connection:
        connection.ensure_connection()
    return noop


def put(task, a, b, s):
    task.delay(a, b, s)


def put_at(task, due, a, b, s):
    task.apply_async((a, b, s), eta=utc(due))


def recurring(n):
    """beat, in memory."""
    import logging

    from celery.beat import Scheduler
    from celery.schedules import crontab

    logging.disable(logging.INFO)
    app.conf.beat_schedule = {
        f"c{i}": {"task": "noop", "schedule": crontab(), "args": (i, i, "x" * 20)} for i in range(n)
    }
    scheduler = Scheduler(app=app)
    past = app.now() - timedelta(minutes=2)
    for entry in scheduler.schedule.values():
        entry.last_run_at = past
    scheduler._heap = None
    return sent_within_a_minute(scheduler, n)


def sent_within_a_minute(scheduler, n):
    """How many a second, ticking until all were sent, for a minute at the most."""
    sent, send = 0, scheduler.apply_async

    def counting(*args, **options):
        nonlocal sent
        sent += 1
        return send(*args, **options)

    scheduler.apply_async = counting
    began = time.perf_counter()
    while sent < n and time.perf_counter() < began + 60:
        scheduler.tick()
    return {"rate": sent / (time.perf_counter() - began)}
