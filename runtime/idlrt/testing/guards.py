"""Conformance suite of guards, for the built-in ones and for plugins.

from idlrt.testing import check_guard

def test_mine() -> None:
    check_guard(lambda chance, listener: Mine(Mine.Settings(), chance, listener))
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from idlrt.core import (
    Call,
    ClockAndRandom,
    Deadline,
    Decision,
    Driver,
    FallbackUsed,
    Listener,
    Peer,
    Rejected,
    ServerCall,
    drive,
)
from idlrt.core.driver import BlockingDriver
from idlrt.errors import ApplicationError, ConnectionLost, NotSent, Overloaded
from idlrt.guard import Guard
from idlrt.printable import plural
from idlrt.spec import STRING, DeclaredError, Service, method, required
from idlrt.testing.fake_driver import FakeDriver
from idlrt.testing.threads import run_concurrently

__all__ = ["call_for", "check_guard", "server_call_for"]

Make = Callable[[ClockAndRandom, Listener], Guard]


class _Protocol:
    def get(self, key: str) -> str:
        """A method with one argument."""
        raise NotImplementedError


class _Declared(DeclaredError):
    pass


GET = method(_Protocol.get, required(1, "key", STRING), result=STRING)
PUT = method(_Protocol.get, required(1, "key", STRING), result=STRING, name="put")
Service("Check", GET, PUT)


def call_for(driver: Driver, timeout: float = 5.0, *listeners: Listener) -> Call:
    """Return a call of a client."""
    deadline = Deadline(driver.now() + timeout, timeout)
    return Call(GET, ("key",), "check", deadline, driver, listeners=listeners)


def server_call_for(driver: Driver, timeout: float = 5.0, address: str = "10.0.0.1:4711") -> ServerCall:
    """Return a call that a server received."""
    deadline = Deadline(driver.now() + timeout, timeout)
    return ServerCall(GET, ("key",), Peer(address=address), {}, deadline, driver)


def check_guard(make: Make) -> None:
    """Check a guard.

    Args:
        make: creates the guard from a `ClockAndRandom` and a listener for decisions. It is called several times and
            must return a new guard each time, which admits the first call unless it admits none.

    Raises:
        AssertionError: the guard violates a rule; the message names the rule.
    """
    for make_call in (call_for, server_call_for):
        _passes_on(make, make_call)
        _admits_or_rejects(make, make_call)
        _leaks_nothing(make, make_call)
    _asyncio(make)
    _threads(make)


class _NextFilter:
    """The next filter behind a guard, which records the calls that reach it."""

    def __init__(self, outcome: Any = "answer") -> None:
        self.outcome = outcome
        self.reached: list[Any] = []

    async def __call__(self, call: Any) -> Any:
        self.reached.append(call)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


def _sources(driver: Driver) -> ClockAndRandom:
    return ClockAndRandom(now=driver.now, rng=random.Random(7).random)


def _outcome(run: Callable[[Coroutine[Any, Any, Any]], Any], coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        return run(coroutine)
    except BaseException as error:  # noqa: BLE001  # checked by the caller
        return error


def _passes_on(make: Make, make_call: Callable[[Driver], Any]) -> None:
    """Check that results and errors of an admitted call are passed on unchanged."""
    answers: list[Any] = ["answer", None, object(), _Declared(), ApplicationError("no"), ValueError("broken")]
    answers += [KeyboardInterrupt(), asyncio.CancelledError(), SystemExit()]
    for answer in answers:
        driver, next_filter = FakeDriver(), _NextFilter(answer)
        call = make_call(driver)
        guard = make(_sources(driver), lambda decision: None)
        found = _outcome(driver.run, guard(call, next_filter))
        if next_filter.reached:
            count = plural(len(next_filter.reached), "call")
            assert next_filter.reached == [call], f"an admitted call must be passed on once, got {count}"
            assert found is answer, f"the outcome {answer!r} of an admitted call was changed to {found!r}"


def _admits_or_rejects(make: Make, make_call: Callable[[Driver], Any]) -> None:
    """Check that each call is admitted, rejected or answered with a fallback, and that the listener is notified."""
    driver = FakeDriver()
    decisions: list[Decision] = []
    guard = make(_sources(driver), decisions.append)
    outcomes = ["answer", ConnectionLost("lost"), Overloaded("busy"), ApplicationError("no"), _Declared()]
    for number in range(500):
        next_filter = _NextFilter(outcomes[number % 50 // 10])
        decisions.clear()
        found = _outcome(driver.run, guard(make_call(driver), next_filter))
        assert len(next_filter.reached) <= 1, "a guard must not pass on a call more than once"
        kinds = {type(decision) for decision in decisions}
        if found is not next_filter.outcome:
            if isinstance(found, BaseException):
                assert not next_filter.reached, f"an admitted call was rejected afterwards: {found!r}"
                assert isinstance(found, NotSent), f"a rejection must raise a NotSent, not {found!r}"
                assert Rejected in kinds, "a rejection must be reported to the listener as Rejected"
            else:
                assert FallbackUsed in kinds, "a fallback result must be reported to the listener as FallbackUsed"
        elif not next_filter.reached:
            raise AssertionError("the guard returned a response of a call that it did not pass on")
        driver.advance(0.01)


def _leaks_nothing(make: Make, make_call: Callable[[Driver], Any]) -> None:
    """Check that cancelled calls leak no capacity: later the guard admits calls as at the beginning."""
    driver = FakeDriver()
    guard = make(_sources(driver), lambda decision: None)

    def is_let_through() -> bool:
        next_filter = _NextFilter()
        _outcome(driver.run, guard(make_call(driver), next_filter))
        return bool(next_filter.reached)

    async def cancelled(call: Any) -> Any:
        await driver.sleep(1)

    if not is_let_through():
        return
    for number in range(300):
        driver.advance(3600 if number % 50 == 0 else 0.01)
        begun = guard(make_call(driver), cancelled)
        try:
            begun.send(None)
            if number % 2:
                begun.close()
            else:
                begun.throw(asyncio.CancelledError())
        except (NotSent, StopIteration, asyncio.CancelledError):
            continue
    driver.advance(3600)
    assert is_let_through(), "the guard rejects all calls after calls were cancelled: it must release what they hold"


def _asyncio(make: Make) -> None:
    """Check concurrent tasks of asyncio."""
    from idlrt.core import AsyncioDriver

    async def main() -> None:
        driver = AsyncioDriver()
        guard = make(ClockAndRandom(), lambda decision: None)

        async def later(call: Any) -> Any:
            await asyncio.sleep(0)
            return call

        calls = [call_for(driver) for _ in range(20)]
        found = await asyncio.gather(*[guard(call, later) for call in calls], return_exceptions=True)
        for call, each in zip(calls, found, strict=True):
            assert each is call or not isinstance(each, BaseException) or isinstance(each, NotSent), (
                f"a concurrent task got {each!r}; only a NotSent may be raised instead of the result"
            )

    asyncio.run(main())


def _threads(make: Make) -> None:
    """Check that several threads may use the guard at the same time."""
    guard = make(ClockAndRandom(), lambda decision: None)
    driver = BlockingDriver()
    wrong: list[Any] = []

    def use() -> None:
        for number in range(200):
            next_filter = _NextFilter("answer" if number % 3 else ConnectionLost("lost"))
            found = _outcome(drive, guard(call_for(driver), next_filter))
            if found is not next_filter.outcome and isinstance(found, BaseException) and not isinstance(found, NotSent):
                wrong.append(found)

    run_concurrently(use)
    assert not wrong, f"unexpected errors when threads share the guard: {wrong[:3]}"
