"""Dubbo's layout in ZooKeeper (apache/dubbo: `ZookeeperRegistry`, `URL`, `UrlUtils.isMatch`), with interface-level
registration.

    /dubbo/{quoted interface}/providers/{quoted URL}   ephemeral; the name holds all data

The URL is `dubbo://HOST:PORT/INTERFACE?NAME=VALUE...` with unquoted values; the URL as a whole is quoted like
`java.net.URLEncoder` does. A service is an interface, or `INTERFACE:VERSION` as in Dubbo's service keys: Dubbo matches
providers by interface, group and version. The group `default` here is the empty group of Dubbo.

Not supported, neither reading nor writing: `configurators` and `routers`, with which Dubbo's operators override
providers; `consumers`. If two nodes have the same address, the later one counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, unquote, unquote_plus

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

__all__ = ["DubboLayout"]

_ROOT: Final = "/dubbo"
_RESERVED: Final = frozenset(
    {"anyhost", "category", "disabled", "dubbo", "enabled", "group", "interface", "side", "version"}
)
_PROTOCOLS: Final = ("dubbo", "tri", "rest", "hessian", "grpc", "rmi", "http")


class DubboLayout:
    """Layout of Dubbo. Implements `Layout`."""

    has_data = False
    is_by_address = False

    def folders(self, key: ServiceKey) -> Sequence[str]:
        return (_providers(split_version(key)[0]),)

    def write(self, instance: Instance) -> Node:
        interface, version = split_version(instance.key)
        parameters = describe(instance, _RESERVED) | {
            "anyhost": "false",
            "category": "providers",
            "dubbo": "2.0.2",  # protocol version, which is the same in all releases since 2.6.2
            "interface": interface,
            "side": "provider",
        }
        # Values are not quoted individually; this one must not contain special characters.
        parameters["idlrt"] = quote(parameters["idlrt"], safe="")
        if instance.group != DEFAULT_GROUP:
            parameters["group"] = instance.group
        if version:
            parameters["version"] = version
        if instance.status is not Status.UP:
            parameters["disabled"] = "true"
        url = JavaUrl(
            protocol=protocol_of(instance, _PROTOCOLS),
            host=instance.host,
            port=instance.port,
            path=interface,
            parameters=parameters,
        )
        return Node(_providers(interface), java_quote(url.text()), b"", 0)

    def read(self, key: ServiceKey, nodes: Sequence[Node]) -> list[Instance]:
        interface = split_version(key)[0]
        found: list[tuple[Instance, float]] = []
        for node in nodes:
            try:
                url = JavaUrl.parse(unquote_plus(node.name))
                if _key(interface, url) == key:
                    found.append(_read(key, url))
            except (ValueError, msgspec.MsgspecError) as error:
                log_unreadable(node, error)
        return newest(found)

    async def same_instance_paths(self, instance: Instance, children: Children) -> list[str]:
        """List nodes with the same id or address: any change of an instance changes the name of its node."""
        own = self.write(instance)
        same: list[str] = []
        # A cheap filter before names are parsed.
        address = own.name.partition("%3F")[0].partition("%3A%2F%2F")[2]
        id = java_quote(quote(instance.id, safe=""))
        for name in await children(own.folder):
            if address not in name and id not in name:
                continue
            found = self.read(instance.key, [Node(own.folder, name, b"", 0)])
            if name != own.name and found and found[0].id == instance.id:
                same.append(f"{own.folder}/{name}")
        return same

    async def same_id_paths(self, instance: Instance, children: Children) -> list[str]:
        """Return nothing: names contain the ids, so `same_instance_paths` has found all nodes."""
        return []

    async def groups(self, children: Children) -> list[str]:
        """List the groups that have instances: Dubbo does not store others."""
        return list({key.group for key in await self._keys(children)})

    async def services(self, group: str, children: Children) -> list[str]:
        """List the services of a group that have instances: Dubbo does not store others."""
        return list({key.service for key in await self._keys(children) if key.group == group})

    async def _keys(self, children: Children) -> list[ServiceKey]:
        found: list[ServiceKey] = []
        interfaces = await children(_ROOT)
        providers = await asyncio.gather(*(children(f"{_ROOT}/{each}/providers") for each in interfaces))
        for each, names in zip(interfaces, providers, strict=True):
            for name in names:
                try:
                    found.append(_key(unquote_plus(each), JavaUrl.parse(unquote_plus(name))))
                except ValueError as error:
                    log_unreadable(Node(each, name, b"", 0), error)
        return found


def _providers(interface: str) -> str:
    return f"{_ROOT}/{java_quote(interface)}/providers"


def _key(interface: str, url: JavaUrl) -> ServiceKey:
    version = url.parameters.get("version", "")
    return ServiceKey(
        f"{interface}:{version}" if version else interface, url.parameters.get("group", "") or DEFAULT_GROUP
    )


def _read(key: ServiceKey, url: JavaUrl) -> tuple[Instance, float]:
    parameters = dict(url.parameters)
    if "idlrt" in parameters:
        parameters["idlrt"] = unquote(parameters["idlrt"])
    is_off = parameters.get("disabled") == "true" or parameters.get("enabled") == "false"
    unquoted = msgspec.structs.replace(url, parameters=parameters)
    instance = instance_of(key, unquoted, _RESERVED, is_up=not is_off)
    return instance, instance.started_at
