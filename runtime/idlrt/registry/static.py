"""Static server list: `static://h1:9090,h2:9090`, for services that are in no registry.

The list says nothing about the servers, so they have equal weights and no zone, and use the framing `framed` unless the
client chooses another one. Clients check their health as with every registry. The list answers for every service and
every group, because the client alone decides what it calls there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from idlrt.core import ANY_PROTOCOL, DEFAULT_GROUP, Instance, ServiceKey
from idlrt.errors import ConfigurationError
from idlrt.registry.backend import ServiceData, Update
from idlrt.registry.read_only import ReadOnly
from idlrt.registry.url import RegistryUrl

__all__ = ["StaticBackend"]

_PROTOCOLS = ("framed",)


class StaticBackend(ReadOnly):
    """Registry backend with a fixed list of instances. Implements `Backend`.

    Args:
        url: URL that lists the servers.

    Raises:
        ConfigurationError: a server is not a valid `host:port`.
    """

    why = "a static registry only supports looking up instances"
    # There is no session to lose.
    heartbeat = 60.0

    def __init__(self, url: RegistryUrl) -> None:
        url.check_options(())
        if url.path:
            raise url.refuse(f"a path (/{url.path}) is not supported")
        if not url.hosts:
            raise url.refuse("missing servers; write static://host:port,host:port")
        self._name = str(url)
        made = [_instance(url, host, port) for host, port in url.hosts]
        self._instances = tuple({each.id: each for each in made}.values())

    async def open(self, lost: Callable[[], None]) -> None:
        """Do nothing: there is no connection."""

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    async def keep(self, registered: Sequence[Instance] = ()) -> Sequence[Instance]:
        return ()

    async def watch(self, key: ServiceKey) -> AsyncIterator[ServiceData]:
        """Yield the list once; it never changes."""
        yield await self.find(key)
        await asyncio.Event().wait()

    async def find(self, key: ServiceKey) -> ServiceData:
        replace = msgspec.structs.replace
        instances = [replace(each, service=key.service, group=key.group) for each in self._instances]
        return ServiceData(instances=instances, revision=1)

    async def changes(self, key: ServiceKey, since: int) -> Update | None:
        return None


def _instance(url: RegistryUrl, host: str, port: int) -> Instance:
    if not port:
        raise url.refuse(f"missing port in {host!r}; write {host}:9090")
    try:
        return Instance(
            service="any", group=DEFAULT_GROUP, host=host, port=port, protocols=_PROTOCOLS, rpc_protocols=ANY_PROTOCOL
        )
    except ConfigurationError as error:
        raise url.refuse(str(error)) from error
