"""Does one thing with one subject, in the subject's environment: `agent.py SUBJECT VERB ARGS` prints one JSON line.

A subject is a module of `subjects` with `open_` and `put`, and as far as it can `put_many`, `put_at`,
`put_many_at`, `close`, `reset` and the verbs of `ALONE`; coroutines where it is asynchronous. Nothing here knows
about any one of them.
"""

import asyncio
import gc
import importlib
import inspect
import json
import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import job

CHUNK = 1000
FAR = 86_400 * 30


async def call(subject, verb, *args):
    answer = getattr(subject, verb)(*args)
    return await answer if inspect.isawaitable(answer) else answer


async def one_by_one(subject, handle, n, first=0):
    """Seconds for `n` single calls."""
    put = subject.put
    began = time.perf_counter()
    if inspect.iscoroutinefunction(put):
        for i in range(n):
            await put(handle, first + i, i, job.TEXT)
    else:
        for i in range(n):
            put(handle, first + i, i, job.TEXT)
    return time.perf_counter() - began


async def from_threads(subject, handle, n, threads=8):
    """Seconds for `n` single calls from eight threads."""
    share = [range(place, n, threads) for place in range(threads)]

    def work(numbers):
        for i in numbers:
            subject.put(handle, i, i, job.TEXT)

    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        for done in [pool.submit(work, numbers) for numbers in share]:
            done.result()
        return time.perf_counter() - began


async def in_bulk(subject, handle, n):
    began = time.perf_counter()
    for start in range(0, n, CHUNK):
        await call(
            subject, "put_many", handle, [(i, i, job.TEXT) for i in range(start, min(n, start + CHUNK))]
        )
    return time.perf_counter() - began


async def fill(subject, handle, n):
    await (in_bulk if hasattr(subject, "put_many") else one_by_one)(subject, handle, n)


async def at(subject, handle, dues):
    """Seconds to put one job for each due time; its first argument is that time in microseconds."""
    began = time.perf_counter()
    items = [(due, (int(due * 1e6), i, job.TEXT)) for i, due in enumerate(dues)]
    if hasattr(subject, "put_many_at"):
        for start in range(0, len(items), CHUNK):
            await call(subject, "put_many_at", handle, items[start : start + CHUNK])
    else:
        for due, args in items:
            await call(subject, "put_at", handle, due, *args)
    return time.perf_counter() - began


async def enqueue(subject, handle, n, how):
    await one_by_one(subject, handle, 20)
    gc.collect()  # all that was imported is looked at once in a process's life: not while a short run is timed
    took = await WAYS[how](subject, handle, int(n))
    return {"rate": int(n) / took}


WAYS = {"one": one_by_one, "threads": from_threads, "bulk": in_bulk}


async def put_all(subject, handle, n):
    await fill(subject, handle, int(n))
    return {}


async def latency(subject, handle, samples, gap):
    """Put a job now and then on an idle system, and wait until it has started. The first is not one of the
    samples: it opens a connection."""
    out, chance = os.open(os.environ["BENCH_OUT"], os.O_RDONLY), random.Random(7)
    first = os.fstat(out).st_size
    for i in range(int(samples) + 1):
        await asyncio.sleep(0)  # whatever the client has left to its loop
        # loops round short waits, one up and another down to none: the same gaps for everybody
        time.sleep(chance.uniform(0, float(gap)))  # noqa: ASYNC251
        await call(subject, "put", handle, time.time_ns() // 1000, i, job.TEXT)
        end = time.monotonic() + 20
        while os.fstat(out).st_size < first + job.RECORD.size * (i + 1):
            if time.monotonic() > end:
                raise SystemExit(f"sample {i} never ran")
            time.sleep(0.0002)  # noqa: ASYNC251 - a turn of the loop takes longer
    return {"first": first // job.RECORD.size + 1}


async def due(subject, handle, n):
    """`n` jobs for one instant, which comes when they have all been put."""
    n, trial = int(n), 200
    took = await at(subject, handle, [time.time() + FAR] * trial)
    moment = float(int(time.time() + took / trial * n * 1.3 + 4))
    took = await at(subject, handle, [moment] * n)
    return {"due": moment, "rate": n / took, "late": max(0.0, time.time() - moment)}


async def spread(subject, handle, n, span, lead):
    """`n` jobs at random moments of `span` seconds, the first in `lead` seconds."""
    chance, start = random.Random(11), time.time() + float(lead)
    await at(subject, handle, sorted(start + chance.uniform(0, float(span)) for _ in range(int(n))))
    return {}


async def far(subject, handle, n):
    chance, start = random.Random(5), time.time() + FAR
    await at(subject, handle, [start + chance.uniform(0, 86_400) for _ in range(int(n))])
    return {}


VERBS = {"enqueue": enqueue, "fill": put_all, "latency": latency, "due": due, "spread": spread, "far": far}
ALONE = ("promote", "recurring", "recurring_memory", "relay_due", "relay_cron")
"""What a subject does and times by itself."""
HELD = {"due", "spread"}
"""A subject without workers of its own runs what it was given in the process that gave it."""


async def main(name, verb, *args):
    subject = importlib.import_module(f"subjects.{name}")
    if verb == "describe":
        can = [
            each for each in ("put", "put_many", "put_at", "put_many_at", *ALONE) if hasattr(subject, each)
        ]
        if "put" in can and not inspect.iscoroutinefunction(subject.put):
            can.append("threads")
        workers = {label: {str(n): argv(n) for n in (1, 2)} for label, argv in subject.WORKERS.items()}
        facts = {key: getattr(subject, key, default) for key, default in DEFAULTS.items()}
        return {"can": can, "workers": workers, **facts}
    if verb == "reset":
        return await call(subject, "reset") if hasattr(subject, "reset") else {}
    if verb in ALONE:
        return await call(subject, verb, int(args[0]))
    handle = await call(subject, "open_")
    answer = await VERBS[verb](subject, handle, *args)
    if verb in HELD and not subject.WORKERS:
        print(json.dumps(answer), flush=True)
        sys.stdin.read()  # until the driver has seen enough
        os._exit(0)
    if hasattr(subject, "close"):
        await call(subject, "close", handle)
    return answer


DEFAULTS = {"JOBS": 5000, "GAP": 0.01, "SETTINGS": "", "ON_KILL": "", "TIMER": None, "AS_INSTALLED": None}

if __name__ == "__main__":
    job.use_uvloop()
    print(json.dumps(asyncio.run(main(*sys.argv[1:])) or {}), flush=True)
