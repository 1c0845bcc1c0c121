"""Services as Motan's servers and clients have them in ZooKeeper (weibocom/motan: `ZookeeperRegistry`, `ZkUtils`).

    /motan/{group}/{interface}/server/{host:port}             ephemeral, to be called
    /motan/{group}/{interface}/unavailableServer/{host:port}  ephemeral, not to be called: not yet, or not now
    /motan/{group}/{interface}/client/{host:port}             ephemeral, who calls; we write none

The data is a URL (`URL.toFullStr`: values quoted, an `&` at the end). Java's registry `zookeeper` has the string
serialized by Java, the registry `zk` in UTF-8, and `zk` reads both: so both are read here, and Java's is written.

Our group `default` is Motan's `default_rpc`. A service is an interface, or `INTERFACE:VERSION`; without a version it is
Motan's own default, 1.0. Motan keys servers by address: an instance's id stands in its URL, and there is one of them at
an address. Weights are for us; Motan's are of groups.
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
from idlrt.registry.zookeeper.layouts import Children, newest, unreadable
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
    """See the module. A `Layout`."""

    has_data = True
    is_by_address = True

    def folders(self, key: ServiceKey) -> Sequence[str]:
        """See `Layout.folders`."""
        service = f"{_ROOT}/{_group(key.group)}/{split_version(key)[0]}"
        return f"{service}/{_UNAVAILABLE}", f"{service}/{_AVAILABLE}"

    def write(self, instance: Instance) -> Node:
        """See `Layout.write`."""
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
        """See `Layout.read`."""
        found: list[tuple[Instance, float]] = []
        for node in nodes:
            try:
                instance = _read(key, node)
            except (ValueError, msgspec.MsgspecError) as error:
                unreadable(node, error)
            else:
                if instance is not None:
                    found.append((instance, node.created))
        return newest(found)

    async def others(self, instance: Instance, children: Children) -> list[str]:
        """See `Layout.others`."""
        own = self.write(instance)
        return [f"{each}/{own.name}" for each in self.folders(instance.key) if each != own.folder]

    async def rivals(self, instance: Instance, children: Children) -> list[str]:
        """See `Layout.rivals`. Nodes are called by address, and ids stand in the data: all have to be looked at,
        unless the id is the address.
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
        """See `Backend.groups`."""
        return [DEFAULT_GROUP if each == _DEFAULT_GROUP else each for each in await children(_ROOT)]

    async def services(self, group: str, children: Children) -> list[str]:
        """See `Backend.services`. Versions are not told: they are known of instances only."""
        # Beside the services stands what operators tell clients.
        return [each for each in await children(f"{_ROOT}/{_group(group)}") if each != "command"]


def _group(group: str) -> str:
    return _DEFAULT_GROUP if group == DEFAULT_GROUP else group


def _read(key: ServiceKey, node: Node) -> Instance | None:
    is_up = node.folder.endswith(f"/{_AVAILABLE}")
    text = text_of_java(node.data).strip()
    if not text:
        # Java takes the address from the name, and all else from its own client.
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
    """A string as `java.io.ObjectOutputStream` writes it; ASCII only, where Java's UTF-8 is everybody's."""
    data = text.encode("ascii")
    if len(data) > 0xFFFF:
        return _JAVA + bytes([_LONG_STRING]) + len(data).to_bytes(8, "big") + data
    return _JAVA + bytes([_STRING]) + len(data).to_bytes(2, "big") + data


def text_of_java(data: bytes) -> str:
    """A string that Java has serialized, or plain UTF-8. Raises `ValueError`."""
    if not data.startswith(_JAVA[:2]):
        return data.decode()
    size = {_STRING: 2, _LONG_STRING: 8}.get(data[4]) if data.startswith(_JAVA) and len(data) > 4 else None
    if size is None:
        raise ValueError("it is not a string that Java has serialized")
    start = 5 + size
    return data[start : start + int.from_bytes(data[5:start], "big")].decode()
