"""Concurrency limits for programs with many registrations and subscriptions: heartbeats must not queue behind them,
even after a lost session, when all of them are due again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from eventually import TIMEOUT
from registry_heard import Heard

from idlrt.core import Instance, ServiceKey
from idlrt.registry import Registry, RegistryUrl, ServiceData
from idlrt.registry.memory import MemoryBackend, memory_store

MANY = 300


class Crowded(MemoryBackend):
    """Counts concurrent requests."""

    def __init__(self, url: RegistryUrl) -> None:
        super().__init__(url)
        self.at_once = self.most = self.sessions = 0

    async def _work(self) -> None:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
        finally:
            self.at_once -= 1

    async def open(self, lost: Callable[[], None]) -> None:
        self.sessions += 1
        await super().open(lost)

    async def register(self, instance: Instance) -> None:
        await self._work()
        await super().register(instance)

    async def deregister(self, instance: Instance) -> None:
        await self._work()
        await super().deregister(instance)

    async def watch(self, key: ServiceKey) -> AsyncIterator[ServiceData]:
        await self._work()
        async for found in super().watch(key):
            yield found


@pytest.mark.slow
def test_concurrent_requests_are_limited() -> None:
    backend = Crowded(RegistryUrl.parse("memory://crowd"))
    with Registry(lambda: backend, "crowd", empty_protection=False) as registry:
        registrations = [
            registry.register(Instance(service=f"s{number}", host="127.0.0.1", port=1 + number))
            for number in range(MANY)
        ]
        followed = [Heard(registry.subscribe(f"s{number}")) for number in range(MANY)]
        for number, each in enumerate(followed):
            each.until_ports(1 + number)
        memory_store("crowd").expire_all()
        registrations[0].update(weight=7)
        followed[0].until_weights(7)
        for number, each in enumerate(followed):
            each.until_ports(1 + number)
        assert backend.sessions == 2
        for one in registrations[: MANY // 2]:
            one.deregister(TIMEOUT)
        for each in followed[: MANY // 2]:
            each.until_ports()
    assert 0 < backend.most <= 130
    assert memory_store("crowd").find(ServiceKey(f"s{MANY - 1}")).instances == []
