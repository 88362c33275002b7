"""dramatiq with its Redis broker and its default middleware."""

import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from job import QUEUE, URL, beside
from job import noop as run

BASE = [beside("dramatiq"), "subjects.dramatiq", "-p", "1", "-t", "8"]
JOBS = 8000
GAP = 0.6
SETTINGS = "default middleware, 8 threads, prefetch 500 (dramatiq_queue_prefetch)"
ON_KILL = "again, after 60 s"
WORKERS = {"-t 8, prefetch 500": lambda n: [["env", "dramatiq_queue_prefetch=500", *BASE]] * n}
TIMER = "-t 8, prefetch 500"

broker = RedisBroker(url=URL)
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=QUEUE, actor_name="noop")
def noop(a, b, s):
    run(a, b, s)


def open_():
    broker.client.ping()
    return noop


def put(task, a, b, s):
    task.send(a, b, s)


def put_at(task, due, a, b, s):
    task.send_with_options(args=(a, b, s), delay=max(0, int((due - time.time()) * 1000)))
