"""Where services stand in ZooKeeper, and how: what a layout has to say, and our own one.

    /idlrt/{group}/{service}/instances/{id}   ephemeral, JSON of an `Instance`
    /idlrt/{group}/{service}/patches/{id}     lasting, JSON of a `Patch`
    /idlrt/{group}/{service}/settings         lasting, JSON of text by name

Patches and settings stand there whatever the layout: others have no place for them. So programs of other frameworks do
not see what our operators say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import msgspec

from idlrt.core import Instance, ServiceKey
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError
from idlrt.registry.zookeeper.tree import Node

__all__ = ["Children", "IdlrtLayout", "Layout", "patches_path", "root_path", "settings_path"]

_log = get_logger("idlrt.registry.zookeeper")

Children = Callable[[str], Awaitable[list[str]]]
"""The names of a node's children; none if it is not there."""

OWN: Final = "/idlrt"
_MOST_TOLD: Final = 1000
_told: Final[set[str]] = set()


class Layout(Protocol):
    """Where services stand. Knows paths and bytes, not ZooKeeper. Paths begin below the chroot.

    Attributes:
        has_data: whether instances stand in the data of their nodes, not in the names.
        is_by_address: whether nodes are called by address, so that whatever stands at the path of an instance has its
            address, even if it cannot be read.
    """

    has_data: bool
    is_by_address: bool

    def folders(self, key: ServiceKey) -> Sequence[str]:
        """The paths whose children are the instances of a service."""
        ...

    def write(self, instance: Instance) -> Node:
        """The node of an instance."""
        ...

    def read(self, key: ServiceKey, nodes: Sequence[Node]) -> list[Instance]:
        """The instances of a service. Nodes that nobody can read are left out."""
        ...

    async def others(self, instance: Instance, children: Children) -> list[str]:
        """Paths at which the same instance stands, or may stand, beside the one that it is written to."""
        ...

    async def rivals(self, instance: Instance, children: Children) -> list[str]:
        """Further paths, at which another instance may stand that says to have the same id."""
        ...

    async def groups(self, children: Children) -> list[str]:
        """See `Backend.groups`."""
        ...

    async def services(self, group: str, children: Children) -> list[str]:
        """See `Backend.services`."""
        ...


def root_path(key: ServiceKey) -> str:
    """Under which a service has what is ours."""
    return f"{OWN}/{key.group}/{key.service}"


def patches_path(key: ServiceKey) -> str:
    """The folder of a service's patches."""
    return f"{root_path(key)}/patches"


def settings_path(key: ServiceKey) -> str:
    """The node of a service's settings."""
    return f"{root_path(key)}/settings"


class IdlrtLayout:
    """See the module. A `Layout`."""

    has_data = True
    is_by_address = False

    def folders(self, key: ServiceKey) -> Sequence[str]:
        """See `Layout.folders`."""
        return (f"{root_path(key)}/instances",)

    def write(self, instance: Instance) -> Node:
        """See `Layout.write`."""
        return Node(self.folders(instance.key)[0], instance.id, msgspec.json.encode(instance), 0)

    def read(self, key: ServiceKey, nodes: Sequence[Node]) -> list[Instance]:
        """See `Layout.read`."""
        found: list[Instance] = []
        for node in nodes:
            try:
                instance = msgspec.json.decode(node.data, type=Instance)
                found.append(msgspec.structs.replace(instance, service=key.service, group=key.group, id=node.name))
            except (msgspec.MsgspecError, ConfigurationError, UnicodeDecodeError) as error:
                unreadable(node, error)
        return found

    async def others(self, instance: Instance, children: Children) -> list[str]:
        """See `Layout.others`."""
        return []

    async def rivals(self, instance: Instance, children: Children) -> list[str]:
        """See `Layout.rivals`."""
        return []

    async def groups(self, children: Children) -> list[str]:
        """See `Backend.groups`."""
        return await children(OWN)

    async def services(self, group: str, children: Children) -> list[str]:
        """See `Backend.services`."""
        return await children(f"{OWN}/{group}")


def newest(found: Sequence[tuple[Instance, float]]) -> list[Instance]:
    """Of each instance the one that was written last: what a dead session left behind may still be there."""
    last: dict[str, tuple[Instance, float]] = {}
    for instance, written in found:
        known = last.get(instance.id)
        if known is None or written >= known[1]:
            last[instance.id] = instance, written
    return [instance for instance, _ in last.values()]


def unreadable(node: Node, error: Exception) -> None:
    """Say that a node cannot be read; once, however often it is looked at."""
    what = f"{node.folder}/{node.name}: {error}"
    if what not in _told:
        if len(_told) >= _MOST_TOLD:
            _told.clear()
        _told.add(what)
        _log.warning("cannot read the node %s", what)
