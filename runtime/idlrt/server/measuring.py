"""Metrics of a server: its recorder of calls, its gauges, and the monitor that reads them with those of the process."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from idlrt.core import Served
from idlrt.observe.catalogue import (
    BUILD,
    SERVER_CONNECTIONS,
    SERVER_DRAINING,
    SERVER_IN_FLIGHT,
    SERVER_QUEUED,
    SERVER_UNSENT,
    SERVER_WORKERS,
    TARGET_INFO,
)
from idlrt.observe.metric import Series, merged
from idlrt.observe.monitor import Monitor
from idlrt.observe.process import watch_process
from idlrt.observe.server_calls import ServerCalls
from idlrt.observe.sources import PROCESS, SERVERS, Source
from idlrt.server.process_stats import Reporting
from idlrt.version import __version__

if TYPE_CHECKING:
    from idlrt.server.settings import Settings
    from idlrt.server.workers import WorkerPool

__all__ = ["Measured", "ServerSource", "core_names", "server_monitor"]

_CORE: Final = "core"


class Measured(Reporting, Protocol):
    """A server whose state is measured."""

    @property
    def is_draining(self) -> bool:
        """Whether it is stopping."""
        ...


class ServerSource:
    """Source of the metrics of one server.

    Args:
        server: the server.
        calls: recorder of its calls.
    """

    def __init__(self, server: Measured, calls: ServerCalls) -> None:
        self._server = server
        self._calls = calls
        self.workers: WorkerPool | None = None

    def read(self) -> Iterator[Series]:
        """Return the metrics. Called on any thread."""
        server = self._server
        yield from self._calls.read()
        yield Series(SERVER_CONNECTIONS, {(): server.connections})
        yield Series(SERVER_IN_FLIGHT, {(): server.in_flight})
        yield Series(SERVER_UNSENT, {(): server.unsent_bytes})
        yield Series(SERVER_DRAINING, {(): float(server.is_draining)})
        if self.workers is not None:
            busy, idle, queued = self.workers.load()
            yield Series(SERVER_WORKERS, {("busy",): busy, ("idle",): idle})
            yield Series(SERVER_QUEUED, {(): queued})


def core_names(served: Served, configured: Iterable[str]) -> frozenset[str]:
    """Return the names of core services and methods: those of the IDL (`core = "true"`), and configured ones."""
    found = set(configured)
    for handlers in served.services:
        if _is_core(handlers.service.annotations):
            found.add(handlers.service.name)
        found |= {each.method.full_name for each in handlers.table.values() if _is_core(each.method.annotations)}
    return frozenset(found)


def _is_core(annotations: Mapping[str, tuple[str, ...]]) -> bool:
    return annotations.get(_CORE, ("false",))[-1] == "true"


def server_monitor(source: Source, served: Served, settings: Settings, address: Callable[[], str]) -> Monitor:
    """Return the monitor of a server, with the metrics of its process.

    Args:
        source: source of the server's metrics.
        served: its services.
        settings: its settings.
        address: returns the address, `host:port`; empty while it is not bound.
    """
    started_at = time.time()

    def resource() -> Mapping[str, str]:
        return {
            "service": ", ".join(each.service.name for each in served.services),
            "instance": address(),
            "host": platform.node(),
            "zone": settings.instance.get("zone", ""),
            "version": settings.instance.get("version", ""),
        }

    def read() -> list[Series]:
        identity = resource()
        own = [
            Series(BUILD, {(__version__,): 1}),
            Series(TARGET_INFO, {tuple(identity[name] for name in TARGET_INFO.labels): 1}),
        ]
        return merged([*source.read(), *PROCESS.read(), *own])

    core = core_names(served, settings.core)
    SERVERS.add(source, core)
    PROCESS.enable()
    watch_process()
    return Monitor(
        read,
        resource=resource,
        core=core,
        apdex_s=settings.apdex,
        started_at=started_at,
    )
