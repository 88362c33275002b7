"""Settings: frozen, validated once, each with the place that it came from."""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from attrs import Attribute, field, fields, frozen
from attrs.converters import optional

from chronoq.domain.durability import IN_MEMORY, Durability
from chronoq.domain.errors import BadSetting, ChronoqError, UnknownOption, near
from chronoq.domain.identity import name
from chronoq.domain.masking import HIDDEN, masked
from chronoq.domain.signing import LEAST, Signing, SigningKey
from chronoq.domain.time import ZERO, duration

PREFIX = "CHRONOQ_"


def _count(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(f"{value!r} is not a whole number")
    number = int(value)
    if number < 1:
        raise ValueError(f"{value!r} is less than 1")
    return number


def _flag(value: Any) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    found = words.get(str(value).strip().lower())
    if found is None:
        raise ValueError("give true or false")
    return found


def _namespace(value: str) -> str:
    return name(value, what="namespace")


def _positive(value: Any) -> timedelta:
    length = duration(value)
    if length == ZERO:
        raise ValueError("a duration above zero is needed")
    return length


def _durability(value: Any) -> Durability:
    return Durability.of(value)


def _keys(value: Any) -> tuple[SigningKey, ...]:
    """From `id:secret,id:secret`; a secret is hex, or @ and the path of a file that holds hex.

    Errors never quote it: who mixes up the two parts has written the secret first.
    """
    if isinstance(value, tuple) and all(isinstance(one, SigningKey) for one in value):
        return value
    if not isinstance(value, str):
        raise ValueError("give a text of the form id:secret,id:secret")
    keys = tuple(_key(number, one.strip()) for number, one in enumerate(value.split(","), 1) if one.strip())
    if len({key.id for key in keys}) < len(keys):
        raise ValueError("two keys have the same id")
    return keys


def _key(number: int, text: str) -> SigningKey:
    id, colon, secret = text.partition(":")
    if not colon:
        raise ValueError(f"key {number} is not of the form id:secret")
    if secret.startswith("@"):
        try:
            with open(secret[1:], encoding="utf-8", errors="replace") as file:
                secret = file.read().strip()
        except OSError as error:
            raise ValueError(f"the file of key {number} cannot be read ({error.strerror})") from None
    try:
        return SigningKey(id, bytes.fromhex(secret))
    except BadSetting as error:
        raise ValueError(f"key {number}: {error}") from None
    except ValueError:
        raise ValueError(
            f"the secret of key {number} is not hex. Make one with `openssl rand -hex {LEAST}`"
        ) from None


def _signing(value: Any) -> str:
    if value not in _SIGNING:
        raise ValueError(f"choose from {', '.join(_SIGNING)}.{near(str(value), _SIGNING)}")
    return str(value)


_SIGNING = ("auto", "require", "accept")
_SIZES = {"kb": 1_000, "mb": 1_000_000, "b": 1}


def _size(value: Any) -> int:
    text = str(value).strip().lower().replace(" ", "")
    unit = next((u for u in _SIZES if text.endswith(u)), "")
    return _count(int(float(text.removesuffix(unit)) * _SIZES.get(unit, 1)))


@frozen(kw_only=True)
class Settings:
    """What can be set. Durations are timedeltas, sizes are bytes."""

    url: str = field(
        default="memory://",
        converter=str,
        repr=lambda url: repr(masked(url)),
        metadata={"help": "backend"},
    )
    namespace: str = field(
        default="chronoq",
        converter=_namespace,
        metadata={"help": "first part of every stored key"},
    )
    durability: Durability = field(
        default=IN_MEMORY,
        converter=_durability,
        metadata={"help": "what an acknowledgement stands for: memory, aof, replica:N"},
    )
    concurrency: int = field(
        default=8, converter=_count, metadata={"help": "jobs that a worker runs at once"}
    )
    lease: timedelta = field(
        default=timedelta(seconds=10),
        converter=_positive,
        metadata={"help": "a silent worker's job is taken over after"},
    )
    grace: timedelta = field(
        default=timedelta(seconds=30),
        converter=duration,
        metadata={"help": "time to finish on a graceful stop"},
    )
    max_crashes: int = field(
        default=3, converter=_count, metadata={"help": "lost workers after which a job is given up"}
    )
    park_for: timedelta = field(
        default=timedelta(days=1),
        converter=duration,
        metadata={"help": "how long a job of an unknown task waits"},
    )
    remember: timedelta = field(
        default=timedelta(days=1),
        converter=duration,
        metadata={"help": "how long an ended job's own id stays taken"},
    )
    max_payload: int = field(
        default=256_000, converter=_size, metadata={"help": "bytes of arguments or result"}
    )
    process_memory: int | None = field(
        default=None,
        converter=optional(_size),
        metadata={"help": 'bytes that a child process of executor="process" may hold'},
    )
    lock_ttl: timedelta = field(
        default=timedelta(seconds=3),
        converter=_positive,
        metadata={"help": "a silent leader is replaced after"},
    )
    signing_keys: tuple[SigningKey, ...] = field(
        default=(),
        converter=_keys,
        metadata={"help": "sign records of jobs and schedules; the first signs, all verify", "secret": True},
    )
    signing: str = field(
        default="auto",
        converter=_signing,
        metadata={"help": "unsigned records: require refuses, accept takes; auto requires if there are keys"},
    )

    def __attrs_post_init__(self) -> None:
        if self.signing != "auto" and not self.signing_keys:
            raise BadSetting(f"signing={self.signing!r} needs keys. Set signing_keys, or leave signing out.")

    @property
    def signed(self) -> Signing:
        return Signing(self.signing_keys, required=self.signing != "accept")

    allow_eviction: bool = field(
        default=False,
        converter=_flag,
        metadata={"help": "start also on a server that may throw jobs away when it is full"},
    )


@frozen
class Configured:
    """Settings, and for each field where its value came from."""

    settings: Settings
    sources: Mapping[str, str]


def configure(
    *,
    flags: Mapping[str, Any] | None = None,
    code: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Configured:
    """Settings from flags, else `CHRONOQ_*`, else the program's own words, else `[tool.chronoq]`, else defaults.

    Errors: `UnknownOption` for a name that is no setting, `BadSetting` for a value that does not fit.
    """
    environ = os.environ if environ is None else environ
    known = {one.name: one for one in fields(Settings)}
    from_environ = {k: environ[PREFIX + k.upper()] for k in known if PREFIX + k.upper() in environ}
    table, path = _table(os.path.abspath(folder or os.getcwd()))
    layers = (
        ("a flag", flags or {}),
        ("the environment", from_environ),
        ("the program", code or {}),
        (path, table),
    )
    values: dict[str, Any] = {}
    sources = dict.fromkeys(known, "default")
    for source, layer in reversed(layers):
        for key, value in layer.items():
            if key not in known:
                raise UnknownOption(f"{key!r} is not a setting ({source}).{near(key, known)}")
            if value is not None:
                values[key] = _converted(known[key], value, source)
                sources[key] = PREFIX + key.upper() if source == "the environment" else source
    return Configured(Settings(**values), sources)


def mistyped(environ: Mapping[str, str]) -> list[str]:
    """What to say of each `CHRONOQ_*` variable that is no setting, but nearly one."""
    known = [PREFIX + one.name.upper() for one in fields(Settings)]
    return [
        f"{name} is not a setting, so it changes nothing.{meant}"
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in known and (meant := near(name, known, cutoff=0.8))
    ]


def _converted(one: "Attribute[Any]", value: Any, source: str) -> Any:
    try:
        return one.converter(value) if callable(one.converter) else value
    except (ChronoqError, ValueError, TypeError, OverflowError) as error:
        shown = HIDDEN if one.metadata.get("secret") else repr(value)
        raise BadSetting(f"{one.name}={shown} (from {source}) cannot be used: {error}") from error


def _table(folder: str) -> tuple[Mapping[str, Any], str]:
    """The `[tool.chronoq]` table of the nearest pyproject.toml at or above `folder`."""
    place, above = folder, os.path.dirname(folder)
    while not os.path.isfile(path := os.path.join(place, "pyproject.toml")):
        if above == place:
            return {}, os.path.join(folder, "pyproject.toml")
        place, above = above, os.path.dirname(above)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if "[tool.chronoq]" not in text:
        return {}, path
    import tomllib  # only those who use the table pay for the import

    try:
        return tomllib.loads(text).get("tool", {}).get("chronoq", {}), path
    except tomllib.TOMLDecodeError as error:
        raise BadSetting(f"{path} cannot be read: {error}") from None
