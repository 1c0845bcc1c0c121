"""An endpoint: one instance of a service as a client sees it, with its transport, health and measured load."""

from __future__ import annotations

from typing import Generic, TypeVar

from idlrt.balance import Load
from idlrt.client.health import Health
from idlrt.client.transport import ClientTransport
from idlrt.core import Instance
from idlrt.guard.breaker import Breaker
from idlrt.guard.outlier import Record

__all__ = ["Endpoint", "S"]


S = TypeVar("S", bound=ClientTransport)


class Endpoint(Generic[S]):
    """One instance of a service as a client sees it.

    Attributes:
        instance: as the registry describes it; replaced when its description changes.
        transport: the transport to it.
        health: reachability, from calls and pings.
        breaker: its circuit breaker.
        record: outcomes of its calls, for outlier ejection.
        load: latency and calls in flight, for balancers.
        weight: effective weight, which grows during warm-up.
        is_unhealthy: whether it is unhealthy (unreachable, ejected, or breaker open) and receives no calls.
        is_used: whether this client has called it.
        target: URL for error messages, `tcp://host:port`.
    """

    __slots__ = (
        "breaker",
        "health",
        "instance",
        "is_unhealthy",
        "is_used",
        "load",
        "record",
        "target",
        "transport",
        "weight",
    )

    def __init__(self, instance: Instance, transport: S, health: Health, breaker: Breaker) -> None:
        self.instance = instance
        self.transport = transport
        self.health = health
        self.breaker = breaker
        self.record = Record()
        self.load = Load(transport.connections)
        self.weight = instance.weight
        self.is_unhealthy = False
        self.is_used = False
        self.target = f"tcp://{instance.address}"
