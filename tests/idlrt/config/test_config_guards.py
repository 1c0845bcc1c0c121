"""Guards that a configuration enables: which, in which order, and with which statistics."""

from __future__ import annotations

from typing import Any

import pytest

from idlrt.config import Layer, effective
from idlrt.config.guards import Guards
from idlrt.core import ClockAndRandom
from idlrt.guard import GUARDS
from idlrt.guard.base import no_listener


def names(guards: list[Any]) -> list[str]:
    by_class = {GUARDS.get(name): name for name in GUARDS.names()}
    return [by_class[type(each)] for each in guards]


def of(guards: Guards, values: dict[str, Any], method: str = "") -> list[Any]:
    return list(guards.of(effective([Layer("", values)], method)))


@pytest.fixture
def guards() -> Guards:
    return Guards(ClockAndRandom(), no_listener)


def test_no_guard_without_a_setting(guards: Guards) -> None:
    assert of(guards, {}) == []
    assert of(guards, {"timeout": 1, "hedge.delay": 1, "backoff.base_delay": 1}) == []


def test_guards_have_their_order_whatever_the_order_of_the_keys(guards: Guards) -> None:
    values = {"bulkhead.max_concurrent_calls": 1, "breaker.failure_ratio": 0.1, "fallback.value": 1, "limiter.rate": 1}
    assert names(of(guards, values)) == ["fallback", "limiter", "breaker", "bulkhead"]
    assert names(of(guards, {**values, "breaker.enabled": False})) == ["fallback", "limiter", "bulkhead"]
    assert names(of(guards, {"shedder.enabled": True})) == ["shedder"], "with all its defaults"


def test_equal_settings_share_a_guard(guards: Guards) -> None:
    values = {"limiter.rate": 5, "methods.get.limiter.rate": 5.0, "methods.put.limiter.rate": 6}
    (plain,), (get,), (put,) = of(guards, values), of(guards, values, "get"), of(guards, values, "put")
    assert plain is get, "what they count is counted together"
    assert put is not plain
    assert of(guards, {"limiter.rate": 5})[0] is plain, "also after something else has changed"
    assert of(Guards(ClockAndRandom(), no_listener), values)[0] is not plain
