"""Sessions in quick succession: late responses of one do not affect the next, and a registry that ends sessions
immediately is retried with a backoff.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from eventually import TIMEOUT
from virtual_loop import VirtualLoop

from idlrt.core import Instance
from idlrt.registry import Registry, RegistryUrl, SessionLost
from idlrt.registry.engine import Engine
from idlrt.registry.memory import MemoryBackend


class Late(MemoryBackend):
    """Loses its first session during a registration, and completes that request after the next session has begun and
    the instance is registered in it.
    """

    def __init__(self, url: RegistryUrl) -> None:
        super().__init__(url)
        self.opened = 0
        self.second = asyncio.Event()
        self.has_answered_late = False
        self.lost: Callable[[], None] = lambda: None

    async def open(self, lost: Callable[[], None]) -> None:
        self.opened += 1
        self.lost = lost
        await super().open(lost)
        if self.opened == 2:
            self.second.set()

    async def register(self, instance: Instance) -> None:
        if self.opened == 1:
            self.lost()
            await self.second.wait()
            # The engine learns of the next session before it receives this response.
            await asyncio.sleep(0)
            self.has_answered_late = True
            raise SessionLost("the first session is over")
        await super().register(instance)


def test_a_late_response_does_not_end_the_next_session() -> None:
    backend = Late(RegistryUrl.parse("memory://late"))
    with Registry(lambda: backend, "late", timeout=TIMEOUT) as registry:
        registration = registry.register(Instance(service="demo.Users", host="127.0.0.1", port=20001))
        registration.wait()
        assert backend.has_answered_late
        assert [each.port for each in registry.instances("demo.Users").instances] == [20001]
        registry.groups()
        assert backend.opened == 2


class Fickle(MemoryBackend):
    """Ends each session immediately."""

    def __init__(self, url: RegistryUrl) -> None:
        super().__init__(url)
        self.opened = 0

    async def open(self, lost: Callable[[], None]) -> None:
        self.opened += 1
        await super().open(lost)
        lost()


def test_short_sessions_are_followed_by_a_backoff() -> None:
    backend = Fickle(RegistryUrl.parse("memory://fickle"))

    async def main() -> None:
        engine = Engine(backend, None, "fickle")
        engine.start()
        await asyncio.sleep(60)
        await engine.stop(0)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    # The backoff grows from 0.1 to 5 seconds, with a jitter of 20 %.
    assert 10 <= backend.opened <= 30
