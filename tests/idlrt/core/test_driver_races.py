"""Races, and all at once, with all three drivers: they do alike."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from eventually import eventually, eventually_async
from virtual_loop import run_virtual

from idlrt.core import AsyncioDriver, BlockingDriver, Driver, Event, drive
from idlrt.core.races import is_cancelled
from idlrt.core.threads import THREADS, Threads
from idlrt.testing import FakeDriver

DRIVERS: list[Callable[[], Driver]] = [BlockingDriver, AsyncioDriver, FakeDriver]
every_driver = pytest.mark.parametrize("make", DRIVERS)
# Those that tests drive in virtual time, so that moments can be compared.
virtual_driver = pytest.mark.parametrize("make", [AsyncioDriver, FakeDriver])

# Long enough that a test which waits for it has failed.
NEVER = 3600.0
# A delay that is over soon, whatever happens meanwhile.
SOON = 0.02


def run(driver: Driver, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run `coroutine`; return its result, or what it raised."""
    try:
        if isinstance(driver, FakeDriver):
            return driver.run(coroutine)
        return drive(coroutine) if isinstance(driver, BlockingDriver) else run_virtual(coroutine)
    except BaseException as error:  # noqa: BLE001  # is looked at
        return error


def clock(driver: Driver) -> float:
    """Return the time, within `run`: seconds since its beginning if it is virtual."""
    return asyncio.get_running_loop().time() if isinstance(driver, AsyncioDriver) else driver.now()


class Gate:
    """Runners of any driver wait at it until it opens."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._waiting: list[Event] = []
        self._is_open = False

    def open(self) -> None:
        self._is_open = True
        for each in list(self._waiting):
            each.set()

    async def wait(self) -> None:
        event = self._driver.event()
        self._waiting.append(event)
        if self._is_open:
            event.set()
        assert await event.wait(NEVER), "the gate stays shut"


class Course:
    """Runners, and what becomes of them. As a context manager it lets runners go that still wait at the end.

    Attributes:
        started: names of the runners that have started, in their order.
        at: when each of them started.
        asked: runners that the race has asked for.
        cancelled: names of runners that were stopped.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.started: list[str] = []
        self.at: dict[str, float] = {}
        self.asked: list[float] = []
        self.cancelled: list[str] = []
        self._gates: dict[str, Gate] = {}

    def gate(self, name: str) -> Gate:
        return self._gates.setdefault(name, Gate(self.driver))

    def runner(
        self,
        name: str,
        error: BaseException | None = None,
        *,
        opens: str = "",
        gates: tuple[str, ...] = (),
        seconds: float = 0.0,
    ) -> Callable[[], Coroutine[Any, Any, str]]:
        """Return a runner that ends with its name.

        Args:
            error: raised at its end.
            opens: gate that it opens when it has started.
            gates: what it waits for, one after the other.
            seconds: that it takes then.
        """

        async def start() -> str:
            self.started.append(name)
            self.at[name] = clock(self.driver)
            try:
                if opens:
                    self.gate(opens).open()
                for each in gates:
                    await self.gate(each).wait()
                if seconds:
                    await self.driver.sleep(seconds)
            except BaseException:
                self.cancelled.append(name)
                raise
            if error is not None:
                raise error
            return name

        return start

    def hanging(self, name: str, *, opens: str = "") -> Callable[[], Coroutine[Any, Any, str]]:
        """Return a runner that does not end before the test does."""
        return self.runner(name, opens=opens, gates=("end",))

    def lazily(self, *runners: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
        for each in runners:
            self.asked.append(clock(self.driver))
            yield each

    def __enter__(self) -> Course:
        return self

    def __exit__(self, *error: object) -> None:
        if isinstance(self.driver, BlockingDriver):
            self.gate("end").open()


@every_driver
def test_a_race_without_runners_is_refused(make: Callable[[], Driver]) -> None:
    driver = make()
    for delay in (0.0, SOON):
        found = run(driver, driver.race([], delay))
        assert isinstance(found, ValueError)
        assert "there are no tasks" in str(found)
    assert run(driver, driver.all([])) == []


@every_driver
def test_without_a_delay_all_start_at_once(make: Callable[[], Driver]) -> None:
    driver = make()
    with Course(driver) as course:
        winner = course.runner("b", gates=("a runs", "c runs"))
        runners = [course.hanging("a", opens="a runs"), winner, course.hanging("c", opens="c runs")]
        assert run(driver, driver.race(course.lazily(*runners))) == "b"
        assert sorted(course.started) == ["a", "b", "c"]
        assert len(course.asked) == 3


@every_driver
def test_with_a_delay_the_next_is_asked_for_only_when_it_is_to_start(make: Callable[[], Driver]) -> None:
    driver = make()
    with Course(driver) as course:
        assert run(driver, driver.race(course.lazily(course.runner("a"), course.runner("b")), NEVER)) == "a"
        assert course.started == ["a"]
        assert len(course.asked) == 1


@every_driver
def test_the_next_starts_after_the_delay_although_the_first_is_still_running(make: Callable[[], Driver]) -> None:
    driver = make()
    with Course(driver) as course:
        assert run(driver, driver.race(course.lazily(course.hanging("a"), course.runner("b")), SOON)) == "b"
        first, second = course.asked
        assert second - first >= SOON - 0.001
    assert sorted(course.started) == ["a", "b"]


@virtual_driver
def test_each_starts_one_delay_after_the_one_before(make: Callable[[], Driver]) -> None:
    driver = make()
    course = Course(driver)
    runners = [
        course.runner("a", seconds=9),
        course.runner("b", seconds=9),
        course.runner("c", seconds=1),
        course.runner("d"),
    ]
    assert run(driver, driver.race(course.lazily(*runners), 3)) == "c"
    assert course.at == {"a": 0, "b": 3, "c": 6}
    assert course.asked == [0, 3, 6]


@every_driver
def test_one_that_fails_is_replaced_at_once(make: Callable[[], Driver]) -> None:
    driver = make()
    no = ValueError("no")
    with Course(driver) as course:
        runners = [course.runner("a", no), course.runner("b", no), course.runner("c")]
        assert run(driver, driver.race(course.lazily(*runners), NEVER)) == "c"
        assert course.started == ["a", "b", "c"]
        assert course.at["c"] - course.at["a"] < NEVER


@every_driver
def test_each_that_fails_is_replaced(make: Callable[[], Driver]) -> None:
    """Two that fail at the same moment leave two places."""
    driver = make()
    no = ValueError("no")
    with Course(driver) as course:
        runners = [
            course.runner("a", no, gates=("fail",)),
            course.runner("b", no, gates=("fail",)),
            course.hanging("c", opens="fail"),
            course.runner("d", opens="d runs", gates=("e runs",)),
            course.runner("e", opens="e runs", gates=("d runs",)),
        ]
        assert run(driver, driver.race(course.lazily(*runners), SOON)) in ("d", "e")
        assert sorted(course.started[:3]) == ["a", "b", "c"]
        assert sorted(course.started[3:]) == ["d", "e"]
        if not isinstance(driver, BlockingDriver):
            assert course.at["c"] == course.at["d"] == course.at["e"]


@every_driver
def test_when_none_succeeds_the_last_error_is_raised(make: Callable[[], Driver]) -> None:
    driver = make()
    early, late = ValueError("early"), ValueError("late")
    with Course(driver) as course:

        def note(error: BaseException) -> bool:
            if error is early:
                course.gate("early is known").open()
            return False

        runners = [course.runner("a", late, gates=("early is known",)), course.runner("b", early)]
        assert run(driver, driver.race(runners, 0.0, note)) is late
        assert run(driver, driver.race([course.runner("a", early), course.runner("b", late)], NEVER)) is late


@every_driver
def test_a_final_error_ends_the_race(make: Callable[[], Driver]) -> None:
    driver = make()
    final = KeyError("final")
    with Course(driver) as course:
        runners = [course.hanging("a"), course.runner("b", final)]
        found = run(driver, driver.race(runners, is_final=lambda error: isinstance(error, KeyError)))
        assert found is final
    with Course(driver) as course:
        runners = [course.runner("a", final), course.runner("b")]
        found = run(driver, driver.race(course.lazily(*runners), NEVER, lambda error: isinstance(error, KeyError)))
        assert found is final
        assert course.started == ["a"]
        assert run(driver, driver.race([course.runner("a", ValueError("no")), course.runner("b")])) == "b"


@virtual_driver
def test_losers_are_stopped(make: Callable[[], Driver]) -> None:
    driver = make()
    course = Course(driver)
    assert run(driver, driver.race([course.hanging("a"), course.runner("b", seconds=1), course.hanging("c")])) == "b"
    assert sorted(course.cancelled) == ["a", "c"]


def test_blocking_losers_go_on_and_are_not_waited_for() -> None:
    gate, over = threading.Event(), threading.Event()

    async def slow() -> str:
        gate.wait(NEVER)
        over.set()
        return "slow"

    async def quick() -> str:
        return "quick"

    assert drive(BlockingDriver().race([slow, quick])) == "quick"
    assert not over.is_set()
    gate.set()
    assert over.wait(60)


@virtual_driver
@pytest.mark.parametrize("delay", [0.0, SOON])
def test_a_race_that_is_cancelled_stops_its_runners(make: Callable[[], Driver], delay: float) -> None:
    driver = make()
    course = Course(driver)
    race = driver.race([course.hanging("a"), course.hanging("b", opens="both run")], delay)
    if isinstance(driver, FakeDriver):
        assert run(driver, driver.race([lambda: race, course.runner("c", gates=("both run",))])) == "c"
    else:
        assert isinstance(run(driver, _cancelled(race, course.gate("both run"))), asyncio.CancelledError)
    assert sorted(course.cancelled) == ["a", "b"]


async def _cancelled(coroutine: Coroutine[Any, Any, Any], gate: Gate) -> Any:
    """Run `coroutine` until `gate` opens, and cancel it then."""
    task = asyncio.ensure_future(coroutine)
    await gate.wait()
    task.cancel()
    return (await asyncio.gather(task, return_exceptions=True))[0]


@every_driver
def test_an_error_of_the_iterator_of_runners_is_raised(make: Callable[[], Driver]) -> None:
    driver = make()
    with Course(driver) as course:

        def runners() -> Iterator[Callable[[], Any]]:
            yield course.hanging("a")
            raise LookupError("no more")

        assert isinstance(run(driver, driver.race(runners(), SOON)), LookupError)


# All.


@every_driver
@pytest.mark.parametrize("at_once", [1, 2, 16])
def test_outcomes_of_all_are_in_the_order_of_the_runners(make: Callable[[], Driver], at_once: int) -> None:
    driver = make()
    no = ValueError("no")
    with Course(driver) as course:

        def runner(number: int) -> Callable[[], Coroutine[Any, Any, str]]:
            async def start() -> str:
                if at_once >= 5 and number < 4:
                    await course.gate(f"{number + 1} is over").wait()  # the last one ends first
                try:
                    return await course.runner(f"{number}", no if number == 2 else None)()
                finally:
                    course.gate(f"{number} is over").open()

            return start

        assert run(driver, driver.all([runner(number) for number in range(5)], at_once)) == ["0", "1", no, "3", "4"]
        if at_once >= 5:
            assert course.started == ["4", "3", "2", "1", "0"]


@every_driver
def test_no_more_run_at_once_than_allowed(make: Callable[[], Driver]) -> None:
    driver = make()
    course = Course(driver)
    running = most = 0
    lock = threading.Lock()

    async def start() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == 4:
                course.gate("all run that may").open()
        await course.gate("all run that may").wait()
        await driver.sleep(0.001)  # room for one more than may run
        with lock:
            running -= 1

    assert run(driver, driver.all([start] * 20, 4)) == [None] * 20
    assert most == 4


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
    del found
    gc.collect()  # asyncio logs that task now, not at the end of the tests


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

    def is_over() -> bool:
        return done.is_set() and "broken" in caplog.text and "background task failed" in caplog.text

    async def main() -> None:
        driver.spawn(good)
        if not isinstance(driver, FakeDriver):
            driver.spawn(bad)
        if isinstance(driver, AsyncioDriver):
            await eventually_async(is_over)

    assert run(driver, main()) is None
    if isinstance(driver, BlockingDriver):
        eventually(is_over)
    if isinstance(driver, FakeDriver):
        driver.finish()
    assert done.is_set()


# Threads.


def test_threads_are_used_again() -> None:
    threads = Threads()
    seen: list[int] = []
    for _ in range(20):
        threads.run(lambda: seen.append(threading.get_ident()))
        eventually(lambda: threads.idle, "the thread is idle again")
    assert len(seen) == 20
    assert len(set(seen)) == 1


def test_a_thread_with_nothing_to_do_ends() -> None:
    threads = Threads(spare_seconds=0.01)
    used: list[threading.Thread] = []
    threads.run(lambda: used.append(threading.current_thread()))
    eventually(lambda: used and not used[0].is_alive(), "the thread ends")
    assert threads.idle == 0
    threads.run(lambda: used.append(threading.current_thread()))
    eventually(lambda: len(used) == 2, "another thread is made")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_process_has_its_own_threads() -> None:
    async def quick() -> str:
        return "quick"

    assert drive(BlockingDriver().race([quick, quick])) == "quick"
    eventually(lambda: THREADS.idle, "a thread is idle")
    child = os.fork()
    if not child:
        found = ""
        try:
            assert THREADS.idle == 0
            found = drive(BlockingDriver().race([quick, quick]))
        finally:
            os._exit(0 if found == "quick" else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_concurrent_tasks_inherit_the_context_of_their_starter() -> None:
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
        seen.append(is_cancelled())
        went_on.wait(NEVER)
        seen.append(is_cancelled())
        is_done.set()
        return "late"

    driver = BlockingDriver()
    assert drive(driver.race([waiting, quick])) == "quick"
    went_on.set()
    assert is_done.wait(60)
    assert seen[-1] is True
    assert not is_cancelled(), "it is the thread's own matter"
