"""Finding the application that `--app module:attr` names."""

from __future__ import annotations

import sys
import traceback
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from chronoq.api.scheduler import Scheduler
from chronoq.domain.errors import ChronoqError, Invalid, near


class BadApp(Invalid):
    """`--app` does not lead to a Scheduler."""


class NoModule(BadApp):
    code = "E04"


class NoAttribute(BadApp):
    code = "E05"


class NotAScheduler(BadApp):
    code = "E06"


class Broken(ChronoqError):
    """The application's own code raised while it was imported."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]  # that of the error which it passes on


class Misused(Broken, Invalid):
    """The application's own code gave chronoq something that it refuses."""


def load(path: str, *, factory: bool = False) -> Scheduler:
    """The Scheduler at `module:attr`, looked up from this directory too. Errors: `BadApp`, `Broken`."""
    module_name, colon, attribute = path.partition(":")
    if module_name.endswith(".py") or "/" in module_name:
        module_name = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise BadApp(
            f"--app {path!r} is a file name. Name the module: --app {module_name}:{attribute or 'app'}"
        )
    if not (module_name and colon and attribute):
        raise BadApp(
            f"--app {path!r} is not of the form module:attr. Write --app {module_name or 'tasks'}:app"
        )
    module = _module(module_name, path)
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise NoAttribute(
                f"{module_name!r} has no attribute {attribute!r}. "
                f"{_others(module, factory)}{_hint(attribute, module)}"
            )
        value = getattr(value, part)
    if isinstance(value, Scheduler):
        return value
    if not factory:
        if callable(value) and not isinstance(value, type):
            raise NotAScheduler(f"{path} is a function, not a Scheduler. For a factory add --factory.")
        raise NotAScheduler(
            f"{path} is of type {type(value).__name__}, not a Scheduler. {_others(module, factory)}"
        )
    if not callable(value):
        raise NotAScheduler(
            f"{path} is of type {type(value).__name__}, not a function, so --factory cannot call it."
        )
    made = _calling(value, path)
    if not isinstance(made, Scheduler):
        raise NotAScheduler(
            f"{path}() gave {type(made).__name__}, not a Scheduler. Let the factory return it."
        )
    return made


def _module(name: str, path: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise _broken(error, f"Module {name!r} cannot be imported") from error
        missing = error.name
    except Exception as error:
        raise _broken(error, f"Module {name!r} cannot be imported") from error
    others = len([place for place in sys.path if place and place != here])
    parent, _, last = missing.rpartition(".")
    what = f"No module {missing!r} for --app {path!r}. Searched {here} and {others} more places of sys.path."
    matches = get_close_matches(last, _names_in(parent, here), n=3, cutoff=0.6)
    if matches:
        near_ones = ", ".join(f"{parent}.{one}" if parent else one for one in matches)
        raise NoModule(f"{what} Near: {near_ones}.")
    raise NoModule(f"{what} Run it from the directory that holds {last}.py, or set PYTHONPATH.")


def _calling(factory: Any, path: str) -> Any:
    try:
        return factory()
    except Exception as error:
        raise _broken(error, f"The factory {path} failed") from error


def _names_in(package: str, here: str) -> list[str]:
    places = list(getattr(sys.modules.get(package), "__path__", [])) if package else [here]
    return [one.name for one in iter_modules(places)]


def _broken(error: Exception, what: str) -> Broken:
    """The error of the application's own code, with the line that raised it."""
    ours = str(Path(__file__).parents[1])
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((ours, "<frozen"))
    ]
    mine = [
        frame for frame in frames if not frame.filename.startswith("<") and "importlib" not in frame.filename
    ]
    place = f" ({Path(mine[-1].filename).name}:{mine[-1].lineno})" if mine else ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" ({Path(error.filename).name}:{error.lineno})"
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    if isinstance(error, ChronoqError):
        kind = Misused if isinstance(error, Invalid | TypeError) else Broken
        return kind(
            f"{text} In{place}." if place and "\n" not in text else f"{what}{place}: {text}", error.code
        )
    return Broken(f"{what}: {type(error).__name__}: {text}{place}. Mend it; -vv shows the traceback.")


def _others(module: ModuleType, factory: bool) -> str:
    found = [name for name, value in vars(module).items() if isinstance(value, Scheduler)]
    if found:
        return f"Scheduler objects there: {', '.join(found)}."
    return "" if factory else "There is no Scheduler object in it."


def _hint(attribute: str, module: ModuleType) -> str:
    found = [name for name, value in vars(module).items() if isinstance(value, Scheduler)]
    return "" if found else near(attribute, [name for name in vars(module) if not name.startswith("_")])
