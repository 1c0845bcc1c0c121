"""What a kind of registry has to be able to do, for `Registry` to do all else.

A backend knows how to write and read; it decides nothing. When to try again, what is still known when nobody answers,
who is told of what: that is the same for all and stands in `idlrt.registry.client`. All methods run on the event loop
of the registry's thread.

Errors are translated here, at the seam: `RegistryUnavailable` for whatever may be better in a moment,
`RegistryRefused` for what will not be, `SessionLost` when what was registered is gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from idlrt.core import Instance, Patch, ServiceKey
from idlrt.errors import RegistryRefused, RegistryUnavailable
from idlrt.plugins import Plugins
from idlrt.registry.url import RegistryUrl

__all__ = ["REGISTRIES", "Backend", "Found", "SessionLost", "Update", "has_instances"]


class SessionLost(RegistryUnavailable):
    """The registry has forgotten this client: what it had registered is gone."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a registry has about a service.

    Attributes:
        instances: as their owners registered them, in any order.
        patches: what operators said about them, by id. Some may be about instances that are not there.
        settings: of the service.
        revision: grows with every change of any of this.
    """

    instances: Sequence[Instance] = ()
    patches: Mapping[str, Patch] = {}
    settings: Mapping[str, str] = {}
    revision: int = 0


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """What has changed since a revision.

    Attributes:
        revision: of the service now.
        is_whole: whether the registry does not know what has changed, so that `instances` are all that there are.
        instances: that were added or changed, as their clients are to see them.
        removed: ids of those that are there no more.
        settings: of the service now.
    """

    revision: int
    is_whole: bool
    instances: tuple[Instance, ...] = ()
    removed: tuple[str, ...] = ()
    settings: Mapping[str, str] = {}


class Backend(Protocol):
    """One kind of registry, for one `Registry`. Made from the URL, without doing anything yet.

    Attributes:
        is_read_only: whether nothing can be registered or changed (DNS, a list of servers).
        heartbeat: seconds between two calls of `keep`. The session time-out is some times that.
    """

    is_read_only: bool
    heartbeat: float

    async def open(self, lost: Callable[[], None]) -> None:
        """Connect and begin a session. Called again after it was lost, and after `close`.

        Args:
            lost: to be called, on this loop, when the session is over before `keep` notices.

        Raises:
            RegistryUnavailable: nobody answers.
            RegistryRefused: this client is not let in.
        """
        ...

    async def close(self) -> None:
        """End the session; what was registered is gone, as far as the registry can still be told."""
        ...

    async def keep(self, registered: Sequence[Instance] = ()) -> Sequence[Instance]:
        """Say that this client is alive, and ask whether its instances are still there.

        Args:
            registered: instances that were registered in this session before this was called.

        Returns:
            Those of them that the registry does not have in this session any more: they were deleted, or another
            session has registered their ids.

        Raises:
            SessionLost: the registry thought it was not.
            RegistryUnavailable: nobody answers; the session may be good still.
        """
        ...

    async def register(self, instance: Instance) -> None:
        """Write `instance`, or write it anew; it stays as long as the session does. Acknowledged when this returns.
        What another session has registered under the id is replaced, in one step, if it is the same instance
        (`is_same_instance`).

        Raises:
            AlreadyRegistered: another live session has registered the id, for another instance.
        """
        ...

    async def reclaim(self, instance: Instance) -> None:
        """Write an instance that `keep` has missed, or write it anew, if no other session has registered its id.

        Raises:
            AlreadyRegistered: another one has, even if for the same instance.
        """
        ...

    async def deregister(self, instance: Instance) -> None:
        """Take it away. Nothing happens if it is not there, or another session has registered it."""
        ...

    def watch(self, key: ServiceKey) -> AsyncIterator[Found]:
        """What is there, and again whenever that has changed. What came between two looks may be left out, the last
        state never. Ends with an error only.

        Raises:
            RegistryUnavailable: it cannot be told any more whether something changes.
            RegistryRefused: this client is not to know.
        """
        ...

    async def find(self, key: ServiceKey) -> Found:
        """What is there now. A service that nobody has registered has no instances."""
        ...

    async def changes(self, key: ServiceKey, since: int) -> Update | None:
        """What has changed since the revision `since`; `None` if this kind of registry keeps no history."""
        ...

    async def groups(self) -> list[str]:
        """The groups that there are."""
        ...

    async def services(self, group: str) -> list[str]:
        """The services of a group that have instances, settings or patches, or had some and were not removed."""
        ...

    async def patch(self, key: ServiceKey, id: str, patch: Patch | None) -> None:
        """Write what an operator says about an instance, instead of what was said before; `None`: nothing."""
        ...

    async def configure(self, key: ServiceKey, settings: Mapping[str, str]) -> None:
        """Write the settings of a service, instead of those that were there."""
        ...

    async def remove(self, key: ServiceKey) -> None:
        """Remove a service that has no instances: its settings, its patches, and its name from `services`, unless
        another framework has put it there.

        Raises:
            RegistryRefused: it has instances, or this client may not.
        """
        ...


def has_instances(key: ServiceKey, count: int) -> RegistryRefused:
    """The error of `Backend.remove` for a service that is in use."""
    what = "1 instance" if count == 1 else f"{count} instances"
    return RegistryRefused(f"cannot remove {key}: it has {what}; stop the servers first")


REGISTRIES: Final[Plugins[Backend]] = Plugins("idlrt.registries")
"""Kinds of registry by the scheme of their URLs. Each is made from a `RegistryUrl`."""


def make_backend(url: RegistryUrl) -> Backend:
    """The backend that a URL asks for.

    Raises:
        UnknownPlugin: there is no such kind.
        ConfigurationError: the URL does not suit the kind.
    """
    return REGISTRIES.make(url.scheme, url)
