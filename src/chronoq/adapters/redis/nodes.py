"""The nodes of a cluster: which of them serves which slot, and a wire to each."""

import random
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeAlias

from attrs import define, field, frozen
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot

from chronoq.adapters.redis.address import Address, Group
from chronoq.adapters.redis.calls import Command
from chronoq.adapters.redis.link import Confirmation
from chronoq.adapters.redis.wire import Wire
from chronoq.domain.errors import BackendError, BadSetting, Unreachable

PORT = 6379

Place: TypeAlias = tuple[str, int]
"""A node's host and port."""


@frozen(repr=False)
class ClusterAddress(Address):
    """`redis+cluster://[user:password@]host:port,host:port`: some of the nodes, one that lives is enough."""

    @property
    def user(self) -> str:
        return self.node(self.seeds()[0]).user

    def seeds(self) -> tuple[Place, ...]:
        """The nodes that the URL names. Errors: `BadSetting`."""
        group = Group.of(self, port=PORT)
        if group.parts.path not in ("", "/", "/0"):
            raise BadSetting(f"{self} names a database, and a cluster has only one: leave out what follows /")
        return group.hosts

    def node(self, place: Place) -> Address:
        return Group.of(self, port=PORT).one(*place, "/0")


@frozen
class SlotMap:
    """Which node serves each slot, as one of them told; None: nobody does."""

    owners: list[Place | None]

    @property
    def places(self) -> list[Place]:
        return list(dict.fromkeys(place for place in self.owners if place))


@define
class Nodes:
    """Wires are made as they are needed. Errors are those of `Wire`."""

    address: ClusterAddress
    longer: float
    on_loss: Callable[[], None]
    _seeds: tuple[Place, ...] = field(init=False)
    _map: SlotMap = field(factory=lambda: SlotMap([None] * SLOTS), init=False)
    _wires: dict[Place, Wire] = field(factory=dict, init=False)
    _asking: Lock = field(factory=Lock, init=False)
    confirmation: Confirmation | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)

    @_seeds.default
    def _the_seeds(self) -> tuple[Place, ...]:
        seeds = self.address.seeds()
        self.address.node(seeds[0]).pool()  # refuses options that do not fit
        return seeds

    @property
    def map(self) -> SlotMap:
        return self._map

    @property
    def wires(self) -> list[Wire]:
        return list(self._wires.values())

    def owner(self, key: str | None) -> Place | None:
        """Who serves the key; without one, who serves slot 0. None: nobody, as far as is known."""
        return self._map.owners[0 if key is None else key_slot(key.encode())]

    def wire(self, place: Place) -> Wire:
        wire = self._wires.get(place)
        if wire is None:
            made = Wire(self.address.node(place), longer=self.longer)
            made.closed, made.on_loss, made.confirmation = self._closed, self.on_loss, self.confirmation
            wire = self._wires.setdefault(place, made)
        return wire

    def moved(self, slot: int, place: Place) -> None:
        """One slot has another owner."""
        self._map.owners[slot] = place

    def refresh(self, known: SlotMap) -> None:
        """Ask the nodes for a map, unless another thread has found one newer than `known` meanwhile."""
        with self._asking:
            if self._map is not known:
                return
            error: BackendError | None = None
            places = random.sample(known.places, len(known.places))
            for place in dict.fromkeys((*places, *self._seeds)):
                try:
                    self._map = self.wire(place).run(Command(("CLUSTER", "SLOTS"), _map_from(place)))
                except Unreachable as unreachable:
                    error = error or unreachable
                else:
                    return
            if error is not None:
                raise error

    def close(self) -> None:
        self._closed = True
        for wire in self.wires:
            wire.close()


def _map_from(teller: Place) -> Any:
    def parse(reply: Any) -> SlotMap:
        owners: list[Place | None] = [None] * SLOTS
        for first, last, (host, port, *_), *_ in reply:
            # a node that does not know its own name means: where you have asked me
            place = ((host or b"").decode().strip("?") or teller[0], port)
            owners[first : last + 1] = [place] * (last + 1 - first)
        return SlotMap(owners)

    return parse
