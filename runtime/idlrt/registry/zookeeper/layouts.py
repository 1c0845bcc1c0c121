"""Mapping of services to ZooKeeper nodes: the interface of a layout, and the native layout.

    /idlrt/{group}/{service}/instances/{id}   ephemeral, JSON of an `Instance`
    /idlrt/{group}/{service}/patches/{id}     persistent, JSON of a `Patch`
    /idlrt/{group}/{service}/settings         persistent, JSON object of strings

Patches and settings are stored there with every layout, because other frameworks have no place for them. Hence programs
of other frameworks do not see the overrides of our operators.
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
"""Lists the names of a node's children; empty if the node does not exist."""

OWN: Final = "/idlrt"
_MAX_REPORTED: Final = 1000
_reported: Final[set[str]] = set()


class Layout(Protocol):
    """Mapping of services to nodes. It handles paths and bytes, without I/O. Paths are relative to the chroot.

    Attributes:
        has_data: whether nodes hold instances in their data rather than in their names.
        is_by_address: whether nodes are named by address, so that whatever is at the path of an instance has its
            address, even if it cannot be decoded.
    """

    has_data: bool
    is_by_address: bool

    def folders(self, key: ServiceKey) -> Sequence[str]:
        """Return the paths whose children are the instances of a service."""
        ...

    def write(self, instance: Instance) -> Node:
        """Encode an instance as a node."""
        ...

    def read(self, key: ServiceKey, nodes: Sequence[Node]) -> list[Instance]:
        """Decode the instances of a service. Nodes that cannot be decoded are logged and ignored."""
        ...

    async def same_instance_paths(self, instance: Instance, children: Children) -> list[str]:
        """Return paths other than that of `write` where the same instance is, or may be."""
        ...

    async def same_id_paths(self, instance: Instance, children: Children) -> list[str]:
        """Return further paths where another instance with the same id may be."""
        ...

    async def groups(self, children: Children) -> list[str]:
        """List the groups."""
        ...

    async def services(self, group: str, children: Children) -> list[str]:
        """List the services of a group."""
        ...


def root_path(key: ServiceKey) -> str:
    """Return the path under which our data of a service are stored."""
    return f"{OWN}/{key.group}/{key.service}"


def patches_path(key: ServiceKey) -> str:
    """Return the folder of a service's patches."""
    return f"{root_path(key)}/patches"


def settings_path(key: ServiceKey) -> str:
    """Return the node of a service's settings."""
    return f"{root_path(key)}/settings"


class IdlrtLayout:
    """Native layout. Implements `Layout`."""

    has_data = True
    is_by_address = False

    def folders(self, key: ServiceKey) -> Sequence[str]:
        return (f"{root_path(key)}/instances",)

    def write(self, instance: Instance) -> Node:
        return Node(self.folders(instance.key)[0], instance.id, msgspec.json.encode(instance), 0)

    def read(self, key: ServiceKey, nodes: Sequence[Node]) -> list[Instance]:
        found: list[Instance] = []
        for node in nodes:
            try:
                instance = msgspec.json.decode(node.data, type=Instance)
                found.append(msgspec.structs.replace(instance, service=key.service, group=key.group, id=node.name))
            except (msgspec.MsgspecError, ConfigurationError, UnicodeDecodeError) as error:
                log_unreadable(node, error)
        return found

    async def same_instance_paths(self, instance: Instance, children: Children) -> list[str]:
        return []

    async def same_id_paths(self, instance: Instance, children: Children) -> list[str]:
        return []

    async def groups(self, children: Children) -> list[str]:
        return await children(OWN)

    async def services(self, group: str, children: Children) -> list[str]:
        return await children(f"{OWN}/{group}")


def newest(found: Sequence[tuple[Instance, float]]) -> list[Instance]:
    """Keep the latest node of each instance: an expired session's node may still be there."""
    last: dict[str, tuple[Instance, float]] = {}
    for instance, written in found:
        known = last.get(instance.id)
        if known is None or written >= known[1]:
            last[instance.id] = instance, written
    return [instance for instance, _ in last.values()]


def log_unreadable(node: Node, error: Exception) -> None:
    """Log a node that cannot be decoded; once, however often it is read."""
    what = f"{node.folder}/{node.name}: {error}"
    if what not in _reported:
        if len(_reported) >= _MAX_REPORTED:
            _reported.clear()
        _reported.add(what)
        path = f"{node.folder}/{node.name}"
        _log.warning("ignoring ZooKeeper node %s: %s", path, error, extra={"path": path})
