"""Shared by tests of guards: calls in virtual time through one guard."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

import msgspec

from idlrt.core import ClockAndRandom, Decision
from idlrt.guard import GUARDS
from idlrt.testing import FakeDriver
from idlrt.testing.guards import call_for, server_call_for


class Guarded:
    """A guard with a fake clock and a list of its decisions.

    Attributes:
        reached: number of calls that passed the guard.
    """

    def __init__(self, name: str, seed: int = 1, **settings: Any) -> None:
        self.driver = FakeDriver(1000.0)
        self.told: list[Decision] = []
        self.reached = 0
        guard: Any = GUARDS.get(name)
        self.sources = ClockAndRandom(now=self.driver.now, rng=random.Random(seed).random)
        self.guard: Any = guard(msgspec.convert(settings, guard.Settings), self.sources, self.told.append)

    def now(self) -> float:
        return self.driver.now()

    def advance(self, seconds: float) -> None:
        self.driver.advance(seconds)

    async def call(self, outcome: Any = "answer", seconds: float = 0.0, call: Any = None) -> Any:
        """Make a call that ends with `outcome` after `seconds`."""

        async def behind(_: Any) -> Any:
            self.reached += 1
            if seconds:
                await self.driver.sleep(seconds)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        return await self.guard(call if call is not None else call_for(self.driver, 60.0), behind)

    def run(self, outcome: Any = "answer", seconds: float = 0.0, call: Any = None) -> Any:
        """Make a call and wait for it; return the result, or the exception that it raised."""
        try:
            return self.driver.run(self.call(outcome, seconds, call))
        except BaseException as error:  # noqa: BLE001  # is looked at
            return error

    def at_once(self, count: int, seconds: float, outcome: Any = "answer") -> list[Any]:
        """Make `count` concurrent calls; return the outcome of each."""
        found: list[Any] = [None] * count

        def start(number: int) -> Callable[[], Any]:
            async def run() -> None:
                try:
                    found[number] = await self.call(outcome, seconds)
                except Exception as error:  # noqa: BLE001  # is looked at
                    found[number] = error
                raise ValueError("the race goes on")

            return run

        with contextlib.suppress(ValueError):
            self.driver.run(self.driver.race([start(number) for number in range(count)]))
        return found

    def on_server(self, address: str = "10.0.0.1:4711") -> Any:
        return server_call_for(self.driver, 60.0, address)
