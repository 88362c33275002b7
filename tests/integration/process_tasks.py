"""Tasks of the tests of process mode: what a worker's children import."""

from __future__ import annotations

import ctypes
import os
import time
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

from chronoq import Context, Scheduler, current_job
from chronoq.domain.errors import Snooze

app = Scheduler()


@app.task(name="square", executor="process")
def square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


@app.task(name="later", executor="process")
async def later(number: int) -> int:
    return number + 1


@app.task(name="facts", executor="process", meta={"of": "yours"})
def facts(context: Context) -> list[Any]:
    assert current_job() is context
    return [context.id, context.attempt, context.token, context.meta, context.task]


@app.task(name="fails", executor="process", retries=0)
def fails() -> NoReturn:
    raise LookupError("not there")


class Why(StrEnum):
    NOT_YET = "not yet"


@app.task(name="snoozes", executor="process")
def snoozes(context: Context) -> int:
    if context.token == 1:
        raise Snooze("50ms", Why.NOT_YET)
    return context.token


@app.task(name="unstorable", executor="process")
def unstorable() -> object:
    return object()


@app.task(name="dies", executor="process", retries=1, backoff=["1ms"])
def dies(how: str) -> None:
    if how == "exit":
        os._exit(7)
    ctypes.string_at(0)


@app.task(name="overruns", executor="process", timeout="300ms", retries=0)
def overruns() -> None:
    while True:
        pass


@app.task(name="chatters", executor="process", timeout="300ms", retries=0)
def chatters(context: Context) -> None:
    while True:
        context.progress(1, 2)


@app.task(name="gate", executor="process", retries=0)
def gate(context: Context, started: str, opened: str) -> str:
    Path(started).touch()
    context.progress(1, 3)
    while not Path(opened).exists():
        time.sleep(0.01)
    return "through"


@app.task(name="grows", executor="process", retries=0)
def grows(megabytes: int, started: str) -> None:
    held = bytearray(megabytes * 1_000_000)
    held[::4096] = b"x" * len(held[::4096])
    Path(started).touch()
    while True:
        time.sleep(0.01)


@app.task(name="touch", executor="process", retries=0)
def touch(path: str) -> None:
    with Path(path).open("a") as file:
        file.write("x")
