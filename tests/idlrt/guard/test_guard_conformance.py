"""Rules that all guards follow."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pytest

from idlrt.config.describe import describe
from idlrt.core import Call, ClockAndRandom, Listener, Rejected
from idlrt.errors import NotSent, Overloaded
from idlrt.guard import GUARDS, Guard
from idlrt.guard.base import Next, PerMethod
from idlrt.testing import FakeDriver, check_guard
from idlrt.testing.guards import GET, PUT, call_for

# More than a moment.
pytestmark = pytest.mark.slow

STRICT: dict[str, dict[str, Any]] = {
    "admission": {"protection": 0, "k": 1.0},
    "breaker": {"consecutive_failures": 2},
    "bulkhead": {"max_concurrent_calls": 1, "max_queued_calls": 1},
    "concurrency": {"min_limit": 1, "initial_limit": 1, "max_limit": 1},
    "deadline": {"timeout": 0.001},
    "fallback": {"force": True},
    "limiter": {"rate": 5, "burst": 2},
    "shedder": {"cpu_threshold": 0},
}


def settings_of(name: str) -> Any:
    guard: Any = GUARDS.get(name)
    return guard.Settings


@pytest.mark.parametrize("name", GUARDS.names())
def test_conformance(name: str) -> None:
    guard: Any = GUARDS.get(name)
    check_guard(lambda sources, listener: guard(guard.Settings(), sources, listener))


@pytest.mark.parametrize("name", GUARDS.names())
def test_conformance_with_strict_settings(name: str) -> None:
    guard: Any = GUARDS.get(name)
    settings = msgspec.convert(STRICT[name], guard.Settings)
    check_guard(lambda sources, listener: guard(settings, sources, listener))


@pytest.mark.parametrize("name", GUARDS.names())
def test_settings_are_built_from_plain_values_and_reject_unknown_ones(name: str) -> None:
    settings = settings_of(name)
    assert msgspec.convert({}, settings) == settings()
    assert msgspec.convert(msgspec.to_builtins(settings()), settings) == settings()
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"surely_not": 1}, settings)


@pytest.mark.parametrize("name", GUARDS.names())
def test_each_setting_has_a_description(name: str) -> None:
    described = {key.name: key.about for key in describe()}
    for field in settings_of(name).__struct_fields__:
        assert described[f"{name}.{field}"].endswith("."), field


# The suite finds what is wrong.


class Wrong:
    """Passes calls on, mostly."""

    Settings: ClassVar[type[msgspec.Struct]] = msgspec.Struct

    def __init__(self, sources: ClockAndRandom, listener: Listener) -> None:
        self.listener = listener
        self.count = 0

    async def __call__(self, call: Any, next: Next) -> Any:
        return await next(call)


class Twice(Wrong):
    async def __call__(self, call: Any, next: Next) -> Any:
        await next(call)
        return await next(call)


class Swallowing(Wrong):
    async def __call__(self, call: Any, next: Next) -> Any:
        try:
            return await next(call)
        except BaseException:  # noqa: BLE001
            return None


class Mute(Wrong):
    async def __call__(self, call: Any, next: Next) -> Any:
        self.count += 1
        if self.count > 100:
            raise Overloaded("no")
        return await next(call)


class Late(Wrong):
    async def __call__(self, call: Any, next: Next) -> Any:
        result = await next(call)
        self.count += 1
        if self.count > 50:
            self.listener(Rejected(subject="", guard="late"))
            raise Overloaded("no")
        return result


class Odd(Wrong):
    async def __call__(self, call: Any, next: Next) -> Any:
        self.count += 1
        if self.count > 100:
            self.listener(Rejected(subject="", guard="odd"))
            raise ValueError("no")
        return await next(call)


class Leaking(Wrong):
    async def __call__(self, call: Any, next: Next) -> Any:
        if self.count >= 10:
            self.listener(Rejected(subject="", guard="leaking"))
            raise Overloaded("no")
        self.count += 1
        try:
            result = await next(call)
        except Exception:
            self.count -= 1
            raise
        self.count -= 1
        return result


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Twice, "must be passed on once"),
        (Swallowing, "was changed to None"),
        (Mute, "must be reported to the listener"),
        (Late, "rejected afterwards"),
        (Odd, "must raise a NotSent"),
        (Leaking, "rejects all calls after calls were cancelled"),
    ],
)
def test_the_suite_finds_what_is_wrong(wrong: type[Wrong], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_guard(wrong)


def test_the_suite_accepts_a_correct_guard() -> None:
    check_guard(Wrong)


# Who is told.


def test_listeners_of_a_call_receive_rejections() -> None:
    driver = FakeDriver()
    of_guard: list[Any] = []
    of_call: list[Any] = []
    guard_class: Any = GUARDS.get("limiter")
    sources = ClockAndRandom(now=driver.now)

    async def answer(call: Call) -> str:
        return "answer"

    def refuse(guard: Guard) -> None:
        assert driver.run(guard(call_for(driver), answer)) == "answer"
        with pytest.raises(NotSent):
            driver.run(guard(call_for(driver, 5.0, of_call.append), answer))

    settings = guard_class.Settings(rate=1, burst=1)
    refuse(guard_class(settings, sources, of_guard.append))
    assert of_call == of_guard
    assert [(each.subject, each.guard) for each in of_guard] == [("Check.get", "limiter")]
    refuse(guard_class(settings, sources))
    assert len(of_call) == 2
    assert len(of_guard) == 1


def test_one_object_for_each_service_or_method() -> None:
    made: list[str] = []

    def make(name: str) -> list[str]:
        made.append(name)
        return [name]

    by_service: PerMethod[list[str]] = PerMethod("service", make)
    assert by_service[GET] is by_service[PUT] is by_service[GET]
    by_method: PerMethod[list[str]] = PerMethod("method", make)
    assert by_method[GET] is by_method[GET] is not by_method[PUT]
    assert made == ["Check", "Check.get", "Check.put"]
