"""Motan's layout in ZooKeeper (weibocom/motan: `ZookeeperRegistry`, `ZkUtils`).

    /motan/{group}/{interface}/server/{host:port}             ephemeral, in rotation
    /motan/{group}/{interface}/unavailableServer/{host:port}  ephemeral, not in rotation (yet)
    /motan/{group}/{interface}/client/{host:port}             ephemeral, a client; not written here

The data is a URL (`URL.toFullStr`: values quoted, with a trailing `&`). Java's registry `zookeeper` stores a string in
Java serialization, the registry `zk` stores UTF-8, and `zk` reads both: so this layout reads both and writes Java
serialization.

The group `default` here is `default_rpc` in Motan. A service is an interface, or `INTERFACE:VERSION`; without a version
it is Motan's default, 1.0. Motan keys servers by address: the URL contains the instance's id, and there is one instance
per address. Only our clients use the weights; Motan has weights of groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_plus

import msgspec

from idlrt.core import DEFAULT_GROUP, Instance, ServiceKey, Status
from idlrt.registry.zookeeper.java_urls import (
    JavaUrl,
    describe,
    instance_of,
    java_quote,
    protocol_of,
    split_version,
)
from idlrt.registry.zookeeper.layouts import Children, log_unreadable, newest
from idlrt.registry.zookeeper.tree import Node

__all__ = ["MotanLayout"]

_ROOT: Final = "/motan"
_DEFAULT_GROUP: Final = "default_rpc"
_DEFAULT_VERSION: Final = "1.0"
_AVAILABLE: Final = "server"
_UNAVAILABLE: Final = "unavailableServer"
_RESERVED: Final = frozenset({"group", "version", "nodeType", "refreshTimestamp"})
_PROTOCOLS: Final = ("motan2", "motan", "motan1-compress", "grpc", "grpc-pb", "restful", "yar")
# java.io.ObjectStreamConstants: magic and version, then TC_STRING with 2 bytes of length or TC_LONGSTRING with 8.
_JAVA: Final = b"\xac\xed\x00\x05"
_STRING: Final = 0x74
_LONG_STRING: Final = 0x7C


class MotanLayout:
    """Layout of Motan. Implements `Layout`."""

    has_data = True
    is_by_address = True

    def folders(self, key: ServiceKey) -> Sequence[str]:
        service = f"{_ROOT}/{_group(key.group)}/{split_version(key)[0]}"
        return f"{service}/{_UNAVAILABLE}", f"{service}/{_AVAILABLE}"

    def write(self, instance: Instance) -> Node:
        interface, version = split_version(instance.key)
        parameters = describe(instance, _RESERVED) | {
            "group": _group(instance.group),
            "version": version or _DEFAULT_VERSION,
            "nodeType": "service",
        }
        url = JavaUrl(
            protocol=protocol_of(instance, _PROTOCOLS),
            host=instance.host,
            port=instance.port,
            path=interface,
            parameters={java_quote(name): java_quote(value) for name, value in parameters.items()},
        )
        unavailable, available = self.folders(instance.key)
        folder = available if instance.status is Status.UP else unavailable
        return Node(folder, f"{instance.host}:{instance.port}", java_string(f"{url.text()}&"), 0)

    def read(self, key: ServiceKey, nodes: Sequence[Node]) -> list[Instance]:
        found: list[tuple[Instance, float]] = []
        for node in nodes:
            try:
                instance = _read(key, node)
            except (ValueError, msgspec.MsgspecError) as error:
                log_unreadable(node, error)
            else:
                if instance is not None:
                    found.append((instance, node.created))
        return newest(found)

    async def same_instance_paths(self, instance: Instance, children: Children) -> list[str]:
        own = self.write(instance)
        return [f"{each}/{own.name}" for each in self.folders(instance.key) if each != own.folder]

    async def same_id_paths(self, instance: Instance, children: Children) -> list[str]:
        """List all other nodes: names are addresses, and ids are in the data, so each node must be read, unless the id
        is the address.
        """
        own = self.write(instance).name
        if instance.id == own:
            return []
        return [
            f"{folder}/{name}"
            for folder in self.folders(instance.key)
            for name in await children(folder)
            if name != own
        ]

    async def groups(self, children: Children) -> list[str]:
        return [DEFAULT_GROUP if each == _DEFAULT_GROUP else each for each in await children(_ROOT)]

    async def services(self, group: str, children: Children) -> list[str]:
        """List the services of a group, without versions, which only instances have."""
        # `command` is a sibling of the services: it holds operators' commands for clients.
        return [each for each in await children(f"{_ROOT}/{_group(group)}") if each != "command"]


def _group(group: str) -> str:
    return _DEFAULT_GROUP if group == DEFAULT_GROUP else group


def _read(key: ServiceKey, node: Node) -> Instance | None:
    is_up = node.folder.endswith(f"/{_AVAILABLE}")
    text = text_of_java(node.data).strip()
    if not text:
        # Java takes the address from the name, and everything else from its own client's configuration.
        host, _, port = node.name.rpartition(":")
        return Instance(
            service=key.service,
            group=key.group,
            host=host.strip("[]"),
            port=int(port),
            status=Status.UP if is_up else Status.DISABLED,
        )
    raw = JavaUrl.parse(text)
    parameters = {unquote_plus(name): unquote_plus(value) for name, value in raw.parameters.items()}
    url = msgspec.structs.replace(raw, parameters=parameters)
    if parameters.get("version", _DEFAULT_VERSION) != (split_version(key)[1] or _DEFAULT_VERSION):
        return None
    return instance_of(key, url, _RESERVED, is_up=is_up)


def java_string(text: str) -> bytes:
    """Serialize a string like `java.io.ObjectOutputStream`. ASCII only, where Java's modified UTF-8 equals UTF-8."""
    data = text.encode("ascii")
    if len(data) > 0xFFFF:
        return _JAVA + bytes([_LONG_STRING]) + len(data).to_bytes(8, "big") + data
    return _JAVA + bytes([_STRING]) + len(data).to_bytes(2, "big") + data


def text_of_java(data: bytes) -> str:
    """Decode a string in Java serialization or plain UTF-8. Raises `ValueError`."""
    if not data.startswith(_JAVA[:2]):
        return data.decode()
    size = {_STRING: 2, _LONG_STRING: 8}.get(data[4]) if data.startswith(_JAVA) and len(data) > 4 else None
    if size is None:
        raise ValueError("not a Java-serialized string")
    start = 5 + size
    return data[start : start + int.from_bytes(data[5:start], "big")].decode()
