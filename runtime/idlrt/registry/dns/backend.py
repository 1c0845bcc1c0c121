"""The registry in DNS. Names are looked up again and again, as their TTL says; a revision is when a change was seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from idlrt.core import ANY_PROTOCOL, Instance, ServiceKey
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError, RegistryRefused
from idlrt.registry.backend import Found, Update
from idlrt.registry.dns.lookup import Lookup, need_dnspython, together
from idlrt.registry.dns.names import Settings
from idlrt.registry.read_only import ReadOnly
from idlrt.registry.url import RegistryUrl

__all__ = ["DnsBackend"]

_log = get_logger("idlrt.registry")

_USUAL_WEIGHT: Final = 100


class DnsBackend(ReadOnly):
    """See the package. A `Backend`.

    Args:
        url: of the registry.
        clock: seconds since 1970.
        sleep: waits for a number of seconds until the next lookup.
    """

    why = "DNS only tells the instances of a service"
    # There is no session that could be lost.
    heartbeat = 60.0

    def __init__(
        self,
        url: RegistryUrl,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        need_dnspython()
        self._settings = Settings.of(url)
        self._name = str(url)
        self._clock = clock
        self._sleep = sleep
        self._lookup: Lookup | None = None
        # What was found last, and when it became so.
        self._seen: dict[ServiceKey, tuple[tuple[Instance, ...], int]] = {}

    async def open(self, lost: Callable[[], None]) -> None:
        """See `Backend.open`. Reads which resolvers this machine uses, unless the URL says whom to ask."""
        self._lookup = Lookup(self._settings.resolvers, self._settings.timeout)

    async def close(self) -> None:
        """See `Backend.close`."""
        self._lookup = None

    async def keep(self, registered: Sequence[Instance] = ()) -> Sequence[Instance]:
        """See `Backend.keep`."""
        return ()

    async def watch(self, key: ServiceKey) -> AsyncIterator[Found]:
        """See `Backend.watch`."""
        told: Found | None = None
        while True:
            found, ttl = await self._look(key)
            if told is None or told.revision != found.revision:
                told = found
                yield found
            await self._sleep(min(max(ttl, self._settings.min_refresh), self._settings.max_refresh))

    async def find(self, key: ServiceKey) -> Found:
        """See `Backend.find`."""
        found, _ = await self._look(key)
        return found

    async def changes(self, key: ServiceKey, since: int) -> Update | None:
        """See `Backend.changes`."""
        return None

    async def _look(self, key: ServiceKey) -> tuple[Found, float]:
        """What there is, and the seconds that it is good for."""
        instances, ttl = await self._instances(key)
        known, revision = self._seen.get(key, ((), 0))
        if not revision or known != instances:
            # Also larger than what a program before this one may have called it.
            revision = max(revision + 1, int(self._clock() * 1000))
            self._seen[key] = instances, revision
        return Found(instances=instances, revision=revision), ttl

    async def _instances(self, key: ServiceKey) -> tuple[tuple[Instance, ...], float]:
        settings = self._settings
        if self._lookup is None:
            raise RegistryRefused(f"{self._name} is not open")
        name = settings.name(key)
        if settings.port:
            found = await self._lookup.addresses(name)
            made = [_instance(key, host, settings.port) for host in found.hosts]
            return _known(made), found.ttl
        targets = await self._lookup.targets(name)
        best = min((each.priority for each in targets.records), default=0)
        chosen = [each for each in targets.records if each.priority == best]
        are_weighted = any(each.weight for each in chosen)
        ttl = targets.ttl
        hosts = [(each, each.host) for each in chosen]
        if settings.resolves:
            answers = await together(*(self._lookup.addresses(each.host) for each in chosen))
            hosts = [(each, host) for each, answer in zip(chosen, answers, strict=True) for host in answer.hosts]
            ttl = min([ttl, *(answer.ttl for answer in answers)])
        made = [
            _instance(
                key,
                host,
                each.port,
                weight=max(each.weight, 1) if are_weighted else _USUAL_WEIGHT,
                target=each.host if settings.resolves else "",
            )
            for each, host in hosts
        ]
        return _known(made), ttl


def _instance(
    key: ServiceKey, host: str, port: int, *, weight: int = _USUAL_WEIGHT, target: str = ""
) -> Instance | None:
    """What is made of a record; `None` if that cannot be an instance."""
    try:
        return Instance(
            service=key.service,
            group=key.group,
            host=host,
            port=port,
            weight=weight,
            metadata={"target": target} if target else {},
            rpc_protocols=ANY_PROTOCOL,
        )
    except ConfigurationError as error:
        _log.warning("left out what DNS has of %s at %s:%d: %s", key, host, port, error)
        return None


def _known(made: list[Instance | None]) -> tuple[Instance, ...]:
    """Those that are some, each once, in an order that does not change."""
    return tuple(sorted({each.id: each for each in made if each is not None}.values(), key=lambda each: each.id))
