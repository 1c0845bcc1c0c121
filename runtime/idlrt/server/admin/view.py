"""View of a server for its admin port. All functions may be called on any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from idlrt.core import Served, Status
from idlrt.protocol.base import RpcProtocol
from idlrt.server.admin.checks import Check
from idlrt.server.settings import Settings

if TYPE_CHECKING:
    from idlrt.observe.exposition import Family
    from idlrt.observe.monitor import Monitor
    from idlrt.server.registration import ServiceRegistrar

__all__ = ["ServerView"]


class ServerView(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The view of one server.

    Attributes:
        kind: name of its class.
        served: its services.
        settings: its settings.
        protocols: protocols on its port.
        address: returns the address on which it listens.
        started_at: returns the time at which it began to serve, in seconds since 1970; 0 before.
        is_stopping: returns whether a stop has begun.
        numbers: returns gauges by name: connections, calls in flight, unsent bytes.
        metrics: returns all metrics; `None` if it does not measure.
        monitor: its metrics and figures; `None` if it does not measure.
        details: returns more facts for the status page, as nested tables and lists.
        loop_checks: checks of the loops that serve, without any dependency.
        ready_checks: checks of what else serving needs.
        registrar: its registrar; `None` without a registry.
        switch: puts it into or out of rotation.
    """

    kind: str
    served: Served
    settings: Settings
    protocols: Iterable[RpcProtocol]
    address: Callable[[], str]
    started_at: Callable[[], float]
    is_stopping: Callable[[], bool]
    numbers: Callable[[], Mapping[str, int]]
    metrics: Callable[[], Iterable[Family]] | None
    monitor: Monitor | None
    details: Callable[[], Mapping[str, Any]]
    loop_checks: Sequence[Check]
    ready_checks: Sequence[Check]
    registrar: ServiceRegistrar | None
    switch: Callable[[Status], object]
