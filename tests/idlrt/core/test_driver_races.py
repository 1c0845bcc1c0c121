"""Races, and all at once, with all three drivers: they do alike."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from idlrt.core import AsyncioDriver, BlockingDriver, Driver, drive
from idlrt.core.races import is_called_off
from idlrt.core.threads import THREADS, Threads
from idlrt.testing import FakeDriver

DRIVERS: list[Callable[[], Driver]] = [BlockingDriver, AsyncioDriver, FakeDriver]
every_driver = pytest.mark.parametrize("make", DRIVERS)

# A step of time. Where time is real it must be long enough to tell one thing from the next.
STEP = 0.03


def run(driver: Driver, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What it comes to: its result, or what was raised."""
    try:
        if isinstance(driver, FakeDriver):
            return driver.run(coroutine)
        return drive(coroutine) if isinstance(driver, BlockingDriver) else asyncio.run(coroutine)
    except BaseException as error:  # noqa: BLE001  # is looked at
        return error


class Course:
    """Runners, and what becomes of them."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.started: list[str] = []
        self.asked = 0
        self.lost: list[str] = []

    def runner(self, name: str, steps: float, error: BaseException | None = None) -> Callable[[], Any]:
        async def start() -> str:
            self.started.append(name)
            try:
                if steps:
                    await self.driver.sleep(steps * STEP)
            except BaseException:
                self.lost.append(name)
                raise
            if error is not None:
                raise error
            return name

        return start

    def lazily(self, *runners: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
        for each in runners:
            self.asked += 1
            yield each


@every_driver
def test_nobody_runs(make: Callable[[], Driver]) -> None:
    driver = make()
    for delay in (0.0, STEP):
        found = run(driver, driver.race([], delay))
        assert isinstance(found, ValueError)
        assert "somebody" in str(found)
    assert run(driver, driver.all([])) == []


@every_driver
def test_without_a_delay_all_start_at_once(make: Callable[[], Driver]) -> None:
    driver = make()
    course = Course(driver)
    runners = [course.runner("a", 5), course.runner("b", 1), course.runner("c", 4)]
    assert run(driver, driver.race(course.lazily(*runners))) == "b"
    assert sorted(course.started) == ["a", "b", "c"]
    assert course.asked == 3


@every_driver
def test_with_a_delay_the_next_is_asked_for_only_when_it_is_to_start(make: Callable[[], Driver]) -> None:
    driver = make()
    course = Course(driver)
    assert run(driver, driver.race(course.lazily(course.runner("a", 0), course.runner("b", 0)), STEP)) == "a"
    assert (course.started, course.asked) == (["a"], 1)
    course = Course(driver)
    runners = [course.runner("a", 9), course.runner("b", 1), course.runner("c", 0)]
    start = driver.now()
    assert run(driver, driver.race(course.lazily(*runners), 3 * STEP)) == "b"
    assert (course.started, course.asked) == (["a", "b"], 2)
    assert 4 * STEP - 0.001 <= driver.now() - start < 6 * STEP


@every_driver
def test_who_fails_is_replaced_at_once(make: Callable[[], Driver]) -> None:
    driver = make()
    course = Course(driver)
    no = ValueError("no")
    runners = [course.runner("a", 0, no), course.runner("b", 0, no), course.runner("c", 0)]
    start = driver.now()
    assert run(driver, driver.race(course.lazily(*runners), 1000.0)) == "c"
    assert course.started == ["a", "b", "c"]
    assert driver.now() - start < 1


@every_driver
def test_each_who_fails_is_replaced(make: Callable[[], Driver]) -> None:
    """Two that fail at the same moment leave two places."""
    driver = make()
    course = Course(driver)
    gate = [False]

    def failing(name: str) -> Callable[[], Any]:
        async def start() -> str:
            course.started.append(name)
            while not gate[0]:
                await driver.sleep(0.001)
            raise ValueError(name)

        return start

    async def open_gate() -> str:
        course.started.append("c")
        gate[0] = True
        await driver.sleep(1000 if isinstance(driver, FakeDriver) else 20 * STEP)
        return "c"

    runners = [failing("a"), failing("b"), open_gate, course.runner("d", 2), course.runner("e", 1)]
    assert run(driver, driver.race(course.lazily(*runners), STEP)) in ("d", "e")
    assert course.started[:3] == ["a", "b", "c"]
    assert sorted(course.started[3:]) == ["d", "e"]


@every_driver
def test_when_nobody_comes_in_the_last_error_is_raised(make: Callable[[], Driver]) -> None:
    driver = make()
    course = Course(driver)
    early, late = ValueError("early"), ValueError("late")
    assert run(driver, driver.race([course.runner("a", 3, late), course.runner("b", 0, early)])) is late
    assert run(driver, driver.race([course.runner("a", 0, early), course.runner("b", 0, late)], STEP)) is late


@every_driver
def test_a_final_error_ends_the_race(make: Callable[[], Driver]) -> None:
    driver = make()
    course = Course(driver)
    final = KeyError("final")
    runners = [course.runner("a", 8), course.runner("b", 1, final)]
    found = run(driver, driver.race(runners, is_final=lambda error: isinstance(error, KeyError)))
    assert found is final
    course = Course(driver)
    runners = [course.runner("a", 0, final), course.runner("b", 0)]
    found = run(driver, driver.race(course.lazily(*runners), 1000.0, lambda error: isinstance(error, KeyError)))
    assert found is final
    assert course.started == ["a"]
    assert run(driver, driver.race([course.runner("a", 0, ValueError("no")), course.runner("b", 1)], 0.0)) == "b"


@pytest.mark.parametrize("make", [AsyncioDriver, FakeDriver])
def test_losers_are_stopped(make: Callable[[], Driver]) -> None:
    driver = make()
    course = Course(driver)
    assert run(driver, driver.race([course.runner("a", 900), course.runner("b", 1), course.runner("c", 900)])) == "b"
    assert sorted(course.lost) == ["a", "c"]


def test_blocking_losers_go_on_and_are_not_waited_for() -> None:
    gate, over = threading.Event(), threading.Event()

    async def slow() -> str:
        gate.wait(20)
        over.set()
        return "slow"

    async def quick() -> str:
        return "quick"

    assert drive(BlockingDriver().race([slow, quick])) == "quick"
    assert not over.is_set()
    gate.set()
    assert over.wait(20)


@pytest.mark.parametrize("make", [AsyncioDriver, FakeDriver])
@pytest.mark.parametrize("delay", [0.0, STEP])
def test_who_is_cancelled_stops_its_runners(make: Callable[[], Driver], delay: float) -> None:
    driver = make()
    course = Course(driver)
    race = driver.race([course.runner("a", 900), course.runner("b", 900)], delay)
    if isinstance(driver, FakeDriver):

        async def quick() -> None:
            await driver.sleep(2.5 * STEP)

        run(driver, driver.race([lambda: race, quick]))
    else:
        assert isinstance(asyncio.run(_cancelled(race, 2.5 * STEP)), asyncio.CancelledError)
    assert sorted(course.lost) == ["a", "b"]


async def _cancelled(coroutine: Coroutine[Any, Any, Any], seconds: float) -> Any:
    task = asyncio.ensure_future(coroutine)
    await asyncio.sleep(seconds)
    task.cancel()
    (found,) = await asyncio.gather(task, return_exceptions=True)
    return found


@every_driver
def test_an_error_of_who_names_the_runners_is_raised(make: Callable[[], Driver]) -> None:
    driver = make()
    course = Course(driver)

    def runners() -> Iterator[Callable[[], Any]]:
        yield course.runner("a", 3)
        raise LookupError("nobody else")

    assert isinstance(run(driver, driver.race(runners(), STEP)), LookupError)


# All.


@every_driver
@pytest.mark.parametrize("at_once", [1, 2, 16])
def test_all_come_to_what_they_come_to_in_their_order(make: Callable[[], Driver], at_once: int) -> None:
    driver = make()
    course = Course(driver)
    no = ValueError("no")
    runners = [course.runner(f"{n}", (5 - n) / 10, no if n == 2 else None) for n in range(5)]
    assert run(driver, driver.all(runners, at_once)) == ["0", "1", no, "3", "4"]


@every_driver
def test_no_more_run_at_once_than_that(make: Callable[[], Driver]) -> None:
    driver = make()
    under_way, most = [0], [0]
    lock = threading.Lock()

    async def start() -> None:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        await driver.sleep(0.005)
        with lock:
            under_way[0] -= 1

    assert run(driver, driver.all([start] * 20, 4)) == [None] * 20
    assert most[0] == 4


@every_driver
def test_what_is_no_error_of_a_runner_ends_all(make: Callable[[], Driver]) -> None:
    driver = make()

    async def end() -> None:
        raise SystemExit(3)

    async def good() -> None:
        return None

    found = run(driver, driver.all([good, end, good]))
    if isinstance(found, BaseExceptionGroup):
        (found,) = found.exceptions
    assert isinstance(found, SystemExit)


# Beside.


@every_driver
def test_something_beside_runs_and_its_error_is_logged(
    make: Callable[[], Driver], caplog: pytest.LogCaptureFixture
) -> None:
    driver = make()
    done = threading.Event()

    async def good() -> None:
        done.set()

    async def bad() -> None:
        raise ValueError("broken")

    async def main() -> None:
        driver.beside(good)
        if not isinstance(driver, FakeDriver):
            driver.beside(bad)
        for _ in range(400):
            if done.is_set() and (isinstance(driver, FakeDriver) or "broken" in caplog.text):
                return
            await driver.sleep(0.005)

    assert run(driver, main()) is None
    assert done.is_set()
    if not isinstance(driver, FakeDriver):
        assert "something in the background failed" in caplog.text


# Threads.


def test_threads_are_used_again() -> None:
    threads = Threads()
    seen: list[int] = []
    for _ in range(20):
        done = threading.Event()

        def work(done: threading.Event = done) -> None:
            seen.append(threading.get_ident())
            done.set()

        threads.run(work)
        assert done.wait(20)
        _wait_until(lambda: bool(threads._idle))
    assert len(set(seen)) == 1


def test_a_thread_with_nothing_to_do_ends() -> None:
    threads = Threads(spare_seconds=0.01)
    done = threading.Event()
    threads.run(done.set)
    assert done.wait(20)
    _wait_until(lambda: not threads._idle)
    done.clear()
    threads.run(done.set)
    assert done.wait(20), "and a new one is made"


def _wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not is_so() and time.monotonic() < until:
        time.sleep(0.001)
    assert is_so()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_has_threads_of_its_own() -> None:
    async def quick() -> str:
        return "quick"

    assert drive(BlockingDriver().race([quick, quick])) == "quick"
    _wait_until(lambda: bool(THREADS._idle))
    child = os.fork()
    if not child:
        found = ""
        try:
            found = drive(BlockingDriver().race([quick, quick]))
        finally:
            os._exit(0 if found == "quick" else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_what_runs_beside_sees_the_context_of_who_started_it() -> None:
    from contextvars import ContextVar

    who: ContextVar[str] = ContextVar("who", default="nobody")

    async def ask() -> str:
        return who.get()

    who.set("ada")
    assert drive(BlockingDriver().race([ask])) == "ada"
    assert drive(BlockingDriver().all([ask] * 3)) == ["ada"] * 3


def test_a_loser_that_only_waits_for_its_turn_is_called_off() -> None:
    """As one that waits for a connection of a pool."""
    seen: list[bool] = []
    went_on, is_done = threading.Event(), threading.Event()

    async def quick() -> str:
        return "quick"

    async def waiting() -> str:
        seen.append(is_called_off())
        went_on.wait(20)
        seen.append(is_called_off())
        is_done.set()
        return "late"

    driver = BlockingDriver()
    assert drive(driver.race([waiting, quick])) == "quick"
    went_on.set()
    assert is_done.wait(20)
    assert seen[-1] is True
    assert not is_called_off(), "it is the thread's own matter"
