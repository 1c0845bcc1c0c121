"""Subscription without a registry: to the server at an address, or to the snapshots of a simulation."""

from __future__ import annotations

from collections.abc import Callable

from idlrt.core import Change, Instance, ServiceKey, Snapshot, difference
from idlrt.errors import RegistryError
from idlrt.net.address import Address

__all__ = ["LocalSubscription", "snapshot_of"]


class LocalSubscription:
    """Subscription to snapshots of this process: the part of `idlrt.registry.Subscription` that clusters use.

    Args:
        snapshot: the first snapshot.

    Attributes:
        key: the service.
        snapshot: the newest snapshot.
        last_error: always `None`: there is no registry that could fail.
    """

    last_error: RegistryError | None = None

    def __init__(self, snapshot: Snapshot) -> None:
        self.key = snapshot.key
        self.snapshot: Snapshot | None = snapshot
        self._listeners: list[Callable[[Change], object]] = []

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the snapshot, and call the listeners."""
        last, self.snapshot = self.snapshot, snapshot
        for listener in self._listeners:
            listener(difference(last, snapshot))

    def listen(self, listener: Callable[[Change], object]) -> None:
        """Call `listener` with the current snapshot, and with each new one."""
        self._listeners.append(listener)
        if self.snapshot is not None:
            listener(difference(None, self.snapshot))

    def close(self) -> None:
        """Remove all listeners."""
        self._listeners.clear()


class _Server(Instance, frozen=True, kw_only=True):
    """Server at an address, which may be a path and is not checked as an instance of a registry is."""

    def __post_init__(self) -> None:
        pass

    @property
    def address(self) -> str:
        """`host:port`, or `unix:/path` for a Unix domain socket."""
        return self.id


def snapshot_of(address: Address) -> Snapshot:
    """Return the snapshot of a service whose only instance is the server at `address`."""
    # Servers in memory have no port.
    name = str(address).removeprefix("tcp://") if address.port or address.path else address.host
    server = _Server(service="direct", host=address.host, port=address.port, id=name)
    return Snapshot(key=ServiceKey("direct"), instances=(server,))
