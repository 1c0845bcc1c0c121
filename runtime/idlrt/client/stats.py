"""Statistics of a client: its connections, its calls in flight, and the state of each endpoint.

They are read without a lock, so numbers that belong together may differ by one call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from idlrt.core.instance import Snapshot

__all__ = ["ClientStats", "EndpointStats", "PoolStats", "endpoint_stats", "total"]


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """Connections to one server.

    Attributes:
        connections: open connections, and those being opened.
        in_flight: calls that hold a connection.
        waiting: calls that wait for a connection.
        left_out: how often ambient values were dropped because the protocol cannot carry them, by name: `deadline`,
            `attempt`, `tag`, `caller`, and ambient metadata such as `traceparent`.
    """

    connections: int = 0
    in_flight: int = 0
    waiting: int = 0
    left_out: Mapping[str, int] = {}


class EndpointStats(PoolStats, frozen=True, kw_only=True):
    """One endpoint.

    Attributes:
        id: of the instance; the address if it is in no registry.
        address: `host:port`, or `unix:/path`.
        is_available: whether it receives calls: reachable, not ejected, circuit breaker not open.
    """

    id: str
    address: str
    is_available: bool = True


class ClientStats(PoolStats, frozen=True, kw_only=True):
    """A client: the sums over its endpoints, and the endpoints themselves.

    Attributes:
        endpoints: all endpoints, sorted by id. A client applies a snapshot a moment after the registry has published
            it.
        snapshot: the newest snapshot of the service; `None` before the first, and for targets that are an address.
    """

    endpoints: tuple[EndpointStats, ...] = ()
    snapshot: Snapshot | None = None


def endpoint_stats(id: str, address: str, pool: PoolStats, *, is_available: bool = True) -> EndpointStats:
    """Return the statistics of one server."""
    return EndpointStats(id=id, address=address, is_available=is_available, **msgspec.structs.asdict(pool))


def total(endpoints: tuple[EndpointStats, ...], snapshot: Snapshot | None = None) -> ClientStats:
    """Sum up endpoints."""
    left_out: Counter[str] = Counter()
    for each in endpoints:
        left_out.update(each.left_out)
    return ClientStats(
        connections=sum(each.connections for each in endpoints),
        in_flight=sum(each.in_flight for each in endpoints),
        waiting=sum(each.waiting for each in endpoints),
        left_out=dict(left_out),
        endpoints=endpoints,
        snapshot=snapshot,
    )
