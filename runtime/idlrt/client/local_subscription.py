"""A subscription without a registry: to the server at an address, or to what a simulation publishes."""

from __future__ import annotations

from collections.abc import Callable

from idlrt.core import Change, Instance, ServiceKey, Snapshot, difference
from idlrt.errors import RegistryError
from idlrt.net.address import Address

__all__ = ["LocalSubscription", "snapshot_of"]


class LocalSubscription:
    """See the module. As much of an `idlrt.registry.Subscription` as clusters need.

    Args:
        snapshot: the first one.

    Attributes:
        key: the service.
        snapshot: the newest one.
        trouble: always `None`.
    """

    trouble: RegistryError | None = None

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
        """Call `listener` with what is known, and with each new snapshot."""
        self._listeners.append(listener)
        if self.snapshot is not None:
            listener(difference(None, self.snapshot))

    def close(self) -> None:
        """Call no listener again."""
        self._listeners.clear()


class _Server(Instance, frozen=True, kw_only=True):
    """A server at an address, which may be a path and need not be a valid instance of a registry."""

    def __post_init__(self) -> None:
        pass

    @property
    def address(self) -> str:
        """`host:port`; `unix:/path` for a socket of this machine."""
        return self.id


def snapshot_of(address: Address) -> Snapshot:
    """Return the snapshot of a service whose only instance is the server at `address`."""
    # Servers in memory have no port.
    name = str(address).removeprefix("tcp://") if address.port or address.path else address.host
    server = _Server(service="direct", host=address.host, port=address.port, id=name)
    return Snapshot(key=ServiceKey("direct"), instances=(server,))
