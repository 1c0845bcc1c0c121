"""Answers that come late, about a session that has been replaced meanwhile, do no harm to its successor."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from idlrt.core import Instance
from idlrt.registry import Registry, RegistryUrl, SessionLost
from idlrt.registry.memory import MemoryBackend


class Late(MemoryBackend):
    """Loses its first session while an instance is being registered, and answers that request after the next one has
    begun.
    """

    def __init__(self, url: RegistryUrl) -> None:
        super().__init__(url)
        self.opened = 0
        self.has_answered_late = threading.Event()
        self._lost: Callable[[], None] = int

    async def open(self, lost: Callable[[], None]) -> None:
        """See `Backend.open`."""
        self.opened += 1
        self._lost = lost
        await super().open(lost)

    async def register(self, instance: Instance) -> None:
        """See `Backend.register`."""
        if self.opened == 1:
            self._lost()
            while self.opened == 1:
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            self.has_answered_late.set()
            raise SessionLost("the first session is over")
        await super().register(instance)


def test_a_late_answer_does_not_end_the_next_session() -> None:
    backend = Late(RegistryUrl.parse("memory://late"))
    with Registry(lambda: backend, "late") as registry:
        registration = registry.register(Instance(service="demo.Users", host="127.0.0.1", port=20001))
        assert backend.has_answered_late.wait(10)
        registration.wait(10)
        assert [each.port for each in registry.instances("demo.Users").instances] == [20001]
        registry.groups()
        assert backend.opened == 2
