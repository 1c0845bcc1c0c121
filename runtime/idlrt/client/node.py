"""An instance of a service, as one client sees it: the connections to it, and all that is known of it from calling
it.
"""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

from idlrt.balance import Load
from idlrt.client.health import Health
from idlrt.client.stats import PoolStats
from idlrt.core import Call, Instance
from idlrt.guard.breaker import Breaker
from idlrt.guard.outlier import Record

__all__ = ["Node", "S", "Sender"]


class Sender(Protocol):
    """What both kinds of leaf have in common."""

    @property
    def carries_metadata(self) -> bool:
        """See `BlockingSender.carries_metadata`."""
        ...

    async def send(self, call: Call) -> Any:
        """See `BlockingSender.send`."""
        ...

    def found_again(self) -> None:
        """See `BlockingSender.found_again`."""
        ...

    def connections(self) -> int:
        """See `BlockingSender.connections`."""
        ...

    def stats(self) -> PoolStats:
        """See `BlockingSender.stats`."""
        ...


S = TypeVar("S", bound=Sender)


class Node(Generic[S]):
    """An instance and the connections to it.

    Attributes:
        weight: its share of calls at the moment, which grows while it warms up.
        load: what has been measured of it.
        health: whether it can be reached.
        record: how its answers compare with those of the others.
        breaker: its circuit breaker.
        is_out: whether it gets no calls at the moment, for one of these three reasons.
        is_used: whether it has been called.
    """

    __slots__ = ("breaker", "health", "instance", "is_out", "is_used", "load", "record", "sender", "target", "weight")

    def __init__(self, instance: Instance, sender: S, health: Health, breaker: Breaker) -> None:
        self.instance = instance
        self.sender = sender
        self.health = health
        self.breaker = breaker
        self.record = Record()
        self.load = Load(sender.connections)
        self.weight = instance.weight
        self.is_out = False
        self.is_used = False
        self.target = f"tcp://{instance.address}"
