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


def test_a_race_without_a_winner_raises_the_last_error() -> None:
    driver = FakeDriver()

    async def fail(seconds: float) -> None:
        await driver.sleep(seconds)
        raise ValueError(f"after {seconds:g}")

    with pytest.raises(ValueError, match="after 2"):
        driver.run(driver.race([lambda: fail(2), lambda: fail(1)]))
    with pytest.raises(ValueError, match="there are no tasks"):
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

    with pytest.raises(RuntimeError, match="does not belong to the driver"):
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


def test_an_event_wakes_each_waiter_once() -> None:
    driver = FakeDriver()
    seen: list[tuple[str, float, bool]] = []

    async def wait(name: str, event: Any, seconds: float) -> str:
        is_set = await event.wait(seconds)
        seen.append((name, driver.now(), is_set))
        await driver.sleep(100)
        return name

    async def main() -> str:
        early, late, soon, never = (driver.event() for _ in range(4))

        async def set_them() -> str:
            await driver.sleep(1)
            early.set()
            early.set()
            await driver.sleep(2)
            late.set()
            soon.set()
            await driver.sleep(50)
            raise ValueError("does not win")

        return await driver.race(
            [
                lambda: wait("early", early, 10),
                lambda: wait("late", late, 2),
                lambda: wait("soon", soon, 4),
                lambda: wait("never", never, 5),
                set_them,
            ]
        )

    assert driver.run(main()) == "early"
    assert seen == [("early", 1, True), ("late", 2, False), ("soon", 3, True), ("never", 5, False)]
    assert driver.now() == 101


def test_an_event_set_at_the_last_moment_wakes_once() -> None:
    driver = FakeDriver()

    async def main() -> list[float]:
        event = driver.event()
        found: list[float] = []

        async def wait() -> None:
            await event.wait(1)
            found.append(driver.now())
            await driver.sleep(7)
            found.append(driver.now())

        async def set_it() -> None:
            await driver.sleep(1)
            event.set()
            await driver.sleep(100)

        await driver.race([wait, set_it])
        return found

    assert driver.run(main()) == [1, 8]


def test_an_event_may_be_set_from_outside() -> None:
    driver = FakeDriver()
    event = driver.event()
    assert driver.run(event.wait(3)) is False
    assert driver.now() == 3
    event.set()
    assert driver.run(event.wait(3)) is True
    assert driver.now() == 3
