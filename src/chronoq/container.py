"""The one place where things are wired. Tests override a provider: `with container.backend.override(...)`."""

from collections.abc import Mapping

from dependency_injector import containers, providers

from chronoq.app.client import Client
from chronoq.app.deliverer import RelayService
from chronoq.app.scheduler import SchedulerService
from chronoq.app.schedules import Schedules
from chronoq.app.shards import sharded
from chronoq.app.tasks import Registry
from chronoq.app.worker import Worker
from chronoq.config import Settings
from chronoq.domain.errors import BadSetting, near
from chronoq.domain.masking import masked
from chronoq.domain.ports import PLAIN, Backend, Opening

GROUP = "chronoq.backends"


def open_backend(url: str, opening: Opening = PLAIN) -> Backend:
    """The backend for the URL's scheme, found through the entry-point group `chronoq.backends`.

    Errors: `BadSetting` for an unknown scheme; `BackendError` when the backend does not answer.
    """
    from importlib.metadata import entry_points  # it takes as long as all of our values together

    scheme, colon, _ = url.partition("://")
    found = {point.name: point for point in entry_points(group=GROUP)}
    if not colon or scheme not in found:
        raise BadSetting(
            f"No backend for url {masked(url)!r}: it begins with none of "
            f"{', '.join(f'{name}://' for name in sorted(found))}.{near(scheme, found)}"
        )
    backend: Backend = found[scheme].load()(url, opening)
    return backend


def schemes() -> list[str]:
    """What a URL may begin with."""
    from importlib.metadata import entry_points

    return sorted(point.name for point in entry_points(group=GROUP))


def open_sharded(url: str, opening: Opening, shards: Mapping[str, int]) -> Backend:
    """The backend, its divided queues seen as one each. Errors: those of `open_backend`."""
    backend = open_backend(url, opening)
    try:
        return sharded(backend, shards, now=backend.clock.now())
    except BaseException:
        backend.close()
        raise


class Container(containers.DeclarativeContainer):
    """Everything that an application is made of. `settings`, `registry`, `room` and `shards` are handed in."""

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)
    room: providers.Dependency[Mapping[str, int]] = providers.Dependency(default={})
    shards: providers.Dependency[Mapping[str, int]] = providers.Dependency(default={})
    backend = providers.ThreadSafeSingleton(
        open_sharded,
        shards=shards,
        url=settings.provided.url,
        opening=providers.Factory(
            Opening,
            namespace=settings.provided.namespace,
            durability=settings.provided.durability,
            signing=settings.provided.signed,
        ),
    )
    registry: providers.Dependency[Registry] = providers.Dependency(instance_of=Registry)
    client = providers.ThreadSafeSingleton(Client, backend=backend, room=room)
    schedules = providers.ThreadSafeSingleton(Schedules, backend=backend)
    worker = providers.Factory(Worker, backend=backend, registry=registry, settings=settings)
    scheduler = providers.Factory(SchedulerService, backend=backend, settings=settings)
    relay = providers.Factory(RelayService, backend=backend, registry=registry, settings=settings)
