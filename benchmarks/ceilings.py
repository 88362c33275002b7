"""The walls: the same traffic with no features at all, by the fastest plain loops on redis-py.

The reliable worker here keeps a LIST of ids, a HASH of payloads and a ZSET of leases. A claim takes ids,
leases them and reads their payloads; an acknowledgement removes lease and payload. Both are one script for
a whole batch, and travel together.
"""

import asyncio
import os
import random
import threading
import time

import orjson
import redis

from benchmarks.job import TEXT, anoop, noop, use_uvloop
from benchmarks.lab import Lab

PUT = "redis.call('HSET',KEYS[2],ARGV[1],ARGV[2]) return redis.call('RPUSH',KEYS[1],ARGV[1])"
PUT_MANY = """local ids={} for i=1,#ARGV,2 do ids[#ids+1]=ARGV[i] end
redis.call('HSET',KEYS[2],unpack(ARGV)) return redis.call('RPUSH',KEYS[1],unpack(ids))"""
TURN = """local n,till=ARGV[1],ARGV[2]
if #ARGV>2 then local done={} for i=3,#ARGV do done[i-2]=ARGV[i] end
redis.call('ZREM',KEYS[3],unpack(done)) redis.call('HDEL',KEYS[2],unpack(done)) end
local ids=redis.call('LPOP',KEYS[1],n) if not ids then return {} end
local z={} for i=1,#ids do z[2*i-1]=till z[2*i]=ids[i] end
redis.call('ZADD',KEYS[3],unpack(z)) return {ids,redis.call('HMGET',KEYS[2],unpack(ids))}"""
MOVE = """local ids=redis.call('ZRANGE',KEYS[1],'-inf',ARGV[1],'BYSCORE','LIMIT',0,ARGV[2])
if #ids==0 then return 0 end
redis.call('ZREMRANGEBYRANK',KEYS[1],0,#ids-1) redis.call('RPUSH',KEYS[2],unpack(ids)) return #ids"""
KEYS = ("q", "data", "lease")
BATCH = 100
CHUNK = 1000


def _payload(i: int) -> bytes:
    return orjson.dumps({"f": "noop", "a": [i, i, TEXT], "k": {}})


def _fill(client: redis.Redis, n: int) -> None:
    client.flushall()
    sha = client.script_load(PUT_MANY)
    for start in range(0, n, CHUNK):
        words = [word for i in range(start, start + CHUNK) for word in (f"{i:016x}", _payload(i))]
        client.evalsha(sha, 2, "q", "data", *words)


def enqueue_one(lab: Lab, n: int) -> float:
    """One script call a job."""
    client = lab.redis
    client.flushall()
    sha = client.script_load(PUT)
    began = time.perf_counter()
    for i in range(n):
        client.evalsha(sha, 2, "q", "data", f"{i:016x}", _payload(i))
    return n / (time.perf_counter() - began)


def enqueue_bulk(lab: Lab, n: int) -> float:
    """A thousand jobs a script call."""
    began = time.perf_counter()
    _fill(lab.redis, n)
    return n / (time.perf_counter() - began)


def threads(lab: Lab, n: int) -> float:
    """Four threads, each: acknowledge and claim in one call, a hundred at a time."""
    _fill(lab.redis, n)

    def work() -> None:
        client = lab.server.client()
        sha, done = client.script_load(TURN), []
        while found := client.evalsha(sha, 3, *KEYS, BATCH, time.time() + 30, *done):
            done, payloads = found
            for payload in payloads:
                job = orjson.loads(payload)
                noop(*job["a"], **job["k"])

    workers = [threading.Thread(target=work) for _ in range(4)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return n / (time.perf_counter() - began)


def event_loop(lab: Lab, n: int) -> float:
    """One event loop, a task a job; the next claim is in flight while a batch runs, and takes the last one's acks."""
    _fill(lab.redis, n)
    use_uvloop()

    async def work() -> float:
        client = redis.asyncio.Redis.from_url(lab.server.url())
        sha, till = await client.script_load(TURN), str(time.time() + 30)
        began = time.perf_counter()
        coming = asyncio.create_task(client.evalsha(sha, 3, *KEYS, BATCH, till))
        while found := await coming:
            done, payloads = found
            coming = asyncio.create_task(client.evalsha(sha, 3, *KEYS, BATCH, till, *done))
            await asyncio.sleep(0)
            for task in [asyncio.create_task(anoop(*orjson.loads(payload)["a"])) for payload in payloads]:
                await task
        took = time.perf_counter() - began
        await client.aclose()
        return n / took

    return asyncio.run(work())


def mover(lab: Lab, n: int) -> float:
    """Ids from a sorted set to a list, a thousand a call."""
    client = lab.redis
    client.flushall()
    for start in range(0, n, CHUNK):
        client.zadd("z", {f"{i:016x}": 1e9 + i * 1e-3 for i in range(start, start + CHUNK)})
    sha = client.script_load(MOVE)
    began = time.perf_counter()
    while client.evalsha(sha, 2, "z", "q", "+inf", CHUNK):
        pass
    return n / (time.perf_counter() - began)


def wake(lab: Lab, samples: int) -> list[float]:
    """Milliseconds from a push in one process to the blocking pop of another, sorted."""
    client, chance = lab.server.client(), random.Random(7)
    lab.redis.flushall()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        other = redis.Redis.from_url(lab.server.url())
        while (value := other.blpop("q")[1]) != b"stop":  # type: ignore[index]
            os.write(write, (time.time_ns() - int(value)).to_bytes(8, "little"))
        os._exit(0)
    found = []
    for _ in range(samples):
        time.sleep(chance.uniform(0, 0.01))
        client.lpush("q", time.time_ns())
        found.append(int.from_bytes(os.read(read, 8), "little") / 1e6)
    client.lpush("q", "stop")
    os.waitpid(child, 0)
    return sorted(found)


def memory(lab: Lab, n: int, *, delayed: bool) -> float:
    """Bytes for one job: an entry of a HASH, and one of a ZSET or a LIST."""
    client, before = lab.redis, 0
    client.flushall()
    for start in range(0, n + CHUNK, CHUNK):
        if start == CHUNK:  # the first thousand are for what there is once only
            before = client.info("memory")["used_memory"]
        pipe = client.pipeline(transaction=False)
        for i in range(start, start + CHUNK):
            pipe.hset("data", f"{i:016x}", _payload(i))
            if delayed:
                pipe.zadd("z", {f"{i:016x}": 1.8e12 + i})
            else:
                pipe.rpush("q", f"{i:016x}")
        pipe.execute()
    return (client.info("memory")["used_memory"] - before) / n
