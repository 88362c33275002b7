"""Functions that are known by their names only."""

from collections.abc import Callable
from typing import Any

from chronoq.domain.errors import BadCall, BadSetting


def by_name(function: str) -> Callable[..., Any]:
    """A stand-in for a function that only the engine's workers have: `app.add_task(by_name("shop.mail.send"))`."""
    module, _, name = function.rpartition(".")
    if not (module and all(part.isidentifier() for part in function.split("."))):
        raise BadSetting(f"{function!r} is no dotted name of a function, such as 'shop.mail.send'.")

    def elsewhere(*args: Any, **kwargs: Any) -> Any:
        raise BadCall(f"{function} is known by its name only: it runs elsewhere. Import it to call it here.")

    elsewhere.__module__, elsewhere.__qualname__, elsewhere.__name__ = module, name, name
    return elsewhere
