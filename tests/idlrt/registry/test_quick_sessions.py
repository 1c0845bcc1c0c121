"""Sessions that follow each other quickly: late answers about one do no harm to the next, and a registry that ends all
of them at once is not asked for the next without end.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

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


class Fickle(MemoryBackend):
    """Ends each session as soon as it has begun."""

    def __init__(self, url: RegistryUrl) -> None:
        super().__init__(url)
        self.opened = 0

    async def open(self, lost: Callable[[], None]) -> None:
        """See `Backend.open`."""
        self.opened += 1
        await super().open(lost)
        lost()


@pytest.mark.slow
def test_a_registry_that_ends_all_sessions_is_not_asked_without_end() -> None:
    backend = Fickle(RegistryUrl.parse("memory://fickle"))
    with Registry(lambda: backend, "fickle") as registry:
        registry.subscribe("demo.Users")
        end = time.monotonic() + 1.0
        while time.monotonic() < end and backend.opened < 50:
            time.sleep(0.01)
        assert 2 <= backend.opened < 20
