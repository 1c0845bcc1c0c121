"""Gauges of a client: connections, instances out of rotation, retry budget, and how current its instances are."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol

from idlrt.client.stats import ClientStats
from idlrt.core import Call
from idlrt.observe.catalogue import (
    CLIENT_BUDGET,
    CLIENT_CONNECTIONS,
    CLIENT_EJECTED,
    CLIENT_ENDPOINTS,
    CLIENT_IN_FLIGHT,
    CLIENT_LEFT_OUT,
    CLIENT_WAITING,
    REGISTRY_FRESHNESS,
    REGISTRY_INSTANCES,
)
from idlrt.observe.metric import Series
from idlrt.observe.sources import PROCESS

__all__ = ["ClusterGauges", "MeasuredCluster", "record_connect"]


def record_connect(call: Call, seconds: float, error: OSError | None = None) -> None:
    """Record an attempt to connect on behalf of a call, if metrics are enabled.

    Args:
        seconds: time that it took.
        error: why it failed.
    """
    if PROCESS.is_enabled:
        from idlrt.observe.client_calls import CLIENTS

        CLIENTS.connected(call.method.service, seconds, error)


class MeasuredCluster(Protocol):
    """A cluster whose state is measured."""

    def stats(self) -> ClientStats:
        """Return the statistics."""
        ...

    def retry_budget(self) -> float:
        """Return the number of retries that are available."""
        ...


class ClusterGauges:
    """Source of the gauges of one cluster, once metrics are enabled.

    Args:
        cluster: the cluster.
        target: name of the target in metrics.
        metrics: option of the client.
    """

    def __init__(self, cluster: MeasuredCluster, target: str, metrics: object) -> None:
        # Weak, because the cluster refers to this object.
        self._cluster = weakref.ref(cluster)
        self._target = target
        if metrics:
            self.add()
        elif metrics is None:
            PROCESS.when_enabled(self.add)

    def add(self) -> None:
        """Register the source."""
        PROCESS.add(self)

    def remove(self) -> None:
        """Remove the source; its counters stay."""
        PROCESS.remove(self)

    def read(self) -> Iterator[Series]:
        """Return the gauges. Called on any thread."""
        cluster = self._cluster()
        if cluster is None:
            return
        stats, target = cluster.stats(), self._target
        own = (target,)
        yield Series(CLIENT_CONNECTIONS, {own: stats.connections})
        yield Series(CLIENT_IN_FLIGHT, {own: stats.in_flight + stats.waiting})
        yield Series(CLIENT_WAITING, {own: stats.waiting})
        yield Series(CLIENT_ENDPOINTS, {own: len(stats.endpoints)})
        yield Series(CLIENT_EJECTED, {own: sum(not each.is_available for each in stats.endpoints)})
        yield Series(CLIENT_BUDGET, {own: cluster.retry_budget()})
        if stats.left_out:
            yield Series(CLIENT_LEFT_OUT, {(target, name): count for name, count in stats.left_out.items()})
        snapshot = stats.snapshot
        if snapshot is not None:
            service = snapshot.key.service
            states: Counter[Any] = Counter((service, str(each.status), each.zone) for each in snapshot.instances)
            yield Series(REGISTRY_INSTANCES, dict(states))
            yield Series(REGISTRY_FRESHNESS, {(service, str(snapshot.freshness)): 1})
