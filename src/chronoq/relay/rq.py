"""RQ: jobs that come due go into RQ's queues, and unmodified `rq worker` processes run them."""

from typing import Any

import redis
from attrs import field, frozen
from redis.exceptions import RedisError

from chronoq.adapters.redis import trouble
from chronoq.adapters.redis.address import Address
from chronoq.adapters.redis.calls import load_scripts
from chronoq.adapters.redis.keys import Keys
from chronoq.config import Settings
from chronoq.domain.errors import BadSetting
from chronoq.domain.masking import masked
from chronoq.relay.names import by_name
from chronoq.relay.rq_delivery import RqDelivery
from chronoq.relay.rq_jobs import Blueprint, check_options, rq_job_id
from chronoq.relay.rq_jobs import states as rq_states

__all__ = ["RqRelay", "by_name", "rq_job_id", "rq_options", "rq_states"]

ONE_SERVER = ("redis", "rediss", "unix")


@frozen(kw_only=True)
class RqRelay:
    """Delivers into an RQ queue: `Queue("mail", relay=RqRelay())`.

    `url`: RQ's Redis database; None: the application's own, and then a delivery is one transaction with our
    settlement. `queue`: the RQ queue; None: the same name. `serializer`: what `rq worker --serializer` was
    given; None: RQ's default, which is pickle. `follow`: follow every job to its end, so that its result and
    failure are known here; runs of a schedule whose next run depends on it always are followed.
    `unregistered`: tasks that the application does not declare go there too, their name being the function's.
    `queue_class`, `job_class`: subclasses of RQ's own, or their dotted names, by which RQ's jobs are enqueued.
    """

    url: str | None = field(default=None, repr=lambda url: repr(url and masked(url)))
    queue: str | None = None
    serializer: str | None = None
    follow: bool = False
    unregistered: bool = False
    queue_class: type[Any] | str | None = None
    job_class: type[Any] | str | None = None

    def connect(self, settings: Settings, queue: str) -> RqDelivery:
        """Errors: `BadSetting` for an address that is no single Redis server; `BackendError`."""
        address = Address(self.url or settings.url)
        scheme = address.url.partition("://")[0]
        if scheme not in ONE_SERVER:
            raise BadSetting(
                f"RQ keeps its queues on one Redis server, and {address} is none. "
                "Give RqRelay(url='redis://...') the address that the RQ workers use."
            )
        client = redis.Redis.from_pool(address.pool())
        try:
            shared = self.url is None or same_database(client, settings.url)
            blueprint = self.blueprint(client, queue)
        except (RedisError, OSError) as error:
            client.close()
            raise trouble.refused(address, error) or trouble.unreachable(address, error) from error
        except BaseException:
            client.close()
            raise
        return RqDelivery(client, address, Keys(settings.namespace), load_scripts(), blueprint, shared)

    def blueprint(self, client: redis.Redis, queue: str) -> Blueprint:
        """What makes RQ's jobs for `queue`. Errors: `BadSetting`."""
        return Blueprint(
            client,
            self.queue or queue,
            self.serializer,
            queue_class=self.queue_class,
            job_class=self.job_class,
        )


def same_database(client: redis.Redis, url: str) -> bool:
    """Whether `url` leads to the database on which `client` works."""
    if url.partition("://")[0] not in ONE_SERVER:
        return False
    ours = redis.Redis.from_pool(Address(url).pool())
    try:
        return _place(ours) == _place(client)
    finally:
        ours.close()


def _place(client: redis.Redis) -> tuple[Any, Any]:
    """The running server, and the number of the database."""
    return client.info("server")["run_id"], client.connection_pool.connection_kwargs.get("db") or 0


def rq_options(**options: Any) -> dict[str, Any]:
    """What RQ is told of a job beyond what chronoq knows, for `meta=`: `@app.task(meta=rq_options(ttl=60))`.

    job_id: the RQ job's own id, else `rq_job_id` makes one. timeout, result_ttl, ttl, failure_ttl: seconds or
    RQ's texts ("1h"). description. at_front.
    depends_on: ids of RQ jobs, or of chronoq jobs as `queue:key`; allow_failure. retry: a number, or
    `{"max": 3, "interval": [10, 60]}`. on_success, on_failure, on_stopped: a dotted name, or
    `{"func": name, "timeout": seconds}`. Errors: `UnknownOption`, `BadSetting`.
    """
    check_options(options)
    return {"rq": options}
