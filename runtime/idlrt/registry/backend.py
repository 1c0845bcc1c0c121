"""The interface of a registry backend (etcd, ZooKeeper, DNS, …).

A backend reads and writes; it makes no decisions. Retries, caching of snapshots while the registry is unreachable and
notification of listeners are the same for all backends: `idlrt.registry.client` and the modules below it do that. All
methods run on the event loop of the registry's thread.

A backend translates the errors of its client library: `RegistryUnavailable` for failures that may be transient,
`RegistryRefused` for permanent ones, `SessionLost` when the session and all its registrations have expired.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from idlrt.core import Instance, Patch, ServiceKey
from idlrt.errors import RegistryRefused, RegistryUnavailable
from idlrt.plugins import Plugins
from idlrt.printable import plural
from idlrt.registry.url import RegistryUrl

__all__ = ["REGISTRIES", "Backend", "ServiceData", "SessionLost", "Update", "has_instances"]


class SessionLost(RegistryUnavailable):
    """The registry has ended the session of this client; its registrations are gone."""


class ServiceData(msgspec.Struct, frozen=True, kw_only=True):
    """State of a service as the registry stores it.

    Attributes:
        instances: as their servers registered them, in any order.
        patches: operators' overrides, by instance id. Some may refer to instances that are not registered.
        settings: settings of the service.
        revision: increases with each change of the instances, patches or settings.
    """

    instances: Sequence[Instance] = ()
    patches: Mapping[str, Patch] = {}
    settings: Mapping[str, str] = {}
    revision: int = 0


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a service since a revision.

    Attributes:
        revision: current revision of the service.
        is_whole: whether `instances` is the complete list, because the registry does not know what has changed since
            the requested revision.
        instances: added or changed instances, with their patches applied.
        removed: ids of removed instances.
        settings: current settings of the service.
    """

    revision: int
    is_whole: bool
    instances: tuple[Instance, ...] = ()
    removed: tuple[str, ...] = ()
    settings: Mapping[str, str] = {}


class Backend(Protocol):
    """One kind of registry, as used by one `Registry`. Constructed from the URL, without any I/O.

    Attributes:
        is_read_only: whether the registry can only be read (DNS, a static list of servers).
        heartbeat: interval in seconds between calls of `keep`. The session timeout is a multiple of it.
    """

    is_read_only: bool
    heartbeat: float

    async def open(self, lost: Callable[[], None]) -> None:
        """Connect and begin a session. Called again after the session was lost, and after `close`.

        Args:
            lost: callback for a backend that detects the end of the session before the next `keep`; call it on this
                loop.

        Raises:
            RegistryUnavailable: the registry does not respond.
            RegistryRefused: this client is not authorized.
        """
        ...

    async def close(self) -> None:
        """End the session, and with it all registrations, if the registry can be reached."""
        ...

    async def keep(self, registered: Sequence[Instance] = ()) -> Sequence[Instance]:
        """Send a heartbeat and check registrations.

        Args:
            registered: instances that this session had registered before the call.

        Returns:
            Those of `registered` that this session no longer holds: they were deleted, or another session has
            registered their ids.

        Raises:
            SessionLost: the session has expired.
            RegistryUnavailable: the registry does not respond; the session may still be alive.
        """
        ...

    async def register(self, instance: Instance) -> None:
        """Create or overwrite the registration of `instance`, for the lifetime of the session. The registry has
        acknowledged the write when this returns. If another session has registered the id for the same instance
        (`is_same_instance`), its registration is replaced atomically.

        Raises:
            AlreadyRegistered: another live session has registered the id for a different instance.
        """
        ...

    async def reclaim(self, instance: Instance) -> None:
        """Create or overwrite a registration that `keep` reported missing, unless another session holds its id.

        Raises:
            AlreadyRegistered: another live session has registered the id, even if for the same instance.
        """
        ...

    async def deregister(self, instance: Instance) -> None:
        """Delete the registration of `instance`. No effect if it is missing or belongs to another session."""
        ...

    def watch(self, key: ServiceKey) -> AsyncIterator[ServiceData]:
        """Yield the current state of a service, then each new state. Intermediate states may be skipped, the latest
        never is. The iterator ends only with an error.

        Raises:
            RegistryUnavailable: the watch is broken.
            RegistryRefused: this client may not read the service.
        """
        ...

    async def find(self, key: ServiceKey) -> ServiceData:
        """Read the current state of a service. An unknown service has no instances."""
        ...

    async def changes(self, key: ServiceKey, since: int) -> Update | None:
        """Return the changes since the revision `since`; `None` if this kind of registry keeps no history."""
        ...

    async def groups(self) -> list[str]:
        """List the groups."""
        ...

    async def services(self, group: str) -> list[str]:
        """List the services of a group that have instances, settings or patches, or had some and were not removed."""
        ...

    async def patch(self, key: ServiceKey, id: str, patch: Patch | None) -> None:
        """Replace the patch of an instance; `None` deletes it."""
        ...

    async def configure(self, key: ServiceKey, settings: Mapping[str, str]) -> None:
        """Replace the settings of a service."""
        ...

    async def remove(self, key: ServiceKey) -> None:
        """Delete a service without instances: its settings, its patches, and its name from `services`, unless another
        framework has created that name.

        Raises:
            RegistryRefused: the service has instances, or this client is not permitted to remove it.
        """
        ...


def has_instances(key: ServiceKey, count: int) -> RegistryRefused:
    """Build the error of `Backend.remove` for a service that has instances."""
    return RegistryRefused(f"cannot remove {key}: it has {plural(count, 'instance')}; stop the servers first")


REGISTRIES: Final[Plugins[Backend]] = Plugins("idlrt.registries")
"""Registry backends by URL scheme. Each is constructed from a `RegistryUrl`."""


def make_backend(url: RegistryUrl) -> Backend:
    """Construct the backend of a URL, by its scheme.

    Raises:
        UnknownPlugin: the scheme is unknown.
        ConfigurationError: the URL is invalid for this kind of registry.
    """
    return REGISTRIES.make(url.scheme, url)
