"""A task's signature: calls are checked and encoded against it here, and read back against it in the worker."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

from attrs import define

from chronoq.app.context import Context
from chronoq.app.payload import bad_argument, decoded, encoded, reader, sized, sizes
from chronoq.domain.errors import BadArgument, BadCall, NotStorable

Call = tuple[list[Any], dict[str, Any]]
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@define
class Signature:
    """What may be passed to a task. A leading parameter annotated `Context` is not part of it."""

    label: str
    parameters: inspect.Signature
    takes_context: bool
    least: int
    most: float
    readers: tuple[tuple[int, str, Any, Callable[[Any], Any]], ...]
    returns: Callable[[Any], Any] | None

    @classmethod
    def of(cls, fn: Callable[..., Any]) -> "Signature":
        signature, hints = inspect.signature(fn), _hints(fn)
        parameters = [
            p.replace(annotation=hints.get(p.name, p.annotation)) for p in signature.parameters.values()
        ]
        takes_context = bool(parameters) and hints.get(parameters[0].name) is Context
        if takes_context:
            parameters = parameters[1:]
        positional = [p for p in parameters if p.kind in _POSITIONAL]
        keyword_needed = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)
        many = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        readers = []
        for place, parameter in enumerate(parameters):
            read = reader(hints.get(parameter.name, Any))
            if read and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                readers.append((place, parameter.name, hints[parameter.name], read))
        return cls(
            label=getattr(fn, "__name__", type(fn).__name__),
            parameters=signature.replace(parameters=parameters),
            takes_context=takes_context,
            least=10**6 if keyword_needed else sum(p.default is p.empty for p in positional),
            most=float("inf") if many else len(positional),
            readers=tuple(readers),
            returns=reader(hints.get("return", Any)),
        )

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, limit: int) -> bytes:
        """The call as JSON `[args, kwargs]`. Errors: `BadCall` (E09), `NotStorable` (E10), `TooLarge` (E12)."""
        if kwargs or not self.least <= len(args) <= self.most:
            self._check(args, kwargs)
        try:
            payload = encoded((args, dict(sorted(kwargs.items())) if len(kwargs) > 1 else kwargs))
        except (TypeError, ValueError) as error:
            raise self._not_storable(args, kwargs, error) from None
        return (
            payload
            if len(payload) <= limit
            else sized(payload, limit=limit, what=f"Arguments of {self.label}()")
        )

    def _check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        try:
            self.parameters.bind(*args, **kwargs)
        except TypeError as error:
            reason = str(error).replace("a required argument: ", "")
            plain = inspect.signature(lambda: None).replace(
                parameters=list(self.parameters.parameters.values()),
                return_annotation=inspect.Signature.empty,
            )
            raise BadCall(
                f"{self.label}() got a wrong call: {reason}. Signature: {self.label}{plain}. Nothing was enqueued."
            ) from None

    def _not_storable(self, args: Sequence[Any], kwargs: Mapping[str, Any], error: Exception) -> NotStorable:
        """E10, naming the first argument that is to blame."""
        for name, value in self.parameters.bind(*args, **kwargs).arguments.items():
            try:
                encoded(value)
            except (TypeError, ValueError) as own:
                kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
                return NotStorable(
                    f"Argument {name!r} of {self.label}() ({kind}) cannot be stored: {own}. Nothing was enqueued. "
                    "Pass an id and load it in the task, or register a converter."
                )
        return NotStorable(
            f"The arguments of {self.label}() cannot be stored: {error}. Nothing was enqueued."
        )

    def decode(self, payload: bytes, *, limit: int | None = None) -> Call:
        """The call that `encode` stored, annotated arguments structured. Errors: `BadArgument` (E11)."""
        if limit is not None and len(payload) > limit:
            raise self._unfit(
                f"they are {sizes(len(payload))}, and max_payload of this worker is {sizes(limit)}"
            )
        try:
            call = decoded(payload)
        except (ValueError, TypeError, RecursionError) as error:
            raise self._unfit(str(error)) from None
        if type(call) is not list or len(call) != 2 or type(call[0]) is not list or type(call[1]) is not dict:
            raise self._unfit("they are not [args, kwargs]")
        args, kwargs = call
        if kwargs or not self.least <= len(args) <= self.most:
            try:
                self.parameters.bind(*args, **kwargs)
            except TypeError as error:
                raise BadArgument(
                    f"The stored arguments of {self.label}() do not fit its signature: {error}. "
                    "Failed without a retry: the same input would fail again."
                ) from None
        for place, name, annotation, read in self.readers:
            try:
                if place < len(args):
                    args[place] = read(value := args[place])
                elif name in kwargs:
                    kwargs[name] = read(value := kwargs[name])
            except Exception as error:
                raise bad_argument(name, self.label, annotation, value, error) from None
        return args, kwargs

    def _unfit(self, reason: str) -> BadArgument:
        return BadArgument(f"The stored arguments of {self.label}() cannot be used: {reason}.")

    def read_result(self, data: bytes) -> Any:
        """A stored result in the form of the return annotation."""
        value = decoded(data) if data else None
        return self.returns(value) if self.returns and data else value


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    """The annotations as types; those that cannot be resolved are left out."""
    try:
        return get_type_hints(fn)
    except Exception:  # an annotation may name what exists only for the type checker
        plain = {
            name: hint
            for name, hint in getattr(fn, "__annotations__", {}).items()
            if not isinstance(hint, str)
        }
        texts = getattr(fn, "__annotations__", {}).items()
        return plain | {name: Context for name, hint in texts if hint in ("Context", "chronoq.Context")}
