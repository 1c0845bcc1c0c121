"""Virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from idlrt.testing import FakeDriver


def test_sleeping_moves_the_clock_and_waits_for_nothing() -> None:
    driver = FakeDriver(100.0)

    async def main() -> float:
        await driver.sleep(3600)
        await driver.sleep(0.5)
        return driver.now()

    assert driver.run(main()) == 3700.5
    assert driver.slept == [3600, 0.5]
    driver.advance(9.5)
    assert driver.now() == 3710.0


def test_errors_come_through() -> None:
    async def main() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        FakeDriver().run(main())


def test_a_race_is_won_in_virtual_time() -> None:
    driver = FakeDriver()
    ended: list[str] = []

    def runner(name: str, seconds: float, *, fails: bool = False) -> Any:
        async def run() -> str:
            try:
                await driver.sleep(seconds)
                if fails:
                    raise ValueError(name)
                return name
            finally:
                ended.append(f"{name} at {driver.now():g}")

        return run

    async def main() -> str:
        return await driver.race([runner("slow", 10), runner("fast", 2), runner("broken", 1, fails=True)])

    assert driver.run(main()) == "fast"
    assert driver.now() == 2
    assert ended == ["broken at 1", "fast at 2", "slow at 2"]


def test_a_race_that_nobody_wins_raises_the_last_error() -> None:
    driver = FakeDriver()

    async def fail(seconds: float) -> None:
        await driver.sleep(seconds)
        raise ValueError(f"after {seconds:g}")

    with pytest.raises(ValueError, match="after 2"):
        driver.run(driver.race([lambda: fail(2), lambda: fail(1)]))
    with pytest.raises(ValueError, match="somebody"):
        driver.run(driver.race([]))


def test_races_within_races() -> None:
    driver = FakeDriver()

    async def after(seconds: float) -> float:
        await driver.sleep(seconds)
        return seconds

    async def inner() -> float:
        return await driver.race([lambda: after(5), lambda: after(3)])

    assert driver.run(driver.race([inner, lambda: after(4)])) == 3
    assert driver.now() == 3


def test_what_is_not_of_the_driver_is_refused() -> None:
    async def main() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="not of the fake driver"):
        FakeDriver().run(main())


def test_every_run_is_the_same() -> None:
    def trace() -> list[tuple[float, int]]:
        driver = FakeDriver()
        found: list[tuple[float, int]] = []

        async def walk(number: int) -> int:
            for step in range(5):
                await driver.sleep((number * 7 + step * 3) % 5)
                found.append((driver.now(), number))
            raise ValueError("over")

        with pytest.raises(ValueError, match="over"):
            driver.run(driver.race([lambda number=number: walk(number) for number in range(10)]))  # type: ignore[misc]
        return found

    assert trace() == trace()
