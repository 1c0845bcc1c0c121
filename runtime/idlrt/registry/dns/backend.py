"""DNS backend. Names are looked up again when their TTL expires; a revision is the time at which a change was seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from idlrt.core import ANY_PROTOCOL, Instance, ServiceKey
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError, RegistryRefused
from idlrt.registry.backend import ServiceData, Update
from idlrt.registry.dns.lookup import Lookup, check_dnspython, gather_all
from idlrt.registry.dns.names import Settings
from idlrt.registry.read_only import ReadOnly
from idlrt.registry.url import RegistryUrl

__all__ = ["DnsBackend"]

_log = get_logger("idlrt.registry")

_DEFAULT_WEIGHT: Final = 100


class DnsBackend(ReadOnly):
    """Read-only registry backend for DNS. Implements `Backend`.

    Args:
        url: of the registry.
        clock: Unix time in seconds.
        sleep: waits until the next lookup; takes seconds.
    """

    why = "a DNS registry only supports looking up instances"
    # There is no session to lose.
    heartbeat = 60.0

    def __init__(
        self,
        url: RegistryUrl,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        check_dnspython()
        self._settings = Settings.of(url)
        self._name = str(url)
        self._clock = clock
        self._sleep = sleep
        self._lookup: Lookup | None = None
        # Last known instances, and the revision at which they were seen first.
        self._seen: dict[ServiceKey, tuple[tuple[Instance, ...], int]] = {}

    async def open(self, lost: Callable[[], None]) -> None:
        """Create the resolver: this machine's configuration is read if the URL names none."""
        self._lookup = Lookup(self._settings.resolvers, self._settings.timeout)

    async def close(self) -> None:
        self._lookup = None

    async def keep(self, registered: Sequence[Instance] = ()) -> Sequence[Instance]:
        return ()

    async def watch(self, key: ServiceKey) -> AsyncIterator[ServiceData]:
        last: ServiceData | None = None
        while True:
            found, ttl = await self._look(key)
            if last is None or last.revision != found.revision:
                last = found
                yield found
            await self._sleep(min(max(ttl, self._settings.min_refresh), self._settings.max_refresh))

    async def find(self, key: ServiceKey) -> ServiceData:
        found, _ = await self._look(key)
        return found

    async def changes(self, key: ServiceKey, since: int) -> Update | None:
        return None

    async def _look(self, key: ServiceKey) -> tuple[ServiceData, float]:
        """Look up a service; return its state and the TTL in seconds."""
        instances, ttl = await self._instances(key)
        known, revision = self._seen.get(key, ((), 0))
        if not revision or known != instances:
            # Milliseconds, so that revisions also increase from one run of a program to the next.
            revision = max(revision + 1, int(self._clock() * 1000))
            self._seen[key] = instances, revision
        return ServiceData(instances=instances, revision=revision), ttl

    async def _instances(self, key: ServiceKey) -> tuple[tuple[Instance, ...], float]:
        settings = self._settings
        if self._lookup is None:
            raise RegistryRefused(f"cannot look up {key} at {self._name}: the registry is closed")
        name = settings.name(key)
        if settings.port:
            found = await self._lookup.addresses(name)
            made = [_instance(key, host, settings.port) for host in found.hosts]
            return _unique(made), found.ttl
        targets = await self._lookup.targets(name)
        best = min((each.priority for each in targets.records), default=0)
        chosen = [each for each in targets.records if each.priority == best]
        are_weighted = any(each.weight for each in chosen)
        ttl = targets.ttl
        hosts = [(each, each.host) for each in chosen]
        if settings.resolves:
            answers = await gather_all(*(self._lookup.addresses(each.host) for each in chosen))
            hosts = [(each, host) for each, answer in zip(chosen, answers, strict=True) for host in answer.hosts]
            ttl = min([ttl, *(answer.ttl for answer in answers)])
        made = [
            _instance(
                key,
                host,
                each.port,
                weight=max(each.weight, 1) if are_weighted else _DEFAULT_WEIGHT,
                target=each.host if settings.resolves else "",
            )
            for each, host in hosts
        ]
        return _unique(made), ttl


def _instance(
    key: ServiceKey, host: str, port: int, *, weight: int = _DEFAULT_WEIGHT, target: str = ""
) -> Instance | None:
    """Build an instance from a record; `None` if the record is not a valid one."""
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
        _log.warning(
            "ignoring DNS record %s:%d of %s: %s", host, port, key, error, extra={"service": str(key), "host": host}
        )
        return None


def _unique(made: list[Instance | None]) -> tuple[Instance, ...]:
    """Remove invalid and duplicate instances; sort by id."""
    return tuple(sorted({each.id: each for each in made if each is not None}.values(), key=lambda each: each.id))
