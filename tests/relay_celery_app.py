"""A Celery application, as it was before chronoq came."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

URL = os.environ.get("RELAY_CELERY_URL", "redis://")

app = Celery("shop", broker=URL, backend=URL)


@app.task  # type: ignore[untyped-decorator]
def add(a: int, b: int = 1) -> int:
    return a + b


@app.task(name="refuse")  # type: ignore[untyped-decorator]
def refuse(*_: Any) -> None:
    raise ValueError("no luck")
