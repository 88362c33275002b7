"""What type checkers say about calls of tasks. Checked by mypy and basedpyright, never run.

A wrong line carries both kinds of `ignore`. Both checkers refuse one that is not needed, so an error that
is no longer found is an error itself.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from chronoq import Context, JobHandle, Priority, RetryPolicy, Scheduler, every
from chronoq.domain.job import Job, Progress, State
from chronoq.domain.ports import Cancel

app = Scheduler()


@app.task
def send(to: str, subject: str, *, copies: int = 1) -> int:
    return len(to) + len(subject) + copies


# right

assert_type(send("a", "b"), int)
assert_type(send.enqueue("a", "b"), JobHandle[int])
assert_type(send.enqueue("a", subject="b", copies=2), JobHandle[int])
assert_type(send.enqueue("a", "b").result(), int)
assert_type(send.enqueue("a", "b").result(timeout="5s"), int)
assert_type(send.using(delay="5m", id="x").enqueue("a", "b"), JobHandle[int])
assert_type(send.using(at=datetime.now(UTC), priority="high").enqueue("a", "b").result(5), int)
assert_type(send.job("a", "b"), Job)
assert_type(app.enqueue_many([send.job("a", "b"), send.using(retries=0).job("c", "d")]), list[JobHandle[Any]])
assert_type(send.name, str)


async def right() -> None:
    handle = await send.aenqueue("a", "b", copies=3)
    assert_type(handle, JobHandle[int])
    assert_type(await handle.aresult(timeout=timedelta(seconds=1)), int)
    assert_type(handle.status(), State | None)
    assert_type(await handle.astatus(), State | None)
    assert_type(handle.progress(), Progress | None)
    assert_type(await handle.acancel(), Cancel)
    assert_type(await app.aenqueue_many([send.job("a", "b")]), list[JobHandle[Any]])


# wrong arguments

send.enqueue("a", 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
send.enqueue("a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
send.enqueue("a", "b", 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
send.enqueue("a", "b", coppies=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
send.enqueue("a", "b", copies="three")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
send.job("a", None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
send(b"a", "b")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
send.using(delay="5m").enqueue(1, "b")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
app.enqueue_many([send.enqueue("a", "b")])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


async def wrong_arguments() -> None:
    await send.aenqueue("a", 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await send.aenqueue()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


# a wrong use of what comes back

length: str = send.enqueue("a", "b").result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
handle: JobHandle[str] = send.enqueue("a", "b")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
wider: JobHandle[object] = send.enqueue("a", "b")
send.enqueue("a", "b").wait()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

# options of one job

send.using(dealy="5m")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
send.using(delay=datetime.now(UTC))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
send.using(at="tomorrow")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
send.using(name="other")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
send.using(retries="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# options of a task


@app.task(
    name="mail.send",
    queue="default",
    retries=5,
    backoff=["1s", 5, timedelta(minutes=1)],
    timeout="30s",
    expires=None,
    result_ttl="1d",
    priority=Priority.LOW,
    meta={"team": "mail"},
)
def configured(to: str) -> list[int]:
    return [len(to)]


assert_type(configured.enqueue("a"), JobHandle[list[int]])
assert_type(configured("a"), list[int])
configured.enqueue(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@app.task(backoff=RetryPolicy.fixed("1s"))
def with_policy() -> None: ...


assert_type(with_policy.enqueue(), JobHandle[None])
with_policy.enqueue(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@app.task(retires=3)  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportCallIssue]
def misspelt_option() -> None: ...


@app.task(timeout=b"30s")  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportArgumentType]
def wrong_option() -> None: ...


# coroutines: a direct call gives a coroutine, a job its result


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


@app.task(retries=1)
async def fetch_again(url: str) -> bytes:
    return url.encode()


async def coroutines() -> None:
    assert_type(await fetch("u"), bytes)
    assert_type(await fetch_again("u"), bytes)
    assert_type(await fetch.aenqueue("u"), JobHandle[bytes])
    assert_type(await (await fetch_again.aenqueue("u")).aresult(), bytes)
    assert_type(fetch.enqueue("u").result(), bytes)
    await fetch.aenqueue(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await fetch_again.aenqueue(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    text: str = await (await fetch.aenqueue("u")).aresult()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    plain: bytes = fetch("u")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(text, plain)


# a leading Context is the worker's to fill in, not the caller's


@app.task
def told(context: Context, steps: int) -> str:
    context.progress(1, steps)
    return context.id


@app.task(timeout="1m")
def told_with_options(context: Context, steps: int) -> str:
    return context.id + str(steps)


@app.task
async def told_later(context: Context, steps: int) -> str:
    return context.id + str(steps)


assert_type(told.enqueue(3), JobHandle[str])
assert_type(told(3), str)
assert_type(told_with_options.enqueue(steps=3), JobHandle[str])
assert_type(told_later.enqueue(3), JobHandle[str])
told.enqueue("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
told_with_options.enqueue()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def pass_a_context(context: Context) -> None:
    told.enqueue(context, 3)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]
    told_with_options.enqueue(context, 3)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]
    told_later.enqueue(context, 3)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]


# undecorated


def plain(size: float) -> float:
    return size


added = app.add_task(plain, name="sizes.plain")
assert_type(added.enqueue(1.5), JobHandle[float])
added.enqueue("1.5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
app.add_task(plain, nmae="sizes.plain")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def plain_later(size: float) -> float:
    return size


def plain_told(context: Context, size: float) -> float:
    return size


assert_type(app.add_task(plain_later).enqueue(1.5), JobHandle[float])
assert_type(app.add_task(plain_told).enqueue(1.5), JobHandle[float])

# schedules


@app.schedule(every("10s"), catch_up="latest", overlap="skip", jitter="2s", max_fires=3)
def tick() -> None: ...


@app.schedule(every("10s"), kwargs={"steps": 3})
@app.task(retries=0)
def tock(context: Context, steps: int) -> str:
    return str(steps)


assert_type(tick.enqueue(), JobHandle[None])
assert_type(tock.enqueue(3), JobHandle[str])
app.add_schedule("nightly", send, every("1d"), args=["a", "b"])
app.schedule("10s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
app.schedule(every("10s"), overlap=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
app.schedule(every("10s"), cacth_up="latest")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
app.schedule(every("10s"), catch_up="last")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
app.add_schedule("nightly", plain, every("1d"))
every(b"10s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# ask and answer: without options of the call the arguments are checked, with `calling` always

assert_type(app.call(send, "a", "b"), int)
assert_type(app.call(send, "a", subject="b", copies=2), int)
assert_type(app.call(send.using(queue="mail"), "a", "b", policy="remote", timeout="5s", once=False), int)
assert_type(app.call(send, "a", "b", on_progress=print), int)
assert_type(app.call(fetch, "u"), bytes)
assert_type(app.call(told, 3, timeout=None), str)
assert_type(app.calling(policy="remote_first", timeout=5).call(send, "a", "b"), int)


async def asked() -> None:
    assert_type(await app.acall(send, "a", "b"), int)
    assert_type(await app.acall(fetch, "u", timeout="5s"), bytes)
    assert_type(await app.calling(once=False).acall(told_later, steps=3), str)
    assert_type(await app.ahas_listener(send), bool)
    await app.acall(send, "a", 1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await app.calling(timeout="5s").acall(send, "a", 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


app.call(send, "a", 1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
app.call(send, "a")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
app.call(send, "a", "b", policy="elsewhere")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
app.call(send, "a", "b", timeout=b"5s")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
app.call(len, [])  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
app.calling(polcy="remote")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
app.calling(policy="remote").call(send, "a", coppies=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
called: str = app.call(send, "a", "b")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
