"""Conformance suite of fault modes, for the built-in ones and for plugins.

from idlrt.testing import check_fault_mode

def test_mine() -> None:
    check_fault_mode(lambda chance: Mine(Mine.Settings(), chance))

To test the behaviour of one mode, use `idlrt.testing.scripted_dispatcher`.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

import msgspec

from idlrt.core import (
    AsyncioDriver,
    Backoff,
    Call,
    ClockAndRandom,
    Driver,
    FallbackUsed,
    RetryScheduled,
    drive,
)
from idlrt.core.driver import BlockingDriver
from idlrt.errors import (
    ApplicationError,
    CircuitOpen,
    ConfigurationError,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    Deferred,
    NoInstance,
    NotSent,
    Overloaded,
    RemoteProtocolError,
)
from idlrt.fault import FaultMode
from idlrt.printable import plural
from idlrt.spec import DeclaredError, Method
from idlrt.testing.fake_driver import FakeDriver
from idlrt.testing.scripted_dispatcher import GET, NOTE, PUT, Reply, ScriptedDispatcher, ScriptedInstance, call_with
from idlrt.testing.threads import run_concurrently

__all__ = ["check_fault_mode"]

Make = Callable[[ClockAndRandom], FaultMode]


class _Declared(DeclaredError):
    pass


def check_fault_mode(make: Make) -> None:
    """Check a fault mode.

    Args:
        make: creates the fault mode from a `ClockAndRandom`. It is called several times and must return a new one each
            time.

    Raises:
        AssertionError: the fault mode violates a rule; the message names the rule.
    """
    _settings(make)
    for call_method in (GET, PUT, NOTE):
        _passes_on(make, call_method)
        _no_instance(make, call_method)
        for limits in _LIMITS:
            for endpoints in _scripts():
                _check_retry_rules(make, call_method, endpoints, limits)
        _is_cancelled(make, call_method)
    _blocking_and_threads(make)
    _asyncio(make)


def _settings(make: Make) -> None:
    """Check that settings can be read from a configuration and have defaults."""
    settings = type(make(ClockAndRandom())).Settings
    config = settings.__struct_config__
    assert config.frozen and config.forbid_unknown_fields, f"{settings} must be frozen and forbid unknown fields"  # noqa: PT018
    assert msgspec.convert({}, settings) == settings(), f"each field of {settings} must have a default"


def _sources(driver: Driver) -> ClockAndRandom:
    return ClockAndRandom(now=driver.now, rng=random.Random(7).random)


def _outcome(run: Callable[[Coroutine[Any, Any, Any]], Any], coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        return run(coroutine)
    except BaseException as error:  # noqa: BLE001  # checked by the caller
        return error


def _passes_on(make: Make, call_method: Method[..., Any]) -> None:
    """Check that results and application errors are passed on unchanged and end the call."""
    errors: list[Any] = [_Declared(), ApplicationError("no"), RemoteProtocolError("odd"), ValueError("broken")]
    ends: list[Any] = [KeyboardInterrupt(), asyncio.CancelledError(), SystemExit()]
    for outcome in ["answer", None, object(), *errors, *ends]:
        driver = FakeDriver(100.0)
        mode, dispatcher = make(_sources(driver)), ScriptedDispatcher([_same(each, outcome) for each in (1, 2, 3)])
        found = _outcome(driver.run, mode.call(call_with(driver, call_method), dispatcher))
        asked = [each.endpoint for each in dispatcher.sent]
        assert not dispatcher.violations, dispatcher.violations[:3]
        assert len(set(asked)) == len(asked), f"the response {outcome!r} was received, and the call was retried"
        # An instance that has not replied before the first response was called concurrently.
        assert all(each.is_concurrent for each in dispatcher.sent[1:]), (
            f"the response {outcome!r} was received, and another instance was called"
        )
        if not asked:
            assert isinstance(found, ConfigurationError), f"no instance was called, and the outcome is {found!r}"
        elif found is not outcome:
            assert isinstance(outcome, ApplicationError), f"the outcome {outcome!r} was changed to {found!r}"
            assert not isinstance(found, BaseException), f"the outcome {outcome!r} was changed to {found!r}"
            assert dispatcher.decisions_of(FallbackUsed), "a fallback result must be reported as FallbackUsed"
        _end(mode, driver)


def _same(number: int, outcome: Any) -> ScriptedInstance:
    return ScriptedInstance(number, Reply((lambda: outcome) if callable(outcome) else outcome))


def _no_instance(make: Make, call_method: Method[..., Any]) -> None:
    """Check that `NoInstance` is passed on."""
    driver = FakeDriver(100.0)
    mode, dispatcher = make(_sources(driver)), ScriptedDispatcher([])
    found = _outcome(driver.run, mode.call(call_with(driver, call_method), dispatcher))
    if not isinstance(found, NoInstance | ConfigurationError):
        _check_reported(found, dispatcher)
    _end(mode, driver)


def _end(mode: FaultMode, driver: FakeDriver) -> None:
    mode.close()
    driver.finish()
    mode.close()


def _check_reported(found: Any, dispatcher: ScriptedDispatcher) -> None:
    """Check that an outcome which is neither a response nor an error of an instance is reported."""
    if isinstance(found, Deferred) or (found is None and dispatcher.decisions_of(RetryScheduled)):
        assert dispatcher.decisions_of(RetryScheduled), (
            f"the outcome is {found!r}, and the deferred call was not reported as RetryScheduled"
        )
    else:
        assert not isinstance(found, BaseException), f"{found!r} is not an error of an instance"
        assert dispatcher.decisions_of(FallbackUsed), "a fallback result must be reported as FallbackUsed"


_ERRORS: Final[list[Callable[[], Exception]]] = [
    lambda: ConnectFailed("not there"),
    lambda: Overloaded("busy"),
    lambda: Overloaded("busy").push_back(0.2),
    lambda: Overloaded("go away").push_back(math.inf),
    lambda: CircuitOpen("open"),
    lambda: NotSent("no"),
    lambda: ConnectionLost("lost"),
    lambda: DeadlineExceeded("late"),
    lambda: DeadlineExceeded("late").push_back(math.inf),
    _Declared,
    lambda: ApplicationError("no"),
]


def _scripts() -> Iterator[list[ScriptedInstance]]:
    """Yield instances with many kinds of errors and latencies."""
    good = Reply(after=0.01)
    for make_error in _ERRORS:
        bad = Reply(make_error, 0.01)
        yield [ScriptedInstance(1, bad), ScriptedInstance(2, good), ScriptedInstance(3, good)]
        yield [ScriptedInstance(number, bad) for number in range(1, 4)]
        yield [ScriptedInstance(1, bad, good)]
        yield [ScriptedInstance(number, Reply(make_error, 2.5)) for number in range(1, 16)]
    yield [ScriptedInstance(1, Reply(after=60.0)), ScriptedInstance(2, good)]
    yield [ScriptedInstance(number, Reply(after=60.0)) for number in range(1, 4)]
    rng = random.Random(11)
    for count in (1, 2, 3, 5, 15) * 20:
        yield [
            ScriptedInstance(
                number,
                *(
                    Reply(rng.choice([*_ERRORS, "answer"]), rng.choice((0.001, 0.01, 0.5, 60.0)))
                    for _ in range(rng.randint(1, 4))
                ),
            )
            for number in range(1, count + 1)
        ]


class _Limits(msgspec.Struct, frozen=True):
    retries: int = 2
    attempt_timeout: float | None = None
    budget: float = math.inf
    is_for_retry: bool = False
    is_closed_soon: bool = False


_LIMITS: Final = (
    _Limits(),
    _Limits(0),
    _Limits(0, 0.3, is_closed_soon=True),
    _Limits(5),
    _Limits(5, 0.3),
    _Limits(5, budget=1),
    _Limits(budget=0, is_closed_soon=True),
    _Limits(1, 0.3, is_for_retry=True),
)


def _check_retry_rules(
    make: Make, call_method: Method[..., Any], endpoints: list[ScriptedInstance], limits: _Limits
) -> None:
    """Check the rules of retries, of the deadline and of the retry budget, however instances fail."""
    driver = FakeDriver(100.0)
    mode, dispatcher = make(_sources(driver)), ScriptedDispatcher(endpoints, limits.budget)
    call = call_with(driver, call_method, retries=limits.retries, attempt_timeout=limits.attempt_timeout)
    if limits.is_for_retry:
        call.attempt = 1
    found = _outcome(driver.run, mode.call(call, dispatcher))
    late = driver.now() - call.deadline.at
    assert late <= 1e-6, f"the call ended {late:.3g} s after its deadline"
    assert not dispatcher.violations, dispatcher.violations[:3]
    _counts(dispatcher, call)
    is_theirs = found == "answer" or any(found is each.error for each in dispatcher.sent)
    if not is_theirs and not (isinstance(found, ConfigurationError) and not dispatcher.sent):
        _check_reported(found, dispatcher)
    if limits.is_closed_soon:
        mode.close()
    driver.finish()
    assert not dispatcher.violations, dispatcher.violations[:3]
    _end(mode, driver)


def _counts(dispatcher: ScriptedDispatcher, call: Call) -> None:
    """Check the number of attempts: one, plus `retries`, plus a few free retries of calls that were not sent.
    Concurrent attempts must go to different instances.
    """
    allowed = call.policy.retries + 1
    free = 0
    asked: list[ScriptedInstance] = []
    for before, each in zip([None, *dispatcher.sent], dispatcher.sent, strict=False):
        if each.is_concurrent:
            assert each.endpoint not in asked, f"{each.endpoint.instance.address} received two attempts concurrently"
            allowed += 1
        elif before is not None:
            if not each.attempt and not all(other.is_unsent for other in dispatcher.sent[: len(asked)]):
                raise AssertionError("the call was retried with attempt number 0: pass the number to send")
            costs_nothing = not isinstance(before.error, Overloaded) and free < _MOST_FREE
            free += before.is_unsent and (costs_nothing or each.endpoint not in asked)
        assert each.attempt <= len(asked), f"the attempt number is {each.attempt} after {plural(len(asked), 'attempt')}"
        asked.append(each.endpoint)
    most = allowed + free
    made = plural(len(asked), "attempt")
    assert len(asked) <= most, f"{made} with retries={call.policy.retries}; at most {most} allowed"


_MOST_FREE: Final = 10


def _is_cancelled(make: Make, call_method: Method[..., Any]) -> None:
    """Check that a cancelled call raises `CancelledError` and sends nothing more."""
    for is_first_bad in (False, True):
        driver = FakeDriver(100.0)
        replies = [Reply(lambda: ConnectFailed("not there"), 0.0)] * is_first_bad + [Reply(after=1.0)]
        dispatcher = ScriptedDispatcher([ScriptedInstance(number, *replies) for number in (1, 2, 3)])
        mode = make(_sources(driver))
        begun = mode.call(call_with(driver, call_method), dispatcher)
        found = _outcome(lambda coroutine: coroutine.send(None), begun)
        if not isinstance(found, BaseException):
            count = len(dispatcher.sent)
            found = _outcome(lambda coroutine: coroutine.throw(asyncio.CancelledError()), begun)
            assert isinstance(found, asyncio.CancelledError), f"the call was cancelled, and its outcome is {found!r}"
            assert len(dispatcher.sent) == count, "the call was cancelled, and another attempt was made"
        _end(mode, driver)


def _immediate_dispatcher() -> ScriptedDispatcher:
    """Return instances that reply at once, for drivers in real time."""
    bad = ScriptedInstance(1, Reply(lambda: ConnectFailed("not there"), 0.0), Reply(after=0.0))
    return ScriptedDispatcher([bad, ScriptedInstance(2, Reply(after=0.0))])


def _blocking_and_threads(make: Make) -> None:
    """Check that the mode suspends on the call's driver only, and that several threads may share it."""
    mode, driver = make(ClockAndRandom()), BlockingDriver()
    wrong: list[Any] = []

    def use() -> None:
        for number in range(60):
            dispatcher = _immediate_dispatcher()
            call = call_with(driver, (GET, PUT, NOTE)[number % 3], backoff=Backoff(base_delay=0.0))
            found = _outcome(drive, mode.call(call, dispatcher))
            wrong.extend(dispatcher.violations)
            _record_unexpected(found, dispatcher, wrong)

    run_concurrently(use)
    mode.close()
    assert not wrong, f"threads share the mode: {wrong[:3]}"


def _asyncio(make: Make) -> None:
    """Check concurrent tasks of asyncio."""
    wrong: list[Any] = []

    async def main() -> None:
        mode, driver = make(ClockAndRandom()), AsyncioDriver()
        reaches = [_immediate_dispatcher() for _ in range(20)]
        calls = [
            mode.call(call_with(driver, GET, backoff=Backoff(base_delay=0.0)), dispatcher) for dispatcher in reaches
        ]
        found = await asyncio.gather(*calls, return_exceptions=True)
        for each, dispatcher in zip(found, reaches, strict=True):
            wrong.extend(dispatcher.violations)
            _record_unexpected(each, dispatcher, wrong)
        mode.close()

    asyncio.run(main())
    assert not wrong, f"tasks share the mode: {wrong[:3]}"


def _record_unexpected(found: Any, dispatcher: ScriptedDispatcher, wrong: list[Any]) -> None:
    if found != "answer" and found is not None and not isinstance(found, ConnectFailed | Deferred | ConfigurationError):
        wrong.append(found)
    if not dispatcher.sent and not isinstance(found, ConfigurationError):
        wrong.append(f"no instance was called, and the outcome is {found!r}")
