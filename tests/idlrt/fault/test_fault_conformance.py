"""Every fault mode does what all have to do; and what does not is found."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
import pytest

from idlrt.core import Call, ClockAndRandom
from idlrt.errors import ApplicationError, NoInstance, NotSent, RpcError, Unknown
from idlrt.fault import FAULT_MODES, Dispatcher
from idlrt.fault.failover import NoSettings
from idlrt.testing import check_fault_mode

# More than a moment.
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", FAULT_MODES.names())
def test_fault_mode_conformance(name: str) -> None:
    mode: Any = FAULT_MODES.get(name)
    check_fault_mode(lambda sources: mode(mode.Settings(), sources))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("hedge", {"delay": 0.005}),
        ("hedge", {"delay": 0.02, "max_attempts": 5, "max_extra_load": 1.0}),
        ("forking", {"forks": 10}),
        ("failcache", {"retry_interval": 0.1, "max_retries": 50, "max_age": 3.0}),
        ("broadcast", {"fail_percent": 60}),
    ],
)
def test_conformance_of_other_settings(name: str, settings: dict[str, Any]) -> None:
    mode: Any = FAULT_MODES.get(name)
    check_fault_mode(lambda sources: mode(mode.Settings(**settings), sources))


class Plain:
    """A mode without faults, from which those that have one are made."""

    Settings: ClassVar[type[msgspec.Struct]] = NoSettings

    def __init__(self, sources: ClockAndRandom) -> None:
        self.is_closed = False

    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        return await dispatcher.send(dispatcher.pick(call, ()), call)

    def close(self) -> None:
        self.is_closed = True


class RepeatsAll(Plain):
    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        try:
            return await super().call(call, dispatcher)
        except Unknown:
            if call.deadline.at <= call.driver.now() or not call.policy.retries:
                raise
            return await dispatcher.send(dispatcher.pick(call, ()), call, 1)


class RepeatsAnswers(Plain):
    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        try:
            return await super().call(call, dispatcher)
        except ApplicationError:
            return await dispatcher.send(dispatcher.pick(call, ()), call, 1)


class TellsNoServer(Plain):
    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        try:
            return await super().call(call, dispatcher)
        except (NotSent, Unknown):
            if not call.method.is_idempotent or not call.policy.retries:
                raise
            return await dispatcher.send(dispatcher.pick(call, ()), call)


class NeverEnds(Plain):
    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        attempt = 0
        while True:
            try:
                return await dispatcher.send(dispatcher.pick(call, ()), call, attempt)
            except NoInstance:
                raise
            except NotSent:
                attempt += 1


class SleepsOn(Plain):
    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        try:
            return await super().call(call, dispatcher)
        except NotSent:
            await call.driver.sleep(10)
            raise


class Insists(Plain):
    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        for attempt in range(3):
            try:
                return await dispatcher.send(dispatcher.pick(call, ()), call, attempt)
            except NoInstance:
                raise
            except NotSent:
                if call.deadline.at <= call.driver.now():
                    raise
        return await super().call(call, dispatcher)


class MakesUp(Plain):
    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        try:
            return await super().call(call, dispatcher)
        except (NotSent, Unknown):
            return None


class Translates(Plain):
    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        try:
            return await super().call(call, dispatcher)
        except NotSent as error:
            raise RpcError("no") from error


class Swallows(Plain):
    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        try:
            return await super().call(call, dispatcher)
        except (NotSent, Unknown):
            raise
        except BaseException:  # noqa: BLE001  # that is what is wrong with it
            return "answer"


class AsksStrangers(Plain):
    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        from idlrt.testing.scripted_dispatcher import ScriptedInstance

        dispatcher.pick(call, ())
        return await dispatcher.send(ScriptedInstance(9), call)


class ClosesOnce(Plain):
    def close(self) -> None:
        if self.is_closed:
            raise AssertionError("closed twice")
        self.is_closed = True


class WaitsForAsyncio(Plain):
    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        import asyncio

        await asyncio.sleep(0)
        return await super().call(call, dispatcher)


class NotThreadSafe(Plain):
    def __init__(self, sources: ClockAndRandom) -> None:
        super().__init__(sources)
        self.under_way: list[Call] = []

    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        self.under_way.append(call)
        if len(self.under_way) > 1:
            return "another's"
        result = await super().call(call, dispatcher)
        self.under_way.remove(call)
        return result


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (RepeatsAll, "not idempotent"),
        (RepeatsAnswers, "the call was retried"),
        (TellsNoServer, "attempt number 0"),
        (NeverEnds, "was sent after its deadline|at most"),
        (SleepsOn, "after its deadline"),
        (Insists, "at most"),
        (MakesUp, "must be reported as FallbackUsed"),
        (Translates, "is not an error of an instance"),
        (Swallows, "was changed to 'answer'"),
        (AsksStrangers, "not an instance that pick or everyone returned"),
        (ClosesOnce, "closed twice"),
        (WaitsForAsyncio, "was changed to RuntimeError|no instance was called"),
        (NotThreadSafe, "another's|must be reported as FallbackUsed"),
    ],
)
def test_the_suite_finds_modes_that_do_wrong(wrong: type[Plain], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_fault_mode(wrong)


def test_the_suite_finds_nothing_wrong_with_what_they_are_made_of() -> None:
    check_fault_mode(Plain)
