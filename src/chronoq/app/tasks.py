"""The registry: which functions workers may run, under which names. Nothing else is ever run."""

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, field

from chronoq.app.context import Context, enter
from chronoq.app.signature import Call, Signature
from chronoq.domain.errors import DuplicateTask, near
from chronoq.domain.identity import name
from chronoq.domain.job import DEFAULTS, Options


@define(eq=False)
class TaskDef:
    """A function that jobs may name."""

    name: str
    fn: Callable[..., Any]
    queue: str
    options: Options = DEFAULTS
    executor: str = "thread"
    signature: Signature = field(init=False)
    is_async: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.signature = Signature.of(self.fn)
        self.is_async = inspect.iscoroutinefunction(self.fn)

    def call(self, context: Context, call: Call) -> Any:
        """What the function returns for a call, in the context of its job."""
        enter(context)
        args, kwargs = call
        return self.fn(context, *args, **kwargs) if self.signature.takes_context else self.fn(*args, **kwargs)

    @property
    def source(self) -> str:
        code = getattr(self.fn, "__code__", None)
        return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}" if code else "?"


@define
class Registry:
    """Tasks by name."""

    tasks: dict[str, TaskDef] = field(factory=dict)

    def add(self, task: TaskDef) -> None:
        """Errors: `DuplicateTask` (E08) when another function has the name already."""
        known = self.tasks.get(task.name)
        if known is not None and known.source != task.source:
            raise DuplicateTask(
                f"Two functions are named {task.name!r} ({known.source}, {task.source}). Give one name=..."
            )
        self.tasks[task.name] = task

    def find(self, task: str) -> TaskDef | None:
        return self.tasks.get(task)

    def hint(self, task: str) -> str:
        return near(task, self.tasks)

    def __iter__(self) -> Iterator[TaskDef]:
        return iter(self.tasks.values())


def default_name(fn: Callable[..., Any]) -> str:
    """Module and qualified name, without `<locals>.`; a script's `__main__` becomes the name it has for `--app`."""
    module = fn.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        module = (
            spec.name
            if spec
            else os.path.splitext(os.path.basename(getattr(main, "__file__", None) or "main"))[0]
        )
        module = "main" if module.startswith("<") else module  # typed in, or read from standard input
    return name(
        f"{module}.{fn.__qualname__}".replace("<locals>.", "").replace("<lambda>", "lambda"), what="task name"
    )
