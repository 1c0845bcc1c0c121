"""The two drivers, and the one that drives blocking calls. (The fake one: tests/idlrt/testing.)"""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from idlrt.core import AsyncioDriver, BlockingDriver, Driver, Event, drive


async def good(value: Any) -> Any:
    return value


async def bad(text: str) -> Any:
    raise ValueError(text)


def run(driver: Driver, coroutine: Any) -> Any:
    return drive(coroutine) if isinstance(driver, BlockingDriver) else asyncio.run(coroutine)


DRIVERS = [BlockingDriver(), AsyncioDriver()]


def test_drive_returns_and_raises() -> None:
    assert drive(good(7)) == 7
    with pytest.raises(ValueError, match="no"):
        drive(bad("no"))


def test_drive_refuses_what_suspends() -> None:
    closed = []

    async def suspend() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    with pytest.raises(RuntimeError, match="driver"):
        drive(suspend())
    assert closed == [True]


@pytest.mark.parametrize("driver", DRIVERS)
def test_time_goes_on_while_sleeping(driver: Driver) -> None:
    start = driver.now()
    run(driver, driver.sleep(0.002))
    run(driver, driver.sleep(-1))

    assert driver.now() - start >= 0.002


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_race_is_won_by_the_first_that_succeeds(driver: Driver) -> None:
    assert run(driver, driver.race([lambda: bad("a"), lambda: good(2)])) == 2
    assert run(driver, driver.race([lambda: good(None)])) is None


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_race_without_a_winner_raises(driver: Driver) -> None:
    with pytest.raises(ValueError, match=r"a|b"):
        run(driver, driver.race([lambda: bad("a"), lambda: bad("b")]))
    with pytest.raises(ValueError, match="cannot race: there are no tasks"):
        run(driver, driver.race([]))


def test_a_blocking_race_does_not_wait_for_the_slow() -> None:
    gate = threading.Event()

    async def slow() -> int:
        gate.wait(3600)
        return 1

    assert run(BlockingDriver(), BlockingDriver().race([slow, lambda: good(2)])) == 2
    gate.set()


def test_an_asyncio_race_cancels_the_slow() -> None:
    cancelled = []

    async def slow() -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return 1

    assert asyncio.run(AsyncioDriver().race([slow, lambda: good(2)])) == 2
    assert cancelled == [True]


def test_the_error_names_the_suspending_function() -> None:
    async def inner_filter() -> None:
        await asyncio.sleep(0)

    async def outer() -> None:
        await inner_filter()

    with pytest.raises(
        RuntimeError,
        match=r"inner_filter \(.*test_driver\.py:\d+\) suspended in a filter of .*through the call's dri",
    ):
        drive(outer())


# Events.


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_event_that_has_happened_is_not_waited_for(driver: Driver) -> None:
    async def main() -> tuple[bool, bool]:
        event = driver.event()
        before = await event.wait(0)
        event.set()
        event.set()
        return before, await event.wait(1000)

    assert run(driver, main()) == (False, True)


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_event_that_another_thread_sets_is_waited_for(driver: Driver) -> None:
    threads: list[threading.Thread] = []

    async def main() -> list[bool]:
        found = []
        for _ in range(200):
            event = driver.event()
            threads.append(threading.Thread(target=event.set))
            threads[-1].start()
            found.append(await event.wait(3600))  # it is woken, or the test hangs
        return found

    assert run(driver, main()) == [True] * 200
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("driver", DRIVERS)
def test_waiting_for_an_event_ends(driver: Driver) -> None:
    async def main() -> bool:
        return await driver.event().wait(0.002)

    start = driver.now()
    assert run(driver, main()) is False
    assert driver.now() - start >= 0.002


def test_an_event_of_a_loop_that_is_gone_may_be_set() -> None:
    async def main() -> Event:
        return AsyncioDriver().event()

    asyncio.run(main()).set()


def test_a_task_that_waits_for_an_event_can_be_cancelled() -> None:
    async def main() -> None:
        event = AsyncioDriver().event()
        task = asyncio.ensure_future(event.wait(1000))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        event.set()
        await asyncio.sleep(0)

    asyncio.run(main())


def test_losers_of_an_asyncio_race_are_not_complained_of() -> None:
    """Three end in the same turn of the loop."""
    complaints: list[dict[str, Any]] = []

    async def win() -> int:
        return 1

    async def lose() -> int:
        raise ValueError

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        for _ in range(10):
            assert await AsyncioDriver().race([win, lose, lose]) == 1
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert complaints == []
