"""Servers that are written down: `static://h1:9090,h2:9090`. For services that no registry knows.

Nobody says what they are, so they are equals, in no zone, and spoken to in frames unless the client says otherwise.
Which of them live their clients find out, as with every registry. What a client is to call is its own business, so
every service is there, in every group.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from idlrt.core import ANY_PROTOCOL, DEFAULT_GROUP, Instance, ServiceKey
from idlrt.errors import ConfigurationError
from idlrt.registry.backend import Found, Update
from idlrt.registry.read_only import ReadOnly
from idlrt.registry.url import RegistryUrl

__all__ = ["StaticBackend"]

_PROTOCOLS = ("framed",)


class StaticBackend(ReadOnly):
    """See the module. A `Backend`.

    Args:
        url: of the registry, that is, all servers.

    Raises:
        ConfigurationError: one of them cannot be one.
    """

    why = "it is a list of servers and nothing more"
    # There is no session that could be lost.
    heartbeat = 60.0

    def __init__(self, url: RegistryUrl) -> None:
        url.check_options(())
        if url.path:
            raise url.refuse(f"there is no place for /{url.path}")
        if not url.hosts:
            raise url.refuse("it names no server; write static://host:port,host:port")
        self._name = str(url)
        made = [_instance(url, host, port) for host, port in url.hosts]
        self._instances = tuple({each.id: each for each in made}.values())

    async def open(self, lost: Callable[[], None]) -> None:
        """See `Backend.open`."""

    async def close(self) -> None:
        """See `Backend.close`."""

    async def keep(self, registered: Sequence[Instance] = ()) -> Sequence[Instance]:
        """See `Backend.keep`."""
        return ()

    async def watch(self, key: ServiceKey) -> AsyncIterator[Found]:
        """See `Backend.watch`. Nothing ever changes."""
        yield await self.find(key)
        await asyncio.Event().wait()

    async def find(self, key: ServiceKey) -> Found:
        """See `Backend.find`."""
        replace = msgspec.structs.replace
        instances = [replace(each, service=key.service, group=key.group) for each in self._instances]
        return Found(instances=instances, revision=1)

    async def changes(self, key: ServiceKey, since: int) -> Update | None:
        """See `Backend.changes`."""
        return None


def _instance(url: RegistryUrl, host: str, port: int) -> Instance:
    if not port:
        raise url.refuse(f"{host} has no port; write {host}:9090")
    try:
        return Instance(
            service="any", group=DEFAULT_GROUP, host=host, port=port, protocols=_PROTOCOLS, rpc_protocols=ANY_PROTOCOL
        )
    except ConfigurationError as error:
        raise url.refuse(str(error)) from error
